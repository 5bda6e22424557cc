//! The bank's tables: one line each where they are put together, one file each for how a record becomes a row.

mod balances;
mod bronze;
mod columns;

use std::sync::Arc;

use schemas::bronze::{AccountRow, CustomerRow, TransactionRow};
use schemas::topics;

pub use balances::Balances;
pub use bronze::{Bronze, BronzeRow};
pub use columns::{Cell, Column, Columns, Kind};

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
        Arc::new(Bronze::<CustomerRow>::new("bronze.customers", topics::CDC_CUSTOMERS)),
        Arc::new(Bronze::<AccountRow>::new("bronze.accounts", topics::CDC_ACCOUNTS)),
        Arc::new(Bronze::<TransactionRow>::new("bronze.transactions", topics::CDC_TRANSACTIONS)),
    ]
}
