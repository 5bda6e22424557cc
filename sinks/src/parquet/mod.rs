//! Tables as Parquet files, exactly once.
//!
//! Why it is exactly once is said in [`crate::group::protocol`].
//!
//! - [`layout`]: the files' names. [`footer`]: what each file says of itself. [`marks`]: files that others supersede. [`digest`]: what records are.
//! - [`writer`]: records into a file; [`encoding`]: how its columns are written. [`draft`]: a range into a file a day. `files`: these into the store, large ones by `upload`; `compare`:
//!   are they the same? `survey`: where the store says that a partition stands. `store`: the requests of all of these.
//! - `task`: one partition, as a state machine. `target`: such partitions, for the group that moves them.
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
pub mod encoding;
mod files;
pub mod footer;
pub mod layout;
pub mod marks;
pub(crate) mod store;
mod survey;
mod target;
mod task;
mod upload;
pub mod writer;
