//! Transactions.

use serde::{Deserialize, Serialize};
use wire::avro_wire;

use crate::codes::codes;
use crate::{AccountId, Money, TransactionId};

codes!(
    /// What a transaction does.
    TransactionType {
        /// Cash comes in.
        Deposit = "DEPOSIT",
        /// Cash goes out.
        Withdrawal = "WITHDRAWAL",
        /// Money goes from one account to another.
        Transfer = "TRANSFER",
    }
);

codes!(
    /// How far a transaction is.
    TransactionStatus {
        /// It holds what it will take.
        Pending = "PENDING",
        /// It is posted.
        Completed = "COMPLETED",
        /// It came to nothing.
        Failed = "FAILED",
        /// It was posted and taken back.
        Reversed = "REVERSED",
    }
);

/// A transaction, cleaned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// The transaction.
    pub id: TransactionId,
    /// The account it is on.
    pub account_id: AccountId,
    /// What it does.
    pub txn_type: TransactionType,
    /// How much, above zero.
    pub amount: Money,
    /// Where a transfer goes.
    pub related_account_id: Option<AccountId>,
    /// How far it is.
    pub status: TransactionStatus,
    /// When the row was made.
    pub created_at: i64,
    /// When the row was last changed.
    pub updated_at: i64,
    /// LSN of the change that made this version.
    pub source_lsn: i64,
    /// When that change was committed at the source.
    pub source_ts: i64,
}

avro_wire!(Transaction, include_str!("../../avro/silver/transaction.avsc"));
