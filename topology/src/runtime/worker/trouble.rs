//! What keeps a worker or one of its tasks from getting on, and what follows from it.

use broker::{BrokerError, TopicPartition};

use super::Worker;
use crate::error::EngineError;
use crate::offset::Reached;
use crate::planted::planted;
use crate::runtime::OnFault;
use crate::runtime::at_fault::RecordId;
use crate::runtime::input::Input;
use crate::runtime::task::Blame;
use crate::runtime::task_id::TaskId;
use crate::runtime::tasks::{BACKOFF, Slot};
use crate::runtime::wait::Wait;

impl Worker {
    /// After a fault: whatever the open transaction did is in doubt. [`Worker::recover`] finds out what holds.
    pub(super) fn reset(&mut self, error: EngineError) {
        let text = error.to_string();
        if self.trouble.turn.as_ref() != Some(&text) {
            tracing::warn!(worker = self.index, %error, "a fault; the open transaction is dropped");
        }
        self.blame(&error);
        self.trouble.turn = Some(text);
        self.hand_over.stop(&mut self.tasks);
        self.transactions.abandon();
        self.trouble.retry_at_ms = self.now_ms() + BACKOFF;
        self.parts.metrics.resets.inc();
    }

    /// Finds the record that took its transaction down, if one did.
    fn blame(&mut self, error: &EngineError) {
        let blame = self.tasks.values_mut().find_map(|slot| slot.task.blame.take());
        if planted("a record that takes its transaction down is tried for ever") {
            return;
        }
        let reason = error.to_string();
        match (blame, self.transactions.open()) {
            (Some(Blame::Panicked(record)), _) => {
                let is_condemned = self.at_fault.panicked(record, &reason);
                if is_condemned && self.parts.settings.on_panic == OnFault::Stop {
                    self.stop_task(record, &reason);
                }
            }
            (Some(Blame::Stopping(record)), _) => self.stop_task(record, &reason),
            (Some(Blame::Refused(record)), transaction) => {
                let was_alone = transaction.is_some_and(|transaction| transaction.holds_only(record));
                self.refused(record, was_alone, &reason);
            }
            (None, Some(transaction)) if error.is_refused() => match transaction.first {
                Some(record) if transaction.holds_only(record) => self.refused(record, true, &reason),
                None => {
                    let dirty = self.tasks.values_mut().filter(|slot| slot.task.dirty);
                    dirty.for_each(|slot| slot.task.forgo_expiry());
                }
                _ => self.at_fault.refused_among(transaction.records),
            },
            _ => {}
        }
    }

    /// What a record wrote was refused.
    fn refused(&mut self, record: RecordId, was_alone: bool, reason: &str) {
        self.at_fault.refused(record, was_alone, reason);
        if was_alone && self.parts.settings.on_unwritable == OnFault::Stop {
            self.stop_task(record, reason);
        }
    }

    fn stop_task(&mut self, record: RecordId, reason: &str) {
        let Some(slot) = self.tasks.get_mut(record.task) else {
            return;
        };
        let name = &slot.task.name;
        tracing::error!(task = %name, offset = record.offset.as_i64(), reason, "a record is at fault; the task is stopped");
        slot.wait = Some(Wait::stopped(format!("{name} is stopped until a restart: {reason}")));
    }

    /// An input stands at an offset that the log does not have: its task waits, and the others go on.
    pub(super) fn wait_for_offset(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), EngineError> {
        let now_ms = self.now_ms();
        let found = self.tasks.values_mut().find_map(|slot| {
            let input = slot.task.inputs.iter().position(|input| input.partition == *partition)?;
            Some((input, slot))
        });
        let Some((input, slot)) = found else { return Ok(()) };
        let reason = format!(
            "{} waits: {} (docs/runbooks/offsets.md)",
            slot.task.name,
            BrokerError::OffsetOutOfRange {
                partition: partition.clone(),
                offset,
            }
        );
        if slot.wait.as_ref().is_some_and(Wait::is_stopped) {
            return self.inputs.unassign_input(&mut slot.task.inputs[input]);
        }
        if slot.wait.is_none() {
            tracing::error!(task = %slot.task.name, reason, "an input cannot be read on");
        }
        slot.wait = Some(Wait::offset(input, reason, now_ms));
        self.inputs.unassign_input(&mut slot.task.inputs[input])
    }

