//! Tasks come and go: open, run, close.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Worker;
use crate::error::EngineError;
use crate::planted::planted;
use crate::runtime::input::Input;
use crate::runtime::shared::Served;
use crate::runtime::task::Task;
use crate::runtime::task_id::TaskId;
use crate::runtime::tasks::Slot;
use crate::runtime::wait::Wait;
use crate::store::Backend;
use clock::Millis;

const CLOSE_BOUND: Duration = Duration::from_secs(20);

impl Worker {
    /// Opens tasks that wait for it, when it is time. Returns whether that was tried.
    pub(super) fn open_wanted(&mut self, now_ms: Millis) -> bool {
        if self.tasks.wanted().is_empty() {
            self.trouble.opening = None;
        }
        if !self.tasks.is_time_to_open(now_ms) {
            return false;
        }
        self.trouble.opening = None;
        if let Err(error) = self.open_groups() {
            tracing::warn!(worker = self.index, %error, "a task cannot be opened; trying again");
            self.trouble.opening = Some(error.to_string());
            self.tasks.open_later(now_ms);
        }
        true
    }

    /// Opens the tasks of the groups that wait for it: partition p of every sub-topology. A group whose disk refuses goes on
    /// waiting, and holds up nobody else.
    fn open_groups(&mut self) -> Result<(), EngineError> {
        let partitions = self.tasks.wanted().iter();
        let ids = partitions.flat_map(|&partition| (0..self.parts.topology.subs.len()).map(move |sub| TaskId { sub, partition }));
        let mine = |id: &TaskId| id.partition < self.parts.plan.tasks[id.sub] && !self.tasks.contains(*id);
        let ids: Vec<TaskId> = ids.filter(mine).collect();
        let mut opened = self.wipe_states();
        for (&id, backend) in ids.iter().zip(self.state.open(&ids)) {
            if self.tasks.is_to_be_wiped(id) {
                continue;
            }
            let result = backend
                .map_err(EngineError::from)
                .and_then(|backend| self.open_task(id, backend));
            opened = opened.and(result);
        }
        // What turned out to be too old is wiped and opened next time.
        for partition in self.tasks.wanted().clone() {
            let misses = |id: &TaskId| id.partition == partition && !self.tasks.contains(*id);
            if !ids.iter().any(misses) || planted("a task that cannot be opened is given up") {
                self.tasks.is_open(partition);
                self.tell_if_runs(partition);
            }
        }
        opened
    }

    /// Removes state that cannot be carried on from.
    fn wipe_states(&mut self) -> Result<(), EngineError> {
        let mut wiped = Ok(());
        for id in self.tasks.take_to_wipe() {
            if let Err(error) = self.state.wipe(id) {
                self.tasks.must_wipe(id);
                wiped = Err(error.into());
            }
        }
        wiped
    }

    fn open_task(&mut self, id: TaskId, backend: Option<Arc<dyn Backend>>) -> Result<(), EngineError> {
        let now_ms = self.now_ms();
        let task = Task::open(&self.parts, id, backend)?;
        if task.had_state() && self.parts.is_too_old(task.valid_at_ms) && !planted("a folder is trusted however old it is") {
            tracing::warn!(task = %task.name, "the state is older than the tombstones of its changelogs; restoring it anew");
            self.tasks.must_wipe(id);
            return Ok(());
        }
        tracing::info!(task = %task.name, changelogs = ?task.changelogs, "opened");
        // Tasks flush one after another over the interval, not all at once: by the golden ratio, however many there are.
        let ahead = self.parts.settings.flush_interval / 1_000 * (id.partition % 1_000 * 618 % 1_000);
        self.tasks.insert(id, Slot::opened(task, now_ms, now_ms - ahead));
        Ok(())
    }

    /// The state is whole: queries may ask it, and its inputs are fetched.
    pub(super) fn run_task(&mut self, id: TaskId, replayed: u64) -> Result<(), EngineError> {
        let now_ms = self.now_ms();
        self.settle_missing_offsets(id, replayed);
        self.assign_inputs(id)?;
        let slot = self.tasks.slot_mut(id);
        slot.run();
        slot.task.restored(now_ms);
        let took = now_ms.since(slot.assigned_at_ms);
        self.parts.metrics.restore_duration.observe(took.as_secs_f64());
        tracing::info!(task = %slot.task.name, replayed, took_ms = took.as_millis() as u64, "running");
        let unlogged = slot.task.unlogged();
        if !unlogged.is_empty() && slot.task.inputs.iter().any(|input| input.committed.log.is_some()) {
            tracing::info!(task = %slot.task.name, stores = ?unlogged, "stores without a changelog begin empty again");
            self.parts.metrics.stores_emptied.inc_by(unlogged.len() as u64);
        }
        if self.shared.shows_group(id.partition, self.index) {
            self.serve(id);
        }
        self.tell_if_runs(id.partition);
        Ok(())
    }

