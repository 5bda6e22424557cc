//! `gold.account_balances`: every version of every balance, append-only.
//!
//! The newest version of an account is the row with its highest `_generation` and, in it, `_offset`: a view chooses it, and what the
//! topic's compaction has dropped was never the newest. Files of earlier versions lack `_generation`, which stands for 1. `op` tells an `upsert` from a `delete` and from an `undecodable` record.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use broker::Message;
use schemas::gold::AccountBalance;
use schemas::{AccountId, topics};
use wire::{Codec, Registry, Wire, WireError};

use crate::columns::{Cell, Column, Columns, Kind};
use crate::{Origin, Row, RowError, Rows, Table};

/// 1 had `DECIMAL(18,2)`.
const SCHEMA_VERSION: u32 = 2;

const COLUMNS: &[Column] = &[
    Column::nullable("account_id", Kind::Int64, "The account; negative: the bank's cash."),
    Column::nullable("customer_id", Kind::Int64, "Whose it is."),
    Column::nullable("currency", Kind::Text, "ISO 4217."),
    Column::nullable("opening", Kind::MONEY, "What the account opened with."),
    Column::nullable("booked", Kind::MONEY, "Opening plus all postings."),
    Column::nullable("pending", Kind::MONEY, "Holds of pending withdrawals and transfers out."),
    Column::nullable("available", Kind::MONEY, "Booked less pending."),
    Column::nullable("entry_count", Kind::Int64, "How many postings it has had."),
    Column::nullable(
        "last_entry_at",
        Kind::Timestamp,
        "When the last one was committed at the source.",
    ),
    Column::nullable(
        "is_deleted",
        Kind::Bool,
        "Whether the account's row is gone; what still comes for it is booked all the same.",
    ),
    Column::nullable("source_lsn", Kind::Int64, "The newest LSN that it reflects."),
    Column::nullable("source_ts", Kind::Timestamp, "When that change was committed at the source."),
    Column::required("op", Kind::Text, "`upsert`, `delete` or `undecodable`."),
    Column::required("_topic", Kind::Text, "The topic that the record is from."),
    Column::required("_partition", Kind::Int32, "Its partition."),
    Column::required(
        "_offset",
        Kind::Int64,
        "Its offset: a topic's partition and offset are in the table once.",
    ),
    Column::required("_timestamp", Kind::Timestamp, "The record's timestamp."),
    Column::nullable("_raw_key", Kind::Binary, "The record's key, where it cannot be read."),
    Column::nullable("_raw", Kind::Binary, "The record's value, where it cannot be read."),
    Column::nullable("_error", Kind::Text, "Why the record cannot be read."),
];

/// Columns of the balance itself, before `op`.
const OWN: usize = 12;

/// The table of balances.
#[derive(Debug, Default)]
pub struct Balances;

impl Balances {
    /// The table.
    pub const fn new() -> Self {
        Self
    }
}

impl Table for Balances {
    fn name(&self) -> &str {
        topics::ACCOUNT_BALANCES.name()
    }
    fn description(&self) -> &str {
        "Every version of every account's balance."
    }
    fn topic(&self) -> &str {
        topics::ACCOUNT_BALANCES.name()
    }
    fn is_compacted(&self) -> bool {
        true
    }
    fn schema_version(&self) -> u32 {
        SCHEMA_VERSION
    }
    fn columns(&self) -> &[Column] {
        COLUMNS
    }
    fn key_columns(&self) -> &[&str] {
        &["account_id"]
    }
    fn rows(&self, registry: Arc<dyn Registry>) -> Box<dyn Rows> {
        Box::new(BalanceRows {
            codec: Codec::reader(registry),
            columns: Columns::new(COLUMNS.to_vec()),
        })
    }
}

struct BalanceRows {
    codec: Codec,
    columns: Columns,
}

impl BalanceRows {
    fn push_upsert(&mut self, origin: Origin<'_>, record: &Message, balance: &AccountBalance) -> Result<(), String> {
        let mut cells = vec![
            Cell::Int(balance.account_id.0),
            Cell::Int(balance.customer_id.0),
            Cell::Text(balance.currency.as_str().into()),
            Cell::money(balance.opening),
            Cell::money(balance.booked),
            Cell::money(balance.pending),
            Cell::money(balance.available),
            Cell::Int(balance.entry_count),
            Cell::timestamp(balance.last_entry_at),
            Cell::Bool(balance.is_deleted),
            Cell::Int(balance.source_lsn),
            Cell::Timestamp(balance.source_ts),
            Cell::Text("upsert".into()),
        ];
        cells.extend(place(origin, record));
        cells.extend([const { Cell::Null }; 3]);
        self.columns.push(&cells)
    }

    fn push_bare(
        &mut self,
        origin: Origin<'_>,
        record: &Message,
        op: &str,
        id: Option<i64>,
        error: Option<&str>,
    ) -> Result<(), String> {
        let mut cells = vec![Cell::Null; OWN];
        cells[0] = Cell::int(id);
        cells.push(Cell::Text(op.into()));
        cells.extend(place(origin, record));
        let raw_key = error.and(record.key.as_deref());
        let raw = error.and(record.value.as_deref());
        cells.extend([Cell::binary(raw_key), Cell::binary(raw), Cell::text(error)]);
        self.columns.push(&cells)
    }
}

fn place<'a>(origin: Origin<'a>, record: &Message) -> [Cell<'a>; 4] {
    [
        Cell::Text(origin.topic.into()),
        Cell::Int(i64::from(origin.partition)),
        Cell::Int(record.offset),
        Cell::Timestamp(record.timestamp_ms.saturating_mul(1_000)),
    ]
}

impl Rows for BalanceRows {
    fn push(&mut self, origin: Origin<'_>, record: &Message) -> Result<Row, RowError> {
        let no_key = || WireError::Malformed("there is no key".to_owned());
        let key = record
            .key
            .as_ref()
            .ok_or_else(no_key)
            .and_then(|key| AccountId::decode(key, &self.codec));
        let value = record
            .value
            .as_ref()
            .map(|value| AccountBalance::decode(value, &self.codec))
            .transpose();
        if let Err(error) = &value
            && error.is_transient()
        {
            return Err(RowError::Unavailable(error.to_string()));
        }
        let id = key.as_ref().ok().map(|id| id.0);
        let error = match (&key, &value) {
            (Ok(_), Ok(Some(balance))) => match self.push_upsert(origin, record, balance) {
                Ok(()) => return Ok(Row::Whole),
                Err(error) => error,
            },
            (Ok(_), Ok(None)) => {
                self.push_bare(origin, record, "delete", id, None).map_err(RowError::Table)?;
                return Ok(Row::Whole);
            }
            (Err(error), _) => format!("key: {error}"),
            (_, Err(error)) => error.to_string(),
        };
        self.push_bare(origin, record, "undecodable", id, Some(&error))
            .map_err(RowError::Table)?;
        Ok(Row::Undecodable)
    }

    fn schema(&self) -> SchemaRef {
        self.columns.schema()
    }

    fn len(&self) -> usize {
        self.columns.len()
    }

    fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        self.columns.take()
    }
}
