//! Reading by hand-picked partitions.
//!
//! Partitions come and go by incremental assignment, so the others never stop. librdkafka stamps what it has fetched with
//! a version of the partition's assignment, and drops what is older when the queue is read: nothing is delivered after an
//! unassign, and a slot that is used again starts clean. A pause is an unassignment that keeps the slot: librdkafka's own
//! pause resumes at its position, which is one too far once the end of the partition was reported, and so loses a record.
//!
//! The end of a partition is reported by two things: librdkafka's own event, which comes with the first fetch that brings
//! nothing and so a little late; and, at once, by a position that equals the end which the fetch itself reported. Either
//! counts only at the high watermark. Short of it a transaction is open, or it is committed and its marker not yet
//! written: its commit may have returned to the writer already, so an end there would hide committed records.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::config::{KafkaSettings, PATIENCE};
use super::context::Watch;
use super::errors::{from_kafka, is_missing, missing};
use super::native::{FetchQueue, Fetched};
use super::reaper::reap;
use super::slots::{Slots, list_of};
use crate::port::{BrokerError, Polled, Reader, Start, TopicPartition};

/// The most that one call into librdkafka takes.
const BATCH_MAX: usize = 4_096;

/// How long one wait lasts, so that log lines are seen in between.
const WAIT_MAX: Duration = Duration::from_millis(500);

/// In trouble, how often to ask whether it is over, and how long to wait for the answer.
const PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_millis(200);

/// How long to wait for a topic's leaders; later they are found anyway.
const MEET_MAX: Duration = Duration::from_millis(500);

pub(super) struct KafkaReader {
    /// `None` only while it is being dropped.
    queue: Option<FetchQueue<Watch>>,
    slots: Slots,
    /// What is yet to be reported: each came with a batch whose records go first.
    faults: VecDeque<BrokerError>,
    probed: Instant,
    /// Topics whose leaders the client has been told.
    met: Vec<Arc<str>>,
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
            probed: Instant::now(),
            met: Vec::new(),
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
        let (slots, faults, max) = (&mut self.slots, &mut self.faults, max.min(BATCH_MAX));
        let mut deliver = |batch: &[Fetched<'_>]| slots.deliver(batch, into, faults);
        let mut count = queue.fetch(max, Duration::ZERO, &mut deliver);
        if count == 0 && !wait.is_zero() {
            count = queue.fetch(1, wait, &mut deliver);
            if count == 1 && max > 1 {
                count += queue.fetch(max - 1, Duration::ZERO, &mut deliver);
            }
        }
        // A partition that is read to its end says so, however much the others have.
        if count < max || self.slots.any_drained() {
            self.find_ends(into);
        }
    }

    /// Reports the ends of slots whose records are all delivered.
    fn find_ends(&mut self, into: &mut Polled) {
        let mut positions = TopicPartitionList::new();
        for (_, slot) in self.slots.unsettled() {
            positions.add_partition(&slot.partition.topic, slot.partition.partition as i32);
        }
        if positions.count() == 0 {
            return;
        }
        let queue = self.queue();
        queue.positions(&mut positions);
        let (mut ends, mut blocked) = (Vec::new(), Vec::new());
        for (index, slot) in self.slots.unsettled() {
            let (topic, partition) = (&slot.partition.topic, slot.partition.partition as i32);
            let position = positions.find_partition(topic, partition).map(|found| found.offset());
            // The event of an end at `n` leaves librdkafka's position at `n + 1`, so once it came only it is believed.
            let at = slot.drained_at.map(Offset::Offset).or(position);
            match queue.cached_end(topic, partition) {
                Some(end) if at == Some(Offset::Offset(end)) => ends.push((index, end)),
                _ if slot.drained_at.is_some() => blocked.push(index),
                _ => {}
            }
        }
        for (index, end) in ends {
            self.slots.reached(index, end, into);
        }
        for index in blocked {
            self.slots.is_blocked(index, into);
        }
    }

    /// Asks whether a trouble is over: if there is nothing to read, nothing else would show it.
    fn probe(&mut self) {
        if self.probed.elapsed() < PROBE_EVERY || self.trouble().is_none() {
            return;
        }
        let answered = match self.slots.any() {
            Some(place) => self
                .consumer()
                .fetch_watermarks(&place.topic, place.partition as i32, PROBE_MAX)
                .map(drop),
            None => self.consumer().fetch_metadata(None, PROBE_MAX).map(drop),
        };
        if answered.is_ok() {
            self.consumer().context().is_well();
        }
        self.probed = Instant::now();
    }

