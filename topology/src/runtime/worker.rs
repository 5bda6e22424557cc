//! A worker's turn: rebalance, fetch, process, commit, flush.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, BrokerError, Group, GroupOptions, Polled, Reader, Rebalance, TransactionalProducer};
use wire::Registry;

use super::flusher::Flusher;
use super::handover::HandOver;
use super::input::Input;
use super::shared::Shared;
use super::task::{Step, Task, TaskId};
use super::{EngineSettings, Metrics};
use crate::clock::Clock;
use crate::error::EngineError;
use crate::graph::Topology;
use crate::store::Backends;

/// A task and how far it is on its way to run.
pub(crate) enum Stage {
    /// Opened; the group's offsets are still to be asked.
    Opened,
    /// Changelogs are being replayed: slot of the restore reader by store, until each one's end is reached.
    Restoring {
        left: Vec<(u32, usize)>,
        moved_at_ms: i64,
    },
    Running,
}

pub(crate) struct Slot {
    pub task: Task,
    pub stage: Stage,
    pub assigned_at_ms: i64,
    pub flushed_at_ms: i64,
}

/// What every worker of an engine is made from.
#[derive(Clone)]
pub(crate) struct Parts {
    pub topology: Arc<Topology>,
    pub broker: Arc<dyn Broker>,
    pub backends: Arc<dyn Backends>,
    pub registry: Arc<dyn Registry>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    pub settings: Arc<EngineSettings>,
    /// Tasks of each sub-topology.
    pub sub_partitions: Arc<Vec<u32>>,
    /// Partitions of each topic that is read. Without state, a sub-topology may read topics with fewer than it has tasks.
    pub source_partitions: Arc<BTreeMap<&'static str, u32>>,
    /// Task groups, in all instances.
    pub groups: u32,
}

pub(crate) struct Worker {
    pub index: usize,
    pub parts: Parts,
    pub shared: Arc<Shared>,
    pub group: Box<dyn Group>,
    pub reader: Box<dyn Reader>,
    pub restorer: Box<dyn Reader>,
    pub producer: Option<Box<dyn TransactionalProducer>>,
    pub in_transaction: bool,
    pub transaction_since_ms: i64,
    pub flusher: Flusher,
    pub tasks: BTreeMap<TaskId, Slot>,
    /// Input slot of the reader → task and input.
    pub slots: Vec<Option<(TaskId, usize)>>,
    pub polled: Polled,
    /// As the last fetch had it: a message may be a pack of records.
    pub records_per_message: usize,
    pub retry_at_ms: i64,
    pub housekeeping_at_ms: i64,
    /// Groups that are this worker's, but whose tasks are not open yet: a disk that refuses holds up nobody else.
    pub to_open: BTreeSet<u32>,
    pub open_at_ms: i64,
    pub hand_over: HandOver,
    /// Sub-topologies that stand still until a restart.
    pub still: BTreeSet<usize>,
}

const IDLE_POLL: Duration = Duration::from_millis(50);
/// A fetch asks for at least so many messages.
const MESSAGES_MIN: usize = 16;
const BACKOFF_MS: i64 = 250;
const HOUSEKEEPING_MS: i64 = 500;

impl Worker {
    pub fn new(index: usize, parts: Parts, shared: Arc<Shared>, flusher: Flusher) -> Result<Self, EngineError> {
        let application = parts.topology.application().to_owned();
        let client = format!("{application}-{}-{index}", parts.settings.instance);
        let group = parts.broker.group(GroupOptions {
            group: application,
            topics: vec![parts.topology.tasks_topic()],
            client_id: client.clone(),
            // A member that comes back under its name has its groups at once, without the others sharing anew. So it takes another
            // name when there are more to share.
            member: Some(format!("{client}-of-{}", parts.groups)),
            session_timeout: parts.settings.session_timeout,
        })?;
        let reader = parts.broker.reader(&client)?;
        let restorer = parts.broker.reader(&format!("{client}-restore"))?;
        let hand_over = HandOver::new(&parts.topology);
        Ok(Self {
            index,
            parts,
            shared,
            group,
            reader,
            restorer,
            producer: None,
            in_transaction: false,
            transaction_since_ms: 0,
            flusher,
            tasks: BTreeMap::new(),
            slots: Vec::new(),
            polled: Polled::default(),
            records_per_message: 1,
            retry_at_ms: 0,
            housekeeping_at_ms: 0,
            to_open: BTreeSet::new(),
            open_at_ms: 0,
            hand_over,
            still: BTreeSet::new(),
        })
    }

