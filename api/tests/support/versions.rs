//! Versions of rows, as the engine's stores would hold them.

use schemas::bronze::Source;
use schemas::gold::{AccountVersion, CustomerVersion, Validity, Versioned};
use schemas::silver::{Account, Customer};

/// The next version, of a row that is there or is gone; each write of these tests is a transaction of its own.
pub fn follow<R, V: Versioned + Clone + PartialEq>(
    versions: &mut Vec<V>,
    row: Option<&R>,
    source: &Source,
    version: fn(&R, Validity) -> V,
) {
    let valid_from = source.committed_at_us();
    let validity = Validity {
        version: versions.len() as i64 + 1,
        valid_from,
        valid_to: None,
        is_deleted: row.is_none(),
        source_lsn: source.lsn.expect("a position"),
        source_tx_id: source.tx_id,
    };
    let last = versions.last().cloned();
    let next = match (row, &last) {
        (Some(row), Some(last)) if version(row, last.validity()) == *last => return,
        (Some(row), _) => version(row, validity),
        (None, Some(last)) => last.clone().with_validity(validity),
        (None, None) => return,
    };
    if let Some(last) = last {
        let known = last.validity();
        let valid_to = Some(valid_from);
        *versions.last_mut().expect("it is there") = last.with_validity(Validity { valid_to, ..known });
    }
    versions.push(next);
}

pub fn customer_version(row: &Customer, validity: Validity) -> CustomerVersion {
    let version = CustomerVersion {
        customer_id: row.id,
        version: 0,
        first_name: row.first_name.clone(),
        last_name: row.last_name.clone(),
        email: row.email.clone(),
        valid_from: validity.valid_from,
        valid_to: None,
        is_current: true,
        is_deleted: false,
        source_lsn: 0,
        source_tx_id: None,
    };
    version.with_validity(validity)
}

pub fn account_version(row: &Account, validity: Validity) -> AccountVersion {
    let version = AccountVersion {
        account_id: row.id,
        version: 0,
        customer_id: row.customer_id,
        account_type: row.account_type,
        currency: row.currency,
        status: row.status,
        valid_from: validity.valid_from,
        valid_to: None,
        is_current: true,
        is_deleted: false,
        source_lsn: 0,
        source_tx_id: None,
    };
    version.with_validity(validity)
}
