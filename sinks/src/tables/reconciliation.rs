//! `gold.reconciliation`: the streamed balances beside the source's own.

use schemas::gold::Reconciliation;
use schemas::{AccountId, topics};

use super::typed::Typed;
use crate::Kind;
use crate::columns::Cell;

/// The table.
pub fn reconciliation() -> Typed<AccountId, Reconciliation> {
    Typed::versions(
        topics::RECONCILIATION,
        1,
        "Every account's streamed balance beside the one that the source keeps, as of the same commit.",
    )
    .key(
        "account_id",
        Kind::Int64,
        "The account.",
        |key| Cell::Int(key.0),
        |row| Cell::Int(row.account_id.0),
    )
    .field("currency", Kind::Text, "Its currency, by ISO 4217.", |row| {
        Cell::Text(row.currency.as_str().into())
    })
    .field(
        "streamed",
        Kind::MONEY,
        "Opening plus all postings that were committed at the source until then.",
        |row| Cell::money(row.streamed),
    )
    .field("source", Kind::MONEY, "What the source's row of the account says.", |row| {
        Cell::money(row.source)
    })
    .field(
        "difference",
        Kind::MONEY,
        "Streamed less source: 0 where the books agree.",
        |row| Cell::money(row.difference),
    )
    .field(
        "is_complete",
        Kind::Bool,
        "Whether every transaction until then is known to have been counted; else nothing more came for a while.",
        |row| Cell::Bool(row.is_complete),
    )
    .field("source_lsn", Kind::Int64, "LSN of the account's row.", |row| {
        Cell::Int(row.source_lsn)
    })
    .field(
        "source_ts",
        Kind::Timestamp,
        "When it was committed at the source: both balances are as of then.",
        |row| Cell::Timestamp(row.source_ts),
    )
}
