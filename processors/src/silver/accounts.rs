//! Accounts, cleaned.

use schemas::bronze::AccountRow;
use schemas::silver::{Account, AccountStatus};
use schemas::{AccountId, CustomerId};
use topology::store::KeyValue;

use super::apply::{Entity, SourcePosition};
use super::rules::{Violation, code, not_null};
use crate::stores;

/// The table `accounts`.
pub struct Accounts;

impl Entity for Accounts {
    type Id = AccountId;
    type Row = AccountRow;
    type Clean = Account;
    const NAME: &'static str = "apply-accounts";
    const ROWS: KeyValue<AccountId, Account> = stores::ACCOUNTS;
    const DELETED: KeyValue<AccountId, i64> = stores::DELETED_ACCOUNTS;

    fn id(key: i64) -> AccountId {
        AccountId(key)
    }

    fn lsn(row: &Account) -> i64 {
        row.source_lsn
    }

    fn clean(id: AccountId, row: &AccountRow, stored: Option<&Account>, at: SourcePosition) -> Result<Account, Violation> {
        let balance = not_null("balance", &row.balance)?;
        // A source without the column moves no balances: its first balance is what the account opened with.
        let opening_balance = row.opening_balance.or(stored.map(|a| a.opening_balance)).unwrap_or(balance);
        let status = match &row.status {
            None => AccountStatus::Active,
            some => code("status", some)?,
        };
        Ok(Account {
            id,
            customer_id: CustomerId(not_null("customer_id", &row.customer_id)?),
            account_type: code("account_type", &row.account_type)?,
            currency: code("currency", &row.currency)?,
            opening_balance,
            balance,
            status,
            closed_at: row.closed_at,
            created_at: row.created_at.or(stored.map(|a| a.created_at)).unwrap_or(at.committed_at_us),
            updated_at: row.updated_at.unwrap_or(at.committed_at_us),
            source_lsn: at.lsn,
            source_ts: at.committed_at_us,
        })
    }
}
