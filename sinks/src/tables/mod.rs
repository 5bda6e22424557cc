//! The bank's tables: one line each where they are put together, one declaration each of their columns.
//!
//! - `change_logs`: the tables of [`Bronze`], whose rows have whatever columns the source sends.
//! - `silver/`, `balances`, `histories`, `facts`, `aggregates`, `reconciliation`: [`Typed`] tables, of records whose type is ours.

mod aggregates;
mod balances;
mod bronze;
mod change_logs;
mod describe;
mod facts;
mod histories;
mod reconciliation;
mod silver;
mod typed;

use std::sync::Arc;

pub use bronze::Bronze;
pub use change_logs::bronze;
pub use describe::describe;
pub use typed::{OfKey, OfValue, Typed};

use crate::Table;

/// Every table of the lake.
pub fn all() -> Vec<Arc<dyn Table>> {
    let mut tables = bronze();
    tables.extend(silver::silver());
    tables.push(Arc::new(balances::balances()));
    tables.push(Arc::new(histories::customers()));
    tables.push(Arc::new(histories::accounts()));
    tables.push(Arc::new(facts::transactions()));
    tables.push(Arc::new(aggregates::customer_positions()));
    tables.push(Arc::new(aggregates::account_daily()));
    tables.push(Arc::new(aggregates::bank_daily()));
    tables.push(Arc::new(aggregates::transaction_minutes()));
    tables.push(Arc::new(reconciliation::reconciliation()));
    tables
}
