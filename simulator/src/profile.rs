//! What the simulated bank is like.

use schemas::Currency;

/// What the simulated bank is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Customers at the start.
    pub customers: u64,
    /// Accounts of each at the start.
    pub accounts_per_customer: u64,
    /// The most operations of one commit.
    pub operations_per_commit: u64,
    /// Currencies, the most frequent first; never empty.
    pub currencies: Vec<Currency>,
    /// Share of savings accounts, in percent.
    pub savings_percent: u32,
    /// What accounts open with, in hundredths.
    pub opening_balance: Range,
    /// What transactions move, in hundredths.
    pub amount: Range,
    /// Share of transactions that begin as PENDING, in percent.
    pub pending_percent: u32,
    /// Share of the pending ones that fail, in percent.
    pub failed_percent: u32,
    /// How frequent each kind is.
    pub mix: Mix,
}

/// From `min` to `max`, both included, in hundredths of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub min: i64,
    /// The most.
    pub max: i64,
}

/// Weights: a kind's share is its weight divided by their sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "each is the weight of the kind that it is called by; see config.yaml"
)]
pub struct Mix {
    pub deposit: u64,
    pub withdrawal: u64,
    pub transfer: u64,
    pub settle: u64,
    pub reverse: u64,
    pub correct: u64,
    pub remove: u64,
    pub overdraw: u64,
    pub customer_change: u64,
    pub customer_add: u64,
    pub customer_remove: u64,
    pub account_open: u64,
    pub account_close: u64,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            customers: 100,
            accounts_per_customer: 2,
            operations_per_commit: 4,
            currencies: ["EUR", "USD", "GBP"].map(|code| code.parse().expect("a currency")).into(),
            savings_percent: 30,
            opening_balance: Range { min: 0, max: 500_000 },
            amount: Range { min: 100, max: 250_000 },
            pending_percent: 20,
            failed_percent: 10,
            mix: Mix::default(),
        }
    }
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            deposit: 270,
            withdrawal: 250,
            transfer: 300,
            settle: 100,
            reverse: 15,
            correct: 15,
            remove: 10,
            overdraw: 5,
            customer_change: 15,
            customer_add: 8,
            customer_remove: 2,
            account_open: 8,
            account_close: 2,
        }
    }
}