    /// Queries may ask a task's state.
    fn serve(&self, id: TaskId) {
        let task = &self.tasks.slot(id).task;
        let position = task.position.clone();
        let mut served = self.shared.served.write();
        for (store, view) in task.views() {
            served.insert(
                (store, id.partition),
                Served {
                    view,
                    position: position.clone(),
                    lease: self.lease.clone(),
                },
            );
        }
    }

    /// Shows this worker's groups again that are shown as nobody's: another of this instance was given one, heard of it only after it had
    /// lost it again, and took it off.
    pub(super) fn show_groups_again(&self) {
        let groups = self.shared.groups.lock();
        let mine = self.tasks.iter().map(|(id, _)| id.partition);
        let mine = mine.chain(self.tasks.wanted().iter().copied());
        let hidden: BTreeSet<u32> = mine.filter(|partition| !groups.contains_key(partition)).collect();
        drop(groups);
        for partition in hidden {
            self.shared.take_group(partition, self.index);
            let running = self.tasks.of_group(partition).filter(|(_, slot)| slot.runs());
            running.for_each(|(id, _)| self.serve(id));
            self.tell_if_runs(partition);
        }
    }

    /// Says that a task group runs, if all of its tasks do. It may have none: where sub-topologies differ in their partitions, or
    /// the topic of the groups has more than any.
    fn tell_if_runs(&self, partition: u32) {
        let mut tasks = self.tasks.of_group(partition);
        if !self.tasks.wanted().contains(&partition) && tasks.all(|(_, slot)| slot.runs()) {
            self.shared.tell_group(partition, self.index, true);
        }
    }

    /// Fetches a task's inputs from where the group stands.
    pub(super) fn assign_inputs(&mut self, id: TaskId) -> Result<(), EngineError> {
        let slot = self.tasks.slot_mut(id);
        self.inputs.unassign(&mut slot.task)?;
        if self.still.contains(&id.sub) || slot.wait.as_ref().is_some_and(Wait::is_for_all_inputs) {
            slot.task.inputs.iter_mut().for_each(Input::rewind);
            return Ok(());
        }
        self.inputs.assign(id, &mut slot.task, &self.parts.topology)
    }

    /// Closes the tasks of a group; what is committed goes to the backend, what is not is forgotten.
    pub(super) fn close_group(&mut self, partition: u32) {
        self.shared.leave_group(partition, self.index);
        self.tasks.want_no_more(partition);
        self.begun.forget(partition);
        for id in self.tasks.ids(|id, _| id.partition == partition) {
            self.close_task(id);
        }
    }

    fn close_task(&mut self, id: TaskId) {
        self.at_fault.forget(id);
        let Some(mut slot) = self.tasks.remove(id) else { return };
        let position = slot.task.position.clone();
        let mut served = self.shared.served.write();
        served.retain(|_, served| !Arc::ptr_eq(&served.position, &position));
        drop(served);
        if let Err(error) = self.inputs.unassign(&mut slot.task) {
            tracing::warn!(%error, "an input could not be let go");
        }
        let mut inputs = self.shared.inputs.lock();
        for input in &slot.task.inputs {
            inputs.remove(&input.partition);
            // A task that moved away must not leave its last lag behind.
            self.parts
                .metrics
                .forget_input(self.parts.topology.application(), &input.partition);
        }
        drop(inputs);
        if !self.flusher.wait(id, CLOSE_BOUND) {
            tracing::error!(task = %slot.task.name, "its state could not be written in time; the changelog has it");
            return;
        }
        if slot.runs()
            && let Some(job) = slot.task.flush()
            && let Err(error) = job.run()
        {
            tracing::error!(task = %slot.task.name, %error, "its state could not be written; the changelog has it");
        }
        tracing::info!(task = %slot.task.name, "closed");
    }

    /// Closes a task, to be opened again from what is in its backend: at once, and as often as it takes.
    pub(super) fn reopen(&mut self, id: TaskId) {
        self.shared.tell_group(id.partition, self.index, false);
        self.close_task(id);
        self.tasks.want(id.partition);
    }

    /// Closes a task that is being restored, to be opened without what is in its backend.
    pub(super) fn restore_anew(&mut self, id: TaskId) {
        self.reopen(id);
        self.tasks.must_wipe(id);
    }
}