    pub fn now_ms(&self) -> i64 {
        self.parts.clock.now_ms()
    }

    /// One turn. `idle` bounds how long it waits when there is nothing to do. Returns whether it got anything done.
    pub fn turn(&mut self, idle: Duration) -> bool {
        match self.try_turn(idle.min(IDLE_POLL)) {
            Ok(progress) => progress,
            Err(error) => {
                self.stumble(error);
                false
            }
        }
    }

    fn try_turn(&mut self, idle: Duration) -> Result<bool, EngineError> {
        let mut progress = false;
        if let Some(step) = self.group.poll(Duration::ZERO)? {
            self.rebalance(step)?;
            progress = true;
        }
        let now_ms = self.now_ms();
        if now_ms < self.retry_at_ms {
            std::thread::sleep(idle.min(Duration::from_millis(20)));
            return Ok(progress);
        }
        if !self.to_open.is_empty() && now_ms >= self.open_at_ms {
            progress = true;
            if let Err(error) = self.open_groups() {
                tracing::warn!(worker = self.index, %error, "a task cannot be opened; trying again");
                self.shared.trouble.lock().insert(self.index, error.to_string());
                self.open_at_ms = now_ms + BACKOFF_MS;
            }
        }
        if self.producer.is_none() && !self.tasks.is_empty() {
            self.recover()?;
            progress = true;
        }
        self.stand_still_where_partitions_changed()?;
        progress |= self.advance_restores()?;
        progress |= self.advance_hand_over()?;
        progress |= self.fetch(if progress || self.is_dirty() || self.has_work() {
            Duration::ZERO
        } else {
            idle
        })?;
        let fetched = progress;
        progress |= self.process()?;
        let dry = !fetched && !self.has_work();
        if self.is_dirty() && (dry || self.commit_is_due()) {
            self.commit()?;
            self.weigh_hand_over(dry);
            progress = true;
        }
        self.flush()?;
        self.keep_house();
        let stuck = self.stuck_restore().or_else(|| self.flusher.failure());
        if let Some(stuck) = stuck {
            self.shared.trouble.lock().insert(self.index, stuck);
        } else if self.retry_at_ms <= self.now_ms() && self.to_open.is_empty() {
            self.shared.trouble.lock().remove(&self.index);
        }
        Ok(progress)
    }

    /// After a fault: whatever the open transaction did is in doubt. [`Worker::recover`] finds out what holds.
    fn stumble(&mut self, error: EngineError) {
        let now_ms = self.now_ms();
        let text = error.to_string();
        let before = self.shared.trouble.lock().insert(self.index, text.clone());
        if before.as_ref() != Some(&text) {
            tracing::warn!(worker = self.index, %error, "a fault; the open transaction is dropped");
        }
        if let EngineError::Broker(BrokerError::OffsetOutOfRange { partition, .. }) = &error
            && self.restore_from_start(&partition.clone())
        {
            return;
        }
        self.stop_handing_over();
        self.producer = None;
        self.in_transaction = false;
        self.retry_at_ms = now_ms + BACKOFF_MS;
        self.parts.metrics.resets.inc();
    }

