//! A table of typed records: a declaration, from which follow the columns and the rows.
//!
//! A record is one row. `op` says of what kind:
//!
//! | `op` | the record | its own columns |
//! |---|---|---|
//! | `upsert` | a version of a key, in a [`Typed::versions`] table | the record's fields |
//! | `delete` | a key without a value, in such a table | the key's, all others null |
//! | `append` | a record, in a [`Typed::events`] table | the record's fields |
//! | `undecodable` | one whose key or value cannot be read, or does not fit the columns | the key's, where that can be read; the bytes are in `_raw_key` and `_raw`, the reason is in `_error` |
//!
//! A schema registry that is away is no fault of the record: it is read again later.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use broker::Message;
use clock::Millis;
use wire::{Codec, Registry, Topic, Wire, WireError};

use crate::columns::{Cell, Column, Columns, Kind, common};
use crate::{Origin, Row, RowError, Rows, Table};

/// What a row is, in a table of versions and in one of events.
const VERSION_OP: Column = Column::required("op", Kind::Text, "What the row is: `upsert`, `delete` or `undecodable`.");
const EVENT_OP: Column = Column::required("op", Kind::Text, "What the row is: `append` or `undecodable`.");

/// The columns that every table of typed records has after its own and `op`.
const COMMON: &[Column] = &[
    common::TOPIC,
    common::PARTITION,
    common::OFFSET,
    Column::required("_timestamp", Kind::Timestamp, "The record's timestamp in Kafka."),
    common::RAW_KEY,
    common::RAW,
    common::ERROR,
];

/// Makes a cell from a record's key.
pub type OfKey<K> = fn(&K) -> Cell<'_>;
/// Makes a cell from a record's value.
pub type OfValue<V> = fn(&V) -> Cell<'_>;

/// The table of a topic's records, named as the topic is.
///
/// ```
/// use sinks::columns::Cell;
/// use sinks::tables::Typed;
/// use sinks::{Kind, Table};
/// # use schemas::gold::AccountBalance;
/// # use schemas::{AccountId, topics};
///
/// let table = Typed::versions(topics::ACCOUNT_BALANCES, 1, "Every version of every account's balance.")
///     .key("account_id", Kind::Int64, "The account.", |key| Cell::Int(key.0), |balance| Cell::Int(balance.account_id.0))
///     .field("booked", Kind::MONEY, "Opening plus all postings.", |balance| Cell::money(balance.booked));
/// assert_eq!(table.key_columns(), ["account_id"]);
/// ```
pub struct Typed<K, V> {
    topic: Topic<K, V>,
    schema_version: u32,
    description: &'static str,
    is_compacted: bool,
    /// All columns: its own, and the common ones.
    columns: Vec<Column>,
    key_columns: Vec<&'static str>,
    /// One for each own column.
    cells: Vec<OwnCell<K, V>>,
}

/// Where an own column's cell comes from.
struct OwnCell<K, V> {
    /// In a row without a readable value; where `of_value` is absent, in every row.
    of_key: Option<OfKey<K>>,
    of_value: Option<OfValue<V>>,
}

impl<K, V> Clone for OwnCell<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for OwnCell<K, V> {}

impl<K: Wire, V: Wire> Typed<K, V> {
    /// A compacted topic's versions of each key. `schema_version` is to be raised when the columns, or what they hold, change.
    pub fn versions(topic: Topic<K, V>, schema_version: u32, description: &'static str) -> Self {
        Self::new(topic, schema_version, description, true)
    }

    /// An append-only topic's records: each stands for itself.
    pub fn events(topic: Topic<K, V>, schema_version: u32, description: &'static str) -> Self {
        Self::new(topic, schema_version, description, false)
    }

