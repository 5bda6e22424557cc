//! `silver.postings`: the journal.
//!
//! Its topic is keyed by the account that was booked on, which a cash posting's own account is not: hence a column of its own.

use schemas::silver::Posting;
use schemas::{AccountId, topics};

use super::super::typed::Typed;
use crate::Kind;
use crate::columns::Cell;

/// 1 had no `effective_at`, 2 no `entry_number`, `balance_after` and `recorded_at`.
const SCHEMA_VERSION: u32 = 3;

/// The table.
pub fn postings() -> Typed<AccountId, Posting> {
    Typed::events(
        topics::SILVER_POSTINGS,
        SCHEMA_VERSION,
        "The journal: every posting, never changed; those of a transaction sum to zero.",
    )
    .field(
        "posting_id",
        Kind::Text,
        "Unique: transaction, its version, leg, and what kind of entry.",
        |posting| Cell::Text(posting.posting_id.as_str().into()),
    )
    .field("transaction_id", Kind::Int64, "The transaction.", |posting| {
        Cell::Int(posting.transaction_id.0)
    })
    .field(
        "account_id",
        Kind::Int64,
        "The account; negative: the bank's cash.",
        |posting| Cell::Int(posting.account_id.0),
    )
    .field(
        "is_cash",
        Kind::Bool,
        "Whether it is the cash side of a deposit or withdrawal.",
        |posting| Cell::Bool(posting.is_cash),
    )
    .field("currency", Kind::Text, "The account's currency, by ISO 4217.", |posting| {
        Cell::Text(posting.currency.as_str().into())
    })
    .field(
        "amount",
        Kind::MONEY,
        "Above zero: to the account. Below: from it.",
        |posting| Cell::money(posting.amount),
    )
    .field("reverses", Kind::Text, "The posting that this one takes back.", |posting| {
        Cell::text(posting.reverses.as_deref())
    })
    .field(
        "booked_at",
        Kind::Timestamp,
        "When the change was committed at the source.",
        |posting| Cell::Timestamp(posting.booked_at),
    )
    .field(
        "effective_at",
        Kind::Timestamp,
        "When its transaction was made, whose day it counts to; null: it was posted before that was kept.",
        |posting| Cell::timestamp(posting.effective_at),
    )
    .field("source_lsn", Kind::Int64, "LSN of the change that caused it.", |posting| {
        Cell::Int(posting.source_lsn)
    })
    .field(
        "entry_number",
        Kind::Int64,
        "Which posting of its account it is, from 1 on; null: the bank's cash, or posted before they were counted.",
        |posting| Cell::int(posting.entry_number),
    )
    .field(
        "balance_after",
        Kind::MONEY,
        "The account's booked balance with it; null: as `entry_number`.",
        |posting| posting.balance_after.map_or(Cell::Null, Cell::money),
    )
    .field(
        "recorded_at",
        Kind::Timestamp,
        "When it was known: `booked_at`, or later, so that it never goes back from one posting of an account to the next; null: as `entry_number`.",
        |posting| Cell::timestamp(posting.recorded_at),
    )
    .key_only(
        "key_account_id",
        Kind::Int64,
        "The customer's account that was booked on: of a cash posting, the other side.",
        |key| Cell::Int(key.0),
    )
}
