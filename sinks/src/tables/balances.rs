//! `gold.account_balances`: every version of every balance.

use schemas::gold::AccountBalance;
use schemas::{AccountId, topics};

use super::typed::Typed;
use crate::Kind;
use crate::columns::Cell;

/// 1 had `DECIMAL(18,2)`, 2 no `commit_number`.
const SCHEMA_VERSION: u32 = 3;

/// The table.
pub fn balances() -> Typed<AccountId, AccountBalance> {
    Typed::versions(
        topics::ACCOUNT_BALANCES,
        SCHEMA_VERSION,
        "Every version of every account's balance.",
    )
    .key(
        "account_id",
        Kind::Int64,
        "The account; negative: the bank's cash.",
        |key| Cell::Int(key.0),
        |balance| Cell::Int(balance.account_id.0),
    )
    .field("customer_id", Kind::Int64, "Whose it is.", |balance| {
        Cell::Int(balance.customer_id.0)
    })
    .field("currency", Kind::Text, "Its currency, by ISO 4217.", |balance| {
        Cell::Text(balance.currency.as_str().into())
    })
    .field("opening", Kind::MONEY, "What the account opened with.", |balance| {
        Cell::money(balance.opening)
    })
    .field("booked", Kind::MONEY, "Opening plus all postings.", |balance| {
        Cell::money(balance.booked)
    })
    .field(
        "pending",
        Kind::MONEY,
        "Holds of pending withdrawals and transfers out.",
        |balance| Cell::money(balance.pending),
    )
    .field("available", Kind::MONEY, "Booked less pending.", |balance| {
        Cell::money(balance.available)
    })
    .field("entry_count", Kind::Int64, "How many postings it has had.", |balance| {
        Cell::Int(balance.entry_count)
    })
    .field(
        "last_entry_at",
        Kind::Timestamp,
        "When the last one was committed at the source.",
        |balance| Cell::timestamp(balance.last_entry_at),
    )
    .field(
        "is_deleted",
        Kind::Bool,
        "Whether the account's row is gone; what still comes for it is booked all the same.",
        |balance| Cell::Bool(balance.is_deleted),
    )
    .field("source_lsn", Kind::Int64, "LSN of the newest change that changed anything of it.", |balance| {
        Cell::Int(balance.source_lsn)
    })
    .field(
        "source_ts",
        Kind::Timestamp,
        "When that change was committed at the source.",
        |balance| Cell::Timestamp(balance.source_ts),
    )
    .field(
        "commit_number",
        Kind::Int64,
        "Number of the newest source transaction that it reflects, in the order of their commits; null: none yet, or they are not counted.",
        |balance| Cell::int(balance.commit_number),
    )
}
