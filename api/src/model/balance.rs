//! Balances.

use schemas::gold::AccountBalance;
use schemas::{AccountId, Currency, CustomerId};
use serde::{Deserialize, Serialize};
use topology::{Micros, Millis};
use utoipa::ToSchema;

use super::{instant, money};
use crate::reads::Reading;

/// What an account holds, and what the answer reflects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Balance {
    /// The account.
    #[schema(value_type = i64, example = 1)]
    pub account_id: AccountId,
    /// Whose it is.
    #[schema(value_type = i64, example = 1)]
    pub customer_id: CustomerId,
    /// The currency of all amounts.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// What the account opened with.
    #[schema(example = "100.00")]
    pub opening: String,
    /// Opening plus all postings.
    #[schema(example = "112.30")]
    pub booked: String,
    /// What pending withdrawals and transfers hold.
    #[schema(example = "10.00")]
    pub pending: String,
    /// Booked less pending.
    #[schema(example = "102.30")]
    pub available: String,
    /// How many postings it has had.
    #[schema(example = 2)]
    pub entry_count: i64,
    /// When the last of them was committed at the source; null where there is none.
    #[schema(required, format = DateTime)]
    pub last_entry_at: Option<String>,
    /// Whether each transaction of the source is in it whole or not at all. False for a moment behind a restart, while a snapshot is read, and where the
    /// source's topics have several partitions: then a part of a transaction may be in it whose rest is on its way.
    pub is_whole: bool,
    /// What the balance reflects.
    pub as_of: AsOf,
}

/// Up to where the source's changes are in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AsOf {
    /// The newest position in the source's log (LSN) among the changes that have changed this balance.
    #[schema(example = 26_700_120)]
    pub source_lsn: i64,
    /// When the source committed that change.
    #[schema(format = DateTime, example = "2026-01-31T09:30:00.123456Z")]
    pub source_time: String,
    /// When the partition's state that has it was committed.
    #[schema(format = DateTime, example = "2026-01-31T09:30:00.150Z")]
    pub committed_at: String,
    /// Whether the balance is what a prefix of the source's commits made. False where the source's topics have several partitions:
    /// then changes of different transactions may overtake each other, and it is right when all have come.
    pub in_commit_order: bool,
    /// When the source was last heard, as its own clock has it: it goes on while the bank is idle, and stops when capture does.
    /// Null where the source has no heartbeat.
    #[schema(required, format = DateTime, example = "2026-01-31T09:31:10.002Z")]
    pub source_heard_at: Option<String>,
}

impl AsOf {
    /// Of a balance and what is beside it in its state.
    pub fn new(
        balance: &AccountBalance,
        committed_at_ms: Millis,
        in_commit_order: bool,
        source_heard_at_us: Option<Micros>,
    ) -> Self {
        Self {
            source_lsn: balance.source_lsn,
            source_time: instant(Micros(balance.source_ts)),
            committed_at: instant(committed_at_ms.to_micros()),
            in_commit_order,
            source_heard_at: source_heard_at_us.map(instant),
        }
    }
}

impl Balance {
    /// From the stored balance, whether transactions are in it whole, whether it follows the order of commits, and when the source was last heard.
    pub fn new(reading: Reading<(AccountBalance, bool)>, in_commit_order: bool, source_heard_at_us: Option<Micros>) -> Self {
        let (balance, is_whole) = reading.value;
        let amount = |amount| money(amount, balance.currency);
        Self {
            account_id: balance.account_id,
            customer_id: balance.customer_id,
            currency: balance.currency,
            opening: amount(balance.opening),
            booked: amount(balance.booked),
            pending: amount(balance.pending),
            available: amount(balance.available),
            entry_count: balance.entry_count,
            last_entry_at: balance.last_entry_at.map(Micros).map(instant),
            is_whole,
            as_of: AsOf::new(&balance, reading.committed_at_ms, in_commit_order, source_heard_at_us),
        }
    }
}
