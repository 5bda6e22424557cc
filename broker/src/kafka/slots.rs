//! A reader's slots: which partition each has, where it stands, and what a batch means for it.

use std::collections::VecDeque;
use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::copier::Copier;
use super::errors::{from_code, from_kafka, is_missing, is_transient, missing};
use super::native::Fetched;
use crate::port::{BrokerError, Polled, TopicPartition};

pub(super) struct Slot {
    pub partition: TopicPartition,
    /// Where a fetch would start: after the last record that was delivered, or where the slot was assigned.
    pub next: Offset,
    pub paused: bool,
    /// librdkafka reported that nothing more could be read from here, and no record has come since.
    pub drained_at: Option<i64>,
    /// Records have come since an end was reported.
    moved: bool,
    /// The end that was reported last, so that each is reported once.
    reported: Option<i64>,
    /// The place before an open transaction that was reported last.
    blocked_at: Option<i64>,
}

impl Slot {
    /// The partition and where to start in it, as librdkafka wants it.
    pub fn list(&self) -> Result<TopicPartitionList, BrokerError> {
        list_of(&self.partition, self.next)
    }

    /// What an error that came in a message's place means; `None` if librdkafka will get over it.
    fn fault(&self, code: Code, fetched: &Fetched<'_>) -> Option<BrokerError> {
        match code {
            Code::AutoOffsetReset | Code::OffsetOutOfRange => Some(BrokerError::OffsetOutOfRange {
                partition: self.partition.clone(),
                offset: fetched.offset(),
            }),
            _ if is_missing(code) => Some(missing(&self.partition, &fetched.error_text())),
            _ => fault_of_none(code, fetched),
        }
    }
}

/// All slots. A paused one is kept, but not found by its partition, so nothing is delivered to it.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Option<Slot>>,
    topics: Vec<SlotsOfTopic>,
}

/// The slots of a topic's partitions, by partition.
struct SlotsOfTopic {
    name: Arc<str>,
    by_partition: Vec<Option<u32>>,
}

impl Slots {
    pub fn get(&self, index: u32) -> Result<&Slot, BrokerError> {
        let found = self.slots.get(index as usize).and_then(Option::as_ref);
        found.ok_or_else(|| BrokerError::Fatal(format!("slot {index} is not assigned")))
    }

    /// One of the partitions.
    pub fn any(&self) -> Option<&TopicPartition> {
        self.slots.iter().flatten().map(|slot| &slot.partition).next()
    }

    pub fn has(&self, partition: &TopicPartition) -> bool {
        self.slots.iter().flatten().any(|slot| slot.partition == *partition)
    }

    pub fn insert(&mut self, partition: TopicPartition, start: Offset) -> u32 {
        let free = self.slots.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.place(&partition, Some(index as u32));
        self.slots[index] = Some(Slot {
            partition,
            next: start,
            paused: false,
            drained_at: None,
            moved: false,
            reported: None,
            blocked_at: None,
        });
        index as u32
    }

    pub fn remove(&mut self, index: u32) -> Option<TopicPartition> {
        let gone = self.slots.get_mut(index as usize).and_then(Option::take)?.partition;
        self.place(&gone, None);
        Some(gone)
    }

    pub fn set_paused(&mut self, index: u32, paused: bool) {
        if let Some(Some(slot)) = self.slots.get_mut(index as usize) {
            slot.paused = paused;
            let partition = slot.partition.clone();
            self.place(&partition, (!paused).then_some(index));
        }
    }

    /// The slots that may have reached an end that is not reported yet.
    pub fn unsettled(&self) -> impl Iterator<Item = (u32, &Slot)> {
        let slots = self.slots.iter().enumerate();
        let slots = slots.filter_map(|(index, slot)| slot.as_ref().map(|slot| (index as u32, slot)));
        slots.filter(|(_, slot)| !slot.paused && (slot.moved || slot.drained_at.is_some()))
    }

    /// Whether the end of what can be read of a slot has come, and is not reported yet.
    pub fn any_drained(&self) -> bool {
        self.unsettled()
            .any(|(_, slot)| slot.drained_at.is_some() && slot.blocked_at != slot.drained_at)
    }

