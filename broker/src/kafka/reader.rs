//! Reading by hand-picked partitions.
//!
//! Partitions come and go by incremental assignment, so the others never stop. librdkafka stamps what it has fetched with
//! a version of the partition's assignment, and drops what is older when the queue is read: nothing is delivered after an
//! unassign, and a slot that is used again starts clean.
//!
//! The end of a partition is told by two things: librdkafka's own event, which comes with the first fetch that brings
//! nothing and so a little late; and, at once, by a position that equals the end which the fetch itself told of. Either
//! counts only at the high watermark. Short of it a transaction is open, or it is committed and its marker not yet
//! written: its commit may have returned to the writer already, so an end there would hide committed records.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::config::{KafkaSettings, PATIENCE};
use super::context::Watch;
use super::errors::{from_code, from_kafka, is_transient};
use super::native::{FetchQueue, Fetched};
use super::reaper::reap;
use crate::port::{BrokerError, Message, Polled, Reader, Start, TopicPartition};

/// The most that one call into librdkafka takes.
const BATCH_MAX: usize = 4_096;

/// How long one wait lasts, so that log lines are seen in between.
const WAIT_MAX: Duration = Duration::from_millis(500);

struct Slot {
    partition: TopicPartition,
    /// The end that was reported last, so that each is reported once.
    reported: Option<i64>,
    /// Records have come since an end was reported.
    moved: bool,
    /// librdkafka told that nothing more could be read from here, and no record has come since.
    drained_at: Option<i64>,
}

pub(super) struct KafkaReader {
    /// `None` only while it is being dropped.
    queue: Option<FetchQueue<Watch>>,
    slots: Slots,
    /// What is yet to be told: each came with a batch whose records go first.
    faults: VecDeque<BrokerError>,
}

impl KafkaReader {
    pub fn new(settings: &KafkaSettings, client_id: &str) -> Result<Self, BrokerError> {
        let consumer: BaseConsumer<Watch> = settings
            .reader(client_id)
            .create_with_context(Watch::default())
            .map_err(|error| from_kafka("making a reader", &error))?;
        Ok(Self {
            queue: Some(FetchQueue::new(consumer)),
            slots: Slots::default(),
            faults: VecDeque::new(),
        })
    }

    fn queue(&self) -> &FetchQueue<Watch> {
        self.queue.as_ref().expect("only a drop takes the queue")
    }

    fn consumer(&self) -> &BaseConsumer<Watch> {
        self.queue().consumer()
    }

    /// One look at the queue. What is there is taken at once; if nothing is, the first message is waited for.
    fn take(&mut self, max: usize, wait: Duration, into: &mut Polled) {
        let queue = self.queue.as_mut().expect("only a drop takes the queue");
        let (slots, max) = (&mut self.slots, max.min(BATCH_MAX));
        let faults = &mut self.faults;
        let mut deliver = |batch: &[Fetched<'_>]| slots.deliver(batch, into, faults);
        let mut count = queue.fetch(max, Duration::ZERO, &mut deliver);
        if count == 0 && !wait.is_zero() {
            count = queue.fetch(1, wait, &mut deliver);
            if count == 1 && max > 1 {
                count += queue.fetch(max - 1, Duration::ZERO, &mut deliver);
            }
        }
        if count < max {
            self.find_ends(into);
        }
    }

    /// Reports the ends of slots whose records are all delivered, as far as the latest fetch of each tells.
    fn find_ends(&mut self, into: &mut Polled) {
        let unsettled = self.slots.unsettled();
        if unsettled.is_empty() {
            return;
        }
        let mut positions = TopicPartitionList::with_capacity(unsettled.len());
        for index in &unsettled {
            if let Some(slot) = self.slots.get(*index) {
                positions.add_partition(&slot.partition.topic, slot.partition.partition as i32);
            }
        }
        let queue = self.queue();
        queue.positions(&mut positions);
        let mut ends = Vec::new();
        for index in unsettled {
            let Some(slot) = self.slots.get(index) else { continue };
            let (topic, partition) = (&slot.partition.topic, slot.partition.partition as i32);
            let Some(end) = queue.cached_end(topic, partition) else {
                continue;
            };
            let position = positions.find_partition(topic, partition).map(|found| found.offset());
            if position == Some(Offset::Offset(end)) || slot.drained_at == Some(end) {
                ends.push((index, end));
            }
        }
        for (index, end) in ends {
            self.slots.reached(index, end, into);
        }
    }

    fn watch_logs(&self) {
        let queue = self.queue();
        queue.logs(|level, facility, text| queue.consumer().context().note(level, facility, text));
    }
}

impl Reader for KafkaReader {
    fn assign(&mut self, partition: &TopicPartition, start: Start) -> Result<u32, BrokerError> {
        if self.slots.find(partition).is_some() {
            return Err(BrokerError::Fatal(format!("{partition} is assigned already")));
        }
        let offset = match start {
            Start::Earliest => Offset::Beginning,
            // librdkafka would ask for the end some time later.
            Start::Latest => Offset::Offset(self.bounds(partition, PATIENCE)?.1),
            Start::At(offset) => Offset::Offset(offset),
        };
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&partition.topic, partition.partition as i32, offset)
            .and_then(|()| self.consumer().incremental_assign(&list))
            .map_err(|error| from_kafka(&format!("assigning {partition}"), &error))?;
        Ok(self.slots.insert(partition.clone()))
    }

