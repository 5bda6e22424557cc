//! A worker's turn: rebalance, fetch, process, commit, flush.

mod assignment;
mod commit;
mod process;
mod replan;
mod restore;
mod trouble;
mod upkeep;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker::{Group, GroupOptions, Lease, Rebalance};
use clock::Millis;

use super::at_fault::AtFault;
use super::handover::HandOver;
use super::inputs::{Fetched, InputReader};
use super::lifecycle::WorkerState;
use super::parts::Parts;
use super::shared::{Served, Shared};
use super::state::{BegunInputs, Flusher, StateManager};
use super::tasks::{Slot, TaskRegistry};
use super::transaction::Transactions;
use super::trouble::Trouble;
use crate::error::EngineError;
use crate::planted::planted;

pub(crate) struct Worker {
    index: usize,
    parts: Parts,
    shared: Arc<Shared>,
    state: Arc<StateManager>,
    group: Box<dyn Group>,
    /// What is answered from its tasks' state is only answered while this holds.
    lease: Arc<Lease>,
    tasks: TaskRegistry,
    inputs: InputReader,
    transactions: Transactions,
    hand_over: HandOver,
    begun: BegunInputs,
    at_fault: AtFault,
    flusher: Flusher,
    trouble: Trouble,
    report_at_ms: Millis,
    /// When all offsets are committed again, moved or not.
    refresh_at_ms: Millis,
    /// How often in a row the group has not said where its tasks stand.
    offsets_refused: u32,
    /// Sub-topologies that stand still until a restart.
    still: BTreeSet<usize>,
}

const IDLE_POLL: Duration = Duration::from_millis(50);
/// While records wait for an input that is empty: that an open transaction hides what comes there ends no poll.
const IDLE_POLL_MIN: Duration = Duration::from_millis(5);

impl Worker {
    /// A member of the group, without a task yet.
    pub fn new(
        index: usize,
        parts: Parts,
        shared: Arc<Shared>,
        state: Arc<StateManager>,
        flusher: Flusher,
    ) -> Result<Self, EngineError> {
        let application = parts.topology.application().to_owned();
        let client = parts.client_id(index);
        let mut group = parts.broker.group(GroupOptions {
            group: application,
            topics: vec![parts.topology.tasks_topic()],
            client_id: client.clone(),
            // A member that comes back under its name has its groups at once, without the others sharing anew. So it takes another
            // name when there are more to share.
            member: Some(format!("{client}-of-{}", parts.plan.groups)),
            session_timeout: parts.settings.session_timeout,
        })?;
        let lease = group.lease()?;
        let inputs = InputReader::new(parts.broker.reader(&client)?);
        let hand_over = HandOver::new(&parts.topology);
        Ok(Self {
            index,
            parts,
            shared,
            state,
            group,
            lease,
            tasks: TaskRegistry::default(),
            inputs,
            transactions: Transactions::new(),
            hand_over,
            begun: BegunInputs::default(),
            at_fault: AtFault::default(),
            flusher,
            trouble: Trouble::default(),
            report_at_ms: Millis::MIN,
            refresh_at_ms: Millis::MIN,
            offsets_refused: 0,
            still: BTreeSet::new(),
        })
    }

    /// Whether it has tasks, rightly or not.
    pub fn has_tasks(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// How it is: it runs once it is a member of its group, and all of its tasks run.
    pub fn state(&self) -> WorkerState {
        let all_run = self.tasks.wanted().is_empty() && self.tasks.values().all(Slot::runs);
        if all_run && self.lease.holds() {
            WorkerState::Running
        } else {
            WorkerState::Rebalancing
        }
    }

    fn now_ms(&self) -> Millis {
        self.parts.clock.now_ms()
    }

    /// One turn. `idle` bounds how long it waits when there is nothing to do. Returns whether it got anything done.
    pub fn turn(&mut self, idle: Duration) -> bool {
        let progress = match self.try_turn(idle.min(IDLE_POLL)) {
            Ok(progress) => progress,
            Err(error) => {
                self.reset(error);
                false
            }
        };
        self.report_trouble();
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
        progress |= self.open_wanted(now_ms);
        if (!self.transactions.has_producer() || self.inputs.is_in_doubt()) && !self.tasks.is_empty() {
            self.recover()?;
            progress = true;
        }
        self.stand_still_where_partitions_changed()?;
        self.take_plan_over()?;
        progress |= self.end_waits()?;
        progress |= self.advance_restores()?;
        progress |= self.advance_hand_over()?;
        // What was handed over and waits for another input keeps its transaction open: for as long as one lasts.
        let is_dry = |worker: &Self| !worker.has_work() && !worker.idles_with_handed();
        let has_more = self.tasks.is_dirty() && is_dry(self) || self.has_work();
        progress |= self.fetch(match (progress || has_more, self.idles()) {
            (true, _) => Duration::ZERO,
            (false, true) => idle.min(IDLE_POLL_MIN),
            (false, false) => idle,
        })?;
        let fetched = progress;
        progress |= self.process()?;
        let dry = !fetched && is_dry(self);
        if self.tasks.is_dirty() && (dry || self.commit_is_due()) {
            self.commit()?;
            self.hand_over.weigh(dry, &mut self.tasks, now_ms);
            progress = true;
        }
        self.refresh_offsets()?;
        self.flush()?;
        self.report_inputs();
        self.trouble.turn = None;
        Ok(progress)
    }

    fn rebalance(&mut self, step: Rebalance) -> Result<(), EngineError> {
        // What was handed over must not be overtaken by what takes the topics from here on.
        if self.tasks.is_dirty()
            && !matches!(step, Rebalance::Lost(_))
            && !planted("a task moves without a commit")
            && let Err(error) = self.commit()
        {
            self.reset(error);
        }
        self.hand_over.stop(&mut self.tasks);
        match &step {
            Rebalance::Assigned(partitions) => {
                for partition in partitions {
                    self.shared.take_group(partition.partition, self.index);
                    self.tasks.want(partition.partition);
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
                    self.transactions.abandon();
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
        match self.inputs.fetch(&mut self.tasks, &self.parts, timeout)? {
            Fetched::Nothing => Ok(false),
            Fetched::Records => Ok(true),
            Fetched::OutOfRange { partition, offset } => {
                self.wait_for_offset(&partition, offset)?;
                Ok(true)
            }
        }
    }

    /// Lets go of the inputs of sub-topologies that must stand still; what is processed of them is committed.
    fn stand_still_where_partitions_changed(&mut self) -> Result<(), EngineError> {
        let count = self.shared.still_count();
        if count == self.still.len() || (!self.transactions.has_producer() && !self.tasks.is_empty()) {
            return Ok(());
        }
        if self.tasks.is_dirty() {
            self.commit()?;
        }
        self.hand_over.stop(&mut self.tasks);
        self.still = self.shared.still.lock().keys().copied().collect();
        for id in self.tasks.ids(|id, _| self.still.contains(&id.sub)) {
            self.assign_inputs(id)?;
        }
        Ok(())
    }

    /// Ends cleanly: commits, writes the state, leaves the group unless it is back soon.
    pub fn close(mut self) {
        if self.tasks.is_dirty()
            && let Err(error) = self.commit()
        {
            tracing::warn!(worker = self.index, %error, "the last commit failed; its records are processed again");
        }
        // Those without a task, too.
        let mut groups: Vec<u32> = self.group.assignment().iter().map(|place| place.partition).collect();
        groups.extend(self.tasks.iter().map(|(id, _)| id.partition));
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
