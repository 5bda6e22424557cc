//! The offsets of one group: committed, and pending in open transactions.
//!
//! An offset that was sent with a transaction is pending until that ends. Of two commits of the same offset the one that was
//! *sent* later counts, also where its transaction ended first.

use std::collections::BTreeMap;
use std::time::Duration;

use hashbrown::HashMap;

use super::open::ProducerId;
use crate::port::{Committed, TopicPartition};

struct Written {
    committed: Committed,
    /// Rises with each offset that is sent to the group.
    sequence: u64,
    /// By the broker's clock; the retention goes by it.
    at: Duration,
}

#[derive(Default)]
pub(super) struct Offsets {
    committed: HashMap<TopicPartition, Written>,
    pending: BTreeMap<ProducerId, Vec<(TopicPartition, Written)>>,
    sequence: u64,
}

impl Offsets {
    /// Commits outside of transactions.
    pub fn commit(&mut self, offsets: &[(TopicPartition, Committed)], now: Duration) {
        let written = self.written(offsets, now);
        self.committed.extend(written);
    }

    /// Holds offsets until the producer's transaction ends.
    pub fn hold(&mut self, producer: ProducerId, offsets: &[(TopicPartition, Committed)], now: Duration) {
        let written = self.written(offsets, now);
        self.pending.entry(producer).or_default().extend(written);
    }

    fn written(&mut self, offsets: &[(TopicPartition, Committed)], at: Duration) -> Vec<(TopicPartition, Written)> {
        let written = offsets.iter().map(|(partition, committed)| {
            self.sequence += 1;
            let (committed, sequence) = (committed.clone(), self.sequence);
            (partition.clone(), Written { committed, sequence, at })
        });
        written.collect()
    }

    /// Ends a producer's transaction: its offsets count from now on, or they are gone.
    pub fn end_transaction(&mut self, producer: ProducerId, commits: bool) {
        let pending = self.pending.remove(&producer).unwrap_or_default();
        for (partition, written) in pending.into_iter().filter(|_| commits) {
            let newer = self
                .committed
                .get(&partition)
                .is_none_or(|had| had.sequence < written.sequence);
            if newer {
                self.committed.insert(partition, written);
            }
        }
    }

    /// Whether an open transaction holds an offset of this partition.
    pub fn is_pending(&self, of: &TopicPartition) -> bool {
        self.pending.values().flatten().any(|(partition, _)| partition == of)
    }

    pub fn get(&self, of: &TopicPartition) -> Option<Committed> {
        self.committed.get(of).map(|written| written.committed.clone())
    }

    /// Drops the offsets that were committed so long ago.
    pub fn expire(&mut self, retention: Duration, now: Duration) {
        self.committed.retain(|_, written| now.saturating_sub(written.at) < retention);
    }

    /// Drops all committed offsets, and returns how many there were.
    pub fn clear(&mut self) -> usize {
        let count = self.committed.len();
        self.committed.clear();
        count
    }

    /// Drops the offsets of a topic's partitions, pending ones too.
    pub fn forget_topic(&mut self, topic: &str) {
        self.committed.retain(|partition, _| *partition.topic != *topic);
        for pending in self.pending.values_mut() {
            pending.retain(|(partition, _)| *partition.topic != *topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> [(TopicPartition, Committed); 1] {
        let metadata = String::new();
        [(TopicPartition::new("t", 0), Committed { offset, metadata })]
    }

    fn offset(offsets: &Offsets) -> Option<i64> {
        offsets.get(&TopicPartition::new("t", 0)).map(|committed| committed.offset)
    }

    #[test]
    fn the_offset_that_was_sent_later_counts() {
        let (mut offsets, now) = (Offsets::default(), Duration::ZERO);
        offsets.hold(1, &at(5), now);
        assert!(offsets.is_pending(&at(5)[0].0));
        offsets.hold(2, &at(6), now);
        offsets.end_transaction(2, true);
        offsets.end_transaction(1, true);
        assert_eq!(offset(&offsets), Some(6));
        offsets.hold(1, &at(7), now);
        offsets.commit(&at(8), now);
        offsets.end_transaction(1, true);
        assert_eq!(offset(&offsets), Some(8));
        offsets.hold(1, &at(9), now);
        offsets.end_transaction(1, false);
        assert_eq!(offset(&offsets), Some(8));
        assert!(!offsets.is_pending(&at(9)[0].0));
    }

    #[test]
    fn an_offset_that_is_not_written_again_expires() {
        let mut offsets = Offsets::default();
        let seconds = Duration::from_secs;
        offsets.commit(&at(5), seconds(0));
        offsets.commit(&at(5), seconds(6));
        offsets.expire(seconds(10), seconds(15));
        assert_eq!(offset(&offsets), Some(5));
        offsets.expire(seconds(10), seconds(16));
        assert_eq!(offset(&offsets), None);
    }
}
