//! From an opened task to one whose state is whole.

use std::time::Duration;

use broker::{BrokerError, Committed, Start, TopicPartition};

use super::Worker;
use crate::error::EngineError;
use crate::graph::OffsetReset;
use crate::planted::planted;
use crate::runtime::input::{Input, is_ours};
use crate::runtime::task_id::TaskId;
use crate::runtime::tasks::{BACKOFF, Restored, Slot};
use crate::runtime::wait::Wait;

/// Well beyond the time after which the broker ends a transaction that is left open.
const RESTORE_PATIENCE: Duration = Duration::from_secs(60);

impl Worker {
    /// Moves opened and restoring tasks on. Returns whether anything moved.
    pub(super) fn advance_restores(&mut self) -> Result<bool, EngineError> {
        let mut progress = self.start_restores()?;
        progress |= self.state.step();
        progress |= self.begun.advance()?;
        for id in self.tasks.ids(|_, slot| slot.restore().is_some()) {
            let Some(restored) = self.tasks.slot_mut(id).end_restore() else {
                continue;
            };
            progress = true;
            self.end_restore(id, restored);
        }
        Ok(progress)
    }

    /// Asks the group's offsets **before** the changelogs are read: the answer waits for transactions that an earlier
    /// owner left open, so what they wrote is in the changelogs or never will be.
    fn start_restores(&mut self) -> Result<bool, EngineError> {
        let now_ms = self.now_ms();
        let asks = |slot: &Slot| slot.is_opened() && slot.wait.as_ref().is_none_or(|wait| wait.may_try(now_ms));
        let opened = self.tasks.ids(|id, slot| asks(slot) && !self.begun.reads(id.partition));
        let Some(&first) = opened.first() else { return Ok(false) };
        // One of them may be another's still, and must not hold up the rest: after a refusal, one is asked for in each turn.
        let asks_one = self.tasks.values().any(|slot| slot.wait.is_some() && slot.is_opened());
        let asked = if asks_one { vec![first] } else { opened };
        match self.start_restore_of(&asked) {
            Ok(()) => {
                self.offsets_refused = 0;
                Ok(true)
            }
            Err((id, error)) => self.wait_for_group(id.unwrap_or(first), error),
        }
    }

    /// The group does not say where a task stands: an earlier owner's transaction is open, or the coordinator is away.
    fn wait_for_group(&mut self, id: TaskId, error: EngineError) -> Result<bool, EngineError> {
        let now_ms = self.now_ms();
        let reason = match &error {
            EngineError::Broker(BrokerError::Unavailable(reason)) => reason,
            // It is gone, and the next plan lets go of it.
            EngineError::Broker(BrokerError::Topic { topic, reason })
                if self.parts.plan.matched(&self.parts.topology).contains_key(&**topic) =>
            {
                reason
            }
            _ => return Err(error),
        };
        let Some(slot) = self.tasks.get_mut(id) else {
            return Err(error);
        };
        self.offsets_refused = self.offsets_refused.saturating_add(1);
        let reason = format!("{} waits for its inputs' offsets: {reason}", slot.task.name);
        slot.wait = Some(Wait::transient(reason, now_ms + BACKOFF));
        Ok(false)
    }

