//! The bank: from the change log to balances, in pure functions and small processors.
//!
//! [`pipeline`] is the whole of it on one page; [`stores`] names every state store. Nothing here knows Kafka or RocksDB.

pub mod counters;
pub mod gold;
pub mod pipeline;
pub mod scd2;
pub mod silver;
pub mod stores;

pub use pipeline::{APPLICATION, BankSettings, SourcePartitions, bank};