    fn rebalance(&mut self, step: Rebalance) -> Result<(), EngineError> {
        // What was handed over must not be overtaken by what takes the topics from here on.
        if self.is_dirty()
            && !matches!(step, Rebalance::Lost(_))
            && let Err(error) = self.commit()
        {
            self.stumble(error);
        }
        self.stop_handing_over();
        match &step {
            Rebalance::Assigned(partitions) => {
                self.open_at_ms = 0;
                for partition in partitions {
                    self.tell_group(partition.partition, false);
                    self.to_open.insert(partition.partition);
                }
            }
            Rebalance::Revoked(partitions) => {
                for partition in partitions {
                    self.close_group(partition.partition);
                }
            }
            Rebalance::Lost(partitions) => {
                // Their transaction can no longer commit, and it is shared by all tasks of this worker.
                self.producer = None;
                self.in_transaction = false;
                for partition in partitions {
                    self.close_group(partition.partition);
                }
            }
        }
        tracing::info!(worker = self.index, ?step, "rebalanced");
        self.group.complete(&step)?;
        Ok(())
    }

    fn fetch(&mut self, timeout: Duration) -> Result<bool, EngineError> {
        self.resume()?;
        // What waits already is this turn's work; a paused input may wait for a registry that is away, and holds up nobody.
        let inputs = self.tasks.values().flat_map(|slot| &slot.task.inputs);
        let waiting: usize = inputs.filter(|input| !input.paused).map(Input::buffered).sum();
        let room = self.parts.settings.poll_records_max.saturating_sub(waiting) / self.records_per_message;
        self.polled.messages.clear();
        self.polled.ends.clear();
        self.reader.poll(room.max(MESSAGES_MIN), timeout, &mut self.polled)?;
        let mut polled = std::mem::take(&mut self.polled);
        let (messages, mut records) = (polled.messages.len(), 0);
        for message in polled.messages.drain(..) {
            let Some((id, input)) = self.slots.get(message.slot as usize).copied().flatten() else {
                continue;
            };
            let Some(slot) = self.tasks.get_mut(&id) else { continue };
            let number = message.slot;
            records += slot.task.buffer(input, message);
            if !slot.task.inputs[input].paused && slot.task.buffered(input) >= self.parts.settings.buffered_records_max {
                self.reader.pause(number)?;
                slot.task.inputs[input].paused = true;
            }
        }
        for &(number, next) in &polled.ends {
            if let Some((id, input)) = self.slots.get(number as usize).copied().flatten()
                && let Some(slot) = self.tasks.get_mut(&id)
            {
                slot.task.inputs[input].ends_at(next);
            }
        }
        self.polled = polled;
        if let Some(average) = records.checked_div(messages) {
            self.records_per_message = average.max(1);
        }
        Ok(messages > 0)
    }

    /// Fetches paused inputs again of which enough is processed.
    fn resume(&mut self) -> Result<(), EngineError> {
        let enough = self.parts.settings.buffered_records_max / 2;
        for input in self.tasks.values_mut().flat_map(|slot| &mut slot.task.inputs) {
            if let (true, Some(number)) = (input.paused && input.buffered() <= enough, input.slot) {
                self.reader.resume(number)?;
                input.paused = false;
            }
        }
        Ok(())
    }

    fn process(&mut self) -> Result<bool, EngineError> {
        let now_ms = self.now_ms();
        let Some(mut producer) = self.producer.take() else {
            return Ok(false);
        };
        let outcome = self.process_with(producer.as_mut(), now_ms);
        self.producer = Some(producer);
        self.deliver()?;
        outcome
    }

