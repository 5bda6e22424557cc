//! Balances.

use serde::{Deserialize, Serialize};
use wire::avro_wire;

use crate::{AccountId, Currency, CustomerId, Money};

/// The balance of an account. `booked = opening + Σ postings`; `available = booked − pending`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountBalance {
    /// The account.
    pub account_id: AccountId,
    /// Whose it is.
    pub customer_id: CustomerId,
    /// Its currency.
    pub currency: Currency,
    /// What the account opened with.
    pub opening: Money,
    /// Opening plus all postings.
    pub booked: Money,
    /// Holds of pending withdrawals and transfers out.
    pub pending: Money,
    /// Booked less pending.
    pub available: Money,
    /// How many postings it has had.
    pub entry_count: i64,
    /// When the last one was committed at the source, in microseconds since the epoch.
    pub last_entry_at: Option<i64>,
    /// Whether the account's row is gone; what still comes for it is booked all the same.
    #[serde(default)]
    pub is_deleted: bool,
    /// LSN of the newest change that changed anything of it.
    pub source_lsn: i64,
    /// When that change was committed at the source, in microseconds since the epoch.
    pub source_ts: i64,
    /// The number of the newest source transaction that it reflects, counted in the order of their commits; `None`: none yet, or the
    /// change log has several partitions.
    #[serde(default)]
    pub commit_number: Option<i64>,
}

avro_wire!(AccountBalance, include_str!("../../avro/gold/account_balance.avsc"));
