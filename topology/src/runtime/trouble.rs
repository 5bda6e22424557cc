//! What keeps a worker or one of its tasks from getting on, and what follows from it.

use broker::{BrokerError, TopicPartition};

use super::OnPanic;
use super::at_fault::RecordId;
use super::input::Reached;
use super::task::{Blame, TaskId};
use super::worker::{BACKOFF_MS, Slot, Worker};
use crate::error::EngineError;
use crate::planted::planted;

/// How long a task waits before it asks the group again where it stands.
const ASK_AGAIN_MS: i64 = 5_000;

/// Why a task does not process for a while. The others go on.
pub(crate) struct Wait {
    pub reason: String,
    until_ms: i64,
    kind: Kind,
}

#[derive(PartialEq, Eq)]
enum Kind {
    /// A schema cannot be read now, or the group's offsets cannot: that is tried again.
    Transient,
    /// The log does not have the offset at which this input stands. An operator, or the log's owner, must decide; the group's offset
    /// is asked now and then.
    Offset(usize),
    /// The group has lost the offset of an input: it must be set before anything is processed.
    OffsetUnknown,
    /// A processor has panicked twice at a record, and the settings say that this stops the task until a restart.
    Stopped,
}

impl Wait {
    pub fn transient(reason: String, until_ms: i64) -> Self {
        Self {
            reason,
            until_ms,
            kind: Kind::Transient,
        }
    }

    pub fn offset_unknown(reason: String, now_ms: i64) -> Self {
        Self {
            reason,
            until_ms: now_ms + ASK_AGAIN_MS,
            kind: Kind::OffsetUnknown,
        }
    }

    /// Whether to try, and see if the reason still stands.
    pub fn may_try(&self, now_ms: i64) -> bool {
        self.kind == Kind::Transient && now_ms >= self.until_ms
    }

    /// Whether nothing may be fetched for the task.
    pub fn is_for_all_inputs(&self) -> bool {
        matches!(self.kind, Kind::OffsetUnknown | Kind::Stopped)
    }

    /// Whether this input's records, or its end, are what it waits for.
    pub fn is_for_input(&self, input: usize) -> bool {
        self.kind == Kind::Offset(input)
    }

    fn asks_group(&self, now_ms: i64) -> bool {
        matches!(self.kind, Kind::Offset(_) | Kind::OffsetUnknown) && now_ms >= self.until_ms
    }
}

/// What keeps a worker from getting on.
#[derive(Default)]
pub(crate) struct Trouble {
    /// Nothing is tried before that.
    pub retry_at_ms: i64,
    /// A turn has failed.
    pub turn: Option<String>,
    /// A task cannot be opened.
    pub opening: Option<String>,
    /// The log cannot be reached.
    pub log: Option<String>,
    /// A task whose state waits for its disk in such amounts that it processes no more.
    pub unflushed: Option<String>,
    reported: Vec<String>,
}

impl Worker {
    /// After a fault: whatever the open transaction did is in doubt. [`Worker::recover`] finds out what holds.
    pub fn stumble(&mut self, error: EngineError) {
        let text = error.to_string();
        if self.trouble.turn.as_ref() != Some(&text) {
            tracing::warn!(worker = self.index, %error, "a fault; the open transaction is dropped");
        }
        self.blame(&error);
        self.trouble.turn = Some(text);
        self.stop_handing_over();
        self.producer = None;
        self.transaction = None;
        self.trouble.retry_at_ms = self.now_ms() + BACKOFF_MS;
        self.parts.metrics.resets.inc();
    }

    /// Finds the record that took its transaction down, if one did.
    fn blame(&mut self, error: &EngineError) {
        let blame = self.tasks.values_mut().find_map(|slot| slot.task.blame.take());
        if planted("a record that takes its transaction down is tried for ever") {
            return;
        }
        let reason = error.to_string();
        match (blame, self.transaction) {
            (Some(Blame::Panicked(record)), _) => {
                let is_condemned = self.at_fault.panicked(record, &reason);
                if is_condemned && self.parts.settings.on_panic == OnPanic::Stop {
                    self.stop_task(record, &reason);
                }
            }
            (Some(Blame::Refused(record)), transaction) => {
                let was_alone = transaction.is_some_and(|transaction| transaction.holds_only(record));
                self.at_fault.refused(record, was_alone, &reason);
            }
            (None, Some(transaction)) if error.is_refused() => match transaction.first {
                Some(record) if transaction.holds_only(record) => self.at_fault.refused(record, true, &reason),
                _ => self.at_fault.refused_among(transaction.records),
            },
            _ => {}
        }
    }