    /// An error names the task that it is of, unless it is of all of them.
    fn start_restore_of(&mut self, opened: &[TaskId]) -> Result<(), (Option<TaskId>, EngineError)> {
        let inputs = opened.iter().flat_map(|id| &self.tasks.slot(*id).task.inputs);
        let inputs: Vec<TopicPartition> = inputs.map(|input| input.partition.clone()).collect();
        let (now_ms, patience) = (self.now_ms(), self.offsets_patience());
        let committed = self
            .group
            .committed(&inputs, patience)
            .map_err(|error| (None, error.into()))?;
        let mut committed = committed.into_iter();
        for &id in opened {
            let inputs = self.tasks.slot(id).task.inputs.len();
            let committed: Vec<Option<Committed>> = committed.by_ref().take(inputs).collect();
            let by_pattern = self.inputs_by_pattern(id);
            let asks_begun = committed.iter().any(Option::is_none) || !by_pattern.is_empty();
            if asks_begun && !self.begun.knows(id.partition, &self.parts, &self.state) {
                continue;
            }
            for input in by_pattern {
                let checked = self.check_topic(id, input, committed[input].as_ref(), patience);
                checked.map_err(|error| (Some(id), error))?;
            }
            let slot = self.tasks.slot_mut(id);
            for (input, committed) in slot.task.inputs.iter_mut().zip(&committed) {
                input.committed = input.reached_at_open(committed.as_ref());
                if input.committed.log.is_none() {
                    let reset = self.parts.topology.offset_reset(input.node);
                    let start = self.inputs.start_of(&input.partition, reset, now_ms, patience);
                    input.start = start.map_err(|error| (Some(id), error.into()))?;
                }
                input.rewind();
            }
            slot.task.know_stream_time(&committed);
            let places = slot.task.changelogs.iter().map(|(topic, from)| {
                let start = if *from == 0 { Start::Earliest } else { Start::At(*from) };
                (TopicPartition::new(topic.as_str(), id.partition), start)
            });
            let places = places.collect();
            let restore = slot.task.begin_restore(&self.parts.metrics);
            slot.begin_restore(self.state.replay(places, restore));
        }
        Ok(())
    }

    fn inputs_by_pattern(&self, id: TaskId) -> Vec<usize> {
        let inputs = self.tasks.slot(id).task.inputs.iter().enumerate();
        let by_pattern = inputs.filter(|(_, input)| self.parts.topology.is_pattern(input.node));
        by_pattern.map(|(place, _)| place).collect()
    }

    /// Fails while an input by pattern cannot be read from where the group stands, as that may be a place in an earlier topic of its name.
    ///
    /// Its offsets go with a topic that is deleted, so one that we committed did so after another had come, and before anybody had seen that:
    /// what it counts is records of the one, of the other, or of both.
    fn check_topic(
        &self,
        id: TaskId,
        input: usize,
        committed: Option<&Committed>,
        patience: Duration,
    ) -> Result<(), EngineError> {
        let place = &self.tasks.slot(id).task.inputs[input].partition;
        let (topic, plan) = (&*place.topic, &self.parts.plan);
        if !self.begun.was_another(id.partition, topic, plan) {
            return Ok(());
        }
        // Or this worker is the one that has not seen it yet, and another had begun it.
        let reason = if plan.is_another(topic, self.parts.id_of(topic, patience)?.as_ref()) {
            format!("topic {topic} was made anew: the next look at the topics takes it up")
        } else if let Some(Committed { offset, .. }) = committed.filter(|committed| is_ours(committed)) {
            format!(
                "topic {topic} was made anew while it was read, and offset {offset} of {place} was committed then: of which of the two is not known, \
                 so it must be set by hand (docs/runbooks/offsets.md)"
            )
        } else {
            return Ok(());
        };
        Err(BrokerError::Unavailable(reason).into())
    }

    /// A task's changelogs were replayed, or cannot be.
    fn end_restore(&mut self, id: TaskId, restored: Restored) {
        let failure = match restored {
            Restored::Anew => return self.restore_anew(id),
            Restored::Failed(error) => Some(error),
            Restored::Done(replayed) => {
                let task = &self.tasks.slot(id).task;
                let is_old = !task.changelogs.is_empty() && self.parts.is_too_old(task.valid_at_ms);
                if is_old && !planted("a folder is trusted however old it is") {
                    // As after the sleep of a process: what was read first may have been deleted, and its tombstone be gone, before the end.
                    tracing::warn!(task = %task.name, "the restore took longer than its changelogs keep tombstones; restoring anew");
                    return self.restore_anew(id);
                }
                self.run_task(id, replayed).err()
            }
        };
        // It begins again where the state stands.
        if let Some(error) = failure {
            tracing::warn!(task = %id.name(&self.parts.topology), %error, "a restore failed; it begins again where the state stands");
            self.reopen(id);
            self.tasks.open_later(self.now_ms());
            self.trouble.opening = Some(error.to_string());
        }
    }

