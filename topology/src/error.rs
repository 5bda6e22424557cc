//! Errors, by what can be done about them.

use broker::BrokerError;
use wire::WireError;

/// The state store failed: the disk, RocksDB, or bytes that cannot be read back. The task is closed and opened again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    #[error("state store {store}: {source}{}", hint(.source))]
    Wire {
        /// Which store.
        store: &'static str,
        /// Why.
        source: WireError,
    },
}

/// State is written by nobody else, so its schemas are known to the registry that it was written with.
fn hint(source: &WireError) -> &'static str {
    match source {
        WireError::ForeignSchema { .. } | WireError::UnknownSchema { .. } => {
            ": is this another registry than the one that the state was written with? What to do: docs/runbooks/registry.md"
        }
        _ => "",
    }
}

/// Why a processor did not process a record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
#[non_exhaustive]
pub enum EngineError {
    /// The topology itself is wrong.
    #[error("topology: {0}")]
    Topology(String),
    /// It has stopped, or ended by itself.
    #[error("the engine has ended")]
    Ended,
    /// The operating system refused a thread or a signal handler.
    #[error("{what}: {source}")]
    Machine {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The metrics are registered already.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// An id of the registry means something else than when state and topics were written with it.
    #[error(
        "schema {id} of the registry is {found}, and was {expected} ({subject}) when state and topics were written: this is another \
         registry than that one, or it has lost its storage; what to do: docs/runbooks/registry.md"
    )]
    AnotherRegistry {
        /// The id.
        id: u32,
        /// The subject that the schema was registered under.
        subject: String,
        /// What it was.
        expected: String,
        /// What it is now.
        found: String,
    },
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
    /// A processor panicked: its transaction is dropped, and the record tried once more.
    #[error("{task}: a processor panicked: {reason}")]
    Panicked {
        /// The task.
        task: String,
        /// What the panic said.
        reason: String,
    },
    /// A record is at fault, and the settings say that its task stops there ([`OnFault::Stop`](crate::OnFault::Stop)).
    #[error("{task}: a record is at fault: {reason}")]
    AtFault {
        /// The task.
        task: String,
        /// What is wrong with the record.
        reason: String,
    },
    /// A key or value of a store has no encoding in its schema.
    #[error("state store {store}: a change cannot be encoded: {reason}")]
    Unencodable {
        /// Which store.
        store: String,
        /// Why.
        reason: String,
    },
    /// Another process runs under this instance's name, which it had first.
    #[error(
        "an instance named {instance} runs already, at {address}, with another state folder: each instance needs a name and a state \
         folder of its own; stop that one, or give this one another name"
    )]
    NameTaken {
        /// The name.
        instance: String,
        /// Where the other one is reached.
        address: String,
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

impl EngineError {
    /// A thread cannot be started.
    pub(crate) fn thread(source: std::io::Error) -> Self {
        Self::Machine {
            what: "start a thread",
            source,
        }
    }

    /// Whether something that was to be written never can be: the same again would be refused again.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Broker(BrokerError::Refused(_)) | Self::Unencodable { .. })
    }
}
