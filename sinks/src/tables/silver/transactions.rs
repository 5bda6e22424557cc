//! `silver.transactions`: every version of every transaction.

use schemas::silver::Transaction;
use schemas::{TransactionId, topics};

use super::super::typed::Typed;
use crate::Kind;
use crate::columns::Cell;

/// The table.
pub fn transactions() -> Typed<TransactionId, Transaction> {
    Typed::versions(topics::SILVER_TRANSACTIONS, 1, "Every version of every transaction, cleaned.")
        .key(
            "id",
            Kind::Int64,
            "The transaction.",
            |key| Cell::Int(key.0),
            |transaction| Cell::Int(transaction.id.0),
        )
        .field("account_id", Kind::Int64, "The account it is on.", |transaction| {
            Cell::Int(transaction.account_id.0)
        })
        .field(
            "txn_type",
            Kind::Text,
            "What it does: `DEPOSIT`, `WITHDRAWAL` or `TRANSFER`.",
            |transaction| Cell::Text(transaction.txn_type.as_str().into()),
        )
        .field(
            "amount",
            Kind::MONEY,
            "How much, above zero, in the account's currency.",
            |transaction| Cell::money(transaction.amount),
        )
        .field("related_account_id", Kind::Int64, "Where a transfer goes.", |transaction| {
            Cell::int(transaction.related_account_id.map(|id| id.0))
        })
        .field(
            "status",
            Kind::Text,
            "How far it is: `PENDING`, `COMPLETED`, `FAILED` or `REVERSED`.",
            |transaction| Cell::Text(transaction.status.as_str().into()),
        )
        .field("created_at", Kind::Timestamp, "When the row was made.", |transaction| {
            Cell::Timestamp(transaction.created_at)
        })
        .field(
            "updated_at",
            Kind::Timestamp,
            "When the row was last changed.",
            |transaction| Cell::Timestamp(transaction.updated_at),
        )
        .field(
            "source_lsn",
            Kind::Int64,
            "LSN of the change that made this version.",
            |transaction| Cell::Int(transaction.source_lsn),
        )
        .field(
            "source_ts",
            Kind::Timestamp,
            "When that change was committed at the source.",
            |transaction| Cell::Timestamp(transaction.source_ts),
        )
}