    fn unassign(&mut self, slot: u32) -> Result<(), BrokerError> {
        let list = self.slots.list(slot)?;
        self.consumer()
            .incremental_unassign(&list)
            .map_err(|error| from_kafka("unassigning", &error))?;
        if let Some(gone) = self.slots.remove(slot) {
            let of_gone =
                |fault: &BrokerError| matches!(fault, BrokerError::OffsetOutOfRange { partition, .. } if *partition == gone);
            self.faults.retain(|fault| !of_gone(fault));
        }
        Ok(())
    }

    fn pause(&mut self, slot: u32) -> Result<(), BrokerError> {
        let list = self.slots.list(slot)?;
        self.consumer().pause(&list).map_err(|error| from_kafka("pausing", &error))
    }

    fn resume(&mut self, slot: u32) -> Result<(), BrokerError> {
        let list = self.slots.list(slot)?;
        self.consumer().resume(&list).map_err(|error| from_kafka("resuming", &error))
    }

    fn poll(&mut self, max: usize, timeout: Duration, into: &mut Polled) -> Result<(), BrokerError> {
        let started = Instant::now();
        let before = (into.messages.len(), into.ends.len());
        loop {
            let left = timeout.saturating_sub(started.elapsed());
            if let Some(fault) = self.faults.pop_front() {
                return Err(fault);
            }
            self.take(max, left.min(WAIT_MAX), into);
            self.watch_logs();
            if (into.messages.len(), into.ends.len()) != before {
                self.consumer().context().is_well();
                return Ok(());
            }
            if left.is_zero() && self.faults.is_empty() {
                return Ok(());
            }
        }
    }

    fn bounds(&mut self, partition: &TopicPartition, timeout: Duration) -> Result<(i64, i64), BrokerError> {
        // Under read_committed the broker answers with the last stable offset.
        let (topic, number) = (&partition.topic, partition.partition as i32);
        let bounds = self.consumer().fetch_watermarks(topic, number, timeout);
        bounds.map_err(|error| from_kafka(&format!("asking for the bounds of {partition}"), &error))
    }

    fn trouble(&self) -> Option<String> {
        self.consumer().context().trouble()
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            reap(queue, Duration::ZERO);
        }
    }
}

/// Which slot a partition has.
#[derive(Default)]
struct Slots {
    slots: Vec<Option<Slot>>,
    topics: Vec<SlotsOfTopic>,
}

/// The slots of a topic's partitions, by partition.
struct SlotsOfTopic {
    name: std::sync::Arc<str>,
    by_partition: Vec<Option<u32>>,
}

