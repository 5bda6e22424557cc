//! Bronze: every record of a change-log topic as an append-only row.
//!
//! Nothing is filtered or cleaned: a tombstone is a row (`_op = tombstone`), and a record that cannot be read is one too
//! (`_op = undecodable`, with its bytes and the reason), so that each offset of the topic is in the lake exactly once.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use broker::Message;
use schemas::bronze::{AccountRow, CdcKey, CustomerRow, Envelope, Op, TransactionRow};
use wire::{Codec, Registry, Topic, Wire, WireError};

use super::columns::{self, Cell, Column, Columns, Kind};
use crate::{Origin, Row, RowError, Rows, Table};

/// The version of the shape of all tables of Bronze.
const SCHEMA_VERSION: u32 = 1;

/// A row of a source table: its columns, and its values as cells.
pub trait BronzeRow: Send + Sync + Sized + 'static {
    /// The row's columns, `id` first, then the ones that every table of Bronze has.
    const COLUMNS: &'static [Column];
    /// Appends the row's values after `id`.
    fn cells<'a>(&'a self, out: &mut Vec<Cell<'a>>);
    /// The row's id.
    fn id(&self) -> i64;
}

macro_rules! bronze_columns {
    ($($name:literal $kind:ident),* $(,)?) => {
        &[
            Column::nullable("id", Kind::Int64),
            $(Column::nullable($name, Kind::$kind),)*
            Column::required("_op", Kind::Text),
            Column::nullable("_lsn", Kind::Int64),
            Column::nullable("_tx_id", Kind::Int64),
            Column::nullable("_source_ts", Kind::Timestamp),
            Column::nullable("_snapshot", Kind::Text),
            Column::required("_topic", Kind::Text),
            Column::required("_partition", Kind::Int32),
            Column::required("_offset", Kind::Int64),
            Column::nullable("_raw_key", Kind::Binary),
            Column::nullable("_raw", Kind::Binary),
            Column::nullable("_error", Kind::Text),
        ]
    };
}

/// How many columns every table of Bronze has beside its row's.
const COMMON: usize = 11;

impl BronzeRow for CustomerRow {
    const COLUMNS: &'static [Column] = bronze_columns!(
        "first_name" Text, "last_name" Text, "email" Text, "created_at" Timestamp, "updated_at" Timestamp,
    );
    fn cells<'a>(&'a self, out: &mut Vec<Cell<'a>>) {
        out.extend([
            Cell::text(self.first_name.as_deref()),
            Cell::text(self.last_name.as_deref()),
            Cell::text(self.email.as_deref()),
            Cell::timestamp(self.created_at),
            Cell::timestamp(self.updated_at),
        ]);
    }
    fn id(&self) -> i64 {
        self.id
    }
}

impl BronzeRow for AccountRow {
    const COLUMNS: &'static [Column] = bronze_columns!(
        "customer_id" Int64, "account_type" Text, "currency" Text, "opening_balance" Money, "balance" Money, "status" Text,
        "closed_at" Timestamp, "created_at" Timestamp, "updated_at" Timestamp,
    );
    fn cells<'a>(&'a self, out: &mut Vec<Cell<'a>>) {
        out.extend([
            Cell::int(self.customer_id),
            Cell::text(self.account_type.as_deref()),
            Cell::text(self.currency.as_deref()),
            Cell::money(self.opening_balance),
            Cell::money(self.balance),
            Cell::text(self.status.as_deref()),
            Cell::timestamp(self.closed_at),
            Cell::timestamp(self.created_at),
            Cell::timestamp(self.updated_at),
        ]);
    }
    fn id(&self) -> i64 {
        self.id
    }
}

impl BronzeRow for TransactionRow {
    const COLUMNS: &'static [Column] = bronze_columns!(
        "account_id" Int64, "txn_type" Text, "amount" Money, "related_account_id" Int64, "status" Text,
        "created_at" Timestamp, "updated_at" Timestamp,
    );
    fn cells<'a>(&'a self, out: &mut Vec<Cell<'a>>) {
        out.extend([
            Cell::int(self.account_id),
            Cell::text(self.txn_type.as_deref()),
            Cell::money(self.amount),
            Cell::int(self.related_account_id),
            Cell::text(self.status.as_deref()),
            Cell::timestamp(self.created_at),
            Cell::timestamp(self.updated_at),
        ]);
    }
    fn id(&self) -> i64 {
        self.id
    }
}

/// The table of one change-log topic.
pub struct Bronze<R> {
    name: &'static str,
    topic: &'static str,
    row: PhantomData<fn() -> R>,
}

impl<R: BronzeRow> Bronze<R> {
    /// The table of this name, of this topic.
    pub const fn new(name: &'static str, topic: Topic<CdcKey, Envelope<R>>) -> Self {
        Self {
            name,
            topic: topic.name(),
            row: PhantomData,
        }
    }
}

