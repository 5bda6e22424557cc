//! `silver.accounts`: every version of every account.

use schemas::silver::Account;
use schemas::{AccountId, topics};

use super::super::typed::Typed;
use crate::Kind;
use crate::columns::Cell;

/// 1 had no `balance_from`.
const SCHEMA_VERSION: u32 = 2;

/// The table.
pub fn accounts() -> Typed<AccountId, Account> {
    Typed::versions(topics::SILVER_ACCOUNTS, SCHEMA_VERSION, "Every version of every account, cleaned.")
        .key(
            "id",
            Kind::Int64,
            "The account.",
            |key| Cell::Int(key.0),
            |account| Cell::Int(account.id.0),
        )
        .field("customer_id", Kind::Int64, "Whose it is.", |account| {
            Cell::Int(account.customer_id.0)
        })
        .field("account_type", Kind::Text, "Its kind: `CHECKING` or `SAVINGS`.", |account| {
            Cell::Text(account.account_type.as_str().into())
        })
        .field("currency", Kind::Text, "Its currency, by ISO 4217.", |account| {
            Cell::Text(account.currency.as_str().into())
        })
        .field("opening_balance", Kind::MONEY, "What it opened with.", |account| {
            Cell::money(account.opening_balance)
        })
        .field("balance", Kind::MONEY, "What the source says the balance is.", |account| {
            Cell::money(account.balance)
        })
        .field(
            "status",
            Kind::Text,
            "Whether it is open: `ACTIVE` or `INACTIVE`.",
            |account| Cell::Text(account.status.as_str().into()),
        )
        .field("closed_at", Kind::Timestamp, "When it was closed.", |account| {
            Cell::timestamp(account.closed_at)
        })
        .field("created_at", Kind::Timestamp, "When the row was made.", |account| {
            Cell::Timestamp(account.created_at)
        })
        .field("updated_at", Kind::Timestamp, "When the row was last changed.", |account| {
            Cell::Timestamp(account.updated_at)
        })
        .field(
            "source_lsn",
            Kind::Int64,
            "LSN of the change that made this version.",
            |account| Cell::Int(account.source_lsn),
        )
        .field(
            "source_ts",
            Kind::Timestamp,
            "When that change was committed at the source.",
            |account| Cell::Timestamp(account.source_ts),
        )
        .field(
            "balance_from",
            Kind::Text,
            "Whether `balance` is what the source's ledger made it: `LEDGER`: yes, as of the transaction that made this version; `SNAPSHOT`: yes, as read by a snapshot; `NONE`: the source keeps none, or the row was written before that was said.",
            |account| Cell::Text(account.balance_from.as_str().into()),
        )
}