    /// Tells of a changelog whose end does not come. A transaction that nobody ends hides all that lies behind its first record,
    /// and a broker that was killed may have lost the markers of one: nobody but an operator can end that.
    pub(super) fn stuck_restore(&self) -> Option<String> {
        let now_ms = self.now_ms();
        let restores = self.tasks.iter().find_map(|(id, slot)| {
            let replay = slot.restore()?;
            let silent = now_ms.since(replay.moved_at_ms());
            if silent <= RESTORE_PATIENCE {
                return None;
            }
            let at = replay.waits_at()?;
            Some(format!(
                "the restore of {} has waited for {} s at {at}: is a transaction hanging there? (kafka-transactions.sh find-hanging)",
                id.name(&self.parts.topology),
                silent.as_secs(),
            ))
        });
        let stuck = self.begun.stuck(now_ms - RESTORE_PATIENCE, &self.parts).or(restores);
        // A broker that is away is reason enough.
        stuck.filter(|_| self.state.trouble().is_none())
    }

    /// What an input starts from of which the group has no offset. If nothing of it was ever committed, that is the log's start. But
    /// a broker forgets offsets: read from the start, every record would count twice.
    pub(super) fn settle_missing_offsets(&mut self, id: TaskId, replayed: u64) {
        let now_ms = self.now_ms();
        let slot = self.tasks.slot_mut(id);
        let name = &slot.task.name;
        let has_none = |input: &&mut Input| input.committed.log.is_none();
        // What is in the state is all that was committed, if the changelogs had nothing to add; and the topic must be the same.
        for input in slot.task.inputs.iter_mut().filter(has_none) {
            let is_same = input.known_topic == self.parts.plan.topic_ids.get(&*input.partition.topic).cloned();
            if let Some(known) = input.known.filter(|known| known.log.is_some() && replayed == 0 && is_same) {
                tracing::warn!(task = %name, input = %input.partition, offset = input.log_offset(known.log), "the group has lost its offset; the state has it");
                input.committed = known;
                input.rewind();
            }
        }
        let had_state = replayed > 0 || slot.task.had_state();
        let has_others = slot.task.inputs.iter().any(|input| input.committed.log.is_some());
        let mut lost = Vec::new();
        for input in slot.task.inputs.iter_mut().filter(has_none) {
            // A version that did not write what was begun leaves its state: of an input among others, or of a repartition topic, which comes
            // with a topology that moves state to another sub-topology, it may be that nothing was read.
            let guessed = || {
                let may_be_new = self.parts.topology.is_repartition(&input.partition.topic);
                had_state && !may_be_new && input.known.map_or(!has_others, |known| known.log.is_some())
            };
            // By pattern, a topic may come that has only the name of an earlier one.
            let topic = &*input.partition.topic;
            let is_another =
                self.parts.topology.is_pattern(input.node) && self.begun.was_another(id.partition, topic, &self.parts.plan);
            let begun = if is_another {
                Some(false)
            } else {
                self.begun.has(id.partition, topic)
            };
            input.is_lost = (begun.unwrap_or_else(guessed) && !planted("an input without an offset is read from its start"))
                || self.parts.topology.offset_reset(input.node) == OffsetReset::None;
            if input.is_lost {
                lost.push(input.partition.to_string());
            }
        }
        if !lost.is_empty() {
            let reason = format!(
                "{name} waits: the group has no offset for {}, though it had one or must have one (docs/runbooks/offsets.md)",
                lost.join(", ")
            );
            tracing::error!("{reason}");
            slot.wait = Some(Wait::offset_unknown(reason, now_ms));
        }
    }
}
