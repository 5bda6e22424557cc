//! The journal.

use serde::{Deserialize, Serialize};
use wire::avro_wire;

use super::TransactionType;
use crate::{AccountId, Currency, Money, TransactionId};

/// What a version of a transaction does to one account. Internal: on its way from transactions to accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// The transaction.
    pub transaction_id: TransactionId,
    /// LSN of the version of the transaction that this leg is of.
    pub posted_lsn: i64,
    /// 0: the transaction's own account; 1: the related one.
    pub number: i32,
    /// Whether it takes back an earlier leg.
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
}

/// An entry of the journal. Never changed: a mistake is reversed by another entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// Unique: transaction, LSN, leg, and what kind of entry.
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
    /// LSN of the change that caused it.
    pub source_lsn: i64,
}

avro_wire!(Leg, include_str!("../../avro/silver/leg.avsc"));
avro_wire!(Posting, include_str!("../../avro/silver/posting.avsc"));
