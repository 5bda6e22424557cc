//! The runtime: workers, tasks, commits. The same code runs on Kafka, on the in-process log and in [`crate::testing`].
//!
//! ```text
//!   Engine ── one per process: checks and creates topics and schemas, announces the instance
//!     ├─ Supervisor ── starts, replaces and ends the workers
//!     │    └─ Worker ── one OS thread: a group member
//!     │         ├─ TaskRegistry ── its tasks: a sub-topology and a partition each, with nodes, stores, waiting input
//!     │         ├─ InputReader ── fetches what they read
//!     │         ├─ Transactions ── its producer, and the transaction that is open
//!     │         └─ HandOver ── the way of re-keyed records through memory
//!     └─ StateManager ── the databases, and the threads that restore them from changelogs
//! ```
//!
//! The group subscribes to the empty topic `<application>-tasks`. Owning its partition *i* means owning partition *i* of
//! every input, which the worker fetches by manual assignment. So tasks that stay never stop while others move, and a stale
//! generation's commit is fenced by the broker.

mod agreement;
mod at_fault;
mod directory;
mod earlier;
mod engine;
mod flow;
mod handover;
mod input;
mod inputs;
mod instance;
mod lifecycle;
mod matching;
mod metrics;
mod outbox;
mod pack;
mod parts;
mod plan;
mod prepare;
mod queue;
mod read_ahead;
mod schemas;
mod settings;
mod shared;
mod state;
mod supervisor;
mod task;
mod task_id;
mod tasks;
mod topics;
mod transaction;
mod trouble;
mod unknown;
mod wait;
mod watch;
mod worker;

pub use engine::Engine;
pub use instance::{Instance, Token};
pub use lifecycle::EngineState;
pub use metrics::Metrics;
pub use prepare::EngineParts;
pub use settings::{EngineSettings, OnFault};
pub use task::Position;
pub use task_id::TaskId;

pub(crate) use matching::watch_matching;
pub(crate) use parts::Parts;
pub(crate) use plan::Plan;
pub(crate) use prepare::prepare;
pub(crate) use shared::{Served, Shared};
pub(crate) use state::{Flusher, Scheduled, StateManager, Switches, clean_up};
pub(crate) use watch::watch_partitions;
pub(crate) use worker::Worker;
