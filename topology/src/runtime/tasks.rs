//! A worker's tasks: which it is to have, which it has, and how far each is on its way to run.
//!
//! ```text
//!   wanted ──its database opens──► Opened ──the group says where it stands──► Restoring ──all changelogs replayed──► Running
//!      ▲                             │                                            │                                    │
//!      └──────── closed: a fault, state that cannot be carried on from ───────────┴────────────────────────────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::time::Duration;

use broker::TransactionalProducer;
use clock::Millis;

use super::Metrics;
use super::at_fault::AtFault;
use super::state::{Outcome, Replay, Restore};
use super::task::{Step, Task};
use super::task_id::TaskId;
use super::transaction::Transaction;
use super::wait::Wait;
use crate::error::EngineError;

/// How long a task waits before it tries again what has failed for a moment.
pub(super) const BACKOFF: Duration = Duration::from_millis(250);

enum Stage {
    /// Opened; the group's offsets are still to be asked.
    Opened,
    /// Its changelogs are being replayed.
    Restoring(Replay<Restore>),
    Running,
}

/// A task and how far it is on its way to run.
pub(crate) struct Slot {
    pub task: Task,
    stage: Stage,
    /// It does not process, and its state answers.
    pub wait: Option<Wait>,
    pub assigned_at_ms: Millis,
    pub flushed_at_ms: Millis,
}

/// What a task is driven with.
pub(crate) struct Drive<'a> {
    pub producer: &'a mut dyn TransactionalProducer,
    pub transaction: &'a mut Transaction,
    pub at_fault: &'a AtFault,
    pub metrics: &'a Metrics,
    pub now_ms: Millis,
}

/// Why a task is driven no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driven {
    /// It was to go on no longer.
    Enough,
    /// Nothing waits that could be processed now.
    Idle,
    /// The record in front waits, and with it the task.
    Waits,
}

impl Slot {
    /// A task that was opened.
    pub fn opened(task: Task, now_ms: Millis, flushed_at_ms: Millis) -> Self {
        Self {
            task,
            stage: Stage::Opened,
            wait: None,
            assigned_at_ms: now_ms,
            flushed_at_ms,
        }
    }

    pub fn is_opened(&self) -> bool {
        matches!(self.stage, Stage::Opened)
    }

    pub fn runs(&self) -> bool {
        matches!(self.stage, Stage::Running)
    }

    /// The replay of its changelogs, while it lasts.
    pub fn restore(&self) -> Option<&Replay<Restore>> {
        match &self.stage {
            Stage::Restoring(replay) => Some(replay),
            _ => None,
        }
    }

    /// Opened → Restoring.
    pub fn begin_restore(&mut self, replay: Replay<Restore>) {
        assert!(self.is_opened(), "{} restores, and was not just opened", self.task.name);
        self.wait = None;
        self.stage = Stage::Restoring(replay);
    }

    /// How the replay of its changelogs ended, if it just has. A task whose replay is done has its stores back; where it is not, the task is
    /// to be closed.
    pub fn end_restore(&mut self) -> Option<Restored> {
        let outcome = self.restore()?.outcome()?;
        let Stage::Restoring(replay) = std::mem::replace(&mut self.stage, Stage::Opened) else {
            unreachable!("it was looked at above");
        };
        Some(match outcome {
            Outcome::Done => Restored::Done(self.task.end_restore(replay.take_back())),
            Outcome::OutOfRange(partition) => {
                tracing::warn!(
                    task = %self.task.name,
                    %partition,
                    "the changelog no longer has the position of the state; restoring from its start"
                );
                Restored::Anew
            }
            Outcome::Failed(error) => Restored::Failed(error),
        })
    }

    /// Opened, with its stores back → Running.
    pub fn run(&mut self) {
        assert!(self.is_opened(), "{} runs already, or restores", self.task.name);
        self.stage = Stage::Running;
    }

    /// Whether it may process now.
    pub fn may_process(&self, now_ms: Millis) -> bool {
        self.runs() && self.wait.as_ref().is_none_or(|wait| wait.may_try(now_ms))
    }

    /// Processes waiting records, one after another, while `goes_on` says so after each.
    pub fn drive(
        &mut self,
        with: Drive<'_>,
        mut goes_on: impl FnMut(&Task, &mut Transaction) -> bool,
    ) -> Result<Driven, EngineError> {
        loop {
            match self.task.step(with.producer, with.now_ms, with.at_fault, with.transaction)? {
                Step::Processed => {}
                Step::DeadLetter(topic) => with.metrics.count_dead_letter(&topic),
                Step::Idle => return Ok(Driven::Idle),
                Step::Later(reason) => {
                    // The record waits at the head of its input; the other tasks go on.
                    self.wait = Some(Wait::transient(reason, with.now_ms + BACKOFF));
                    return Ok(Driven::Waits);
                }
            }
            self.wait = None;
            if !goes_on(&self.task, with.transaction) {
                return Ok(Driven::Enough);
            }
        }
    }
}

