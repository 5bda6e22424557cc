//! Transactions by minute.
//!
//! ```text
//!  gold.transactions ─► by minute, type, status and currency ─► gold.transaction_minutes
//! ```
//!
//! A transaction counts in the minute in which it was made at the source, whenever it arrives. Its account knows the currency: one that is not
//! known yet is waited for, a currency that changes takes the account's transactions along, and an account that is deleted leaves them where they are.

use schemas::gold::{TransactionFact, TransactionMinute, TransactionMinuteKey};
use schemas::silver::TransactionStatus;
use schemas::{MoneyError, TransactionId};
use topology::dsl::Table;

use super::sums::{Sign, Sums, sum, sums};
use crate::stores::{self, HELD_BYTES_MAX};

/// A minute, in microseconds.
const MINUTE_US: i64 = 60_000_000;

/// The transactions of each minute.
pub fn transaction_minutes(
    transactions: &Table<TransactionId, TransactionFact>,
) -> Table<TransactionMinuteKey, TransactionMinute> {
    let minutes = transactions.map_values(|_, transaction| minute(transaction));
    let by_minute = minutes.group_by_summed(
        |_, minute| (minute.key(), minute.clone()),
        sum,
        "transaction-minutes",
        HELD_BYTES_MAX,
    );
    sums(&by_minute, stores::TRANSACTION_MINUTES)
}

/// What one transaction adds.
fn minute(transaction: &TransactionFact) -> TransactionMinute {
    let at = transaction.created_at;
    TransactionMinute {
        minute: at.saturating_sub(at.rem_euclid(MINUTE_US)),
        txn_type: transaction.txn_type,
        status: transaction.status,
        currency: transaction.currency,
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