impl Slots {
    fn get(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index).and_then(Option::as_ref)
    }

    fn find(&self, partition: &TopicPartition) -> Option<u32> {
        let topic = self.topics.iter().find(|topic| topic.name == partition.topic)?;
        topic.by_partition.get(partition.partition as usize).copied().flatten()
    }

    fn insert(&mut self, partition: TopicPartition) -> u32 {
        let index = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        self.place(&partition, Some(index as u32));
        let slot = Some(Slot {
            partition,
            reported: None,
            moved: false,
            drained_at: None,
        });
        if index == self.slots.len() {
            self.slots.push(slot);
        } else {
            self.slots[index] = slot;
        }
        index as u32
    }

    fn remove(&mut self, slot: u32) -> Option<TopicPartition> {
        let gone = self.slots.get_mut(slot as usize).and_then(Option::take)?.partition;
        self.place(&gone, None);
        Some(gone)
    }

    fn place(&mut self, partition: &TopicPartition, slot: Option<u32>) {
        let known = self.topics.iter().position(|topic| topic.name == partition.topic);
        let known = known.unwrap_or_else(|| {
            self.topics.push(SlotsOfTopic {
                name: partition.topic.clone(),
                by_partition: Vec::new(),
            });
            self.topics.len() - 1
        });
        let (by_partition, number) = (&mut self.topics[known].by_partition, partition.partition as usize);
        if by_partition.len() <= number {
            by_partition.resize(number + 1, None);
        }
        by_partition[number] = slot;
    }

    fn list(&self, slot: u32) -> Result<TopicPartitionList, BrokerError> {
        let found = self
            .get(slot as usize)
            .ok_or_else(|| BrokerError::Fatal(format!("slot {slot} is not assigned")))?;
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&found.partition.topic, found.partition.partition as i32);
        Ok(list)
    }

    /// The slots that may have reached an end that is not reported yet.
    fn unsettled(&self) -> Vec<usize> {
        let unsettled = |slot: &Slot| slot.moved || slot.drained_at.is_some();
        let slots = self.slots.iter().enumerate();
        slots
            .filter(|(_, slot)| slot.as_ref().is_some_and(unsettled))
            .map(|(index, _)| index)
            .collect()
    }

    fn reached(&mut self, index: usize, end: i64, into: &mut Polled) {
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        (slot.moved, slot.drained_at) = (false, None);
        if slot.reported != Some(end) {
            slot.reported = Some(end);
            into.ends.push((index as u32, end));
        }
    }

    /// Sorts a batch into its slots. What belongs to none is dropped: it was unassigned meanwhile. The bytes of a batch are
    /// copied into one allocation that all its messages share.
    fn deliver(&mut self, batch: &[Fetched<'_>], into: &mut Polled, faults: &mut VecDeque<BrokerError>) {
        let mut bytes = Copier::for_batch(batch);
        into.messages.reserve(batch.len());
        // The topic is looked up by name once for a run of messages of the same.
        let mut run: Option<(usize, usize)> = None;
        for fetched in batch {
            let topic = match run {
                Some((id, topic)) if id == fetched.topic_id() => Some(topic),
                _ => fetched
                    .topic()
                    .and_then(|name| self.topics.iter().position(|topic| &*topic.name == name)),
            };
            run = topic.map(|topic| (fetched.topic_id(), topic));
            let number = usize::try_from(fetched.partition()).ok();
            let slot = topic
                .zip(number)
                .and_then(|(topic, number)| self.topics[topic].by_partition.get(number).copied().flatten());
            match (fetched.error(), slot) {
                (None, Some(slot)) => {
                    if let Some(slot) = &mut self.slots[slot as usize] {
                        (slot.moved, slot.drained_at) = (true, None);
                    }
                    into.messages.push(bytes.message(slot, fetched));
                }
                (None, None) => {}
                (Some(Code::PartitionEOF), Some(slot)) => {
                    if let Some(slot) = &mut self.slots[slot as usize] {
                        slot.drained_at = Some(fetched.offset());
                    }
                }
                (Some(Code::PartitionEOF), None) => {}
                (Some(code), slot) => {
                    let slot = slot.and_then(|slot| self.get(slot as usize));
                    faults.extend(slot.map_or_else(|| fault_of_none(code, fetched), |slot| slot.fault(code, fetched)));
                }
            }
        }
    }
}

impl Slot {
    /// What an error that came in a message's place means; `None` if librdkafka will get over it.
    fn fault(&self, code: Code, fetched: &Fetched<'_>) -> Option<BrokerError> {
        let text = fetched.error_text();
        match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange => Some(BrokerError::OffsetOutOfRange {
                partition: self.partition.clone(),
                offset: fetched.offset(),
            }),
            Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicOrPartition => Some(BrokerError::Topic {
                topic: self.partition.topic.to_string(),
                reason: format!("partition {}: {text}", self.partition.partition),
            }),
            _ => fault_of_none(code, fetched),
        }
    }
}

/// What an error that is about no slot means.
fn fault_of_none(code: Code, fetched: &Fetched<'_>) -> Option<BrokerError> {
    if is_transient(code) || fetched.topic().is_some() && matches!(code, Code::UnknownTopicOrPartition | Code::AutoOffsetReset) {
        return None;
    }
    Some(from_code(code, format!("fetching: {}", fetched.error_text())))
}

/// Copies the bytes of a batch: the one place where they are.
struct Copier {
    buffer: BytesMut,
}

impl Copier {
    fn for_batch(batch: &[Fetched<'_>]) -> Self {
        let len_of = |fetched: &Fetched<'_>| fetched.key().map_or(0, <[u8]>::len) + fetched.value().map_or(0, <[u8]>::len);
        let messages = batch.iter().filter(|fetched| fetched.error().is_none());
        Self {
            buffer: BytesMut::with_capacity(messages.map(len_of).sum()),
        }
    }

    fn copy(&mut self, bytes: &[u8]) -> Bytes {
        self.buffer.extend_from_slice(bytes);
        self.buffer.split().freeze()
    }

    fn message(&mut self, slot: u32, fetched: &Fetched<'_>) -> Message {
        let mut headers = Vec::new();
        fetched.headers(|name, value| headers.push((name.to_owned(), value.map(Bytes::copy_from_slice))));
        Message {
            slot,
            offset: fetched.offset(),
            timestamp_ms: fetched.timestamp_ms(),
            key: fetched.key().map(|key| self.copy(key)),
            value: fetched.value().map(|value| self.copy(value)),
            headers,
        }
    }
}
