//! Accounts.

use serde::{Deserialize, Serialize};
use wire::avro_wire;

use crate::codes::codes;
use crate::{AccountId, Currency, CustomerId, Money};

codes!(
    /// What kind of account.
    AccountType {
        /// For payments.
        Checking = "CHECKING",
        /// For savings.
        Savings = "SAVINGS",
    }
);

codes!(
    /// Whether an account is open.
    AccountStatus {
        /// Open.
        Active = "ACTIVE",
        /// Closed: it takes no more transactions.
        Inactive = "INACTIVE",
    }
);

codes!(
    /// Whether an account's balance is what the source's ledger made it.
    #[derive(Default)]
    BalanceFrom {
        /// The source keeps none, or the row was written before that was said.
        #[default]
        None = "NONE",
        /// It is, as read by a snapshot.
        Snapshot = "SNAPSHOT",
        /// It is, as of the transaction that made this version of the row.
        Ledger = "LEDGER",
    }
);

/// An account, cleaned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The account.
    pub id: AccountId,
    /// Whose it is.
    pub customer_id: CustomerId,
    /// Its kind.
    pub account_type: AccountType,
    /// Its currency.
    pub currency: Currency,
    /// What it opened with.
    pub opening_balance: Money,
    /// What the source says the balance is.
    pub balance: Money,
    /// Whether it is open.
    pub status: AccountStatus,
    /// When it was closed.
    pub closed_at: Option<i64>,
    /// When the row was made.
    pub created_at: i64,
    /// When the row was last changed.
    pub updated_at: i64,
    /// LSN of the change that made this version.
    pub source_lsn: i64,
    /// When that change was committed at the source.
    pub source_ts: i64,
    /// Whether `balance` is what the source's ledger made it.
    #[serde(default)]
    pub balance_from: BalanceFrom,
}

avro_wire!(Account, include_str!("../../avro/silver/account.avsc"));
