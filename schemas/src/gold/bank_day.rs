//! The bank by day.

use serde::{Deserialize, Serialize};
use wire::avro_wire;

use crate::silver::AccountType;
use crate::{Currency, Money};

/// The key of a [`BankDay`]: its day, type of account and currency.
pub type BankDayKey = (i32, AccountType, Currency);

/// The bank on a day, by type of account and currency. Accounts count by the type and currency that they have now.
///
/// What is held in deposits at a day's end is the sum of `net_flow` and `opened_with` over all days up to it: a row does not say it, since a posting
/// that comes late would change the rows of all later days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BankDay {
    /// The day, in days since the epoch, UTC.
    pub day: i32,
    /// The accounts' type.
    pub account_type: AccountType,
    /// Their currency.
    pub currency: Currency,
    /// What came in less what went out, by the transactions' own time.
    pub net_flow: Money,
    /// What the accounts opened with that were made on the day.
    pub opened_with: Money,
    /// Accounts made on the day.
    pub new_accounts: i64,
    /// Accounts closed on the day; those that are open again are not among them.
    pub closed_accounts: i64,
    /// Accounts to which something was posted.
    pub active_accounts: i64,
    /// Customers to whose accounts of this type and currency something was posted, each once.
    pub active_customers: i64,
}

impl BankDay {
    /// A day on which nothing has happened.
    pub fn empty((day, account_type, currency): BankDayKey) -> Self {
        Self {
            day,
            account_type,
            currency,
            net_flow: Money::ZERO,
            opened_with: Money::ZERO,
            new_accounts: 0,
            closed_accounts: 0,
            active_accounts: 0,
            active_customers: 0,
        }
    }

    /// The key that it has in its topic.
    pub fn key(&self) -> BankDayKey {
        (self.day, self.account_type, self.currency)
    }
}

avro_wire!(BankDay, include_str!("../../avro/gold/bank_day.avsc"));
