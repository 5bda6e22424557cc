//! The columns that rows of every table have: where the record is, and what there is of one that cannot be read.

use super::{Column, Kind};

pub(crate) const TOPIC: Column = Column::required("_topic", Kind::Text, "The topic that the record is from.");
pub(crate) const PARTITION: Column = Column::required("_partition", Kind::Int32, "Its partition.");
pub(crate) const OFFSET: Column = Column::required(
    "_offset",
    Kind::Int64,
    "Its offset: a topic's partition and offset are in the table once.",
);
pub(crate) const RAW_KEY: Column = Column::nullable("_raw_key", Kind::Binary, "The record's key, where it cannot be read.");
pub(crate) const RAW: Column = Column::nullable("_raw", Kind::Binary, "The record's value, where it cannot be read.");
pub(crate) const ERROR: Column = Column::nullable("_error", Kind::Text, "Why the record cannot be read.");