    fn process_with(&mut self, producer: &mut dyn TransactionalProducer, now_ms: i64) -> Result<bool, EngineError> {
        let mut budget = self.parts.settings.poll_records_max;
        let mut progress = false;
        let mut later = None;
        let (hand_over, still) = (&self.hand_over, &self.still);
        let held = |sub: usize| hand_over.holds(sub) || still.contains(&sub);
        let mine = |slot: &&mut Slot| matches!(slot.stage, Stage::Running) && !held(slot.task.id.sub);
        for slot in self.tasks.values_mut().filter(mine) {
            let due = slot.task.next_punctuation_ms().is_some_and(|at| at <= now_ms);
            if !slot.task.has_work() && !due {
                continue;
            }
            if !self.in_transaction {
                producer.begin()?;
                self.in_transaction = true;
                self.transaction_since_ms = now_ms;
            }
            progress |= slot.task.punctuate(producer, now_ms)?;
            while budget > 0 {
                match slot.task.step(producer, now_ms)? {
                    Step::Processed => {}
                    Step::DeadLetter => self.parts.metrics.count_dead_letter(&slot.task.inputs[0].partition.topic),
                    Step::Idle => break,
                    Step::Later(reason) => {
                        later = Some(reason);
                        break;
                    }
                }
                budget -= 1;
                progress = true;
            }
            slot.task.outbox.send_packs(producer)?;
            slot.task.send_changelog(false, producer)?;
        }
        producer.service()?;
        if let Some(reason) = later {
            // The record waits at the head of its input; the others go on.
            self.shared.trouble.lock().insert(self.index, reason);
            self.retry_at_ms = now_ms + BACKOFF_MS;
        }
        Ok(progress)
    }

    pub fn is_dirty(&self) -> bool {
        self.tasks.values().any(|s| s.task.dirty)
    }

    fn has_work(&self) -> bool {
        let mut mine = self.tasks.values().filter(|s| matches!(s.stage, Stage::Running));
        mine.any(|s| !self.hand_over.holds(s.task.id.sub) && s.task.has_work())
    }

    fn commit_is_due(&self) -> bool {
        let records: usize = self.tasks.values().map(|s| s.task.records).sum();
        records >= self.parts.settings.commit_records_max
            || self.now_ms() - self.transaction_since_ms >= self.parts.settings.commit_interval.as_millis() as i64
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        let now_ms = self.now_ms();
        let every_ms = self.parts.settings.flush_interval.as_millis() as i64;
        for (id, slot) in &mut self.tasks {
            if matches!(slot.stage, Stage::Running) && now_ms - slot.flushed_at_ms >= every_ms && !self.flusher.is_busy(*id) {
                slot.flushed_at_ms = now_ms;
                if let Some(job) = slot.task.flush(now_ms) {
                    self.flusher.submit(*id, job)?;
                }
            }
        }
        Ok(())
    }

    /// Tells where the inputs stand.
    fn keep_house(&mut self) {
        let now_ms = self.now_ms();
        if now_ms < self.housekeeping_at_ms {
            return;
        }
        self.housekeeping_at_ms = now_ms + HOUSEKEEPING_MS;
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
                let age_s = status
                    .oldest_waiting_ms
                    .map_or(0.0, |at| (now_ms - at).max(0) as f64 / 1000.0);
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
        if let Some(trouble) = self.reader.trouble() {
            self.shared.trouble.lock().insert(self.index, trouble);
            self.retry_at_ms = self.retry_at_ms.max(now_ms + 1);
        }
        let running = self.tasks.values().filter(|s| matches!(s.stage, Stage::Running)).count();
        metrics.tasks.set(running as i64);
    }

    /// Ends cleanly: commits, writes the state, leaves the group.
    pub fn close(mut self) {
        if self.is_dirty()
            && let Err(error) = self.commit()
        {
            tracing::warn!(worker = self.index, %error, "the last commit failed; its records are processed again");
        }
        let groups: Vec<u32> = self.tasks.keys().map(|id| id.partition).collect();
        for group in groups {
            self.close_group(group);
        }
        if let Err(error) = self.group.leave() {
            tracing::warn!(worker = self.index, %error, "could not leave the group; the others wait for the session to expire");
        }
    }
}
