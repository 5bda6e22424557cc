//! How a worker processes what waits, and when it commits that.

use std::time::Duration;

use super::Worker;
use crate::error::EngineError;
use crate::runtime::handover::deliver;
use crate::runtime::tasks::Drive;

/// A third of the time after which the broker ends a transaction.
const TRANSACTION_MAX: Duration = Duration::from_secs(5);

impl Worker {
    /// Processes what waits, of each task, within one turn's budget.
    pub(super) fn process(&mut self) -> Result<bool, EngineError> {
        if self.shared.is_paused() || !self.transactions.has_producer() {
            return Ok(false);
        }
        let now_ms = self.now_ms();
        let parts = &self.parts;
        let mut budget = parts.settings.poll_records_max;
        let mut progress = false;
        let commit_every = self.commit_every();
        let records_max = self.at_fault.records_max();
        // While a culprit is looked for, a timer has a transaction for itself, and no two in a row.
        let is_quiet = self.at_fault.is_quiet();
        let (hand_over, still) = (&self.hand_over, &self.still);
        let was_punctuated = self.transactions.was_punctuated();
        for (id, slot) in self.tasks.iter_mut() {
            if !slot.may_process(now_ms) || hand_over.holds(id.sub) || still.contains(&id.sub) {
                continue;
            }
            let due = slot.task.next_punctuation_ms().is_some_and(|at| at <= now_ms);
            if !slot.task.has_work() && !due {
                // What it waited for went another way: to its topic, or with its transaction.
                slot.wait = None;
                continue;
            }
            if slot.task.begins_to_idle(now_ms) && !due {
                continue;
            }
            let is_stuck = slot.task.unflushed() > parts.settings.unflushed_keys_max && self.flusher.is_busy(*id);
            if is_stuck && !slot.task.has_handed() {
                self.trouble.unflushed = Some(slot.task.name.clone());
                continue;
            }
            let Some((producer, transaction)) = self.transactions.begin(now_ms)? else {
                return Ok(false);
            };
            if transaction.is_empty() {
                // Begun for a timer that wrote nothing, perhaps long ago.
                transaction.since_ms = now_ms;
            }
            if due && !transaction.is_full && (is_quiet || !was_punctuated) {
                let before = std::mem::replace(&mut transaction.punctuated, true);
                let wrote = slot.task.punctuate(producer, now_ms)?;
                transaction.punctuated = before || wrote;
                transaction.is_full |= wrote && !is_quiet;
                progress |= wrote;
            }
            if budget > 0 && !transaction.is_full {
                let commit_at_ms = transaction.since_ms + commit_every;
                let with = Drive {
                    producer: &mut *producer,
                    transaction,
                    at_fault: &self.at_fault,
                    metrics: &parts.metrics,
                    now_ms,
                };
                slot.drive(with, |_, transaction| {
                    budget -= 1;
                    progress = true;
                    // By time as well as by number, or slow processors would outlast what the broker allows a transaction.
                    transaction.is_full |=
                        records_max.is_some_and(|max| transaction.records >= max) || parts.clock.now_ms() >= commit_at_ms;
                    budget > 0 && !transaction.is_full
                })?;
            }
            slot.task.outbox.send_packs(producer)?;
            slot.task.send_changelog(false, producer)?;
        }
        if let Some(producer) = self.transactions.producer() {
            producer.service()?;
        }
        deliver(&mut self.tasks, &self.parts)?;
        Ok(progress)
    }

    pub(super) fn has_work(&self) -> bool {
        if self.shared.is_paused() {
            return false;
        }
        let now_ms = self.now_ms();
        let mut mine = self.tasks.iter().filter(|(_, slot)| slot.may_process(now_ms));
        mine.any(|(id, slot)| !self.hand_over.holds(id.sub) && slot.task.has_work() && !slot.task.idles(now_ms))
    }

    /// Whether records of a task wait for what may come to another of its inputs.
    pub(super) fn idles(&self) -> bool {
        let now_ms = self.now_ms();
        let mut tasks = self.tasks.values();
        tasks.any(|slot| slot.may_process(now_ms) && slot.task.idles(now_ms))
    }

    /// Whether records that were handed over wait so.
    pub(super) fn idles_with_handed(&self) -> bool {
        let now_ms = self.now_ms();
        let mut tasks = self.tasks.values();
        tasks.any(|slot| slot.task.has_handed() && slot.may_process(now_ms) && slot.task.idles(now_ms))
    }

    /// After how long a transaction is committed: well before the broker would end it.
    pub(super) fn commit_every(&self) -> Duration {
        let interval = self.parts.settings.commit_interval;
        interval.min(TRANSACTION_MAX)
    }

    pub(super) fn commit_is_due(&self) -> bool {
        self.transactions.open().is_some_and(|transaction| {
            transaction.is_full
                || transaction.records >= self.parts.settings.commit_records_max
                || self.now_ms() >= transaction.since_ms + self.commit_every()
        })
    }

    /// Moves the way of re-keyed records from topics to memory. Returns whether anything moved.
    pub(super) fn advance_hand_over(&mut self) -> Result<bool, EngineError> {
        let now_ms = self.now_ms();
        if self.hand_over.end_round(&mut self.tasks, now_ms) {
            return Ok(true);
        }
        let is_wanted = self.still.is_empty()
            && self.at_fault.is_empty()
            && self.parts.settings.repartition_in_memory
            && self.transactions.has_producer();
        let begins = is_wanted
            && self.hand_over.may_begin(&self.tasks, now_ms)
            && self
                .hand_over
                .begin_round(&self.tasks, &mut self.transactions, &self.parts, now_ms)?;
        if begins {
            self.commit()?;
        }
        Ok(begins)
    }
}
