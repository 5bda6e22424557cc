//! Writing: checked and placed records, and the producer without transactions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::catalog::{Topic, TopicId};
use super::log::{PartitionLog, Record};
use super::state::{Shared, State};
use crate::partitioner::partition_for_key;
use crate::port::{BrokerError, Outgoing, Producer, TopicPartition};

/// A topic that a producer has written to.
struct Known {
    name: Arc<str>,
    id: TopicId,
    compacted: bool,
    /// The largest record that it takes, where it has a limit of its own.
    bytes_max: Option<usize>,
    partitions: Vec<Waiting>,
}

/// What waits to be appended to a partition.
#[derive(Default)]
struct Waiting {
    records: Vec<Record>,
    /// The offset of the last record that was appended since [`Buffer::take_written`].
    written: Option<i64>,
}

/// Checks and places records, and holds them until they are appended.
pub(super) struct Buffer {
    pub shared: Arc<Shared>,
    topics: Vec<Known>,
    /// How many records wait.
    pub waiting: usize,
}

impl Buffer {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            topics: Vec::new(),
            waiting: 0,
        }
    }

    pub fn push(&mut self, outgoing: Outgoing<'_>) -> Result<(), BrokerError> {
        let known = self.known(outgoing.topic)?;
        let partition = self.place(known, &outgoing)?;
        let bytes_max = self.topics[known].bytes_max;
        self.shared.limits.check_size(&outgoing, bytes_max)?;
        let headers = outgoing.headers.iter();
        let record = Record {
            timestamp_ms: outgoing.timestamp_ms,
            key: outgoing.key.map(Bytes::copy_from_slice),
            value: outgoing.value.map(Bytes::copy_from_slice),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), value.map(Bytes::copy_from_slice)))
                .collect(),
        };
        self.topics[known].partitions[partition].records.push(record);
        self.waiting += 1;
        Ok(())
    }

    fn known(&mut self, topic: &str) -> Result<usize, BrokerError> {
        if let Some(known) = self.topics.iter().position(|known| &*known.name == topic) {
            return Ok(known);
        }
        let state = self.shared.lock();
        let id = state.catalog.topic_id(topic)?;
        self.topics.push(Known::of(id, &state.catalog.topics[id]));
        Ok(self.topics.len() - 1)
    }

    fn place(&self, known: usize, outgoing: &Outgoing<'_>) -> Result<usize, BrokerError> {
        let known = &self.topics[known];
        let count = known.partitions.len() as u32;
        if known.compacted && outgoing.key.is_none() {
            return Err(BrokerError::Refused(format!(
                "{} is compacted, and the record has no key",
                outgoing.topic
            )));
        }
        let partition = match (outgoing.partition, outgoing.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_for_key(key, count),
            (None, None) => self.shared.next_partition(count),
        };
        if partition >= count {
            let reason = format!("it has {count} partitions, and no partition {partition}");
            return Err(BrokerError::Topic {
                topic: outgoing.topic.to_owned(),
                reason,
            });
        }
        Ok(partition as usize)
    }

    /// Appends all that waits: `append` does it for one partition and returns the last offset. What waits for a topic that is
    /// gone is dropped, and the first such topic is the error.
    pub fn append(
        &mut self,
        state: &mut State,
        now: Duration,
        mut append: impl FnMut((TopicId, usize), &mut PartitionLog, std::vec::Drain<'_, Record>) -> Option<i64>,
    ) -> Result<(), BrokerError> {
        let mut failure = None;
        self.waiting = 0;
        for known in &mut self.topics {
            if known.partitions.iter().all(|waiting| waiting.records.is_empty()) {
                continue;
            }
            if let Err(error) = known.follow(state) {
                failure.get_or_insert(error);
            }
            let logs = &mut state.catalog.topics[known.id].partitions;
            for (index, waiting) in known.partitions.iter_mut().enumerate() {
                let records = waiting.records.drain(..);
                if let (Some(log), true) = (logs.get_mut(index), records.len() > 0) {
                    waiting.written = append((known.id, index), log, records);
                    log.tidy(&self.shared.limits, now);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    /// The last offset that was appended to each partition since this was asked before.
    pub fn take_written(&mut self) -> Vec<(TopicPartition, i64)> {
        let mut all = Vec::new();
        for known in &mut self.topics {
            for (index, waiting) in known.partitions.iter_mut().enumerate() {
                let written = waiting.written.take();
                all.extend(written.map(|offset| (TopicPartition::new(known.name.clone(), index as u32), offset)));
            }
        }
        all
    }
}

impl Known {
    fn of(id: TopicId, topic: &Topic) -> Self {
        Self {
            name: topic.name.clone(),
            id,
            compacted: topic.cleanup.compacts(),
            bytes_max: topic.settings.number("max.message.bytes").map(|bytes| bytes as usize),
            partitions: topic.partitions.iter().map(|_| Waiting::default()).collect(),
        }
    }

    /// Goes over to the topic that has this name now, if it was deleted and made anew.
    fn follow(&mut self, state: &State) -> Result<(), BrokerError> {
        if !state.catalog.topics[self.id].deleted {
            return Ok(());
        }
        let id = state.catalog.topic_id(&self.name)?;
        let mut partitions = std::mem::take(&mut self.partitions);
        *self = Self::of(id, &state.catalog.topics[id]);
        let count = self.partitions.len();
        if let Some(beyond) = partitions.iter().skip(count).position(|waiting| !waiting.records.is_empty()) {
            let beyond = count + beyond;
            return Err(BrokerError::Topic {
                topic: self.name.to_string(),
                reason: format!("it has {count} partitions now, and no partition {beyond}"),
            });
        }
        partitions.resize_with(count, Waiting::default);
        self.partitions = partitions;
        Ok(())
    }
}

pub(super) struct InProcessProducer {
    buffer: Buffer,
}

impl InProcessProducer {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            buffer: Buffer::new(shared),
        }
    }
}

impl Producer for InProcessProducer {
    fn send_all(&mut self, records: &[Outgoing<'_>]) -> Result<(), BrokerError> {
        let refused = records.iter().find_map(|record| self.buffer.push(*record).err());
        let shared = self.buffer.shared.clone();
        let now = shared.now();
        let appended = self.buffer.append(&mut shared.lock(), now, |_, log, records| {
            records.map(|record| log.append(record, now)).last()
        });
        shared.appended.notify_all();
        refused.map_or(appended, Err)
    }
}
