//! Accounts, cleaned.

use std::sync::atomic::AtomicU64;

use schemas::bronze::AccountRow;
use schemas::rules::Rule;
use schemas::silver::{Account, AccountStatus, BalanceFrom};
use schemas::state::{Applied, TableState};
use schemas::{AccountId, CustomerId};
use topology::store::KeyValue;

use super::entity::Entity;
use super::rules::{Cleaning, Violation, amount, code, in_scale, not_null};
use crate::counters::ACCOUNTS_HELD;
use crate::stores;

/// The table `accounts`.
pub struct Accounts;

impl Entity for Accounts {
    type Id = AccountId;
    type Row = AccountRow;
    type Clean = Account;
    const NAME: &'static str = "apply-accounts";
    const ROWS: KeyValue<AccountId, Applied<Account>> = stores::ACCOUNTS;
    const TABLE: KeyValue<i64, TableState> = stores::ACCOUNTS_TABLE;

    fn held_rows() -> &'static AtomicU64 {
        &ACCOUNTS_HELD
    }

    fn id(key: i64) -> AccountId {
        AccountId(key)
    }

    fn number(id: AccountId) -> i64 {
        id.0
    }

    fn clean(id: AccountId, row: &AccountRow, with: &mut Cleaning<'_, Account>) -> Result<Account, Violation> {
        let currency = code("currency", &row.currency)?;
        let balance = not_null("balance", &row.balance)?;
        // A source without the column moves no balances: its first balance is what the account opened with.
        let opening_balance = match &row.opening_balance {
            None => with.stored.map_or(balance, |a| a.opening_balance),
            some => amount("opening_balance", some)?,
        };
        // A source of ours lets a currency change only while there is no transaction; one that has not even the column knows no rule.
        if let (None, Some(stored)) = (row.opening_balance, with.stored)
            && stored.currency != currency
        {
            return Err(Violation::new(
                Rule::CurrencyFixed,
                format!("currency changed from {} to {currency}", stored.currency),
            ));
        }
        in_scale("opening_balance", opening_balance, currency)?;
        in_scale("balance", balance, currency)?;
        let status = match &row.status {
            None => AccountStatus::Active,
            some => code("status", some)?,
        };
        let created_at = with.instant("created_at", row.created_at);
        Ok(Account {
            id,
            customer_id: CustomerId(not_null("customer_id", &row.customer_id)?),
            account_type: code("account_type", &row.account_type)?,
            currency,
            opening_balance,
            balance,
            status,
            closed_at: with.instant("closed_at", row.closed_at),
            created_at: created_at
                .or(with.stored.map(|a| a.created_at))
                .unwrap_or(with.at.committed_at_us.0),
            updated_at: with
                .instant("updated_at", row.updated_at)
                .unwrap_or(with.at.committed_at_us.0),
            source_lsn: with.at.lsn,
            source_ts: with.at.committed_at_us.0,
            balance_from: match (row.opening_balance, with.is_streamed) {
                (None, _) => BalanceFrom::None,
                (Some(_), false) => BalanceFrom::Snapshot,
                (Some(_), true) => BalanceFrom::Ledger,
            },
        })
    }
}