    fn stop_task(&mut self, record: RecordId, reason: &str) {
        let Some(slot) = self.tasks.get_mut(&record.task) else {
            return;
        };
        let name = &slot.task.name;
        tracing::error!(task = %name, offset = record.offset, reason, "a processor panics at a record; the task is stopped");
        slot.wait = Some(Wait {
            reason: format!("{name} is stopped until a restart: {reason}"),
            until_ms: i64::MAX,
            kind: Kind::Stopped,
        });
    }

    /// An input stands at an offset that the log does not have: its task waits, and the others go on.
    pub fn wait_for_offset(&mut self, partition: &TopicPartition, offset: i64) -> Result<(), EngineError> {
        let now_ms = self.now_ms();
        let mut tasks = self.tasks.iter_mut();
        let found = tasks.find_map(|(id, slot)| {
            let input = slot.task.inputs.iter().position(|input| input.partition == *partition)?;
            Some((*id, input, slot))
        });
        let Some((id, input, slot)) = found else { return Ok(()) };
        let reason = format!(
            "{} waits: {} (docs/runbooks/offsets.md)",
            slot.task.name,
            BrokerError::OffsetOutOfRange {
                partition: partition.clone(),
                offset,
            }
        );
        if slot.wait.as_ref().is_some_and(|wait| wait.kind == Kind::Stopped) {
            return self.unassign_input(id, input);
        }
        if slot.wait.is_none() {
            tracing::error!(task = %slot.task.name, reason, "an input cannot be read on");
        }
        slot.wait = Some(Wait {
            reason,
            until_ms: now_ms + ASK_AGAIN_MS,
            kind: Kind::Offset(input),
        });
        self.unassign_input(id, input)
    }

    /// Asks the group where tasks stand that wait for an offset. Returns whether any has one now.
    pub fn end_waits(&mut self) -> Result<bool, EngineError> {
        let now_ms = self.now_ms();
        let asks = |slot: &Slot| slot.runs() && slot.wait.as_ref().is_some_and(|wait| wait.asks_group(now_ms));
        let Some((id, slot)) = self.tasks.iter_mut().find(|(_, slot)| asks(slot)) else {
            return Ok(false);
        };
        let id = *id;
        if let Some(wait) = &mut slot.wait {
            wait.until_ms = now_ms + ASK_AGAIN_MS;
        }
        if slot.task.dirty {
            // Its other inputs have brought records: those are committed first.
            self.commit()?;
        }
        let Some(stand) = self.ask_group(id)? else { return Ok(false) };
        let slot = self.tasks.get_mut(&id).expect("found above");
        let mut inputs = slot.task.inputs.iter().zip(&stand);
        if slot.wait.as_ref().is_some_and(Wait::is_for_all_inputs) {
            if inputs.any(|(input, stand)| stand.log < 0 && input.is_lost) {
                return Ok(false);
            }
            slot.wait = None;
        }
        slot.task.stand_at(&stand);
        self.assign_inputs(id)?;
        Ok(true)
    }

    /// Where the group stands in a task's inputs; `None` while it cannot say.
    fn ask_group(&mut self, id: TaskId) -> Result<Option<Vec<Reached>>, EngineError> {
        let inputs: Vec<TopicPartition> = self.tasks[&id].task.inputs.iter().map(|i| i.partition.clone()).collect();
        match self.group.committed(&inputs, self.offsets_patience()) {
            Ok(committed) => {
                let inputs = self.tasks[&id].task.inputs.iter().zip(&committed);
                Ok(Some(
                    inputs
                        .map(|(input, committed)| input.reached_by(committed.as_ref()))
                        .collect(),
                ))
            }
            Err(BrokerError::Unavailable(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Says what keeps this worker from getting on, if anything does.
    pub fn report(&mut self) {
        let mut reasons: Vec<String> = Vec::new();
        let trouble = &mut self.trouble;
        reasons.extend(trouble.turn.iter().chain(&trouble.opening).chain(&trouble.log).cloned());
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
