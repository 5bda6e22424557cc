//! A worker's turn: rebalance, fetch, process, commit, flush.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker::{Broker, BrokerError, Group, GroupOptions, Lease, Polled, Reader, Rebalance, TopicPartition, TransactionalProducer};
use wire::Registry;

use super::at_fault::{AtFault, RecordId};
use super::begun::Begun;
use super::flusher::Flusher;
use super::handover::HandOver;
use super::input::Input;
use super::shared::{Served, Shared};
use super::task::{Step, Task, TaskId};
use super::trouble::{Trouble, Wait};
use super::{EngineSettings, Metrics};
use crate::clock::Clock;
use crate::error::EngineError;
use crate::graph::Topology;
use crate::planted::planted;
use crate::store::Backends;

/// A task and how far it is on its way to run.
pub(crate) enum Stage {
    /// Opened; the group's offsets are still to be asked.
    Opened,
    /// Changelogs are being replayed: slot of the restore reader by store, until each one's end is reached.
    Restoring {
        left: Vec<(u32, usize)>,
        moved_at_ms: i64,
        /// Records so far.
        replayed: u64,
    },
    Running,
}

pub(crate) struct Slot {
    pub task: Task,
    pub stage: Stage,
    /// It does not process, and its state answers.
    pub wait: Option<Wait>,
    pub assigned_at_ms: i64,
    pub flushed_at_ms: i64,
}

impl Slot {
    pub fn runs(&self) -> bool {
        matches!(self.stage, Stage::Running)
    }

    /// Whether it may process now.
    pub fn may_process(&self, now_ms: i64) -> bool {
        self.runs() && self.wait.as_ref().is_none_or(|wait| wait.may_try(now_ms))
    }
}

/// The transaction that is open at the broker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenTransaction {
    pub since_ms: i64,
    /// Input records in it, and the first of them.
    pub records: usize,
    pub first: Option<RecordId>,
    /// A punctuator has written in it.
    pub punctuated: bool,
    /// It is to be committed before anything else is processed.
    pub is_full: bool,
}

impl OpenTransaction {
    pub fn begun(since_ms: i64) -> Self {
        Self {
            since_ms,
            records: 0,
            first: None,
            punctuated: false,
            is_full: false,
        }
    }

    /// Whether nothing has written in it.
    pub fn is_empty(&self) -> bool {
        self.records == 0 && !self.punctuated
    }

    /// Whether this record alone has written in it.
    pub fn holds_only(&self, record: RecordId) -> bool {
        !self.punctuated && (self.records == 0 || (self.records == 1 && self.first == Some(record)))
    }
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
    /// For how long the changelogs keep the tombstones of deleted keys: state that is older cannot be carried on from.
    pub tombstone_retention: Duration,
    /// Ids of the topics that are read, where the broker gives them.
    pub topic_ids: Arc<BTreeMap<&'static str, String>>,
}

