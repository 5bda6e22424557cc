//! `gold.customer_history` and `gold.account_history`: slowly changing dimensions of type 2. A version is written once when it
//! opens and once when it closes, and taken back where its transaction was found to have changed nothing.

use schemas::gold::{AccountVersion, CustomerVersion, Versioned};
use schemas::{AccountId, CustomerId, topics};
use wire::Wire;

use super::typed::{OfValue, Typed};
use crate::Kind;
use crate::columns::Cell;

/// The versions of customers.
pub fn customers() -> Typed<(CustomerId, i64), CustomerVersion> {
    let table = Typed::versions(
        topics::CUSTOMER_HISTORY,
        1,
        "The history of every customer: which names and e-mail were in force when.",
    );
    let table = table
        .key(
            "customer_id",
            Kind::Int64,
            "The customer.",
            |(id, _)| Cell::Int(id.0),
            |version| Cell::Int(version.customer_id.0),
        )
        .key(
            "version",
            Kind::Int64,
            NUMBER,
            |(_, number)| Cell::Int(*number),
            |version| Cell::Int(version.version),
        )
        .field("first_name", Kind::Text, "The first name, trimmed.", |version| {
            Cell::Text(version.first_name.as_str().into())
        })
        .field("last_name", Kind::Text, "The last name, trimmed.", |version| {
            Cell::Text(version.last_name.as_str().into())
        })
        .field("email", Kind::Text, "The address, trimmed and in lower case.", |version| {
            Cell::Text(version.email.as_str().into())
        });
    with_validity(table, |version| Cell::Bool(version.is_current))
}

/// The versions of accounts.
pub fn accounts() -> Typed<(AccountId, i64), AccountVersion> {
    let table = Typed::versions(
        topics::ACCOUNT_HISTORY,
        1,
        "The history of every account: which owner, kind, currency and status were in force when.",
    );
    let table = table
        .key(
            "account_id",
            Kind::Int64,
            "The account.",
            |(id, _)| Cell::Int(id.0),
            |version| Cell::Int(version.account_id.0),
        )
        .key(
            "version",
            Kind::Int64,
            NUMBER,
            |(_, number)| Cell::Int(*number),
            |version| Cell::Int(version.version),
        )
        .field("customer_id", Kind::Int64, "Whose it is.", |version| {
            Cell::Int(version.customer_id.0)
        })
        .field("account_type", Kind::Text, "`CHECKING` or `SAVINGS`.", |version| {
            Cell::Text(version.account_type.as_str().into())
        })
        .field("currency", Kind::Text, "Its currency, by ISO 4217.", |version| {
            Cell::Text(version.currency.as_str().into())
        })
        .field("status", Kind::Text, "`ACTIVE` or `INACTIVE`.", |version| {
            Cell::Text(version.status.as_str().into())
        });
    with_validity(table, |version| Cell::Bool(version.is_current))
}

const NUMBER: &str = "The version's number: 1, 2, … without gaps, deletions included.";

/// The columns that both have: when a version holds, and what made it.
fn with_validity<K: Wire, V: Wire + Versioned>(table: Typed<K, V>, is_current: OfValue<V>) -> Typed<K, V> {
    table
        .field(
            "valid_from",
            Kind::Timestamp,
            "When the change that made it was committed at the source, or a microsecond after the version before it.",
            |version| Cell::Timestamp(version.validity().valid_from.0),
        )
        .field(
            "valid_to",
            Kind::Timestamp,
            "When the next version began; null: it is the newest.",
            |version| Cell::timestamp(version.validity().valid_to.map(|at| at.0)),
        )
        .field("is_current", Kind::Bool, "Whether it is the newest version.", is_current)
        .field(
            "is_deleted",
            Kind::Bool,
            "Whether the row is gone; the other columns are then those that it had last.",
            |version| Cell::Bool(version.validity().is_deleted),
        )
        .field("source_lsn", Kind::Int64, "LSN of the change that made it.", |version| {
            Cell::Int(version.validity().source_lsn)
        })
        .field(
            "source_tx_id",
            Kind::Int64,
            "The source's transaction that made it; null: a snapshot, or the source does not say.",
            |version| version.validity().source_tx_id.map_or(Cell::Null, Cell::Int),
        )
}
