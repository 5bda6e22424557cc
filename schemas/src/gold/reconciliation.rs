//! The streamed balances beside the source's own.

use serde::{Deserialize, Serialize};
use wire::avro_wire;

use crate::{AccountId, Currency, Money};

/// An account's streamed balance beside the one that the source keeps, as of the same commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// The account.
    pub account_id: AccountId,
    /// Its currency.
    pub currency: Currency,
    /// Opening plus all postings that were committed at the source until then.
    pub streamed: Money,
    /// What the source's row of the account says.
    pub source: Money,
    /// Streamed less source: 0 where the books agree.
    pub difference: Money,
    /// Whether every transaction until then is known to have been counted; else nothing more came for a while.
    pub is_complete: bool,
    /// LSN of the account's row.
    pub source_lsn: i64,
    /// When it was committed at the source, in microseconds since the epoch: both balances are as of then.
    pub source_ts: i64,
}

avro_wire!(Reconciliation, include_str!("../../avro/gold/reconciliation.avsc"));
