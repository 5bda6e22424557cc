//! The runtime: workers, tasks, commits. The same code runs on Kafka, on the in-process log and in [`crate::testing`].
//!
//! ```text
//!   Engine ── one per process: checks and creates topics and schemas, starts the workers, announces the instance
//!     └─ Worker ── one OS thread: a group member, two readers (input, restore), one transactional producer
//!          └─ Task ── a sub-topology and a partition: nodes, stores, waiting input
//! ```
//!
//! The group subscribes to the empty topic `<application>-tasks`. Owning its partition *i* means owning partition *i* of
//! every input, which the worker fetches by manual assignment. So tasks that stay never stop while others move, and a stale
//! generation's commit is fenced by the broker.

mod assignment;
mod at_fault;
mod begun;
mod clean_up;
mod commit;
mod directory;
mod engine;
mod flow;
mod flusher;
mod handover;
mod input;
mod instance;
mod metrics;
mod outbox;
mod pack;
mod prepare;
mod queue;
mod read_ahead;
mod schemas;
mod settings;
mod shared;
mod task;
mod trouble;
mod unknown;
mod upkeep;
mod watch;
mod worker;

pub use engine::Engine;
pub use instance::{Instance, Token};
pub use metrics::Metrics;
pub use prepare::EngineParts;
pub use settings::{EngineSettings, OnPanic};
pub use task::{Position, TaskId};

pub(crate) use clean_up::clean_up;
pub(crate) use flusher::{Flusher, Scheduled, Switches};
pub(crate) use prepare::prepare;
pub(crate) use shared::{Served, Shared};
pub(crate) use watch::watch_partitions;
pub(crate) use worker::{Parts, Worker};
