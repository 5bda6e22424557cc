//! Customers, cleaned.

use std::sync::atomic::AtomicU64;

use schemas::CustomerId;
use schemas::bronze::CustomerRow;
use schemas::rules::Rule;
use schemas::silver::Customer;
use schemas::state::{Applied, TableState};
use topology::store::KeyValue;

use super::entity::Entity;
use super::rules::{Cleaning, Violation};
use crate::counters::CUSTOMERS_HELD;
use crate::stores;

/// The table `customers`.
pub struct Customers;

impl Entity for Customers {
    type Id = CustomerId;
    type Row = CustomerRow;
    type Clean = Customer;
    const NAME: &'static str = "apply-customers";
    const ROWS: KeyValue<CustomerId, Applied<Customer>> = stores::CUSTOMERS;
    const TABLE: KeyValue<i64, TableState> = stores::CUSTOMERS_TABLE;

    fn held_rows() -> &'static AtomicU64 {
        &CUSTOMERS_HELD
    }

    fn id(key: i64) -> CustomerId {
        CustomerId(key)
    }

    fn number(id: CustomerId) -> i64 {
        id.0
    }

    fn clean(id: CustomerId, row: &CustomerRow, with: &mut Cleaning<'_, Customer>) -> Result<Customer, Violation> {
        let email = with.text("email", &row.email, |c| &c.email)?.to_lowercase();
        if !email.contains('@') {
            return Err(Violation::new(Rule::AcceptedValues, format!("email {email:?} has no @")));
        }
        let created_at = with.instant("created_at", row.created_at);
        Ok(Customer {
            id,
            first_name: with.text("first_name", &row.first_name, |c| &c.first_name)?,
            last_name: with.text("last_name", &row.last_name, |c| &c.last_name)?,
            email,
            created_at: created_at
                .or(with.stored.map(|c| c.created_at))
                .unwrap_or(with.at.committed_at_us.0),
            updated_at: with
                .instant("updated_at", row.updated_at)
                .unwrap_or(with.at.committed_at_us.0),
            source_lsn: with.at.lsn,
            source_ts: with.at.committed_at_us.0,
        })
    }
}
