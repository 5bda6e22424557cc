//! Debezium's envelope around a row.

use clock::{Micros, Millis};
use serde::{Deserialize, Serialize};
use wire::{Codec, Wire, WireError};

/// The key of a change event: the row's primary key.
///
/// The connector writes it as Connect's `LongConverter` does, eight bytes, so that a row's partition follows from its id alone. An
/// Avro key has a schema's id in it, and with the schema's next version every row would lie in another partition; such keys are
/// read, too. The two cannot be distinguished by their bytes with certainty, so who applies an event takes the id of its row
/// ([`Envelope::row_id`]) and the key's only where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CdcKey {
    /// The row's id.
    pub id: i64,
}

/// The key as Avro has it.
#[derive(Deserialize)]
struct AvroKey {
    id: i64,
}

impl Wire for CdcKey {
    const SCHEMA: Option<&'static str> = None;

    fn encode(&self, codec: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
        self.id.encode(codec, out)
    }

    fn decode(bytes: &[u8], codec: &Codec) -> Result<Self, WireError> {
        let id = match bytes.len() {
            8 => i64::decode(bytes, codec)?,
            _ => wire::decode_avro::<AvroKey>(bytes, codec)?.id,
        };
        Ok(Self { id })
    }
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
    /// Which transaction the change is part of, where the connector says so.
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

/// A row of a captured table.
pub trait Row {
    /// Its primary key.
    fn id(&self) -> i64;
}

impl<R: Row> Envelope<R> {
    /// The id of the row that changed; `None` where the event shows no row.
    pub fn row_id(&self) -> Option<i64> {
        self.after.as_ref().or(self.before.as_ref()).map(Row::id)
    }
}

fn none<R>() -> Option<R> {
    None
}

/// What kind of change an event is.
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
    /// When the transaction committed.
    pub fn committed_at_us(&self) -> Micros {
        self.ts_us.map_or(Millis(self.ts_ms).to_micros(), Micros)
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
