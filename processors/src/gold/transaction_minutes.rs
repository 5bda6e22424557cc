//! Transactions by minute.
//!
//! ```text
//!  silver.transactions ─┐
//!                       ├─ join, by the account ─► by minute, type, status and currency ─► gold.transaction_minutes
//!  accounts' currencies ┘
//! ```
//!
//! A transaction counts in the minute in which it was made at the source, whenever it arrives. Its account knows the currency: one that is not
//! known yet is waited for, and a currency that changes takes the account's transactions along.

use schemas::gold::{TransactionMinute, TransactionMinuteKey};
use schemas::silver::{Transaction, TransactionStatus};
use schemas::state::AccountTerms;
use schemas::{AccountId, Currency, MoneyError, TransactionId};
use topology::dsl::Table;

use super::sums::{Sign, Sums, sums};
use crate::stores;

/// A minute, in microseconds.
const MINUTE_US: i64 = 60_000_000;

/// The transactions of each minute.
pub fn transaction_minutes(
    transactions: &Table<TransactionId, Transaction>,
    accounts: &Table<AccountId, AccountTerms>,
) -> Table<TransactionMinuteKey, TransactionMinute> {
    // Whatever else changes of an account is not told to each of its transactions.
    let currencies = accounts.map_values(|_, terms| terms.currency).on_change();
    let of_account = |_: &TransactionId, transaction: &Transaction| Some(transaction.account_id);
    let minutes = transactions.fk_join(&currencies, of_account, minute, stores::TRANSACTIONS_IN_CURRENCY);
    let by_minute = minutes
        .on_change()
        .group_by(|_, minute| (minute.key(), minute.clone()), "transaction-minutes");
    sums(&by_minute, stores::TRANSACTION_MINUTES)
}

/// What one transaction adds.
fn minute(transaction: &Transaction, currency: &Currency) -> TransactionMinute {
    let at = transaction.created_at;
    TransactionMinute {
        minute: at.saturating_sub(at.rem_euclid(MINUTE_US)),
        txn_type: transaction.txn_type,
        status: transaction.status,
        currency: *currency,
        transactions: 1,
        amount: transaction.amount,
        failures: i64::from(transaction.status == TransactionStatus::Failed),
    }
}

impl Sums for TransactionMinute {
    fn with(&self, other: &Self, sign: Sign) -> Result<Self, MoneyError> {
        Ok(Self {
            transactions: sign.count(self.transactions, other.transactions),
            amount: sign.money(self.amount, other.amount)?,
            failures: sign.count(self.failures, other.failures),
            ..*self
        })
    }

    fn is_empty(&self) -> bool {
        self.transactions == 0
    }
}