    /// Reports an end, unless it was already.
    pub fn reached(&mut self, index: u32, end: i64, into: &mut Polled) {
        let Some(slot) = self.slots.get_mut(index as usize).and_then(Option::as_mut) else {
            return;
        };
        (slot.moved, slot.drained_at) = (false, None);
        if slot.reported != Some(end) {
            slot.reported = Some(end);
            into.ends.push((index, end));
        }
    }

    /// Reports that an open transaction hides what comes next, unless that was reported of this place.
    pub fn is_blocked(&mut self, index: u32, into: &mut Polled) {
        if let Some(slot) = self.slots.get_mut(index as usize).and_then(Option::as_mut)
            && slot.blocked_at != slot.drained_at
        {
            slot.blocked_at = slot.drained_at;
            into.blocked.push(index);
        }
    }

    /// Sorts a batch into its slots. What belongs to none is dropped: it was unassigned meanwhile.
    pub fn deliver(&mut self, batch: &[Fetched<'_>], into: &mut Polled, faults: &mut VecDeque<BrokerError>) {
        let mut copier = Copier::for_batch(batch);
        into.messages.reserve(batch.len());
        // The topic is looked up by name once for a run of messages of the same.
        let mut run: Option<(usize, usize)> = None;
        for fetched in batch {
            let topic = match run {
                Some((id, topic)) if id == fetched.topic_id() => Some(topic),
                _ => fetched.topic().and_then(|name| self.topic(name)),
            };
            run = topic.map(|topic| (fetched.topic_id(), topic));
            let index = topic.and_then(|topic| self.topics[topic].slot_of(fetched.partition()));
            let slot = index.and_then(|index| Some((index, self.slots.get_mut(index as usize)?.as_mut()?)));
            match (fetched.error(), slot) {
                (None, Some((index, slot))) => {
                    (slot.moved, slot.drained_at) = (true, None);
                    slot.next = Offset::Offset(fetched.offset() + 1);
                    into.messages.push(copier.message(index, fetched));
                }
                (Some(Code::PartitionEOF), Some((_, slot))) => {
                    (slot.drained_at, slot.next) = (Some(fetched.offset()), Offset::Offset(fetched.offset()));
                }
                (None | Some(Code::PartitionEOF), None) => {}
                (Some(code), Some((_, slot))) => faults.extend(slot.fault(code, fetched)),
                (Some(code), None) => faults.extend(fault_of_none(code, fetched)),
            }
        }
    }

    fn topic(&self, name: &str) -> Option<usize> {
        self.topics.iter().position(|topic| &*topic.name == name)
    }

    fn place(&mut self, partition: &TopicPartition, index: Option<u32>) {
        let known = self.topic(&partition.topic).unwrap_or_else(|| {
            let name = partition.topic.clone();
            self.topics.push(SlotsOfTopic {
                name,
                by_partition: Vec::new(),
            });
            self.topics.len() - 1
        });
        let (by_partition, number) = (&mut self.topics[known].by_partition, partition.partition as usize);
        if by_partition.len() <= number {
            by_partition.resize(number + 1, None);
        }
        by_partition[number] = index;
    }
}

impl SlotsOfTopic {
    fn slot_of(&self, partition: i32) -> Option<u32> {
        self.by_partition.get(usize::try_from(partition).ok()?).copied().flatten()
    }
}

pub(super) fn list_of(partition: &TopicPartition, start: Offset) -> Result<TopicPartitionList, BrokerError> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(&partition.topic, partition.partition as i32, start)
        .map_err(|error| from_kafka(&format!("naming {partition} at {start:?}"), &error))?;
    Ok(list)
}

/// What an error that is about no slot means. One about a partition that was just unassigned means nothing.
fn fault_of_none(code: Code, fetched: &Fetched<'_>) -> Option<BrokerError> {
    let of_the_past = fetched.topic().is_some() && (is_missing(code) || code == Code::AutoOffsetReset);
    if is_transient(code) || of_the_past {
        return None;
    }
    Some(from_code(code, format!("fetching: {}", fetched.error_text())))
}
