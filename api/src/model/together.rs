//! Balances of several accounts.

use schemas::{AccountId, Currency, CustomerId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What several accounts held at one moment of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Balances {
    /// The accounts that are there, in the order in which they were asked for.
    pub items: Vec<BalanceTogether>,
    /// The ids of which there is no account.
    #[schema(value_type = Vec<i64>)]
    pub missing: Vec<AccountId>,
    /// What the answer reflects.
    pub as_of: AsOfCommit,
}

/// What one of them held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BalanceTogether {
    /// The account.
    #[schema(value_type = i64, example = 1)]
    pub account_id: AccountId,
    /// Whose it is.
    #[schema(value_type = i64, example = 1)]
    pub customer_id: CustomerId,
    /// The currency of all amounts.
    #[schema(value_type = String, example = "EUR")]
    pub currency: Currency,
    /// Opening plus all postings.
    #[schema(example = "112.30")]
    pub booked: String,
    /// What pending withdrawals and transfers hold.
    #[schema(example = "10.00")]
    pub pending: String,
    /// Booked less pending.
    #[schema(example = "102.30")]
    pub available: String,
}

/// Which of the source's transactions are in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AsOfCommit {
    /// Whether all balances have exactly the transactions up to `commit_number`. False where that is not known: the source's topics have
    /// several partitions, or a part of the state did not come far enough in time. Each balance is then as it is now, and together they may
    /// be what the source never had.
    pub is_consistent: bool,
    /// The number of the newest transaction of the source that is in all of them, counted in the order of the commits. Null where it is not
    /// consistent.
    #[schema(required, example = 8_213)]
    pub commit_number: Option<i64>,
    /// The position of that transaction in the source's log (LSN). Null where there is none yet.
    #[schema(required, example = 26_700_120)]
    pub source_lsn: Option<i64>,
    /// When the source committed it.
    #[schema(required, format = DateTime, example = "2026-01-31T09:30:00.123456Z")]
    pub source_time: Option<String>,
    /// Whether that transaction is taken to be complete because nothing more of it came for a while, and not because another has begun.
    pub is_assumed_complete: bool,
    /// When the source was last heard, as its own clock has it; null where it has no heartbeat.
    #[schema(required, format = DateTime, example = "2026-01-31T09:31:10.002Z")]
    pub source_heard_at: Option<String>,
}
