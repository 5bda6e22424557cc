//! How far the source's transactions are.

use serde::{Deserialize, Serialize};
use wire::avro_wire;

use super::Leg;

/// How far the source's transactions are: all changes of those up to a number are before this. Internal: from transactions to accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontier {
    /// The number of the newest transaction all of whose changes have come; 0: none has.
    pub commit_number: i64,
    /// LSN of its newest change.
    pub source_lsn: i64,
    /// When it was committed at the source, in microseconds since the epoch.
    pub source_ts: i64,
    /// Whether it is taken to be complete since nothing more of it came for a while; else the next transaction has begun.
    pub is_assumed: bool,
    /// Whether a snapshot or the deletion of what it did not show is under way: then what is here is no state that the source had.
    #[serde(default)]
    pub is_partial: bool,
    /// The transaction behind it, of which more may come.
    #[serde(default)]
    pub open: Option<OpenTransaction>,
}

/// A transaction of which more may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTransaction {
    /// Its number.
    pub commit_number: i64,
    /// The source's id of it; `None`: a row of a snapshot, or the source does not say.
    #[serde(default)]
    pub tx_id: Option<i64>,
    /// LSN of its newest change that has come.
    pub source_lsn: i64,
    /// When it was committed at the source, in microseconds since the epoch.
    pub source_ts: i64,
}

/// A transaction of the source has ended. Internal: from the connector's metadata to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceTransactionEnd {
    /// Its id at the source.
    pub tx_id: i64,
    /// How many changes of the table of transactions it made.
    pub changes: i64,
}

/// What transactions tell accounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForAccounts {
    /// What a change does to one of them.
    Leg(Leg),
    /// All of them: how far the changes are.
    Frontier(Frontier),
}

impl Frontier {
    /// The same with its open transaction taken for complete.
    #[must_use]
    pub fn completed(self, is_assumed: bool) -> Self {
        let Some(open) = self.open else { return self };
        Self {
            commit_number: open.commit_number,
            source_lsn: open.source_lsn,
            source_ts: open.source_ts,
            is_assumed,
            is_partial: self.is_partial,
            open: None,
        }
    }

    /// The newest number that any change before this has.
    pub fn newest(&self) -> i64 {
        self.open.map_or(self.commit_number, |open| open.commit_number)
    }
}

avro_wire!(
    SourceTransactionEnd,
    include_str!("../../avro/silver/source_transaction_end.avsc")
);
avro_wire!(Frontier, include_str!("../../avro/silver/frontier.avsc"));
avro_wire!(ForAccounts, include_str!("../../avro/silver/for_accounts.avsc"));
