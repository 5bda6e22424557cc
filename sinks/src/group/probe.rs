//! A place for tests to look in, and to end a sink as a crash would, at every step of the protocol.

use broker::TopicPartition;

/// A step of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A file's end is chosen, and not yet committed.
    Deciding,
    /// The intent is committed, and nothing is written.
    Decided,
    /// The file is in the store, and the group does not know.
    Written,
    /// The group knows.
    Finished,
}

impl Step {
    /// All of them.
    pub const ALL: [Step; 4] = [Step::Deciding, Step::Decided, Step::Written, Step::Finished];
}

/// What a probe says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Go {
    /// On with it.
    On,
    /// End here, as if the process had been killed: nothing is flushed, and the group is not notified.
    Crash,
}

/// Is asked at every step. Production has none.
pub trait Probe: Send + Sync + 'static {
    /// The sink is at this step of a partition.
    fn at(&self, step: Step, partition: &TopicPartition) -> Go;
}