    fn new(topic: Topic<K, V>, schema_version: u32, description: &'static str, is_compacted: bool) -> Self {
        let op = if is_compacted { VERSION_OP } else { EVENT_OP };
        Self {
            topic,
            schema_version,
            description,
            is_compacted,
            columns: std::iter::once(op).chain(COMMON.iter().cloned()).collect(),
            key_columns: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// The next own column: a part of the record's key that its value has, too.
    #[must_use]
    pub fn key(mut self, name: &'static str, kind: Kind, doc: &'static str, of_key: OfKey<K>, of_value: OfValue<V>) -> Self {
        if self.is_compacted {
            self.key_columns.push(name);
        }
        self.with(Column::nullable(name, kind, doc), Some(of_key), Some(of_value))
    }

    /// The next own column: a part of the record's key that its value lacks.
    #[must_use]
    pub fn key_only(self, name: &'static str, kind: Kind, doc: &'static str, of_key: OfKey<K>) -> Self {
        self.with(Column::nullable(name, kind, doc), Some(of_key), None)
    }

    /// The next own column: a field of the record's value.
    #[must_use]
    pub fn field(self, name: &'static str, kind: Kind, doc: &'static str, of_value: OfValue<V>) -> Self {
        self.with(Column::nullable(name, kind, doc), None, Some(of_value))
    }

    fn with(mut self, column: Column, of_key: Option<OfKey<K>>, of_value: Option<OfValue<V>>) -> Self {
        self.columns.insert(self.cells.len(), column);
        self.cells.push(OwnCell { of_key, of_value });
        self
    }
}

impl<K: Wire, V: Wire> Table for Typed<K, V> {
    fn name(&self) -> &str {
        self.topic.name()
    }
    fn description(&self) -> &str {
        self.description
    }
    fn topic(&self) -> &str {
        self.topic.name()
    }
    fn is_compacted(&self) -> bool {
        self.is_compacted
    }
    fn schema_version(&self) -> u32 {
        self.schema_version
    }
    fn columns(&self) -> &[Column] {
        &self.columns
    }
    fn key_columns(&self) -> &[&str] {
        &self.key_columns
    }
    fn rows(&self, registry: Arc<dyn Registry>) -> Box<dyn Rows> {
        Box::new(TypedRows {
            codec: Codec::reader(registry),
            is_compacted: self.is_compacted,
            columns: Columns::new(self.columns.clone()),
            cells: self.cells.clone(),
        })
    }
}

struct TypedRows<K, V> {
    codec: Codec,
    is_compacted: bool,
    columns: Columns,
    cells: Vec<OwnCell<K, V>>,
}

impl<K: Wire, V: Wire> TypedRows<K, V> {
    /// The row of a record that was read.
    fn push_read(&mut self, op: &str, origin: Origin<'_>, record: &Message, key: &K, value: &V) -> Result<(), String> {
        let mut row = Vec::with_capacity(self.columns.columns().len());
        row.extend(self.cells.iter().map(|cell| match (cell.of_value, cell.of_key) {
            (Some(of_value), _) => of_value(value),
            (None, Some(of_key)) => of_key(key),
            (None, None) => Cell::Null,
        }));
        row.push(Cell::Text(op.into()));
        row.extend(place(origin, record));
        row.extend([const { Cell::Null }; 3]);
        self.columns.push(&row)
    }

    /// The row of one that has no value, or whose bytes say no more than its key.
    fn push_bare(
        &mut self,
        op: &str,
        origin: Origin<'_>,
        record: &Message,
        key: Option<&K>,
        error: Option<&str>,
    ) -> Result<(), RowError> {
        let of_key = |cell: &OwnCell<K, V>| Some(cell.of_key?(key?));
        let mut row = Vec::with_capacity(self.columns.columns().len());
        row.extend(self.cells.iter().map(|cell| of_key(cell).unwrap_or(Cell::Null)));
        row.push(Cell::Text(op.into()));
        row.extend(place(origin, record));
        let raw_key = error.and(record.key.as_deref());
        let raw = error.and(record.value.as_deref());
        row.extend([Cell::binary(raw_key), Cell::binary(raw), Cell::text(error)]);
        self.columns.push(&row).map_err(RowError::Table)
    }
}

fn place<'a>(origin: Origin<'a>, record: &Message) -> [Cell<'a>; 4] {
    [
        Cell::Text(origin.topic.into()),
        Cell::Int(i64::from(origin.partition)),
        Cell::Int(record.offset),
        Cell::Timestamp(Millis(record.timestamp_ms).to_micros().0),
    ]
}

impl<K: Wire, V: Wire> Rows for TypedRows<K, V> {
    fn push(&mut self, origin: Origin<'_>, record: &Message) -> Result<Row, RowError> {
        let no_key = || WireError::Malformed("there is no key".to_owned());
        let key = record.key.as_ref().ok_or_else(no_key);
        let key = key.and_then(|key| K::decode(key, &self.codec));
        let value = record.value.as_ref().map(|value| V::decode(value, &self.codec)).transpose();
        let errors = [key.as_ref().err(), value.as_ref().err()];
        if let Some(error) = errors.into_iter().flatten().find(|error| error.is_transient()) {
            return Err(RowError::Unavailable(error.to_string()));
        }
        let error = match (&key, &value) {
            (Ok(key), Ok(Some(value))) => {
                let op = if self.is_compacted { "upsert" } else { "append" };
                match self.push_read(op, origin, record, key, value) {
                    Ok(()) => return Ok(Row::Whole),
                    Err(error) => error,
                }
            }
            (Ok(key), Ok(None)) if self.is_compacted => {
                self.push_bare("delete", origin, record, Some(key), None)?;
                return Ok(Row::Whole);
            }
            (Ok(_), Ok(None)) => "there is no value".to_owned(),
            (Err(error), _) => format!("key: {error}"),
            (Ok(_), Err(error)) => error.to_string(),
        };
        self.push_bare("undecodable", origin, record, key.as_ref().ok(), Some(&error))?;
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
