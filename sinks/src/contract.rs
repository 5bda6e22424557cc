//! What every sink does, and what a table must tell it.
//!
//! A sink
//! 1. is a consumer group of its own, so that it neither waits for the stream processor nor holds it up;
//! 2. reads committed records only, and every one of them arrives exactly once, through crashes, rebalances and faults of the
//!    store;
//! 3. never stops at a record: what cannot be read arrives as a row with `_op = undecodable` (or `op`), its bytes and the reason;
//! 4. never stalls silently: a fault is retried without end, and [`crate::SinkHandle::trouble`] says what it is;
//! 5. has a bound on its memory, and lets the log wait when it is reached.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use broker::Message;
use wire::Registry;

/// A table: a topic, a shape, and how a record becomes a row.
pub trait Table: Send + Sync + 'static {
    /// The table's name, which is its folder too: letters, digits, `.`, `_`, `-`.
    fn name(&self) -> &str;
    /// The topic that it holds.
    fn topic(&self) -> &str;
    /// Whether the log may drop older records of a key: then a range read again may have fewer rows.
    fn is_compacted(&self) -> bool;
    /// The version of the shape; to be raised when the columns change.
    fn schema_version(&self) -> u32;
    /// The shape.
    fn schema(&self) -> SchemaRef;
    /// An empty buffer of rows.
    fn rows(&self, registry: Arc<dyn Registry>) -> Box<dyn Rows>;
}

/// Where a record came from; its offset is in the [`Message`].
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: u32,
}

/// What a record became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    /// A row that says what the record said.
    Whole,
    /// A row with the record's bytes and the reason why they cannot be read.
    Undecodable,
}

/// Rows on their way into a file.
pub trait Rows: Send {
    /// Appends exactly one row for the record, whatever its bytes are, and says which kind. On an error, nothing was appended.
    fn push(&mut self, origin: Origin<'_>, record: &Message) -> Result<Row, RowError>;
    /// How many rows wait.
    fn len(&self) -> usize;
    /// Whether none waits.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Takes the waiting rows out.
    fn take(&mut self) -> Result<RecordBatch, ArrowError>;
}

/// Why a row could not be made now. The record itself is never the reason.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// Something that is needed to read the record is away: try again.
    #[error("{0}")]
    Unavailable(String),
    /// The table is wrong: a cell does not fit its column.
    #[error("the table is at fault: {0}")]
    Table(String),
}
