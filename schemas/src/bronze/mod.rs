//! Bronze: the change log as Debezium sends it.
//!
//! Rows keep the source's own types and texts: cleaning is Silver's. Every column that some source lacks is optional, so that the
//! same pipeline reads the full schema and narrower ones.

mod envelope;
mod metadata;
mod rows;

pub use envelope::{CdcKey, Envelope, Op, Row, Source, TransactionBlock};
pub use metadata::{CollectionCount, TransactionMetadata};
pub use rows::{AccountRow, CustomerRow, TransactionRow};

/// What Debezium sends in place of a large value that did not change.
pub const UNAVAILABLE_VALUE: &str = "__debezium_unavailable_value";