impl<R: BronzeRow> Table for Bronze<R>
where
    Envelope<R>: Wire,
{
    fn name(&self) -> &str {
        self.name
    }
    fn topic(&self) -> &str {
        self.topic
    }
    fn is_compacted(&self) -> bool {
        false
    }
    fn schema_version(&self) -> u32 {
        SCHEMA_VERSION
    }
    fn schema(&self) -> SchemaRef {
        columns::schema(R::COLUMNS)
    }
    fn rows(&self, registry: Arc<dyn Registry>) -> Box<dyn Rows> {
        Box::new(BronzeRows::<R> {
            codec: Codec::reader(registry),
            columns: Columns::new(R::COLUMNS),
            row: PhantomData,
        })
    }
}

struct BronzeRows<R> {
    codec: Codec,
    columns: Columns,
    row: PhantomData<fn() -> R>,
}

/// What a record is.
enum Event<R> {
    Change(Box<Envelope<R>>),
    Tombstone,
}

impl<R: BronzeRow> BronzeRows<R>
where
    Envelope<R>: Wire,
{
    fn key(&self, record: &Message) -> Result<Option<i64>, WireError> {
        record
            .key
            .as_ref()
            .map(|key| CdcKey::decode(key, &self.codec).map(|key| key.id))
            .transpose()
    }

    fn event(&self, record: &Message) -> Result<Event<R>, WireError> {
        match &record.value {
            Some(value) => Envelope::<R>::decode(value, &self.codec).map(|envelope| Event::Change(Box::new(envelope))),
            None => Ok(Event::Tombstone),
        }
    }

    fn push_change(&mut self, origin: Origin<'_>, offset: i64, key: Option<i64>, envelope: &Envelope<R>) -> Result<(), String> {
        let row = match envelope.op {
            Op::Delete => envelope.before.as_ref(),
            _ => envelope.after.as_ref(),
        };
        let source = &envelope.source;
        let mut cells = Vec::with_capacity(R::COLUMNS.len());
        cells.push(Cell::int(row.map(R::id).or(key)));
        match row {
            Some(row) => row.cells(&mut cells),
            None => cells.resize(R::COLUMNS.len() - COMMON, Cell::Null),
        }
        cells.extend([
            Cell::Text(envelope.op.as_str()),
            Cell::int(source.lsn),
            Cell::int(source.tx_id),
            Cell::Timestamp(source.ts_us.unwrap_or(source.ts_ms.saturating_mul(1_000))),
            Cell::text(source.snapshot.as_deref()),
        ]);
        cells.extend(place(origin, offset));
        cells.extend([Cell::Null; 3]);
        self.columns.push(&cells)
    }

    /// A row without a change: a tombstone, or a record that cannot be read.
    fn push_bare(
        &mut self,
        origin: Origin<'_>,
        record: &Message,
        op: &str,
        id: Option<i64>,
        error: Option<&str>,
    ) -> Result<(), String> {
        let mut cells = vec![Cell::Null; R::COLUMNS.len() - COMMON];
        cells[0] = Cell::int(id);
        cells.extend([Cell::Text(op), Cell::Null, Cell::Null, Cell::Null, Cell::Null]);
        cells.extend(place(origin, record.offset));
        let (raw_key, raw) = (error.and(record.key.as_deref()), error.and(record.value.as_deref()));
        cells.extend([Cell::binary(raw_key), Cell::binary(raw), Cell::text(error)]);
        self.columns.push(&cells)
    }
}

fn place(origin: Origin<'_>, offset: i64) -> [Cell<'_>; 3] {
    [
        Cell::Text(origin.topic),
        Cell::Int(i64::from(origin.partition)),
        Cell::Int(offset),
    ]
}

/// Sets apart what may be read later from what never will be.
fn available<T>(read: Result<T, WireError>) -> Result<Result<T, WireError>, RowError> {
    match read {
        Err(error) if error.is_transient() => Err(RowError::Unavailable(error.to_string())),
        read => Ok(read),
    }
}

impl<R: BronzeRow> Rows for BronzeRows<R>
where
    Envelope<R>: Wire,
{
    fn push(&mut self, origin: Origin<'_>, record: &Message) -> Result<Row, RowError> {
        let event = available(self.event(record))?;
        // A change names its row itself: its key is read only where the row is missing.
        let key = match &event {
            Ok(Event::Change(envelope)) if envelope.after.is_some() => Ok(None),
            _ => available(self.key(record))?,
        };
        let id = key.as_ref().ok().copied().flatten();
        let error = match (&key, &event) {
            (_, Ok(Event::Change(envelope))) => match self.push_change(origin, record.offset, id, envelope) {
                Ok(()) => return Ok(Row::Whole),
                Err(error) => error,
            },
            (Ok(_), Ok(Event::Tombstone)) => {
                self.push_bare(origin, record, "tombstone", id, None)
                    .map_err(RowError::Table)?;
                return Ok(Row::Whole);
            }
            (Err(error), Ok(Event::Tombstone)) => format!("key: {error}"),
            (_, Err(error)) => error.to_string(),
        };
        let id = id.or_else(|| self.key(record).ok().flatten());
        self.push_bare(origin, record, "undecodable", id, Some(&error))
            .map_err(RowError::Table)?;
        Ok(Row::Undecodable)
    }

    fn len(&self) -> usize {
        self.columns.len()
    }

    fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        self.columns.take()
    }
}
