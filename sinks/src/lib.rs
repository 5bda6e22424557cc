//! What leaves the log: tables as Parquet files on an object store, each record exactly once.
//!
//! A [`Table`] says which topic it holds, what its [`columns`] are and how a record becomes a row; [`tables`] has the bank's.
//! [`group`] moves a set of tables by the protocol that [`group::protocol`] describes, on a thread and in a consumer group of its
//! own; [`parquet`] makes files of them. [`target`] opens the store that a URL names; [`lake`] lists what is there and proves that
//! nothing is missing or doubled.
//!
//! Why not Kafka Connect's S3 sink? It is exactly once only as long as its partitioner, its schema and its flush size never
//! change, and it gives no proof. Here the end of a file is a decision that the log itself remembers.

pub mod columns;
pub mod contract;
pub mod group;
pub mod lake;
pub mod metrics;
pub mod parquet;
pub mod settings;
pub mod tables;
pub mod target;

pub use columns::{Column, Kind};
pub use contract::{Origin, Row, RowError, Rows, Table};
pub use group::{Go, Listener, PartitionLag, Probe, SinkError, SinkHandle, SinkRunner, Step};
pub use settings::{RetrySettings, SinkSettings};
pub use target::{AzOptions, GsOptions, S3Options, StoreOptions, TargetError, open, open_with};
