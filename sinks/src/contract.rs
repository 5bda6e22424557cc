//! What every sink does, and what it needs to know of a table.
//!
//! A sink
//! 1. is a consumer group of its own, so that it neither waits for the stream processor nor holds it up;
//! 2. reads committed records only, and every one of them arrives exactly once, through crashes, rebalances and faults of the
//!    store;
//! 3. never stops at a record: what cannot be read arrives as a row with `_op = undecodable` (or `op`), its bytes and the reason;
//!    and what has another shape than the records before it arrives in another file;
//! 4. never stalls silently: a fault is retried without end, and [`crate::SinkHandle::trouble`] says what it is;
//! 5. has a bound on its memory, and lets the log wait when it is reached.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use broker::Message;
use wire::Registry;

use crate::columns::{self, Column};

/// A table: a topic, a shape, and how a record becomes a row.
pub trait Table: Send + Sync + 'static {
    /// The table's name, which is its folder too: letters, digits, `.`, `_`, `-`.
    fn name(&self) -> &str;
    /// What it holds, in one line.
    fn description(&self) -> &str;
    /// The topic that it holds.
    fn topic(&self) -> &str;
    /// Whether the log may drop older records of a key: then a range read again may have fewer rows.
    fn is_compacted(&self) -> bool;
    /// The version of how rows are made; to be raised when that changes.
    fn schema_version(&self) -> u32;
    /// The columns that each of its files has, in their order, besides [`columns::GENERATION`], which the writer adds after them.
    ///
    /// A file may have more of them: see [`Table::takes_new_columns`].
    fn columns(&self) -> &[Column];
    /// The columns that say what a row is a version of; none for a table of which each row stands for itself.
    ///
    /// The current row of a key is the one with its highest `_generation` and, in it, `_offset`, among those that could be read (`op`
    /// is not `undecodable`); if that is a `delete`, there is none. All records of a key are in one partition.
    fn key_columns(&self) -> &[&str];
    /// Whether a file has columns of its records' own besides, as they come at the source: all can be null, and a declared one may be
    /// of the kind that the source has it as.
    fn takes_new_columns(&self) -> bool {
        false
    }
    /// The shape of the declared columns.
    fn schema(&self) -> SchemaRef {
        columns::schema(self.columns())
    }
    /// An empty buffer of rows, for a file that comes after none.
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

/// Rows on their way into one file.
pub trait Rows: Send {
    /// Appends exactly one row for the record, whatever its bytes are, and says which kind. On an error, nothing was appended.
    ///
    /// The first record is never refused for its shape.
    fn push(&mut self, origin: Origin<'_>, record: &Message) -> Result<Row, RowError>;
    /// The file's shape: settled once rows are taken out, and wide enough for what was pushed before.
    fn schema(&self) -> SchemaRef;
    /// How many rows wait.
    fn len(&self) -> usize;
    /// Whether none waits.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Takes the waiting rows out.
    fn take(&mut self) -> Result<RecordBatch, ArrowError>;
    /// An empty buffer for the file after this one, which takes a record that this one refused; `None` if the shape never changes.
    fn next(&self) -> Option<Box<dyn Rows>> {
        None
    }
    /// An empty buffer for this file, begun again, which takes all of its records and the one that was refused.
    fn wider(&self) -> Option<Box<dyn Rows>> {
        None
    }
}

/// Why a row could not be made now. The record itself is never the reason.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// Something that is needed to read the record is away: try again.
    #[error("{0}")]
    Unavailable(String),
    /// The file has another shape than the record: it ends before it.
    #[error("the record has another shape than the file")]
    Shape,
    /// The table is wrong: a cell does not fit its column.
    #[error("the table is at fault: {0}")]
    Table(String),
}
