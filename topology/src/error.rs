//! Errors, by what can be done about them.

use broker::BrokerError;
use wire::WireError;

/// The state store failed: the disk, RocksDB, or bytes that cannot be read back. The task is closed and opened again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The backend refused.
    #[error("state store {store}: {reason}")]
    Backend {
        /// Which store or folder.
        store: String,
        /// What the backend said.
        reason: String,
    },
    /// A stored key or value could not be encoded or decoded.
    #[error("state store {store}: {source}")]
    Wire {
        /// Which store.
        store: &'static str,
        /// Why.
        source: WireError,
    },
}

/// Why a processor did not process a record.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The record is at fault: all that it wrote is undone, and it goes to the dead-letter topic.
    #[error("{0}")]
    Record(String),
    /// The state is at fault: nothing of the transaction is committed, and the task starts again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value could not be encoded or decoded; transient where the registry is away, else the record's fault.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// Why an engine could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The topology itself is wrong.
    #[error("topology: {0}")]
    Topology(String),
    /// A topic has another number of partitions than what was made from it or with it: an operator must decide.
    #[error("topic {topic} has {has} partitions, but {needed_by} needs {wanted}; what to do: docs/runbooks/partitions.md")]
    Partitions {
        /// Which topic.
        topic: String,
        /// How many it has.
        has: u32,
        /// How many it must have.
        wanted: u32,
        /// What needs so many.
        needed_by: String,
    },
    /// The log.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A schema could not be registered or found.
    #[error("{subject}: {source}")]
    Schema {
        /// The registry's subject, or the topic.
        subject: String,
        /// Why.
        source: WireError,
    },
}
