//! `bronze.*`: the change logs of the source's tables. The columns here are in every file; the source may have more.

use std::sync::Arc;

use schemas::topics;

use super::bronze::Bronze;
use crate::Table;
use crate::columns::{Column, Kind};

/// The tables of Bronze: every change event, as Debezium sent it.
pub fn bronze() -> Vec<Arc<dyn Table>> {
    vec![
        Arc::new(Bronze::new(
            "bronze.customers",
            "Every change of a row of `customers`, as Debezium sent it.",
            topics::CDC_CUSTOMERS.name(),
            CUSTOMERS,
        )),
        Arc::new(Bronze::new(
            "bronze.accounts",
            "Every change of a row of `accounts`, as Debezium sent it.",
            topics::CDC_ACCOUNTS.name(),
            ACCOUNTS,
        )),
        Arc::new(Bronze::new(
            "bronze.transactions",
            "Every change of a row of `transactions`, as Debezium sent it.",
            topics::CDC_TRANSACTIONS.name(),
            TRANSACTIONS,
        )),
    ]
}

/// As the source's own money is.
const SOURCE_MONEY: Kind = Kind::decimal(20, 4);

const CREATED_AT: Column = Column::nullable("created_at", Kind::Timestamp, "When the row was made.");
const UPDATED_AT: Column = Column::nullable("updated_at", Kind::Timestamp, "When the row was last changed.");

const CUSTOMERS: &[Column] = &[
    Column::nullable("id", Kind::Int64, "The customer."),
    Column::nullable("first_name", Kind::Text, "The first name, as it was entered."),
    Column::nullable("last_name", Kind::Text, "The last name, as it was entered."),
    Column::nullable("email", Kind::Text, "The address, as it was entered."),
    CREATED_AT,
    UPDATED_AT,
];

const ACCOUNTS: &[Column] = &[
    Column::nullable("id", Kind::Int64, "The account."),
    Column::nullable("customer_id", Kind::Int64, "Whose it is."),
    Column::nullable("account_type", Kind::Text, "Its kind, as it was entered."),
    Column::nullable("currency", Kind::Text, "Its currency, as it was entered."),
    Column::nullable("opening_balance", SOURCE_MONEY, "What it opened with."),
    Column::nullable("balance", SOURCE_MONEY, "What the source says the balance is."),
    Column::nullable("status", Kind::Text, "Whether it is open, as it was entered."),
    Column::nullable("closed_at", Kind::Timestamp, "When it was closed."),
    CREATED_AT,
    UPDATED_AT,
];

const TRANSACTIONS: &[Column] = &[
    Column::nullable("id", Kind::Int64, "The transaction."),
    Column::nullable("account_id", Kind::Int64, "The account it is on."),
    Column::nullable("txn_type", Kind::Text, "What it does, as it was entered."),
    Column::nullable("amount", SOURCE_MONEY, "How much."),
    Column::nullable("related_account_id", Kind::Int64, "Where a transfer goes."),
    Column::nullable("status", Kind::Text, "How far it is, as it was entered."),
    CREATED_AT,
    UPDATED_AT,
];