pub(crate) struct Worker {
    pub index: usize,
    pub parts: Parts,
    pub shared: Arc<Shared>,
    pub group: Box<dyn Group>,
    /// What is answered from its tasks' state is only answered while this holds.
    pub lease: Arc<Lease>,
    pub reader: Box<dyn Reader>,
    pub restorer: Box<dyn Reader>,
    pub producer: Option<Box<dyn TransactionalProducer>>,
    pub transaction: Option<OpenTransaction>,
    /// The mark of a transaction whose commit was tried, and is not known to have succeeded.
    pub in_doubt: Option<String>,
    /// A punctuator wrote in the last transaction.
    pub was_punctuated: bool,
    /// What tells this worker's marks from those of any other, and of earlier runs.
    pub run: u32,
    pub transactions: u64,
    /// A reader could not take on a partition, or let it go.
    pub readers_in_doubt: bool,
    pub at_fault: AtFault,
    pub flusher: Flusher,
    pub tasks: BTreeMap<TaskId, Slot>,
    /// Input slot of the reader → task and input.
    pub slots: Vec<Option<(TaskId, usize)>>,
    pub polled: Polled,
    /// As the last fetch had it: a message may be a pack of records.
    pub records_per_message: usize,
    pub trouble: Trouble,
    pub housekeeping_at_ms: i64,
    /// When all offsets are committed again, moved or not.
    pub refresh_at_ms: i64,
    /// Groups that are this worker's, but whose tasks are not open yet: a disk that refuses holds up nobody else.
    pub to_open: BTreeSet<u32>,
    pub open_at_ms: i64,
    /// Tasks whose state is to be restored from the start of its changelogs when they are opened next.
    pub to_wipe: BTreeSet<TaskId>,
    /// By group: which inputs were begun, where the group has lost an offset or never had one.
    pub begun: BTreeMap<u32, Begun>,
    /// Inputs of which this worker has written that they are begun.
    pub recorded: HashSet<TopicPartition>,
    pub hand_over: HandOver,
    /// Sub-topologies that stand still until a restart.
    pub still: BTreeSet<usize>,
}

const IDLE_POLL: Duration = Duration::from_millis(50);
/// A third of the time after which the broker ends a transaction.
const TRANSACTION_MAX: Duration = Duration::from_secs(5);
/// A fetch asks for at least so many messages.
const MESSAGES_MIN: usize = 16;
pub(super) const BACKOFF_MS: i64 = 250;

fn client_id(parts: &Parts, index: usize) -> String {
    format!("{}-{}-{index}", parts.topology.application(), parts.settings.instance)
}

impl Worker {
    pub fn new(index: usize, parts: Parts, shared: Arc<Shared>, flusher: Flusher) -> Result<Self, EngineError> {
        let application = parts.topology.application().to_owned();
        let client = client_id(&parts, index);
        let mut group = parts.broker.group(GroupOptions {
            group: application,
            topics: vec![parts.topology.tasks_topic()],
            client_id: client.clone(),
            // A member that comes back under its name has its groups at once, without the others sharing anew. So it takes another
            // name when there are more to share.
            member: Some(format!("{client}-of-{}", parts.groups)),
            session_timeout: parts.settings.session_timeout,
        })?;
        let lease = group.lease()?;
        let reader = parts.broker.reader(&client)?;
        let restorer = parts.broker.reader(&format!("{client}-restore"))?;
        let hand_over = HandOver::new(&parts.topology);
        Ok(Self {
            index,
            parts,
            shared,
            group,
            lease,
            reader,
            restorer,
            producer: None,
            transaction: None,
            in_doubt: None,
            was_punctuated: false,
            run: uuid::Uuid::new_v4().as_fields().0,
            transactions: 0,
            readers_in_doubt: false,
            at_fault: AtFault::default(),
            flusher,
            tasks: BTreeMap::new(),
            slots: Vec::new(),
            polled: Polled::default(),
            records_per_message: 1,
            trouble: Trouble::default(),
            housekeeping_at_ms: 0,
            refresh_at_ms: i64::MIN,
            to_open: BTreeSet::new(),
            open_at_ms: 0,
            to_wipe: BTreeSet::new(),
            begun: BTreeMap::new(),
            recorded: HashSet::new(),
            hand_over,
            still: BTreeSet::new(),
        })
    }

    pub fn client_id(&self) -> String {
        client_id(&self.parts, self.index)
    }

    pub fn now_ms(&self) -> i64 {
        self.parts.clock.now_ms()
    }

    /// One turn. `idle` bounds how long it waits when there is nothing to do. Returns whether it got anything done.
    pub fn turn(&mut self, idle: Duration) -> bool {
        let progress = match self.try_turn(idle.min(IDLE_POLL)) {
            Ok(progress) => progress,
            Err(error) => {
                self.stumble(error);
                false
            }
        };
        self.report();
        progress
    }

