//! `gold.transactions`: the fact table. A transaction is written anew when it changes, and when a version of its account comes that was in force at
//! its own time.

use schemas::gold::TransactionFact;
use schemas::{TransactionId, topics};

use super::typed::Typed;
use crate::Kind;
use crate::columns::Cell;

/// The facts.
pub fn transactions() -> Typed<TransactionId, TransactionFact> {
    Typed::versions(
        topics::TRANSACTION_FACTS,
        1,
        "Every transaction with the customer and the version of its account that were in force at its own time; every version.",
    )
    .key(
        "transaction_id",
        Kind::Int64,
        "The transaction.",
        |key| Cell::Int(key.0),
        |fact| Cell::Int(fact.transaction_id.0),
    )
    .field("account_id", Kind::Int64, "The account it is on.", |fact| {
        Cell::Int(fact.account_id.0)
    })
    .field(
        "account_version",
        Kind::Int64,
        "Which version of the account was in force at `created_at`: its `version` in `gold.account_history`. Before the first one, that.",
        |fact| Cell::Int(fact.account_version),
    )
    .field("customer_id", Kind::Int64, "Whose the account was then.", |fact| {
        Cell::Int(fact.customer_id.0)
    })
    .field(
        "account_type",
        Kind::Text,
        "`CHECKING` or `SAVINGS`: the account's type then.",
        |fact| Cell::Text(fact.account_type.as_str().into()),
    )
    .field(
        "currency",
        Kind::Text,
        "The currency, by ISO 4217: the unit of the amount. An account keeps it as long as it has transactions, so it is that of its newest version.",
        |fact| Cell::Text(fact.currency.as_str().into()),
    )
    .field("txn_type", Kind::Text, "`DEPOSIT`, `WITHDRAWAL` or `TRANSFER`.", |fact| {
        Cell::Text(fact.txn_type.as_str().into())
    })
    .field("amount", Kind::MONEY, "How much, above zero.", |fact| Cell::money(fact.amount))
    .field("related_account_id", Kind::Int64, "Where a transfer goes.", |fact| {
        Cell::int(fact.related_account_id.map(|id| id.0))
    })
    .field(
        "status",
        Kind::Text,
        "How far it is: `PENDING`, `COMPLETED`, `FAILED` or `REVERSED`.",
        |fact| Cell::Text(fact.status.as_str().into()),
    )
    .field(
        "created_at",
        Kind::Timestamp,
        "The transaction's own time: when its row was made.",
        |fact| Cell::Timestamp(fact.created_at),
    )
    .field("updated_at", Kind::Timestamp, "When the row was last changed.", |fact| {
        Cell::Timestamp(fact.updated_at)
    })
    .field(
        "source_lsn",
        Kind::Int64,
        "LSN of the transaction's change that made this row.",
        |fact| Cell::Int(fact.source_lsn),
    )
    .field(
        "source_ts",
        Kind::Timestamp,
        "When that change was committed at the source.",
        |fact| Cell::Timestamp(fact.source_ts),
    )
}
