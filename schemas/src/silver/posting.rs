//! The journal.

use serde::{Deserialize, Serialize};
use wire::avro_wire;

use super::TransactionType;
use crate::{AccountId, Currency, Money, TransactionId};

/// What a change of a transaction does to one account: all of it at once, so that nobody sees a half of it. Internal: on its way
/// from transactions to accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// The transaction.
    pub transaction_id: TransactionId,
    /// The version of the transaction that this entry is of; before versions were counted, its LSN.
    #[serde(alias = "posted_lsn")]
    pub version: i64,
    /// 0: the transaction's own account; 1: the related one.
    pub number: i32,
    /// Whether it takes back an earlier entry.
    pub reversal: bool,
    /// Change of the booked balance.
    pub booked: Money,
    /// Change of the holds.
    pub pending: Money,
    /// The transaction's kind.
    pub txn_type: TransactionType,
    /// LSN of the change that caused it.
    pub source_lsn: i64,
    /// When that change was committed at the source.
    pub source_ts: i64,
    /// The transaction's own time, by which it counts on a day, in microseconds since the epoch; `None`: written before it was kept.
    #[serde(default)]
    pub effective_at: Option<i64>,
    /// The second entry of the same change, if it has two.
    #[serde(default)]
    pub then: Option<LegEntry>,
    /// The number of the source's transaction that made the change, counted in the order of the commits; `None`: the change log has several
    /// partitions, or it was written before they were counted.
    #[serde(default)]
    pub commit_number: Option<i64>,
}

/// One entry of a [`Leg`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegEntry {
    /// The version of the transaction that it is of.
    pub version: i64,
    /// 0: the transaction's own account; 1: the related one.
    pub number: i32,
    /// Whether it takes back an earlier entry.
    pub reversal: bool,
    /// Change of the booked balance.
    pub booked: Money,
    /// Change of the holds.
    pub pending: Money,
    /// The transaction's kind.
    pub txn_type: TransactionType,
    /// The transaction's own time, by which it counts on a day, in microseconds since the epoch; `None`: written before it was kept.
    #[serde(default)]
    pub effective_at: Option<i64>,
}

impl Leg {
    /// Its entries, in their order.
    pub fn entries(&self) -> impl Iterator<Item = LegEntry> {
        let first = LegEntry {
            version: self.version,
            number: self.number,
            reversal: self.reversal,
            booked: self.booked,
            pending: self.pending,
            txn_type: self.txn_type,
            effective_at: self.effective_at,
        };
        std::iter::once(first).chain(self.then)
    }

    /// The same change with one of its entries alone.
    pub fn only(&self, entry: LegEntry) -> Self {
        Self {
            version: entry.version,
            number: entry.number,
            reversal: entry.reversal,
            booked: entry.booked,
            pending: entry.pending,
            txn_type: entry.txn_type,
            effective_at: entry.effective_at,
            then: None,
            ..self.clone()
        }
    }
}

/// An entry of the journal. Never changed: a mistake is reversed by another entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// Unique: transaction, its version, leg, and what kind of entry.
    pub posting_id: String,
    /// The transaction.
    pub transaction_id: TransactionId,
    /// The account; negative: the bank's cash.
    pub account_id: AccountId,
    /// Whether it is the cash side of a deposit or withdrawal.
    pub is_cash: bool,
    /// The account's currency.
    pub currency: Currency,
    /// Above zero: to the account. Below: from it.
    pub amount: Money,
    /// The posting that this one takes back.
    pub reverses: Option<String>,
    /// When the change was committed at the source.
    pub booked_at: i64,
    /// The transaction's own time, by which it counts on a day, in microseconds since the epoch; `None`: written before it was kept.
    #[serde(default)]
    pub effective_at: Option<i64>,
    /// LSN of the change that caused it.
    pub source_lsn: i64,
    /// Which posting of its account it is, from 1 on; `None`: the bank's cash, or written before they were counted.
    #[serde(default)]
    pub entry_number: Option<i64>,
    /// The account's booked balance with it; `None`: as [`Self::entry_number`].
    #[serde(default)]
    pub balance_after: Option<Money>,
    /// When it was known, in microseconds since the epoch: `booked_at` or, if more was known by then, that time, so that it never goes back
    /// from one posting of an account to the next; `None`: as [`Self::entry_number`].
    #[serde(default)]
    pub recorded_at: Option<i64>,
}

avro_wire!(Leg, include_str!("../../avro/silver/leg.avsc"));
avro_wire!(Posting, include_str!("../../avro/silver/posting.avsc"));
