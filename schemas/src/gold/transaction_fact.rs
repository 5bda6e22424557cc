//! The fact table: transactions.

use serde::{Deserialize, Serialize};
use wire::avro_wire;

use crate::silver::{AccountType, TransactionStatus, TransactionType};
use crate::{AccountId, Currency, CustomerId, Money, TransactionId};

/// A transaction with the customer and the version of its account that were in force at its own time. It is there once its account has come, and
/// as long as it is there itself: a deleted account's versions still count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionFact {
    /// The transaction.
    pub transaction_id: TransactionId,
    /// The account it is on.
    pub account_id: AccountId,
    /// Which version of the account was in force at `created_at`; before the first one, that.
    pub account_version: i64,
    /// Whose the account was then.
    pub customer_id: CustomerId,
    /// Its kind then.
    pub account_type: AccountType,
    /// The unit of the amount, by the account's newest version: an account keeps it as long as it has transactions, so a version of another
    /// currency was before the first of them, whatever time that one says.
    pub currency: Currency,
    /// What it does.
    pub txn_type: TransactionType,
    /// How much, above zero.
    pub amount: Money,
    /// Where a transfer goes.
    pub related_account_id: Option<AccountId>,
    /// How far it is.
    pub status: TransactionStatus,
    /// The transaction's own time, in microseconds since the epoch.
    pub created_at: i64,
    /// When its row was last changed, in microseconds since the epoch.
    pub updated_at: i64,
    /// LSN of the change of the transaction that made this row.
    pub source_lsn: i64,
    /// When that change was committed at the source, in microseconds since the epoch.
    pub source_ts: i64,
}

avro_wire!(TransactionFact, include_str!("../../avro/gold/transaction_fact.avsc"));
