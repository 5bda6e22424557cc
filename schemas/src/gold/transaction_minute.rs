//! Transactions by minute.

use serde::{Deserialize, Serialize};
use wire::avro_wire;

use crate::silver::{TransactionStatus, TransactionType};
use crate::{Currency, Money};

/// The key of a [`TransactionMinute`]: its minute, type, status and currency.
pub type TransactionMinuteKey = (i64, TransactionType, TransactionStatus, Currency);

/// The transactions of a minute, by type, status and currency. A transaction counts once its account, which knows the currency, is known,
/// and as long as it is there itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionMinute {
    /// When the minute begins, in microseconds since the epoch, UTC: by the transactions' own time, `created_at`.
    pub minute: i64,
    /// Their kind.
    pub txn_type: TransactionType,
    /// How far they are now.
    pub status: TransactionStatus,
    /// Their account's currency.
    pub currency: Currency,
    /// How many they are; at least one.
    pub transactions: i64,
    /// Sum of their amounts.
    pub amount: Money,
    /// How many of them failed: all where the status says so, else none, so that it can be added up over statuses.
    pub failures: i64,
}

impl TransactionMinute {
    /// The key that it has in its topic.
    pub fn key(&self) -> TransactionMinuteKey {
        (self.minute, self.txn_type, self.status, self.currency)
    }
}

avro_wire!(TransactionMinute, include_str!("../../avro/gold/transaction_minute.avsc"));