    /// Has the client ask for a topic's leaders, which by itself it does only once in a second.
    fn meet(&mut self, topic: &Arc<str>) {
        if self.met.contains(topic) || self.trouble().is_some() {
            return;
        }
        if self.consumer().fetch_metadata(Some(topic), MEET_MAX).is_ok() {
            self.met.push(topic.clone());
        }
    }

    fn watch_logs(&self) {
        let queue = self.queue();
        queue.logs(|level, facility, text| queue.consumer().context().note(level, facility, text));
    }
}

impl Reader for KafkaReader {
    fn assign(&mut self, partition: &TopicPartition, start: Start) -> Result<u32, BrokerError> {
        if self.slots.has(partition) {
            return Err(BrokerError::Fatal(format!("{partition} is assigned already")));
        }
        let offset = match start {
            Start::Earliest => Offset::Beginning,
            // librdkafka would ask for the end some time later.
            Start::Latest => Offset::Offset(self.bounds(partition, PATIENCE)?.1),
            Start::At(offset) => Offset::Offset(offset),
        };
        self.meet(&partition.topic);
        let list = list_of(partition, offset)?;
        let assigned = self.consumer().incremental_assign(&list);
        assigned.map_err(|error| from_kafka(&format!("assigning {partition}"), &error))?;
        Ok(self.slots.insert(partition.clone(), offset))
    }

    fn unassign(&mut self, slot: u32) -> Result<(), BrokerError> {
        self.pause(slot)?;
        if let Some(gone) = self.slots.remove(slot) {
            let of_gone =
                |fault: &BrokerError| matches!(fault, BrokerError::OffsetOutOfRange { partition, .. } if *partition == gone);
            self.faults.retain(|fault| !of_gone(fault));
        }
        Ok(())
    }

    fn pause(&mut self, slot: u32) -> Result<(), BrokerError> {
        let found = self.slots.get(slot)?;
        if !found.paused {
            let unassigned = self.consumer().incremental_unassign(&found.list()?);
            unassigned.map_err(|error| from_kafka("unassigning", &error))?;
            self.slots.set_paused(slot, true);
        }
        Ok(())
    }

    fn resume(&mut self, slot: u32) -> Result<(), BrokerError> {
        let found = self.slots.get(slot)?;
        if found.paused {
            let assigned = self.consumer().incremental_assign(&found.list()?);
            assigned.map_err(|error| from_kafka("assigning", &error))?;
            self.slots.set_paused(slot, false);
        }
        Ok(())
    }

    fn poll(&mut self, max: usize, timeout: Duration, into: &mut Polled) -> Result<(), BrokerError> {
        if max == 0 {
            return Ok(());
        }
        let started = Instant::now();
        let before = (into.messages.len(), into.ends.len());
        loop {
            let left = timeout.saturating_sub(started.elapsed());
            if let Some(fault) = self.faults.pop_front() {
                return Err(fault);
            }
            self.take(max, left.min(WAIT_MAX), into);
            self.watch_logs();
            self.probe();
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
        bounds.map_err(|error| match error.rdkafka_error_code() {
            Some(code) if is_missing(code) => missing(partition, &error.to_string()),
            _ => from_kafka(&format!("asking for the bounds of {partition}"), &error),
        })
    }

    fn offset_for_time(
        &mut self,
        partition: &TopicPartition,
        timestamp_ms: i64,
        timeout: Duration,
    ) -> Result<Option<i64>, BrokerError> {
        // Below zero are the names of the start and the end.
        let asked = list_of(partition, Offset::Offset(timestamp_ms.max(0)))?;
        let wrong = |error: KafkaError| match error.rdkafka_error_code() {
            Some(code) if is_missing(code) => missing(partition, &error.to_string()),
            _ => from_kafka(&format!("asking for the offset of a time in {partition}"), &error),
        };
        let found = self.consumer().offsets_for_times(asked, timeout).map_err(wrong)?;
        for element in found.elements() {
            element.error().map_err(wrong)?;
            // Under read_committed the broker answers with nothing beyond the last stable offset.
            if let Offset::Offset(offset) = element.offset() {
                return Ok(Some(offset));
            }
        }
        Ok(None)
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
