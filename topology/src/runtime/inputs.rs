//! The reader of a worker's inputs, and which task has which of its slots.

use std::time::Duration;

use broker::{BrokerError, Polled, Reader, Start, TopicPartition};
use clock::Millis;

use super::EngineSettings;
use super::input::Input;
use super::parts::Parts;
use super::task::Task;
use super::task_id::TaskId;
use super::tasks::TaskRegistry;
use crate::error::EngineError;
use crate::graph::{OffsetReset, Topology};

/// A fetch asks for at least so many messages.
const MESSAGES_MIN: usize = 16;

pub(crate) struct InputReader {
    reader: Box<dyn Reader>,
    /// By slot of the reader: task and input.
    slots: Vec<Option<(TaskId, usize)>>,
    polled: Polled,
    /// As the last fetch had it: a message may be a pack of records.
    records_per_message: usize,
    /// A partition could not be taken on, or let go.
    in_doubt: bool,
}

/// What a fetch brought.
pub(crate) enum Fetched {
    Nothing,
    Records,
    /// An input stands at an offset that the log does not have.
    OutOfRange {
        partition: TopicPartition,
        offset: i64,
    },
}

impl InputReader {
    pub fn new(reader: Box<dyn Reader>) -> Self {
        Self {
            reader,
            slots: Vec::new(),
            polled: Polled::default(),
            records_per_message: 1,
            in_doubt: false,
        }
    }

    /// Whether it must be made anew: what it fetches is not known.
    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Why the log cannot be reached, if it cannot.
    pub fn trouble(&self) -> Option<String> {
        self.reader.trouble()
    }

    /// Where a partition is read from, at this time, of which nothing was ever committed.
    pub fn start_of(
        &mut self,
        partition: &TopicPartition,
        reset: OffsetReset,
        now_ms: Millis,
        timeout: Duration,
    ) -> Result<i64, BrokerError> {
        let (first, end) = self.reader.bounds(partition, timeout)?;
        Ok(match reset {
            OffsetReset::Earliest | OffsetReset::None => first,
            OffsetReset::Latest => end,
            OffsetReset::ByDuration(age) => {
                let oldest = now_ms - age;
                // Asked for after the end, so that what is written in between lies behind either.
                self.reader.offset_for_time(partition, oldest.0, timeout)?.unwrap_or(end)
            }
        })
    }

    /// Fetches a task's inputs from where the group stands.
    pub fn assign(&mut self, id: TaskId, task: &mut Task, topology: &Topology) -> Result<(), EngineError> {
        for (i, input) in task.inputs.iter_mut().enumerate() {
            let start = match input.committed_offset() {
                ..0 if topology.offset_reset(input.node).is_from_the_start() => Start::Earliest,
                ..0 => Start::At(input.start),
                offset => Start::At(offset),
            };
            let assigned = self.reader.assign(&input.partition, start);
            self.in_doubt |= assigned.is_err();
            let number = assigned?;
            input.slot = Some(number);
            input.paused = false;
            let number = number as usize;
            if self.slots.len() <= number {
                self.slots.resize(number + 1, None);
            }
            self.slots[number] = Some((id, i));
        }
        Ok(())
    }

    /// Fetches them no more.
    pub fn unassign(&mut self, task: &mut Task) -> Result<(), EngineError> {
        task.inputs.iter_mut().try_for_each(|input| self.unassign_input(input))
    }

    /// Fetches an input no more.
    pub fn unassign_input(&mut self, input: &mut Input) -> Result<(), EngineError> {
        if let Some(number) = input.slot.take() {
            self.slots[number as usize] = None;
            let unassigned = self.reader.unassign(number);
            self.in_doubt |= unassigned.is_err();
            unassigned?;
        }
        Ok(())
    }

    /// Brings what the log has to the tasks, as far as they have room for it.
    pub fn fetch(&mut self, tasks: &mut TaskRegistry, parts: &Parts, timeout: Duration) -> Result<Fetched, EngineError> {
        let settings = &*parts.settings;
        self.resume(tasks, settings)?;
        // What waits already is this turn's work; a paused input may wait for a registry that is away, and holds up nobody.
        let inputs = tasks.values().flat_map(|slot| &slot.task.inputs);
        let waiting: usize = inputs.filter(|input| !input.paused).map(Input::buffered).sum();
        let room = settings.poll_records_max.saturating_sub(waiting) / self.records_per_message;
        self.polled.messages.clear();
        self.polled.ends.clear();
        self.polled.blocked.clear();
        match self.reader.poll(room.max(MESSAGES_MIN), timeout, &mut self.polled) {
            Err(BrokerError::OffsetOutOfRange { partition, offset }) => {
                return Ok(Fetched::OutOfRange { partition, offset });
            }
            polled => polled?,
        }
        let (messages, mut records) = (self.polled.messages.len(), 0);
        for message in self.polled.messages.drain(..) {
            let number = message.slot;
            let Some((id, input)) = self.slots.get(number as usize).copied().flatten() else {
                continue;
            };
            let Some(slot) = tasks.get_mut(id) else { continue };
            slot.wait = slot.wait.take().filter(|wait| !wait.is_for_input(input));
            records += slot.task.buffer(input, message);
            if !slot.task.inputs[input].paused && slot.task.buffered(input) >= settings.buffered_records_max {
                self.reader.pause(number)?;
                slot.task.inputs[input].paused = true;
            }
        }
        let now_ms = parts.clock.now_ms();
        for &number in &self.polled.blocked {
            if let Some((id, input)) = self.slots.get(number as usize).copied().flatten()
                && let Some(slot) = tasks.get_mut(id)
            {
                slot.task.inputs[input].has_no_more(now_ms);
            }
        }
        for &(number, next) in &self.polled.ends {
            if let Some((id, input)) = self.slots.get(number as usize).copied().flatten()
                && let Some(slot) = tasks.get_mut(id)
            {
                slot.wait = slot.wait.take().filter(|wait| !wait.is_for_input(input));
                slot.task.inputs[input].ends_at(next, now_ms);
            }
        }
        if let Some(average) = records.checked_div(messages) {
            self.records_per_message = average.max(1);
        }
        Ok(if messages > 0 { Fetched::Records } else { Fetched::Nothing })
    }

    /// Fetches paused inputs again of which enough is processed.
    fn resume(&mut self, tasks: &mut TaskRegistry, settings: &EngineSettings) -> Result<(), EngineError> {
        let enough = settings.buffered_records_max / 2;
        for input in tasks.values_mut().flat_map(|slot| &mut slot.task.inputs) {
            if let (true, Some(number)) = (input.paused && input.buffered() <= enough, input.slot) {
                self.reader.resume(number)?;
                input.paused = false;
            }
        }
        Ok(())
    }
}
