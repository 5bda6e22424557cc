//! Debezium's envelope around a row.

use serde::{Deserialize, Serialize};

/// The key of a change event: the row's primary key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CdcKey {
    /// The row's id.
    pub id: i64,
}

/// A change of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope<R> {
    /// The row as it was; whole only with `REPLICA IDENTITY FULL`.
    #[serde(default = "none")]
    pub before: Option<R>,
    /// The row as it is; `None` for a delete.
    #[serde(default = "none")]
    pub after: Option<R>,
    /// Where and when the source made the change.
    pub source: Source,
    /// Which transaction the change is part of, where the connector tells.
    #[serde(default)]
    pub transaction: Option<TransactionBlock>,
    /// What kind of change.
    pub op: Op,
    /// When the connector saw it, in milliseconds since the epoch.
    #[serde(default)]
    pub ts_ms: Option<i64>,
    /// The same in microseconds.
    #[serde(default)]
    pub ts_us: Option<i64>,
    /// The same in nanoseconds.
    #[serde(default)]
    pub ts_ns: Option<i64>,
}

fn none<R>() -> Option<R> {
    None
}

/// What kind of change an event tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// An insert.
    #[serde(rename = "c")]
    Create,
    /// An update.
    #[serde(rename = "u")]
    Update,
    /// A delete.
    #[serde(rename = "d")]
    Delete,
    /// A row that a snapshot read.
    #[serde(rename = "r")]
    Read,
    /// The table was emptied.
    #[serde(rename = "t")]
    Truncate,
    /// A logical message, which no table has.
    #[serde(rename = "m")]
    Message,
}

impl Op {
    /// The letter that Debezium writes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Op::Create => "c",
            Op::Update => "u",
            Op::Delete => "d",
            Op::Read => "r",
            Op::Truncate => "t",
            Op::Message => "m",
        }
    }
}

/// The `source` block of Debezium's Postgres connector.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The connector's version.
    pub version: String,
    /// `postgresql`.
    pub connector: String,
    /// The topic prefix.
    pub name: String,
    /// When the transaction committed, in milliseconds since the epoch.
    pub ts_ms: i64,
    /// `true`, `first`, `last`… in a snapshot, else `false`.
    #[serde(default)]
    pub snapshot: Option<String>,
    /// The database.
    pub db: String,
    /// The last commit's and this change's LSN, as a JSON array.
    #[serde(default)]
    pub sequence: Option<String>,
    /// When the transaction committed, in microseconds since the epoch.
    #[serde(default)]
    pub ts_us: Option<i64>,
    /// The same in nanoseconds.
    #[serde(default)]
    pub ts_ns: Option<i64>,
    /// The table's schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// The transaction's id.
    #[serde(default, rename = "txId")]
    pub tx_id: Option<i64>,
    /// The change's position in the write-ahead log.
    #[serde(default)]
    pub lsn: Option<i64>,
    /// The oldest transaction that was active.
    #[serde(default)]
    pub xmin: Option<i64>,
    /// The replication origin.
    #[serde(default)]
    pub origin: Option<String>,
    /// Its LSN.
    #[serde(default)]
    pub origin_lsn: Option<i64>,
}

impl Source {
    /// When the transaction committed, in microseconds since the epoch.
    pub fn committed_at_us(&self) -> i64 {
        self.ts_us.unwrap_or(self.ts_ms * 1000)
    }
}

/// Debezium's `transaction` block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransactionBlock {
    /// `txId:lsn`.
    pub id: String,
    /// The event's number in its transaction.
    pub total_order: i64,
    /// The event's number among those of its table.
    pub data_collection_order: i64,
}
