//! What a table's columns are, and rows on their way into them.
//!
//! A [`Column`] is declared once; from it come the shape of the files, the warehouse's DDL and the documentation.

mod buffer;
mod cell;
pub(crate) mod common;
mod kind;

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

pub use buffer::Columns;
pub use cell::Cell;
pub use kind::{Kind, MOST_DIGITS};

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: Cow<'static, str>,
    /// What it holds.
    pub kind: Kind,
    /// Whether it can be null.
    pub nullable: bool,
    /// What it says, in one line; empty for a column that only the source knows.
    pub doc: &'static str,
}

/// Which of the topics that had the table's name a row is of. The writer adds it to every file, after the table's own columns; files
/// of the first versions lack it, which means 1.
pub const GENERATION: Column = Column::required(
    "_generation",
    Kind::Int32,
    "Which of the topics that had this name the row is of, from 1. Rows of a partition are ordered by this and `_offset`.",
);

impl Column {
    /// A column that can be null.
    pub const fn nullable(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            kind,
            nullable: true,
            doc,
        }
    }

    /// A column that always has a value.
    pub const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            kind,
            nullable: false,
            doc,
        }
    }

    /// A column that can be null, of a name that is known at run time only.
    pub fn named(name: String, kind: Kind) -> Self {
        Self {
            name: Cow::Owned(name),
            kind,
            nullable: true,
            doc: "",
        }
    }

    /// Whether this is its name; case makes no difference, as in most engines.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Its field in Arrow.
    pub fn field(&self) -> Field {
        Field::new(self.name.clone(), self.kind.data_type(), self.nullable)
    }
}

/// The shape of these columns.
pub fn schema(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>()))
}
