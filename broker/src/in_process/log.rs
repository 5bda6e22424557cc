//! One partition: records in offset order, kept within bounds.
//!
//! Records of open transactions are in it, and readers do not see them: they stop at the *last stable offset*, where the
//! oldest open transaction has its first record, and so what others wrote behind it waits as well. A commit moves that
//! offset on; an abort takes the records out. Either leaves the gaps that Kafka's log has, for each marker and for aborted
//! records, so that nothing that reads the log comes to rely on dense offsets.
//!
//! ```text
//!   start          last stable offset        end
//!     │  committed  │ a1  b1  x  a2  b2  …    │      a is open: b's records, and x without a transaction, wait behind it
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashSet;

use super::Limits;
use super::open::{OpenTransactions, ProducerId};
use crate::port::{CleanupPolicy, Headers};

/// A record without its place.
#[derive(Debug)]
pub(super) struct Record {
    pub timestamp_ms: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Headers,
}

/// A record in its place.
#[derive(Debug)]
pub(super) struct Stored {
    pub offset: i64,
    pub record: Record,
    /// By the broker's clock; retention goes by it.
    appended: Duration,
    /// A compaction pass has kept it before: a tombstone may go at the next.
    settled: bool,
}

#[derive(Debug)]
pub(super) struct PartitionLog {
    records: VecDeque<Stored>,
    start: i64,
    end: i64,
    open: OpenTransactions,
    cleanup: CleanupPolicy,
    /// The number of records at which the next compaction pass runs.
    compact_at: usize,
}

impl PartitionLog {
    pub fn new(cleanup: CleanupPolicy, limits: &Limits) -> Self {
        Self {
            records: VecDeque::new(),
            start: 0,
            end: 0,
            open: OpenTransactions::default(),
            cleanup,
            compact_at: limits.compact_at_least,
        }
    }

    /// The first offset that can be read.
    pub fn start(&self) -> i64 {
        self.start
    }

    /// The offset that the next record gets.
    pub fn end(&self) -> i64 {
        self.end
    }

    pub fn append(&mut self, record: Record, now: Duration) -> i64 {
        let offset = self.end;
        self.records.push_back(Stored {
            offset,
            record,
            appended: now,
            settled: false,
        });
        self.end += 1;
        offset
    }

    /// The last stable offset: no record from here on can be read yet.
    pub fn stable_end(&self) -> i64 {
        // Retention may have dropped the first records of an open transaction.
        self.open.first().map_or(self.end, |first| first.max(self.start))
    }

    /// Appends records of a producer's open transaction, and returns the last one's offset; `None` where there are none.
    pub fn append_open(&mut self, producer: ProducerId, records: impl Iterator<Item = Record>, now: Duration) -> Option<i64> {
        let first = self.end;
        let last = records.map(|record| self.append(record, now)).last()?;
        self.open.add(producer, first..self.end);
        Some(last)
    }

    /// Ends a producer's transaction, if it wrote here: its records count from now on, or they are gone. The marker takes an
    /// offset.
    pub fn end_transaction(&mut self, producer: ProducerId, commits: bool) {
        let Some(runs) = self.open.end(producer) else { return };
        self.end += 1;
        if commits {
            return;
        }
        for run in runs.into_iter().rev() {
            let place = |offset| self.records.partition_point(|stored| stored.offset < offset);
            let (from, to) = (place(run.start), place(run.end));
            self.records.drain(from..to);
        }
    }

    /// Shows up to `max` records from `position` on, and returns the position after them: the last stable offset if they are
    /// all.
    pub fn read(&self, position: i64, max: usize, mut each: impl FnMut(&Stored)) -> i64 {
        let stable = self.stable_end();
        if position >= stable {
            return position;
        }
        let first = self.records.partition_point(|stored| stored.offset < position);
        let visible = self.visible();
        let last = visible.min(first.saturating_add(max));
        self.records.range(first..last).for_each(&mut each);
        if last == visible {
            stable
        } else {
            self.records[last - 1].offset + 1
        }
    }

    /// The first record that can be read and is no older than this.
    pub fn offset_for_time(&self, timestamp_ms: i64) -> Option<i64> {
        let mut readable = self.records.range(..self.visible());
        let found = readable.find(|stored| stored.record.timestamp_ms >= timestamp_ms)?;
        Some(found.offset)
    }

    /// How many of the records lie before the last stable offset.
    fn visible(&self) -> usize {
        match self.open.first() {
            Some(first) => self.records.partition_point(|stored| stored.offset < first),
            None => self.records.len(),
        }
    }

    /// Drops the records before an offset.
    pub fn delete_before(&mut self, offset: i64) {
        self.start = self.start.max(offset.min(self.end));
        let gone = self.records.partition_point(|stored| stored.offset < self.start);
        self.records.drain(..gone);
    }

    /// Drops what the cleanup policy and the limits say, if it is time to.
    pub fn tidy(&mut self, limits: &Limits, now: Duration) {
        if self.cleanup.compacts() && self.records.len() >= self.compact_at {
            self.compact();
            self.compact_at = limits.compact_at_least.max(2 * self.records.len());
        }
        match self.cleanup {
            CleanupPolicy::Compact => {}
            CleanupPolicy::CompactAndDelete(age) => self.retain(usize::MAX, Some(age), now),
            CleanupPolicy::Delete(age) => self.retain(limits.records_per_partition, age, now),
        }
    }

