//! The tables of Silver: what is true, typed and cleaned, and the journal. Their columns are the fields of their Avro schemas, by name and in
//! order, and what only a record's key says.

mod accounts;
mod customers;
mod postings;
mod rejected;
mod transactions;

use std::sync::Arc;

use crate::Table;

/// All of them.
pub fn silver() -> Vec<Arc<dyn Table>> {
    vec![
        Arc::new(customers::customers()),
        Arc::new(accounts::accounts()),
        Arc::new(transactions::transactions()),
        Arc::new(postings::postings()),
        Arc::new(rejected::rejected()),
    ]
}
