//! Reading by hand-picked partitions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::catalog::TopicId;
use super::log::Stored;
use super::state::{Shared, State};
use crate::port::{BrokerError, Message, Polled, Reader, Start, TopicPartition};

/// The most records that one slot gives before the next has its turn.
const TURN: usize = 1_024;

struct Slot {
    partition: TopicPartition,
    place: (TopicId, usize),
    position: i64,
    paused: bool,
    /// The end that was reported last, so that each is reported once.
    reported: Option<i64>,
    /// The place before an open transaction that was reported last.
    blocked_at: Option<i64>,
}

pub(super) struct InProcessReader {
    shared: Arc<Shared>,
    slots: Vec<Option<Slot>>,
    /// Whose turn it is.
    next: usize,
}

impl InProcessReader {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            slots: Vec::new(),
            next: 0,
        }
    }

    fn slot(&mut self, slot: u32) -> Result<&mut Slot, BrokerError> {
        let found = self.slots.get_mut(slot as usize).and_then(Option::as_mut);
        found.ok_or_else(|| BrokerError::Fatal(format!("slot {slot} is not assigned")))
    }

    /// Takes what is there, slot by slot, until `max` records are gathered.
    fn gather(&mut self, state: &State, max: usize, into: &mut Polled) -> Result<(), BrokerError> {
        let gathered = |into: &Polled| (into.messages.len(), into.ends.len(), into.blocked.len());
        let before = gathered(into);
        let full = into.messages.len().saturating_add(max);
        for _ in 0..self.slots.len() {
            let index = self.next % self.slots.len();
            if into.messages.len() >= full {
                return Ok(());
            }
            self.next = index + 1;
            let Some(slot) = self.slots[index].as_mut().filter(|slot| !slot.paused) else {
                continue;
            };
            if !slot.is_there(state) {
                continue;
            }
            if slot.is_out_of_range(state) {
                if gathered(into) != before {
                    // What was gathered goes first; the error is the next poll's.
                    self.next = index;
                    return Ok(());
                }
                slot.paused = true;
                return Err(BrokerError::OffsetOutOfRange {
                    partition: slot.partition.clone(),
                    offset: slot.position,
                });
            }
            slot.read(index as u32, state, (full - into.messages.len()).min(TURN), into);
        }
        Ok(())
    }
}

impl Slot {
    /// Whether the partition exists. Like Kafka's clients, a slot goes by its topic's name: it is silent while there is none,
    /// and where the topic is made anew, it goes on in the new one, at the same offset.
    fn is_there(&mut self, state: &State) -> bool {
        if state.catalog.topics[self.place.0].deleted {
            match state.catalog.partition(&self.partition) {
                Ok(place) => self.place = place,
                Err(_) => return false,
            }
        }
        true
    }

    fn is_out_of_range(&self, state: &State) -> bool {
        let log = &state.catalog.topics[self.place.0].partitions[self.place.1];
        self.position < log.start() || self.position > log.end()
    }

    fn read(&mut self, slot: u32, state: &State, max: usize, into: &mut Polled) {
        let log = &state.catalog.topics[self.place.0].partitions[self.place.1];
        self.position = log.read(self.position, max, |stored| into.messages.push(message(slot, stored)));
        // Short of the end a transaction is open: what it commits is not to be missed.
        if self.position == log.end() && self.reported != Some(self.position) {
            self.reported = Some(self.position);
            into.ends.push((slot, self.position));
        }
        let is_blocked = self.position < log.end() && self.position == log.stable_end();
        if is_blocked && self.blocked_at != Some(self.position) {
            self.blocked_at = Some(self.position);
            into.blocked.push(slot);
        }
    }
}

fn message(slot: u32, Stored { offset, record, .. }: &Stored) -> Message {
    Message {
        slot,
        offset: *offset,
        timestamp_ms: record.timestamp_ms,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record.headers.clone(),
    }
}

impl Reader for InProcessReader {
    fn assign(&mut self, partition: &TopicPartition, start: Start) -> Result<u32, BrokerError> {
        if self.slots.iter().flatten().any(|slot| slot.partition == *partition) {
            return Err(BrokerError::Fatal(format!("{partition} is assigned already")));
        }
        let mut state = self.shared.lock();
        self.shared.expire_transactions(&mut state);
        let place = state.catalog.partition(partition)?;
        let log = &state.catalog.topics[place.0].partitions[place.1];
        let position = match start {
            Start::Earliest => log.start(),
            Start::Latest => log.stable_end(),
            Start::At(offset) => offset,
        };
        let slot = Some(Slot {
            partition: partition.clone(),
            place,
            position,
            paused: false,
            reported: None,
            blocked_at: None,
        });
        let index = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        if index == self.slots.len() {
            self.slots.push(slot);
        } else {
            self.slots[index] = slot;
        }
        Ok(index as u32)
    }

    fn unassign(&mut self, slot: u32) -> Result<(), BrokerError> {
        self.slot(slot)?;
        self.slots[slot as usize] = None;
        Ok(())
    }

    fn pause(&mut self, slot: u32) -> Result<(), BrokerError> {
        self.slot(slot)?.paused = true;
        Ok(())
    }

    fn resume(&mut self, slot: u32) -> Result<(), BrokerError> {
        self.slot(slot)?.paused = false;
        Ok(())
    }

    fn poll(&mut self, max: usize, timeout: Duration, into: &mut Polled) -> Result<(), BrokerError> {
        let started = Instant::now();
        let before = (into.messages.len(), into.ends.len());
        let shared = self.shared.clone();
        let mut state = shared.lock();
        loop {
            self.gather(&state, max, into)?;
            if (into.messages.len(), into.ends.len()) != before {
                return Ok(());
            }
            if shared.expire_transactions(&mut state) {
                continue;
            }
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            let wait = shared.until_time_out(&state, left);
            shared.appended.wait_for(&mut state, wait);
        }
    }

    fn bounds(&mut self, partition: &TopicPartition, _timeout: Duration) -> Result<(i64, i64), BrokerError> {
        let mut state = self.shared.lock();
        self.shared.expire_transactions(&mut state);
        let (topic, index) = state.catalog.partition(partition)?;
        let log = &state.catalog.topics[topic].partitions[index];
        Ok((log.start(), log.stable_end()))
    }

    fn offset_for_time(
        &mut self,
        partition: &TopicPartition,
        timestamp_ms: i64,
        _timeout: Duration,
    ) -> Result<Option<i64>, BrokerError> {
        let mut state = self.shared.lock();
        self.shared.expire_transactions(&mut state);
        let (topic, index) = state.catalog.partition(partition)?;
        Ok(state.catalog.topics[topic].partitions[index].offset_for_time(timestamp_ms.max(0)))
    }

    fn trouble(&self) -> Option<String> {
        let state = self.shared.lock();
        let mut slots = self.slots.iter().flatten();
        let gone = slots.find(|slot| !slot.paused && state.catalog.partition(&slot.partition).is_err())?;
        Some(format!("there is no {}", gone.partition))
    }
}
