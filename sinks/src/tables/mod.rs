//! The bank's tables: one line each where they are put together, one room each for how a record becomes a row.

mod balances;
mod bronze;
mod columns;
mod kind;

use std::sync::Arc;

use schemas::topics;

pub use balances::Balances;
pub use bronze::Bronze;
pub use columns::{Cell, Column, Columns};
pub use kind::{Kind, MOST_DIGITS};

use crate::Table;

/// Every table of the lake.
pub fn all() -> Vec<Arc<dyn Table>> {
    let mut tables = bronze();
    tables.push(Arc::new(Balances::new()));
    tables
}

/// The tables of Bronze: every change event, as Debezium sent it.
pub fn bronze() -> Vec<Arc<dyn Table>> {
    vec![
        Arc::new(Bronze::new("bronze.customers", topics::CDC_CUSTOMERS.name(), CUSTOMERS)),
        Arc::new(Bronze::new("bronze.accounts", topics::CDC_ACCOUNTS.name(), ACCOUNTS)),
        Arc::new(Bronze::new(
            "bronze.transactions",
            topics::CDC_TRANSACTIONS.name(),
            TRANSACTIONS,
        )),
    ]
}

/// As the source's own money is.
const SOURCE_MONEY: Kind = Kind::decimal(20, 4);

const CUSTOMERS: &[Column] = &[
    Column::nullable("id", Kind::Int64),
    Column::nullable("first_name", Kind::Text),
    Column::nullable("last_name", Kind::Text),
    Column::nullable("email", Kind::Text),
    Column::nullable("created_at", Kind::Timestamp),
    Column::nullable("updated_at", Kind::Timestamp),
];

const ACCOUNTS: &[Column] = &[
    Column::nullable("id", Kind::Int64),
    Column::nullable("customer_id", Kind::Int64),
    Column::nullable("account_type", Kind::Text),
    Column::nullable("currency", Kind::Text),
    Column::nullable("opening_balance", SOURCE_MONEY),
    Column::nullable("balance", SOURCE_MONEY),
    Column::nullable("status", Kind::Text),
    Column::nullable("closed_at", Kind::Timestamp),
    Column::nullable("created_at", Kind::Timestamp),
    Column::nullable("updated_at", Kind::Timestamp),
];

const TRANSACTIONS: &[Column] = &[
    Column::nullable("id", Kind::Int64),
    Column::nullable("account_id", Kind::Int64),
    Column::nullable("txn_type", Kind::Text),
    Column::nullable("amount", SOURCE_MONEY),
    Column::nullable("related_account_id", Kind::Int64),
    Column::nullable("status", Kind::Text),
    Column::nullable("created_at", Kind::Timestamp),
    Column::nullable("updated_at", Kind::Timestamp),
];