/// How a restore ended.
pub(crate) enum Restored {
    /// The task has its stores back; so many records were replayed.
    Done(u64),
    /// What its database has cannot be carried on from.
    Anew,
    /// It is to be tried again from where the database stands.
    Failed(EngineError),
}

/// The tasks of a worker.
#[derive(Default)]
pub(crate) struct TaskRegistry {
    slots: BTreeMap<TaskId, Slot>,
    /// Groups that are this worker's, but whose tasks are not all open yet: a disk that refuses holds up nobody else.
    wanted: BTreeSet<u32>,
    open_at_ms: Millis,
    /// Tasks whose state is to be restored from the start of its changelogs when they are opened next.
    to_wipe: BTreeSet<TaskId>,
}

impl TaskRegistry {
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn contains(&self, id: TaskId) -> bool {
        self.slots.contains_key(&id)
    }

    pub fn get(&self, id: TaskId) -> Option<&Slot> {
        self.slots.get(&id)
    }

    pub fn get_mut(&mut self, id: TaskId) -> Option<&mut Slot> {
        self.slots.get_mut(&id)
    }

    /// A task that the caller knows to be here.
    pub fn slot(&self, id: TaskId) -> &Slot {
        self.slots.get(&id).expect("the caller has it from here")
    }

    /// The same, to be changed.
    pub fn slot_mut(&mut self, id: TaskId) -> &mut Slot {
        self.slots.get_mut(&id).expect("the caller has it from here")
    }

    pub fn iter(&self) -> btree_map::Iter<'_, TaskId, Slot> {
        self.slots.iter()
    }

    pub fn iter_mut(&mut self) -> btree_map::IterMut<'_, TaskId, Slot> {
        self.slots.iter_mut()
    }

    pub fn values(&self) -> btree_map::Values<'_, TaskId, Slot> {
        self.slots.values()
    }

    pub fn values_mut(&mut self) -> btree_map::ValuesMut<'_, TaskId, Slot> {
        self.slots.values_mut()
    }

    /// The tasks that are like that.
    pub fn ids(&self, are: impl Fn(TaskId, &Slot) -> bool) -> Vec<TaskId> {
        let ids = self.slots.iter().filter(|(id, slot)| are(**id, slot));
        ids.map(|(id, _)| *id).collect()
    }

    pub fn of_group(&self, group: u32) -> impl Iterator<Item = (TaskId, &Slot)> {
        let mine = self.slots.iter().filter(move |(id, _)| id.partition == group);
        mine.map(|(id, slot)| (*id, slot))
    }

    /// Whether the open transaction holds anything of a task.
    pub fn is_dirty(&self) -> bool {
        self.slots.values().any(|slot| slot.task.dirty)
    }

    pub fn insert(&mut self, id: TaskId, slot: Slot) {
        self.slots.insert(id, slot);
    }

    pub fn remove(&mut self, id: TaskId) -> Option<Slot> {
        self.slots.remove(&id)
    }

    /// The tasks of a group are to be opened, at once.
    pub fn want(&mut self, group: u32) {
        self.wanted.insert(group);
        self.open_at_ms = Millis::MIN;
    }

    /// They are another's.
    pub fn want_no_more(&mut self, group: u32) {
        self.wanted.remove(&group);
        self.to_wipe.retain(|id| id.partition != group);
    }

    /// Groups with tasks that are still to be opened.
    pub fn wanted(&self) -> &BTreeSet<u32> {
        &self.wanted
    }

    /// Whether tasks are to be opened now.
    pub fn is_time_to_open(&self, now_ms: Millis) -> bool {
        !self.wanted.is_empty() && now_ms >= self.open_at_ms
    }

    /// Nothing more is opened for a moment.
    pub fn open_later(&mut self, now_ms: Millis) {
        self.open_at_ms = now_ms + BACKOFF;
    }

    /// All tasks of this group are open.
    pub fn is_open(&mut self, group: u32) {
        self.wanted.remove(&group);
    }

    /// What the database of a task has cannot be carried on from.
    pub fn must_wipe(&mut self, id: TaskId) {
        self.to_wipe.insert(id);
    }

    pub fn is_to_be_wiped(&self, id: TaskId) -> bool {
        self.to_wipe.contains(&id)
    }

    /// Takes the tasks whose state is to be wiped.
    pub fn take_to_wipe(&mut self) -> BTreeSet<TaskId> {
        std::mem::take(&mut self.to_wipe)
    }
}
