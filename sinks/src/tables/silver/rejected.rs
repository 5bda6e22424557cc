//! `silver.rejected`: what breaks a data rule.

use schemas::silver::Rejected;
use schemas::topics;

use super::super::typed::Typed;
use crate::Kind;
use crate::columns::Cell;

/// The table.
pub fn rejected() -> Typed<i64, Rejected> {
    Typed::events(
        topics::SILVER_REJECTED,
        1,
        "Records that break a data rule, each with the rule and the reason.",
    )
    .field(
        "topic",
        Kind::Text,
        "The topic of the record that breaks the rule.",
        |rejected| Cell::Text(rejected.topic.as_str().into()),
    )
    .field("partition", Kind::Int32, "Its partition.", |rejected| {
        Cell::Int(rejected.partition.into())
    })
    .field(
        "offset",
        Kind::Int64,
        "Its offset; -1 where the rule is broken by what did not come.",
        |rejected| Cell::Int(rejected.offset),
    )
    .field("key", Kind::Binary, "Its key, as it came.", |rejected| {
        Cell::binary(rejected.key.as_deref())
    })
    .field("value", Kind::Binary, "Its value, as it came.", |rejected| {
        Cell::binary(rejected.value.as_deref())
    })
    .field("rule", Kind::Text, "The rule's name.", |rejected| {
        Cell::Text(rejected.rule.as_str().into())
    })
    .field("reason", Kind::Text, "What is wrong.", |rejected| {
        Cell::Text(rejected.reason.as_str().into())
    })
    .field("rejected_at", Kind::Timestamp, "When it was found.", |rejected| {
        Cell::Timestamp(rejected.rejected_at)
    })
    .key_only(
        "row_id",
        Kind::Int64,
        "The id of the row that it is about: a customer, an account or a transaction.",
        |key| Cell::Int(*key),
    )
}
