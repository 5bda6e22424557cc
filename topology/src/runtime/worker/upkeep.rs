//! What a worker does beside its records: it writes state to the backends, keeps the group's offsets from expiring, and says where
//! its inputs stand.

use std::time::Duration;

use super::Worker;
use crate::error::EngineError;
use crate::runtime::tasks::Slot;
use clock::Millis;

/// How often it is said where the inputs stand.
const REPORT: Duration = Duration::from_millis(500);

/// However short topics keep their tombstones: state is then restored anew more often.
const REFRESH_MIN: Duration = Duration::from_secs(10);

/// While an earlier owner's transaction is open, the broker does not say where a task stands. The worker's other tasks must not wait for
/// that: it is asked again later, and meanwhile they have their turns.
const OFFSETS_PATIENCE: Duration = Duration::from_millis(100);

/// A broker that is busy may take longer for each answer, and one that comes too late is lost.
const OFFSETS_PATIENCE_MAX: Duration = Duration::from_millis(400);

impl Worker {
    /// How long the group's offsets are waited for at once.
    pub(super) fn offsets_patience(&self) -> Duration {
        let longer = OFFSETS_PATIENCE.saturating_mul(1 << self.offsets_refused.min(8));
        self.parts.settings.broker_timeout.min(longer.min(OFFSETS_PATIENCE_MAX))
    }

    pub(super) fn flush(&mut self) -> Result<(), EngineError> {
        let now_ms = self.now_ms();
        let every = self.parts.settings.flush_interval;
        for (id, slot) in self.tasks.iter_mut() {
            if slot.runs() && now_ms.since(slot.flushed_at_ms) >= every && !self.flusher.is_busy(*id) {
                slot.flushed_at_ms = now_ms;
                if let Some(job) = slot.task.flush() {
                    self.flusher.submit(*id, job)?;
                }
            }
        }
        Ok(())
    }

    /// How often offsets are committed again and state is marked as valid: several times within what bounds either.
    fn refresh_interval(&self) -> Duration {
        let interval = self.parts.settings.offsets_refresh_interval;
        interval.min(self.parts.plan.tombstone_retention / 8).max(REFRESH_MIN)
    }

    /// Commits the offsets of all inputs again when it is time. A broker forgets an offset that is not committed for a week, and
    /// a transactional id that is not used; and a commit that succeeds says that the tasks are still this worker's.
    pub(super) fn refresh_offsets(&mut self) -> Result<(), EngineError> {
        let now_ms = self.now_ms();
        let holds_something = self.transactions.open().is_some_and(|open| !open.is_empty()) || self.tasks.is_dirty();
        if now_ms < self.refresh_at_ms || holds_something {
            return Ok(());
        }
        // The first time is an interval after the start: what is opened has just been committed, or is in nobody's hands.
        let is_first = self.refresh_at_ms == Millis::MIN;
        self.refresh_at_ms = now_ms + self.refresh_interval();
        let has_offsets = |slot: &Slot| slot.runs() && slot.task.inputs.iter().any(|input| input.committed.log.is_some());
        if is_first || !self.transactions.has_producer() || !self.tasks.values().any(has_offsets) {
            return Ok(());
        }
        self.transactions.begin(now_ms)?;
        self.commit()?;
        let slots = self.tasks.values_mut().filter(|slot| slot.runs());
        slots.for_each(|slot| slot.task.is_valid(now_ms));
        Ok(())
    }

    /// Says where the inputs stand, and what is served.
    pub(super) fn report_inputs(&mut self) {
        let now_ms = self.now_ms();
        if now_ms < self.report_at_ms {
            return;
        }
        self.report_at_ms = now_ms + REPORT;
        let metrics = &self.parts.metrics;
        let mut inputs = self.shared.inputs.lock();
        for slot in self.tasks.values() {
            let partition = slot.task.id.partition.to_string();
            for (i, input) in slot.task.inputs.iter().enumerate() {
                let status = inputs.entry(input.partition.clone()).or_default();
                let (position, end) = input.stand();
                status.committed = input.committed_offset();
                (status.position, status.end) = (position, status.end.max(end));
                status.oldest_waiting_ms = slot.task.oldest_waiting_ms(i);
                let labels = [&*input.partition.topic, partition.as_str()];
                let age_s = status.oldest_waiting_ms.map_or(0.0, |at| now_ms.since(at).as_secs_f64());
                metrics.lag_seconds.with_label_values(&labels).set(age_s);
                let group = self.parts.topology.application();
                metrics
                    .lag_records
                    .with_label_values(&[group, labels[0], labels[1]])
                    .set(status.end - status.position);
            }
            for (store, bytes) in slot.task.sizes() {
                metrics.state_bytes.with_label_values(&[store, &partition]).set(bytes as i64);
            }
        }
        drop(inputs);
        self.show_groups_again();
        self.trouble.log = self.inputs.trouble();
        let running = self.tasks.values().filter(|slot| slot.runs()).count();
        metrics.tasks.set(running as i64);
    }
}