    fn try_turn(&mut self, idle: Duration) -> Result<bool, EngineError> {
        let mut progress = false;
        if let Some(step) = self.group.poll(Duration::ZERO)? {
            self.rebalance(step)?;
            progress = true;
        }
        let now_ms = self.now_ms();
        if now_ms < self.trouble.retry_at_ms {
            std::thread::sleep(idle.min(Duration::from_millis(20)));
            return Ok(progress);
        }
        if self.to_open.is_empty() {
            self.trouble.opening = None;
        } else if now_ms >= self.open_at_ms {
            progress = true;
            self.trouble.opening = None;
            if let Err(error) = self.open_groups() {
                tracing::warn!(worker = self.index, %error, "a task cannot be opened; trying again");
                self.trouble.opening = Some(error.to_string());
                self.open_at_ms = now_ms + BACKOFF_MS;
            }
        }
        if (self.producer.is_none() || self.readers_in_doubt) && !self.tasks.is_empty() {
            self.recover()?;
            progress = true;
        }
        self.stand_still_where_partitions_changed()?;
        progress |= self.end_waits()?;
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
        self.refresh_offsets()?;
        self.flush()?;
        self.keep_house();
        self.trouble.turn = None;
        Ok(progress)
    }

    fn rebalance(&mut self, step: Rebalance) -> Result<(), EngineError> {
        // What was handed over must not be overtaken by what takes the topics from here on.
        if self.is_dirty()
            && !matches!(step, Rebalance::Lost(_))
            && !planted("a task moves without a commit")
            && let Err(error) = self.commit()
        {
            self.stumble(error);
        }
        self.stop_handing_over();
        match &step {
            Rebalance::Assigned(partitions) => {
                self.open_at_ms = 0;
                for partition in partitions {
                    self.take_group(partition.partition);
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
                if !planted("a zombie keeps its transaction") {
                    self.producer = None;
                    self.transaction = None;
                }
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
        match self.reader.poll(room.max(MESSAGES_MIN), timeout, &mut self.polled) {
            Err(BrokerError::OffsetOutOfRange { partition, offset }) => {
                self.wait_for_offset(&partition, offset)?;
                return Ok(true);
            }
            polled => polled?,
        }
        let mut polled = std::mem::take(&mut self.polled);
        let (messages, mut records) = (polled.messages.len(), 0);
        for message in polled.messages.drain(..) {
            let Some((id, input)) = self.slots.get(message.slot as usize).copied().flatten() else {
                continue;
            };
            let Some(slot) = self.tasks.get_mut(&id) else { continue };
            let number = message.slot;
            slot.wait = slot.wait.take().filter(|wait| !wait.is_for_input(input));
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
                slot.wait = slot.wait.take().filter(|wait| !wait.is_for_input(input));
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
        let commit_every_ms = self.commit_every_ms();
        let unflushed_max = self.parts.settings.unflushed_keys_max;
        let (hand_over, still) = (&self.hand_over, &self.still);
        let held = |sub: usize| hand_over.holds(sub) || still.contains(&sub);
        let mine = |slot: &&mut Slot| slot.may_process(now_ms) && !held(slot.task.id.sub);
        for slot in self.tasks.values_mut().filter(mine) {
            let due = slot.task.next_punctuation_ms().is_some_and(|at| at <= now_ms);
            if !slot.task.has_work() && !due {
                // What it waited for went another way: to its topic, or with its transaction.
                slot.wait = None;
                continue;
            }
            let is_stuck = slot.task.unflushed() > unflushed_max && self.flusher.is_busy(slot.task.id);
            if is_stuck && !slot.task.has_handed() {
                self.trouble.unflushed = Some(slot.task.name.clone());
                continue;
            }
            if self.transaction.is_none() {
                producer.begin()?;
                self.transaction = Some(OpenTransaction::begun(now_ms));
            }
            let transaction = self.transaction.get_or_insert_with(|| OpenTransaction::begun(now_ms));
            if transaction.is_empty() {
                // Begun for a timer that wrote nothing, perhaps long ago.
                transaction.since_ms = now_ms;
            }
            // While a culprit is looked for, a timer has a transaction for itself, and no two in a row.
            let is_quiet = self.at_fault.is_quiet();
            if due && !transaction.is_full && (is_quiet || !self.was_punctuated) {
                let before = std::mem::replace(&mut transaction.punctuated, true);
                let wrote = slot.task.punctuate(producer, now_ms)?;
                transaction.punctuated = before || wrote;
                transaction.is_full |= wrote && !is_quiet;
                progress |= wrote;
            }
            while budget > 0 && !transaction.is_full {
                match slot.task.step(producer, now_ms, &self.at_fault, transaction)? {
                    Step::Processed => {}
                    Step::DeadLetter => self.parts.metrics.count_dead_letter(&slot.task.inputs[0].partition.topic),
                    Step::Idle => break,
                    Step::Later(reason) => {
                        // The record waits at the head of its input; the other tasks go on.
                        slot.wait = Some(Wait::transient(reason, now_ms + BACKOFF_MS));
                        break;
                    }
                }
                slot.wait = None;
                budget -= 1;
                progress = true;
                // By time as well as by number, or slow processors would outlast what the broker allows a transaction.
                transaction.is_full |= self.at_fault.records_max().is_some_and(|max| transaction.records >= max)
                    || self.parts.clock.now_ms() - transaction.since_ms >= commit_every_ms;
            }
            slot.task.outbox.send_packs(producer)?;
            slot.task.send_changelog(false, producer)?;
        }
        producer.service()?;
        Ok(progress)
    }

    pub fn is_dirty(&self) -> bool {
        self.tasks.values().any(|s| s.task.dirty)
    }

    fn has_work(&self) -> bool {
        let now_ms = self.now_ms();
        let mut mine = self.tasks.values().filter(|slot| slot.may_process(now_ms));
        mine.any(|s| !self.hand_over.holds(s.task.id.sub) && s.task.has_work())
    }

    /// After how long a transaction is committed, in milliseconds: well before the broker would end it.
    fn commit_every_ms(&self) -> i64 {
        let interval = self.parts.settings.commit_interval;
        interval.min(TRANSACTION_MAX).as_millis() as i64
    }

    fn commit_is_due(&self) -> bool {
        self.transaction.is_some_and(|transaction| {
            transaction.is_full
                || transaction.records >= self.parts.settings.commit_records_max
                || self.now_ms() - transaction.since_ms >= self.commit_every_ms()
        })
    }

    /// Ends cleanly: commits, writes the state, leaves the group unless it is back soon.
    pub fn close(mut self) {
        if self.is_dirty()
            && let Err(error) = self.commit()
        {
            tracing::warn!(worker = self.index, %error, "the last commit failed; its records are processed again");
        }
        // Those without a task, too.
        let mut groups: Vec<u32> = self.group.assignment().iter().map(|place| place.partition).collect();
        groups.extend(self.tasks.keys().map(|id| id.partition));
        for group in groups {
            self.close_group(group);
        }
        if self.shared.returns.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = self.group.leave() {
            tracing::warn!(worker = self.index, %error, "could not leave the group; the others wait for the session to expire");
        }
        self.abandon();
    }

    /// Lets go of all that it has as a process that is killed would: nothing of it is served, and nothing is written.
    pub fn abandon(&self) {
        self.shared.groups.lock().retain(|_, owned| owned.worker != self.index);
        self.shared.trouble.lock().remove(&self.index);
        let is_its = |served: &Served| {
            let mut tasks = self.tasks.values();
            tasks.any(|slot| Arc::ptr_eq(&slot.task.position, &served.position))
        };
        self.shared.served.write().retain(|_, served| !is_its(served));
        let mut inputs = self.shared.inputs.lock();
        for input in self.tasks.values().flat_map(|slot| &slot.task.inputs) {
            inputs.remove(&input.partition);
        }
    }
}
