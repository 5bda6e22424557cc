//! The exactly-once commit, and what follows when its outcome is in doubt.

use std::time::Instant;

use broker::{Committed, TopicPartition};
use clock::Millis;

use super::Worker;
use crate::error::EngineError;
use crate::planted::planted;
use crate::runtime::Metrics;
use crate::runtime::input::Input;
use crate::runtime::inputs::InputReader;
use crate::runtime::task_id::TaskId;
use crate::runtime::tasks::Slot;

impl Worker {
    /// Commits the open transaction: changelogs and offsets with the outputs, then the stores' layers in one step.
    pub(super) fn commit(&mut self) -> Result<(), EngineError> {
        let started = Instant::now();
        if !planted("a commit does not wait for what was handed over") {
            self.hand_over
                .finish(&mut self.tasks, &mut self.transactions, &self.at_fault, &self.parts)?;
        }
        self.flush_caches()?;
        let mark = self.transactions.next_mark();
        let Some(producer) = self.transactions.producer() else {
            return Ok(());
        };
        let mut offsets: Vec<(TopicPartition, Committed)> = Vec::new();
        for slot in self.tasks.values_mut().filter(|slot| slot.task.dirty) {
            slot.task.send_changelog(true, producer)?;
            offsets.extend(slot.task.offsets(&mark));
        }
        if offsets.is_empty() {
            // Barriers of a hand-over alone, or nothing. Offsets as they stand have the group say whether this worker may write at all.
            let running = self.tasks.values().filter(|slot| slot.runs());
            offsets.extend(running.flat_map(|slot| slot.task.committed_again(&mark)));
        }
        let begun = self.begun.send(&offsets, &self.parts, producer)?;
        let membership = self.group.membership()?;
        let metrics = &self.parts.metrics;
        let written = self.transactions.commit(mark, &offsets, &membership);
        metrics
            .commits
            .with_label_values(&[if written.is_ok() { "committed" } else { "failed" }])
            .inc();
        let Some(written) = written? else { return Ok(()) };
        self.hand_over.committed(&written);
        let now_ms = self.parts.clock.now_ms();
        let mut records = 0;
        for slot in self.tasks.values_mut().filter(|slot| slot.task.dirty) {
            records += slot.task.records;
            promote(slot, &written, now_ms, metrics);
        }
        metrics.commit_records.observe(records as f64);
        let tasks = &self.tasks;
        self.at_fault.committed(records, |record| {
            let task = tasks.get(record.task).map(|slot| &slot.task);
            task.is_none_or(|task| task.inputs[record.input].has_committed(record.offset))
        });
        let took = started.elapsed();
        metrics.commit_duration.observe(took.as_secs_f64());
        tracing::debug!(worker = self.index, records, ?took, "committed");
        self.begun.committed(begun);
        Ok(())
    }

    /// Has what tasks held back until the commit go on, in the order of the sub-topologies, and processes what that hands over.
    fn flush_caches(&mut self) -> Result<(), EngineError> {
        let now_ms = self.now_ms();
        for id in self.tasks.ids(|_, slot| slot.task.has_caches()) {
            let Some(producer) = self.transactions.producer() else {
                return Ok(());
            };
            let task = &mut self.tasks.slot_mut(id).task;
            task.flush_caches(producer, now_ms)?;
            task.outbox.send_packs(producer)?;
            self.hand_over
                .finish(&mut self.tasks, &mut self.transactions, &self.at_fault, &self.parts)?;
        }
        Ok(())
    }

    /// Makes a new producer, which resolves the transaction in doubt, and asks the group's offsets whether it took effect.
    /// Tasks stay open and their committed state stays readable.
    pub(super) fn recover(&mut self) -> Result<(), EngineError> {
        // Whatever was open is dropped, where it was not yet.
        self.hand_over.stop(&mut self.tasks);
        self.transactions.abandon();
        let id = self.parts.client_id(self.index);
        let timeout = self.parts.settings.broker_timeout;
        let producer = self.parts.broker.transactional_producer(&id, timeout)?;
        if self.inputs.is_in_doubt() {
            self.renew_reader()?;
        }
        for id in self.tasks.ids(|_, slot| slot.runs()) {
            self.settle(id)?;
        }
        self.transactions.settled(producer);
        Ok(())
    }

    fn settle(&mut self, id: TaskId) -> Result<(), EngineError> {
        let slot = self.tasks.slot_mut(id);
        if !slot.task.dirty {
            // Nothing of it was in the transaction but, at most, a record that was not done.
            slot.task.discard(&self.parts.registry)?;
            return self.assign_inputs(id);
        }
        let inputs: Vec<TopicPartition> = slot.task.inputs.iter().map(|i| i.partition.clone()).collect();
        let committed = self.group.committed(&inputs, self.parts.settings.broker_timeout)?;
        let task = &slot.task;
        let in_doubt = self.transactions.in_doubt();
        let took_effect = in_doubt.is_some_and(|mark| task.is_committed(&committed, mark));
        let mut stand = task.inputs.iter().zip(&committed);
        let had_none = stand.all(|(input, committed)| input.reached_by(committed.as_ref()) == input.committed);
        if (took_effect || planted("what is in doubt had committed")) && !planted("what is in doubt had not committed") {
            tracing::info!(task = %slot.task.name, "the transaction in doubt had committed");
            let now_ms = self.parts.clock.now_ms();
            // Its changelog offsets are unknown: the stored position stays behind, and a replay from there changes nothing.
            promote(slot, &[], now_ms, &self.parts.metrics);
            if slot.task.inputs.iter().any(|input| input.slot.is_none()) {
                // The reader was made anew, now or in an attempt before this one.
                slot.task.inputs.iter_mut().for_each(Input::rewind);
                self.assign_inputs(id)?;
            }
            Ok(())
        } else if had_none || planted("what is in doubt had not committed") {
            slot.task.discard(&self.parts.registry)?;
            self.assign_inputs(id)
        } else {
            tracing::warn!(task = %slot.task.name, ?committed, "the group stands elsewhere; the task starts again from its changelog");
            self.reopen(id);
            Ok(())
        }
    }

    /// Makes the reader of the inputs anew, after it could not take on a partition or let it go: what it has is not known then.
    fn renew_reader(&mut self) -> Result<(), EngineError> {
        let client = self.parts.client_id(self.index);
        self.inputs = InputReader::new(self.parts.broker.reader(&client)?);
        let inputs = self.tasks.values_mut().flat_map(|slot| &mut slot.task.inputs);
        inputs.for_each(|input| input.slot = None);
        Ok(())
    }
}

fn promote(slot: &mut Slot, written: &[(TopicPartition, i64)], now_ms: Millis, metrics: &Metrics) {
    let worked = slot.task.inputs.iter().filter(|input| input.processed > 0);
    for (input, newest_ms) in worked.filter_map(|input| Some((input, input.newest_ms?))) {
        let latency = now_ms.since(newest_ms);
        metrics
            .end_to_end
            .with_label_values(&[&input.partition.topic])
            .observe(latency.as_secs_f64());
    }
    let topics: Vec<_> = slot.task.inputs.iter().map(|i| i.partition.topic.clone()).collect();
    for (topic, processed) in topics.iter().zip(slot.task.promote(written, now_ms)) {
        metrics.processed.with_label_values(&[topic]).inc_by(processed);
    }
}