    /// Asks the group where tasks stand that wait for an offset. Returns whether any has one now.
    pub(super) fn end_waits(&mut self) -> Result<bool, EngineError> {
        let now_ms = self.now_ms();
        let asks = |slot: &Slot| slot.runs() && slot.wait.as_ref().is_some_and(|wait| wait.asks_group(now_ms));
        let Some((id, slot)) = self.tasks.iter_mut().find(|(_, slot)| asks(slot)) else {
            return Ok(false);
        };
        let id = *id;
        if let Some(wait) = &mut slot.wait {
            wait.asked(now_ms);
        }
        if slot.task.dirty {
            // Its other inputs have brought records: those are committed first.
            self.commit()?;
        }
        let Some(stand) = self.ask_group(id)? else { return Ok(false) };
        let slot = self.tasks.slot_mut(id);
        let mut inputs = slot.task.inputs.iter().zip(&stand);
        if slot.wait.as_ref().is_some_and(Wait::is_for_all_inputs) {
            if inputs.any(|(input, stand)| stand.log.is_none() && input.is_lost) {
                return Ok(false);
            }
            slot.wait = None;
        }
        slot.task.stand_at(&stand);
        self.begin_again(id)?;
        self.assign_inputs(id)?;
        Ok(true)
    }

    /// Inputs of which nothing was ever committed begin where they would now: the log may have lost what they were to begin with.
    fn begin_again(&mut self, id: TaskId) -> Result<(), EngineError> {
        let (now_ms, patience) = (self.now_ms(), self.offsets_patience());
        let task = &mut self.tasks.slot_mut(id).task;
        let begin = |input: &&mut Input| input.committed_offset() < 0 && !input.is_lost;
        for input in task.inputs.iter_mut().filter(begin) {
            let reset = self.parts.topology.offset_reset(input.node);
            input.start = self.inputs.start_of(&input.partition, reset, now_ms, patience)?;
            input.rewind();
        }
        Ok(())
    }

    /// Where the group stands in a task's inputs; `None` while it cannot say.
    fn ask_group(&mut self, id: TaskId) -> Result<Option<Vec<Reached>>, EngineError> {
        let inputs: Vec<TopicPartition> = self.tasks.slot(id).task.inputs.iter().map(|i| i.partition.clone()).collect();
        match self.group.committed(&inputs, self.offsets_patience()) {
            Ok(committed) => {
                self.offsets_refused = 0;
                let inputs = self.tasks.slot(id).task.inputs.iter().zip(&committed);
                Ok(Some(
                    inputs
                        .map(|(input, committed)| input.reached_by(committed.as_ref()))
                        .collect(),
                ))
            }
            Err(BrokerError::Unavailable(_)) => {
                self.offsets_refused = self.offsets_refused.saturating_add(1);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Says what keeps this worker from getting on, if anything does.
    pub(super) fn report_trouble(&mut self) {
        let mut reasons: Vec<String> = Vec::new();
        let trouble = &mut self.trouble;
        reasons.extend(trouble.turn.iter().chain(&trouble.opening).chain(&trouble.log).cloned());
        if trouble.log.is_none() {
            reasons.extend(self.state.trouble());
        }
        let unflushed = trouble.unflushed.take();
        reasons.extend(unflushed.map(|task| format!("{task} processes nothing more before its state is written")));
        reasons.extend(self.stuck_restore());
        reasons.extend(self.flusher.failure());
        reasons.extend(
            self.tasks
                .values()
                .filter_map(|slot| Some(slot.wait.as_ref()?.reason.clone())),
        );
        if reasons != self.trouble.reported {
            let mut all = self.shared.trouble.lock();
            if reasons.is_empty() {
                all.remove(&self.index);
            } else {
                all.insert(self.index, reasons.clone());
            }
            self.trouble.reported = reasons;
        }
    }
}
