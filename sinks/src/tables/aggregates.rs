//! `gold.customer_positions`, `gold.account_daily`, `gold.bank_daily`, `gold.transaction_minutes`: Gold that adds up. Each row is what a
//! group comes to; a later one of the same key takes its place, and a group of which nothing is left ends with a `delete`.

use schemas::gold::{AccountDay, BankDay, BankDayKey, CustomerPosition, TransactionMinute, TransactionMinuteKey};
use schemas::{AccountId, Currency, CustomerId, topics};

use super::typed::Typed;
use crate::Kind;
use crate::columns::Cell;

/// What customers have, by currency.
pub fn customer_positions() -> Typed<(CustomerId, Currency), CustomerPosition> {
    Typed::versions(
        topics::CUSTOMER_POSITIONS,
        1,
        "What every customer has in each currency, over all accounts; every version.",
    )
    .key(
        "customer_id",
        Kind::Int64,
        "The customer.",
        |(id, _)| Cell::Int(id.0),
        |position| Cell::Int(position.customer_id.0),
    )
    .key(
        "currency",
        Kind::Text,
        UNIT,
        |(_, currency)| of(currency),
        |position| of(&position.currency),
    )
    .field("booked", Kind::MONEY, "Sum of the accounts' booked balances.", |position| {
        Cell::money(position.booked)
    })
    .field(
        "available",
        Kind::MONEY,
        "Sum of the accounts' available balances: booked less holds.",
        |position| Cell::money(position.available),
    )
    .field(
        "accounts",
        Kind::Int64,
        "How many accounts there are, closed ones included; at least 1.",
        |position| Cell::Int(position.accounts),
    )
    .field("open_accounts", Kind::Int64, "How many of them are open.", |position| {
        Cell::Int(position.open_accounts)
    })
}

/// Accounts by day.
pub fn account_daily() -> Typed<(AccountId, i32), AccountDay> {
    Typed::versions(
        topics::ACCOUNT_DAILY,
        1,
        "Every account on each day on which something was posted to it; every version.",
    )
    .key(
        "account_id",
        Kind::Int64,
        "The account.",
        |(id, _)| Cell::Int(id.0),
        |day| Cell::Int(day.account_id.0),
    )
    .key(
        "day",
        Kind::Date,
        "The day (UTC), by the transactions' own time, `created_at`.",
        |(_, day)| Cell::Date(*day),
        |day| Cell::Date(day.day),
    )
    .field(
        "customer_id",
        Kind::Int64,
        "Whose the account was when the row was written.",
        |day| Cell::Int(day.customer_id.0),
    )
    .field("account_type", Kind::Text, "`CHECKING` or `SAVINGS`.", |day| {
        Cell::Text(day.account_type.as_str().into())
    })
    .field("currency", Kind::Text, UNIT, |day| of(&day.currency))
    .field(
        "opening",
        Kind::MONEY,
        "What it had when the day began: what it opened with, and all that was posted for earlier days.",
        |day| Cell::money(day.opening),
    )
    .field("credits", Kind::MONEY, "Sum of what came in on the day.", |day| {
        Cell::money(day.credits)
    })
    .field(
        "debits",
        Kind::MONEY,
        "Sum of what went out on the day; not below zero.",
        |day| Cell::money(day.debits),
    )
    .field(
        "entries",
        Kind::Int64,
        "How many postings stand on the day; at least 1. What was posted and taken back is not among them.",
        |day| Cell::Int(day.entries),
    )
    .field("closing", Kind::MONEY, "Opening plus credits less debits.", |day| {
        Cell::money(day.closing)
    })
}

/// The bank by day.
pub fn bank_daily() -> Typed<BankDayKey, BankDay> {
    Typed::versions(
        topics::BANK_DAILY,
        1,
        "The bank on each day, by type of account and currency; every version.",
    )
    .key("day", Kind::Date, "The day (UTC).", |(day, _, _)| Cell::Date(*day), |day| Cell::Date(day.day))
    .key(
        "account_type",
        Kind::Text,
        "`CHECKING` or `SAVINGS`: the type that the accounts have now.",
        |(_, account_type, _)| Cell::Text(account_type.as_str().into()),
        |day| Cell::Text(day.account_type.as_str().into()),
    )
    .key("currency", Kind::Text, UNIT, |(_, _, currency)| of(currency), |day| of(&day.currency))
    .field(
        "net_flow",
        Kind::MONEY,
        "What came in less what went out, by the transactions' own time.",
        |day| Cell::money(day.net_flow),
    )
    .field(
        "opened_with",
        Kind::MONEY,
        "What the accounts opened with that were made on the day. Deposits held are the sum of this and `net_flow` over all days so far.",
        |day| Cell::money(day.opened_with),
    )
    .field("new_accounts", Kind::Int64, "Accounts made on the day.", |day| Cell::Int(day.new_accounts))
    .field(
        "closed_accounts",
        Kind::Int64,
        "Accounts closed on the day; those that are open again are not among them.",
        |day| Cell::Int(day.closed_accounts),
    )
    .field(
        "active_accounts",
        Kind::Int64,
        "Accounts to which something was posted.",
        |day| Cell::Int(day.active_accounts),
    )
    .field(
        "active_customers",
        Kind::Int64,
        "Customers to whose accounts of this type and currency something was posted, each once.",
        |day| Cell::Int(day.active_customers),
    )
}

/// Transactions by minute.
pub fn transaction_minutes() -> Typed<TransactionMinuteKey, TransactionMinute> {
    Typed::versions(
        topics::TRANSACTION_MINUTES,
        1,
        "The transactions of each minute, by type, status and currency; every version.",
    )
    .key(
        "minute",
        Kind::Timestamp,
        "When the minute begins, by the transactions' own time, `created_at`.",
        |(minute, ..)| Cell::Timestamp(*minute),
        |minute| Cell::Timestamp(minute.minute),
    )
    .key(
        "txn_type",
        Kind::Text,
        "`DEPOSIT`, `WITHDRAWAL` or `TRANSFER`.",
        |(_, txn_type, ..)| Cell::Text(txn_type.as_str().into()),
        |minute| Cell::Text(minute.txn_type.as_str().into()),
    )
    .key(
        "status",
        Kind::Text,
        "`PENDING`, `COMPLETED`, `FAILED` or `REVERSED`.",
        |(_, _, status, _)| Cell::Text(status.as_str().into()),
        |minute| Cell::Text(minute.status.as_str().into()),
    )
    .key(
        "currency",
        Kind::Text,
        UNIT,
        |(.., currency)| of(currency),
        |minute| of(&minute.currency),
    )
    .field("transactions", Kind::Int64, "How many they are; at least 1.", |minute| {
        Cell::Int(minute.transactions)
    })
    .field("amount", Kind::MONEY, "Sum of their amounts.", |minute| {
        Cell::money(minute.amount)
    })
    .field(
        "failures",
        Kind::Int64,
        "How many of them failed: all where the status is `FAILED`, else 0, so that it can be added up over statuses.",
        |minute| Cell::Int(minute.failures),
    )
}

const UNIT: &str = "The currency, by ISO 4217: the unit of the amounts.";

fn of(currency: &Currency) -> Cell<'_> {
    Cell::Text(currency.as_str().into())
}
