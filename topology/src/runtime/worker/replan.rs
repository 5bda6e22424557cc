//! Other topics are read from now on.

use super::Worker;
use crate::error::EngineError;
use crate::runtime::task_id::TaskId;

impl Worker {
    /// Takes the newest plan over, if it has another one. What is processed is committed, and the tasks whose inputs change are opened anew from
    /// where they stand; the others go on.
    pub(super) fn take_plan_over(&mut self) -> Result<(), EngineError> {
        let is_in_doubt = !self.transactions.has_producer() && !self.tasks.is_empty();
        if self.shared.plans.number() <= self.parts.plan.number || is_in_doubt {
            return Ok(());
        }
        if self.tasks.is_dirty() {
            self.commit()?;
        }
        // Tasks come and go.
        self.hand_over.stop(&mut self.tasks);
        let plan = self.shared.plans.newest(&self.parts.plan);
        let before = std::mem::replace(&mut self.parts.plan, plan);
        let changes = |sub: usize| !self.parts.plan.reads_the_same(&before, sub);
        let changed: Vec<usize> = (0..before.sources.len()).filter(|sub| changes(*sub)).collect();
        tracing::info!(
            worker = self.index,
            plan = self.parts.plan.number,
            ?changed,
            "takes a new plan over"
        );
        for id in self.tasks.ids(|id, _| changed.contains(&id.sub)) {
            self.reopen(id);
        }
        for partition in self.group.assignment().into_iter().map(|place| place.partition) {
            let misses = |sub: &usize| {
                let id = TaskId { sub: *sub, partition };
                partition < self.parts.plan.tasks[*sub] && !self.tasks.contains(id)
            };
            if changed.iter().any(misses) {
                self.shared.tell_group(partition, self.index, false);
                self.tasks.want(partition);
            }
        }
        Ok(())
    }
}
