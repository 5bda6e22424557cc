//! Customers, cleaned.

use schemas::CustomerId;
use schemas::bronze::CustomerRow;
use schemas::silver::Customer;
use topology::store::KeyValue;

use super::apply::{Entity, SourcePosition};
use super::rules::{Violation, text};
use crate::stores;

/// The table `customers`.
pub struct Customers;

impl Entity for Customers {
    type Id = CustomerId;
    type Row = CustomerRow;
    type Clean = Customer;
    const NAME: &'static str = "apply-customers";
    const ROWS: KeyValue<CustomerId, Customer> = stores::CUSTOMERS;
    const DELETED: KeyValue<CustomerId, i64> = stores::DELETED_CUSTOMERS;

    fn id(key: i64) -> CustomerId {
        CustomerId(key)
    }

    fn lsn(row: &Customer) -> i64 {
        row.source_lsn
    }

    fn clean(id: CustomerId, row: &CustomerRow, stored: Option<&Customer>, at: SourcePosition) -> Result<Customer, Violation> {
        let email = text("email", &row.email, stored.map(|c| c.email.as_str()))?.to_lowercase();
        if !email.contains('@') {
            return Err(Violation::new("accepted_values", format!("email {email:?} has no @")));
        }
        Ok(Customer {
            id,
            first_name: text("first_name", &row.first_name, stored.map(|c| c.first_name.as_str()))?,
            last_name: text("last_name", &row.last_name, stored.map(|c| c.last_name.as_str()))?,
            email,
            created_at: row.created_at.or(stored.map(|c| c.created_at)).unwrap_or(at.committed_at_us),
            updated_at: row.updated_at.unwrap_or(at.committed_at_us),
            source_lsn: at.lsn,
            source_ts: at.committed_at_us,
        })
    }
}
