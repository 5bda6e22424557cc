//! The exactly-once commit, and what follows when its outcome is in doubt.

use std::time::Instant;

use broker::{Committed, TopicPartition};

use super::input::Reached;
use super::task::TaskId;
use super::worker::{Stage, Worker};
use crate::error::EngineError;
use crate::planted::planted;

impl Worker {
    /// Commits the open transaction: changelogs and offsets with the outputs, then the stores' layers in one step.
    pub fn commit(&mut self) -> Result<(), EngineError> {
        let started = Instant::now();
        if !planted("a commit does not wait for what was handed over") {
            self.finish_handed()?;
        }
        let Some(producer) = self.producer.as_mut() else {
            return Ok(());
        };
        let mut offsets: Vec<(TopicPartition, Committed)> = Vec::new();
        for slot in self.tasks.values_mut().filter(|s| s.task.dirty) {
            slot.task.send_changelog(true, producer.as_mut())?;
            offsets.extend(slot.task.offsets());
        }
        if offsets.is_empty() {
            // Barriers of a hand-over alone. Offsets as they stand have the group say whether this worker may write at all.
            offsets.extend(self.tasks.values().flat_map(|slot| slot.task.committed_again()));
        }
        let membership = self.group.membership()?;
        let written = producer.commit(&offsets, &membership);
        let metrics = &self.parts.metrics;
        metrics
            .commits
            .with_label_values(&[if written.is_ok() { "committed" } else { "failed" }])
            .inc();
        let written = written?;
        self.transaction = None;
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
        Ok(())
    }

    /// Makes a new producer, which resolves the transaction in doubt, and asks the group's offsets whether it took effect.
    /// Tasks stay open and their committed state stays readable.
    pub fn recover(&mut self) -> Result<(), EngineError> {
        let application = self.parts.topology.application();
        let id = format!("{application}-{}-{}", self.parts.settings.instance, self.index);
        let producer = self
            .parts
            .broker
            .transactional_producer(&id, self.parts.settings.broker_timeout)?;
        let dirty: Vec<TaskId> = self
            .tasks
            .iter()
            .filter(|(_, s)| matches!(s.stage, Stage::Running))
            .map(|(id, _)| *id)
            .collect();
        for id in dirty {
            self.settle(id)?;
        }
        self.producer = Some(producer);
        Ok(())
    }

    fn settle(&mut self, id: TaskId) -> Result<(), EngineError> {
        let slot = self.tasks.get_mut(&id).expect("the caller has it");
        let inputs: Vec<TopicPartition> = slot.task.inputs.iter().map(|i| i.partition.clone()).collect();
        let committed = self.group.committed(&inputs, self.parts.settings.broker_timeout)?;
        let stand: Vec<Reached> = slot
            .task
            .inputs
            .iter()
            .zip(&committed)
            .map(|(input, committed)| input.reached_by(committed.as_ref()))
            .collect();
        let took_effect = slot.task.dirty
            && slot.task.inputs.iter().any(|i| i.processed > 0)
            && slot
                .task
                .inputs
                .iter()
                .zip(&stand)
                .all(|(i, stand)| *stand == if i.processed > 0 { i.reached() } else { i.committed })
            || slot.task.dirty && planted("what is in doubt had committed");
        let had_none = slot
            .task
            .inputs
            .iter()
            .zip(&stand)
            .all(|(input, stand)| *stand == input.committed);
        if slot.task.dirty && slot.task.inputs.iter().all(|i| i.processed == 0) {
            // Only a punctuation wrote, and the offsets are the same with it and without; the changelog says.
            self.reopen(id);
            return Ok(());
        }
        if took_effect && !planted("what is in doubt had not committed") {
            tracing::info!(task = %slot.task.name, "the transaction in doubt had committed");
            let now_ms = self.parts.clock.now_ms();
            // Its changelog offsets are unknown: the stored position stays behind, and a replay from there changes nothing.
            promote(slot, &[], now_ms, &self.parts.metrics);
            Ok(())
        } else if had_none || planted("what is in doubt had not committed") {
            slot.task.discard(&self.parts.registry)?;
            self.assign_inputs(id)
        } else {
            tracing::warn!(task = %slot.task.name, ?stand, "the group stands elsewhere; the task starts again from its changelog");
            self.reopen(id);
            Ok(())
        }
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
