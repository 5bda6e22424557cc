//! What the connector says of the source's transactions.

use serde::{Deserialize, Serialize};
use wire::avro_wire;

/// Debezium's transaction metadata: a transaction of the source begins, or has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransactionMetadata {
    /// `BEGIN` or `END`.
    pub status: String,
    /// `txId:lsn`, as the [block](super::TransactionBlock) of its changes has it.
    pub id: String,
    /// At its end: how many changes it made in the captured tables.
    #[serde(default)]
    pub event_count: Option<i64>,
    /// At its end: how many in each.
    #[serde(default)]
    pub data_collections: Option<Vec<CollectionCount>>,
    /// When it began or ended, in milliseconds since the epoch.
    pub ts_ms: i64,
}

/// How many changes of a table a transaction made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionCount {
    /// The table, with its schema: `public.transactions`.
    pub data_collection: String,
    /// How many.
    pub event_count: i64,
}

// Whatever a version of the connector calls it: its fields are what counts.
avro_wire!(
    TransactionMetadata,
    include_str!("../../avro/bronze/transaction_metadata.avsc"),
    any_name
);
