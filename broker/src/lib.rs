//! The log beneath everything: one port, and the brokers that stand behind it.
//!
//! The engine and the sinks speak to a partitioned, transactional log through the traits of [`port`]. Two brokers
//! implement them: `kafka` (librdkafka; a feature, on by default) and [`in_process`] (the embedded default, which tests and the demo use too).
//! The same conformance suite runs on both, so that code which is right on one is right on the other.
//!
//! Why not a part of the engine? The sinks read the log without any state store; here they need not compile RocksDB.

pub mod in_process;
#[cfg(feature = "kafka")]
pub mod kafka;
mod lease;
pub mod partitioner;
pub mod port;
mod replay;
mod topic_settings;

pub use in_process::InProcessBroker;
#[cfg(feature = "kafka")]
pub use kafka::{KafkaBroker, KafkaSettings};
pub use lease::Lease;
pub use partitioner::partition_for_key;
pub use port::*;
pub use replay::{Replay, partitions_of};
pub use topic_settings::{InvalidTopicSetting, TopicSettings};
