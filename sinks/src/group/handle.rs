//! A running sink, from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use broker::TopicPartition;
use parking_lot::Mutex;

/// How far a partition's files are behind the log.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionLag {
    /// The table.
    pub table: String,
    /// The partition of its topic.
    pub partition: TopicPartition,
    /// Records in the log that are in no finished file yet.
    pub records: u64,
    /// The age of the oldest record that was read and is in no finished file yet.
    pub age: Duration,
    /// Whether everything that the log had at the last look is read, so that `records` is exact.
    pub at_end: bool,
}

/// Why a sink could not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The thread or its runtime could not be made.
    #[error("the sink could not start: {0}")]
    Start(#[from] std::io::Error),
    /// The metrics are registered already: give each sink a registry of its own.
    #[error("the sink's metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// Two tables have one name or one topic.
    #[error("two tables are both {0}")]
    Tables(String),
    /// Not everything was written before the stop's time-out. Nothing is lost: the next owner reads it again.
    #[error("the sink stopped with files unfinished, which the next owner writes: {0}")]
    Unfinished(String),
    /// The thread ended by a defect.
    #[error("the sink's thread panicked")]
    Panicked,
}

/// What the thread reports.
#[derive(Default)]
pub(super) struct Status {
    pub trouble: Option<String>,
    pub lag: Vec<PartitionLag>,
}

#[derive(Default)]
pub(super) struct Shared {
    pub status: Mutex<Status>,
    pub stop: AtomicBool,
}

/// A running sink. Dropping it without [`SinkHandle::stop`] leaves it running.
pub struct SinkHandle {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<(), SinkError>>,
}

impl SinkHandle {
    pub(super) fn new(shared: Arc<Shared>, thread: JoinHandle<Result<(), SinkError>>) -> Self {
        Self { shared, thread }
    }

    /// What is wrong, for the operator and for readiness; `None` while all is well.
    pub fn trouble(&self) -> Option<String> {
        if self.is_finished() {
            return Some("the sink has ended".to_owned());
        }
        self.shared.status.lock().trouble.clone()
    }

    /// How far each partition that is this member's is behind.
    pub fn lag(&self) -> Vec<PartitionLag> {
        self.shared.status.lock().lag.clone()
    }

    /// Whether its thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Writes what is open as last files, leaves the group, and waits for that, at most for the settings' `stop_timeout` and
    /// what a call to the broker takes.
    pub fn stop(self) -> Result<(), SinkError> {
        self.shared.stop.store(true, Ordering::Release);
        self.thread.join().unwrap_or(Err(SinkError::Panicked))
    }
}
