//! What a task is called.

use crate::graph::Topology;

/// A task's name: which sub-topology, which partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskId {
    /// The sub-topology's number in the topology.
    pub sub: usize,
    /// The partition of its inputs.
    pub partition: u32,
}

impl TaskId {
    /// What the task is called in logs and on disk.
    pub(crate) fn name(self, topology: &Topology) -> String {
        format!("{}/{}", topology.subs[self.sub].name, self.partition)
    }
}