    /// Keeps the newest record of each key; a tombstone that an earlier pass kept goes too. What lies beyond the last stable
    /// offset is left alone, since it may be aborted yet. Does nothing to a topic that is not compacted.
    pub fn compact(&mut self) {
        if !self.cleanup.compacts() {
            return;
        }
        let visible = self.visible();
        let mut seen = HashSet::with_capacity(visible);
        let mut keep = vec![false; visible];
        for (stored, keep) in self.records.iter().zip(&mut keep).rev() {
            let newest = seen.insert(stored.record.key.clone());
            *keep = newest && (stored.record.value.is_some() || !stored.settled);
        }
        let mut keep = keep.into_iter();
        self.records.retain_mut(|stored| match keep.next() {
            Some(keep) => {
                stored.settled = true;
                keep
            }
            None => true,
        });
    }

    fn retain(&mut self, records_max: usize, age: Option<Duration>, now: Duration) {
        let expired = |stored: &Stored| age.is_some_and(|age| now.saturating_sub(stored.appended) > age);
        while self.records.len() > records_max || self.records.front().is_some_and(expired) {
            if let Some(dropped) = self.records.pop_front() {
                self.start = dropped.offset + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            records_per_partition: 3,
            compact_at_least: 4,
            ..Limits::default()
        }
    }

    fn record(key: &'static str, value: Option<&'static str>) -> Record {
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        Record {
            timestamp_ms: 0,
            key: Some(bytes(key)),
            value: value.map(bytes),
            headers: Vec::new(),
        }
    }

    fn offsets(log: &PartitionLog) -> Vec<i64> {
        let mut offsets = Vec::new();
        log.read(0, usize::MAX, |stored| offsets.push(stored.offset));
        offsets
    }

    #[test]
    fn size_retention_moves_the_start_and_never_an_offset() {
        let mut log = PartitionLog::new(CleanupPolicy::Delete(None), &limits());
        for _ in 0..5 {
            log.append(record("k", Some("v")), Duration::ZERO);
            log.tidy(&limits(), Duration::ZERO);
        }
        assert_eq!((log.start(), log.end(), offsets(&log)), (2, 5, vec![2, 3, 4]));
    }

    #[test]
    fn age_retention_goes_by_the_time_of_the_append() {
        let mut log = PartitionLog::new(CleanupPolicy::Delete(Some(Duration::from_secs(10))), &limits());
        log.append(record("k", Some("old")), Duration::from_secs(0));
        log.append(record("k", Some("new")), Duration::from_secs(8));
        log.tidy(&limits(), Duration::from_secs(11));
        assert_eq!(offsets(&log), vec![1]);
    }

    #[test]
    fn compaction_keeps_the_newest_and_a_tombstone_for_one_pass() {
        let mut log = PartitionLog::new(CleanupPolicy::Compact, &limits());
        for (key, value) in [("a", Some("1")), ("b", Some("1")), ("a", Some("2")), ("b", None)] {
            log.append(record(key, value), Duration::ZERO);
        }
        log.tidy(&limits(), Duration::ZERO);
        assert_eq!(offsets(&log), vec![2, 3]);
        log.compact();
        assert_eq!(offsets(&log), vec![2], "the tombstone has been kept for one pass");
        assert_eq!((log.start(), log.end()), (0, 4));
    }

    fn open(log: &mut PartitionLog, producer: ProducerId, keys: &[&'static str]) {
        let records = keys.iter().map(|key| record(key, Some("v")));
        log.append_open(producer, records, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_read_steps_over_aborted_records_and_markers() {
        let mut log = PartitionLog::new(CleanupPolicy::Delete(None), &limits());
        log.append(record("a", None), Duration::ZERO);
        open(&mut log, 1, &["lost", "lost", "lost"]);
        log.end_transaction(1, false);
        open(&mut log, 1, &["b"]);
        log.end_transaction(1, true);
        let mut seen = Vec::new();
        assert_eq!(log.read(1, 1, |stored| seen.push(stored.offset)), 7);
        assert_eq!(seen, vec![5]);
        assert_eq!(log.read(0, 1, |_| ()), 1);
        assert_eq!(log.read(7, 1, |_| ()), 7);
    }

    #[test]
    fn readers_stop_at_the_oldest_open_transaction() {
        let mut log = PartitionLog::new(CleanupPolicy::Delete(None), &limits());
        log.append(record("before", None), Duration::ZERO);
        open(&mut log, 1, &["a", "a"]);
        open(&mut log, 2, &["b"]);
        log.append(record("behind", None), Duration::ZERO);
        open(&mut log, 1, &["a"]);
        assert_eq!((log.stable_end(), log.end(), offsets(&log)), (1, 6, vec![0]));
        assert_eq!(log.read(1, 9, |_| ()), 1, "the position waits there");
        log.end_transaction(2, true);
        assert_eq!((log.stable_end(), offsets(&log)), (1, vec![0]), "b waits for a");
        log.end_transaction(1, false);
        assert_eq!((log.stable_end(), log.end(), offsets(&log)), (8, 8, vec![0, 3, 4]));
    }

    #[test]
    fn compaction_leaves_alone_what_may_be_aborted_yet() {
        let mut log = PartitionLog::new(CleanupPolicy::Compact, &limits());
        log.append(record("a", Some("1")), Duration::ZERO);
        open(&mut log, 1, &["a"]);
        log.compact();
        log.end_transaction(1, false);
        assert_eq!(offsets(&log), vec![0]);
    }

    #[test]
    fn retention_may_pass_an_open_transaction() {
        let mut log = PartitionLog::new(CleanupPolicy::Delete(None), &limits());
        open(&mut log, 1, &["a", "a", "a", "a", "a"]);
        log.tidy(&limits(), Duration::ZERO);
        assert_eq!((log.start(), log.stable_end(), offsets(&log)), (2, 2, vec![]));
        log.end_transaction(1, false);
        assert_eq!((log.start(), log.stable_end(), offsets(&log)), (2, 6, vec![]));
    }
}
