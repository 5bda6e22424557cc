//! Writing: in transactions, which wait in their producer until they are appended as a whole, and without.

use std::sync::Arc;

use bytes::Bytes;

use super::log::Record;
use super::state::{Shared, State, TopicId};
use crate::partitioner::partition_for_key;
use crate::port::{BrokerError, CleanupPolicy, Committed, Membership, Outgoing, Producer, TopicPartition, TransactionalProducer};

/// A topic that a producer has written to.
struct Known {
    name: Arc<str>,
    id: TopicId,
    compacted: bool,
    /// What waits to be appended, by partition.
    waiting: Vec<Vec<Record>>,
}

/// Checks and places records, and holds them until they are appended.
struct Buffer {
    shared: Arc<Shared>,
    topics: Vec<Known>,
}

impl Buffer {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            topics: Vec::new(),
        }
    }

    fn push(&mut self, outgoing: Outgoing<'_>) -> Result<(), BrokerError> {
        let known = self.known(outgoing.topic)?;
        let partition = self.place(known, &outgoing)?;
        let bytes = outgoing.key.map_or(0, <[u8]>::len) + outgoing.value.map_or(0, <[u8]>::len);
        let bytes_max = self.shared.limits.record_bytes_max;
        if bytes > bytes_max {
            return Err(BrokerError::Refused(format!(
                "{bytes} bytes for {}, more than {bytes_max}",
                outgoing.topic
            )));
        }
        let headers = outgoing.headers.iter();
        let record = Record {
            timestamp_ms: outgoing.timestamp_ms,
            key: outgoing.key.map(Bytes::copy_from_slice),
            value: outgoing.value.map(Bytes::copy_from_slice),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), Some(Bytes::copy_from_slice(value))))
                .collect(),
        };
        self.topics[known].waiting[partition].push(record);
        Ok(())
    }

    fn known(&mut self, topic: &str) -> Result<usize, BrokerError> {
        if let Some(known) = self.topics.iter().position(|known| &*known.name == topic) {
            return Ok(known);
        }
        let state = self.shared.lock();
        let id = state.topic_id(topic)?;
        let topic = &state.topics[id];
        let compacted = topic.cleanup == CleanupPolicy::Compact;
        let waiting = topic.partitions.iter().map(|_| Vec::new()).collect();
        self.topics.push(Known {
            name: topic.name.clone(),
            id,
            compacted,
            waiting,
        });
        Ok(self.topics.len() - 1)
    }

    fn place(&self, known: usize, outgoing: &Outgoing<'_>) -> Result<usize, BrokerError> {
        let known = &self.topics[known];
        let count = known.waiting.len() as u32;
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

    /// Appends all that waits, and in transactions a marker to each partition; returns the highest offset in each.
    fn append(&mut self, state: &mut State, markers: bool) -> Vec<(TopicPartition, i64)> {
        let now = self.shared.now();
        let mut highest = Vec::new();
        for known in &mut self.topics {
            for (index, waiting) in known
                .waiting
                .iter_mut()
                .enumerate()
                .filter(|(_, waiting)| !waiting.is_empty())
            {
                let log = &mut state.topics[known.id].partitions[index];
                let offsets = waiting.drain(..).map(|record| log.append(record, now));
                let last = offsets.last();
                highest.extend(last.map(|offset| (TopicPartition::new(known.name.clone(), index as u32), offset)));
                log.skip(usize::from(markers));
                log.tidy(&self.shared.limits, now);
            }
        }
        self.shared.appended.notify_all();
        highest
    }

    /// Drops all that waits. Its offsets are used up, as on Kafka, where aborted records stay in the log unseen.
    fn abort(&mut self, state: &mut State) {
        for known in &mut self.topics {
            for (index, waiting) in known
                .waiting
                .iter_mut()
                .enumerate()
                .filter(|(_, waiting)| !waiting.is_empty())
            {
                state.topics[known.id].partitions[index].skip(waiting.len() + 1);
                waiting.clear();
            }
        }
        self.shared.appended.notify_all();
    }
}

