//! Bronze: every record of a change-log topic as an append-only row, with every column that the source sent.
//!
//! A row's columns are those of the schema that its record was written with, by their names: of `after`, or, where `_op` is `d`,
//! of `before`. [`value`] says of what type. The row as it was is in `_before` as JSON text: every engine reads that, whatever
//! columns come, go or change their type, where a struct's fields may come (DuckDB, Spark) but never change (DuckDB fails on the
//! whole set of files). Decimals in it are texts.
//!
//! Nothing is filtered or cleaned: a tombstone is a row (`_op = tombstone`), and a record that cannot be read is one too
//! (`_op = undecodable`, with its bytes and the reason), so that each offset of the topic is in the lake exactly once. A value
//! beyond its column's type is null there and text in `_unparsed`, `{"column": "text"}`.
//!
//! **Shapes.** A file has one shape. A record with a column that the file lacks, or with one of a type that does not go into the
//! file's, ends it, and the next file has the new shape. If that one is ended by a shape, too, while a change is on its way
//! through the source, then the next has both: columns of either, each of a type that holds both, text at worst. So shapes that
//! take turns cost two small files, and not one for each record; two schemas of the same columns cost none. A file that
//! ended otherwise hands what its own records had to the next. Columns which the bank's tables have are in every file, as nulls
//! where the source has dropped or renamed them.

mod avro;
mod common;
mod datum;
mod decimal;
mod event;
mod instant;
mod registry;
mod rows;
mod shape;
mod value;

use std::sync::Arc;

use wire::Registry;

use self::common::COMMON;
use self::registry::Schemas;
use self::rows::BronzeRows;
use crate::columns::Column;
use crate::{Rows, Table};

/// The version of how rows are made. 1 had the bank's columns alone.
const SCHEMA_VERSION: u32 = 2;

/// The table of one change-log topic.
pub struct Bronze {
    name: &'static str,
    description: &'static str,
    topic: &'static str,
    least: &'static [Column],
    /// Those, and the common ones.
    columns: Vec<Column>,
}

impl Bronze {
    /// The table of this name, of this topic, with at least these columns, of which the first is the row's id.
    pub fn new(name: &'static str, description: &'static str, topic: &'static str, least: &'static [Column]) -> Self {
        Self {
            name,
            description,
            topic,
            least,
            columns: [least, COMMON].concat(),
        }
    }
}

impl Table for Bronze {
    fn name(&self) -> &str {
        self.name
    }
    fn description(&self) -> &str {
        self.description
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
    fn columns(&self) -> &[Column] {
        &self.columns
    }
    fn key_columns(&self) -> &[&str] {
        &[]
    }
    fn takes_new_columns(&self) -> bool {
        true
    }
    fn rows(&self, registry: Arc<dyn Registry>) -> Box<dyn Rows> {
        Box::new(BronzeRows::new(self.least, Arc::new(Schemas::new(registry, self.topic))))
    }
}
