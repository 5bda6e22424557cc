//! `gold.account_history`.

use schemas::AccountId;
use schemas::gold::{AccountVersion, Validity};
use schemas::silver::Account;
use topology::store::KeyValue;

use super::history::Dimension;
use crate::stores;

/// The versions of accounts; tracked: customer, type, currency, status. Balances have a table of their own.
pub struct AccountHistory;

impl Dimension for AccountHistory {
    type Id = AccountId;
    type Row = Account;
    type Version = AccountVersion;
    const NAME: &'static str = "account-history";
    const VERSIONS: KeyValue<(AccountId, i64), AccountVersion> = stores::ACCOUNT_VERSIONS;
    const NEWEST: KeyValue<AccountId, i64> = stores::ACCOUNT_NEWEST;
    const TELLS: bool = true;

    fn version(row: &Account, validity: Validity) -> AccountVersion {
        AccountVersion {
            account_id: row.id,
            version: validity.version,
            customer_id: row.customer_id,
            account_type: row.account_type,
            currency: row.currency,
            status: row.status,
            valid_from: validity.valid_from,
            valid_to: validity.valid_to,
            is_current: validity.valid_to.is_none(),
            is_deleted: validity.is_deleted,
            source_lsn: validity.source_lsn,
            source_tx_id: validity.source_tx_id,
        }
    }

    fn is_same(row: &Account, other: &Account) -> bool {
        (row.customer_id, row.account_type, row.currency, row.status)
            == (other.customer_id, other.account_type, other.currency, other.status)
    }

    fn made_at(row: &Account) -> (i64, i64) {
        (row.source_lsn, row.source_ts)
    }

    fn created_at(row: &Account) -> i64 {
        row.created_at
    }
}
