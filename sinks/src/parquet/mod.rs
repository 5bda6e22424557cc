//! Tables as Parquet files, exactly once.
//!
//! - [`protocol`]: what is committed, and when; the reason why it is exactly once.
//! - [`layout`]: the files' names. [`footer`]: what each file says of itself. [`digest`]: what records are. [`generations`]: which
//!   topic a table's files are of.
//! - [`writer`]: records into a file. [`draft`]: a range into a file a day. `store`: the files into the store. `compare`: are they
//!   the same? `retry`: when that fails.
//! - `task`: one partition, as a state machine. `runner`: the thread that moves the partitions which the group gives it.
//!
//! ```no_run
//! # fn start(broker: std::sync::Arc<dyn broker::Broker>, registry: std::sync::Arc<dyn wire::Registry>) -> Result<(), Box<dyn std::error::Error>> {
//! use sinks::{S3Options, SinkRunner, SinkSettings, open, tables};
//!
//! let store = open("file:///var/lib/riverbank/lake", &S3Options::default())?;
//! let metrics = prometheus::Registry::new();
//! let sink = SinkRunner::new(SinkSettings::default(), broker, registry, store, tables::all()).start(&metrics)?;
//! // …
//! sink.stop()?; // writes what is open, and leaves the group
//! # Ok(()) }
//! ```

mod compare;
pub mod digest;
pub mod draft;
pub mod footer;
pub mod generations;
mod handle;
pub mod layout;
mod probe;
pub mod protocol;
mod retry;
mod runner;
mod session;
pub(crate) mod store;
mod task;
mod topics;
pub mod writer;

pub use handle::{PartitionLag, SinkError, SinkHandle};
pub use probe::{Go, Probe, Step};
pub use runner::SinkRunner;
