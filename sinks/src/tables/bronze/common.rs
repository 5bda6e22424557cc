//! What every row of Bronze says of its record.

use crate::columns::{Column, Kind, common};

/// The columns that every table of Bronze has after its rows'.
pub(super) const COMMON: &[Column] = &[
    Column::required(
        "_op",
        Kind::Text,
        "What happened: `c`, `u`, `d`, `r` (read by a snapshot), `t` (truncate) or `m` as Debezium says it, `tombstone`, or `undecodable`.",
    ),
    Column::nullable("_lsn", Kind::Int64, "The change's position in the source's write-ahead log."),
    Column::nullable("_tx_id", Kind::Int64, "The source's transaction."),
    Column::nullable("_source_ts", Kind::Timestamp, "When the change was committed at the source."),
    Column::nullable(
        "_snapshot",
        Kind::Text,
        "Whether the event is of a snapshot, as Debezium says it.",
    ),
    Column::nullable("_before", Kind::Text, "The row as it was, as JSON; its decimals are texts."),
    Column::nullable(
        "_unparsed",
        Kind::Text,
        "Values that their columns cannot hold, as a JSON object of column and text.",
    ),
    common::TOPIC,
    common::PARTITION,
    common::OFFSET,
    common::RAW_KEY,
    common::RAW,
    common::ERROR,
];