/// Where a transactional producer stands. After a failure it is of no more use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Open,
    Failed,
}

pub(super) struct InProcessTransactions {
    buffer: Buffer,
    id: String,
    epoch: u64,
    phase: Phase,
}

impl InProcessTransactions {
    pub fn new(shared: Arc<Shared>, id: &str) -> Self {
        let epoch = {
            let mut state = shared.lock();
            let epoch = state.epochs.entry(id.to_owned()).or_default();
            *epoch += 1;
            *epoch
        };
        Self {
            buffer: Buffer::new(shared),
            id: id.to_owned(),
            epoch,
            phase: Phase::Idle,
        }
    }

    fn check_epoch(&self, state: &State) -> Result<(), BrokerError> {
        if state.epochs.get(&self.id) == Some(&self.epoch) {
            return Ok(());
        }
        Err(BrokerError::Fenced(format!("a newer producer of {} has taken over", self.id)))
    }

    fn expect(&self, phase: Phase) -> Result<(), BrokerError> {
        if self.phase == phase {
            return Ok(());
        }
        Err(BrokerError::Fatal(match self.phase {
            Phase::Idle => format!("{}: no transaction is open", self.id),
            Phase::Open => format!("{}: a transaction is open already", self.id),
            Phase::Failed => format!("{}: an earlier step has failed", self.id),
        }))
    }

    fn failing<T>(&mut self, result: Result<T, BrokerError>) -> Result<T, BrokerError> {
        if result.is_err() {
            self.phase = Phase::Failed;
        }
        result
    }

    fn commit_all(
        &mut self,
        state: &mut State,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
    ) -> Result<Vec<(TopicPartition, i64)>, BrokerError> {
        self.check_epoch(state)?;
        if !offsets.is_empty() {
            commit_offsets(&self.buffer.shared.clone(), state, offsets, membership)?;
        }
        Ok(self.buffer.append(state, true))
    }
}

fn commit_offsets(
    shared: &Shared,
    state: &mut State,
    offsets: &[(TopicPartition, Committed)],
    membership: &Membership,
) -> Result<(), BrokerError> {
    let Membership::InProcess {
        group,
        member,
        generation,
    } = membership
    else {
        return Err(BrokerError::Fatal(
            "offsets need a membership of a group of this broker".to_owned(),
        ));
    };
    shared.with_group(state, group, |coordinator, _| match coordinator.generation_of(*member) {
        Some(current) if current == *generation => {
            coordinator.commit(offsets);
            Ok(())
        }
        Some(current) => Err(BrokerError::Fenced(format!(
            "{group} is at generation {current}, not {generation}"
        ))),
        None => Err(BrokerError::Fenced(format!("{group} has no member {member} any more"))),
    })
}

impl TransactionalProducer for InProcessTransactions {
    fn begin(&mut self) -> Result<(), BrokerError> {
        self.expect(Phase::Idle)?;
        let fenced = self.check_epoch(&self.buffer.shared.clone().lock());
        self.failing(fenced)?;
        self.phase = Phase::Open;
        Ok(())
    }

    fn send(&mut self, record: Outgoing<'_>) -> Result<(), BrokerError> {
        self.expect(Phase::Open)?;
        let sent = self.buffer.push(record);
        self.failing(sent)
    }

    fn service(&mut self) -> Result<(), BrokerError> {
        Ok(())
    }

    fn commit(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
    ) -> Result<Vec<(TopicPartition, i64)>, BrokerError> {
        self.expect(Phase::Open)?;
        let shared = self.buffer.shared.clone();
        let committed = self.commit_all(&mut shared.lock(), offsets, membership);
        self.phase = Phase::Idle;
        self.failing(committed)
    }
}

impl Drop for InProcessTransactions {
    fn drop(&mut self) {
        let shared = self.buffer.shared.clone();
        self.buffer.abort(&mut shared.lock());
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
        self.buffer.append(&mut shared.lock(), false);
        refused.map_or(Ok(()), Err)
    }
}
