//! The exactly-once commit, and what follows when its outcome is in doubt.

use std::time::Instant;

use broker::{Committed, TopicPartition};

use super::input::Input;
use super::task::TaskId;
use super::worker::{OpenTransaction, Stage, Worker};
use crate::error::EngineError;
use crate::planted::planted;

impl Worker {
    /// Begins a transaction, unless one is open.
    pub fn begin(&mut self, now_ms: i64) -> Result<(), EngineError> {
        if let (None, Some(producer)) = (self.transaction, self.producer.as_mut()) {
            producer.begin()?;
            self.transaction = Some(OpenTransaction::begun(now_ms));
        }
        Ok(())
    }

    /// Commits the open transaction: changelogs and offsets with the outputs, then the stores' layers in one step.
    pub fn commit(&mut self) -> Result<(), EngineError> {
        let started = Instant::now();
        if !planted("a commit does not wait for what was handed over") {
            self.finish_handed()?;
        }
        let mark = self.next_mark();
        let Some(producer) = self.producer.as_mut() else {
            return Ok(());
        };
        let mut offsets: Vec<(TopicPartition, Committed)> = Vec::new();
        for slot in self.tasks.values_mut().filter(|s| s.task.dirty) {
            slot.task.send_changelog(true, producer.as_mut())?;
            offsets.extend(slot.task.offsets(&mark));
        }
        if offsets.is_empty() {
            // Barriers of a hand-over alone, or nothing. Offsets as they stand have the group say whether this worker may write at all.
            let running = self.tasks.values().filter(|slot| slot.runs());
            offsets.extend(running.flat_map(|slot| slot.task.committed_again(&mark)));
        }
        let begun = self.send_begun(&offsets, self.now_ms())?;
        let Some(producer) = self.producer.as_mut() else {
            return Ok(());
        };
        let membership = self.group.membership()?;
        self.in_doubt = Some(mark);
        let written = producer.commit(&offsets, &membership);
        let metrics = &self.parts.metrics;
        metrics
            .commits
            .with_label_values(&[if written.is_ok() { "committed" } else { "failed" }])
            .inc();
        let written = written?;
        self.was_punctuated = self.transaction.is_some_and(|transaction| transaction.punctuated);
        self.transaction = None;
        self.in_doubt = None;
        self.hand_over.committed(&written);
        let now_ms = self.parts.clock.now_ms();
        let mut records = 0;
        for slot in self.tasks.values_mut().filter(|s| s.task.dirty) {
            records += slot.task.records;
            promote(slot, &written, now_ms, metrics);
        }
        metrics.commit_records.observe(records as f64);
        let tasks = &self.tasks;
        self.at_fault.committed(records, |record| {
            let task = tasks.get(&record.task).map(|slot| &slot.task);
            task.is_none_or(|task| task.inputs[record.input].has_committed(record.offset))
        });
        let took = started.elapsed();
        metrics.commit_duration.observe(took.as_secs_f64());
        tracing::debug!(worker = self.index, records, ?took, "committed");
        self.begun_is_committed(begun);
        Ok(())
    }

    /// Makes a new producer, which resolves the transaction in doubt, and asks the group's offsets whether it took effect.
    /// Tasks stay open and their committed state stays readable.
    pub fn recover(&mut self) -> Result<(), EngineError> {
        let id = self.client_id();
        // Whatever was open is dropped, where it was not yet.
        self.stop_handing_over();
        (self.producer, self.transaction) = (None, None);
        let producer = self
            .parts
            .broker
            .transactional_producer(&id, self.parts.settings.broker_timeout)?;
        if self.readers_in_doubt {
            self.renew_readers()?;
        }
        let running = self.tasks.iter().filter(|(_, slot)| slot.runs()).map(|(id, _)| *id);
        for id in running.collect::<Vec<_>>() {
            self.settle(id)?;
        }
        self.in_doubt = None;
        self.producer = Some(producer);
        Ok(())
    }

    /// A mark that no other transaction has, whoever's it is.
    fn next_mark(&mut self) -> String {
        self.transactions += 1;
        format!("{:x}.{:x}", self.run, self.transactions)
    }

    fn settle(&mut self, id: TaskId) -> Result<(), EngineError> {
        let slot = self.tasks.get_mut(&id).expect("the caller has it");
        if !slot.task.dirty {
            // Nothing of it was in the transaction but, at most, a record that was not done.
            slot.task.discard(&self.parts.registry)?;
            return self.assign_inputs(id);
        }
        let inputs: Vec<TopicPartition> = slot.task.inputs.iter().map(|i| i.partition.clone()).collect();
        let committed = self.group.committed(&inputs, self.parts.settings.broker_timeout)?;
        let task = &slot.task;
        let took_effect = self.in_doubt.as_ref().is_some_and(|mark| task.is_committed(&committed, mark));
        let mut stand = task.inputs.iter().zip(&committed);
        let had_none = stand.all(|(input, committed)| input.reached_by(committed.as_ref()) == input.committed);
        if (took_effect || planted("what is in doubt had committed")) && !planted("what is in doubt had not committed") {
            tracing::info!(task = %slot.task.name, "the transaction in doubt had committed");
            let now_ms = self.parts.clock.now_ms();
            // Its changelog offsets are unknown: the stored position stays behind, and a replay from there changes nothing.
            promote(slot, &[], now_ms, &self.parts.metrics);
            if slot.task.inputs.iter().any(|input| input.slot.is_none()) {
                // The readers were made anew, now or in an attempt before this one.
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

    /// Makes the readers anew, after one of them could not take on a partition or let it go: what it has is not known then.
    fn renew_readers(&mut self) -> Result<(), EngineError> {
        let client = self.client_id();
        self.reader = self.parts.broker.reader(&client)?;
        self.restorer = self.parts.broker.reader(&format!("{client}-restore"))?;
        self.slots.clear();
        self.begun.retain(|_, begun| begun.is_read());
        for slot in self.tasks.values_mut() {
            slot.task.inputs.iter_mut().for_each(|input| input.slot = None);
            if matches!(slot.stage, Stage::Restoring { .. }) {
                slot.stage = Stage::Opened;
            }
        }
        self.readers_in_doubt = false;
        Ok(())
    }
}

fn promote(slot: &mut super::worker::Slot, written: &[(TopicPartition, i64)], now_ms: i64, metrics: &super::Metrics) {
    for input in slot.task.inputs.iter().filter(|i| i.processed > 0) {
        let latency_ms = (now_ms - input.newest_ms).max(0);
        metrics
            .end_to_end
            .with_label_values(&[&input.partition.topic])
            .observe(latency_ms as f64 / 1000.0);
    }
    let topics: Vec<_> = slot.task.inputs.iter().map(|i| i.partition.topic.clone()).collect();
    for (topic, processed) in topics.iter().zip(slot.task.promote(written, now_ms)) {
        metrics.processed.with_label_values(&[topic]).inc_by(processed);
    }
}
