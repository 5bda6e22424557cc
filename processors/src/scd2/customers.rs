//! `gold.customer_history`.

use schemas::CustomerId;
use schemas::gold::{CustomerVersion, Validity};
use schemas::silver::Customer;
use topology::store::KeyValue;

use super::history::Dimension;
use crate::stores;

/// The versions of customers; tracked: first name, last name, e-mail.
pub struct CustomerHistory;

impl Dimension for CustomerHistory {
    type Id = CustomerId;
    type Row = Customer;
    type Version = CustomerVersion;
    const NAME: &'static str = "customer-history";
    const VERSIONS: KeyValue<(CustomerId, i64), CustomerVersion> = stores::CUSTOMER_VERSIONS;
    const NEWEST: KeyValue<CustomerId, i64> = stores::CUSTOMER_NEWEST;

    fn version(row: &Customer, validity: Validity) -> CustomerVersion {
        CustomerVersion {
            customer_id: row.id,
            version: validity.version,
            first_name: row.first_name.clone(),
            last_name: row.last_name.clone(),
            email: row.email.clone(),
            valid_from: validity.valid_from,
            valid_to: validity.valid_to,
            is_current: validity.valid_to.is_none(),
            is_deleted: validity.is_deleted,
            source_lsn: validity.source_lsn,
            source_tx_id: validity.source_tx_id,
        }
    }

    fn is_same(row: &Customer, other: &Customer) -> bool {
        (&row.first_name, &row.last_name, &row.email) == (&other.first_name, &other.last_name, &other.email)
    }

    fn made_at(row: &Customer) -> (i64, i64) {
        (row.source_lsn, row.source_ts)
    }

    fn created_at(row: &Customer) -> i64 {
        row.created_at
    }
}
