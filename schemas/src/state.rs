//! What the bank's state stores keep beside the rows: not for others to read.

use clock::Micros;
use serde::{Deserialize, Serialize};
use wire::avro_wire;

use crate::gold::AccountVersion;
use crate::silver::{Account, AccountStatus, AccountType, Customer, Transaction};
use crate::{Currency, CustomerId, Money};

/// Where in the source a row was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePosition {
    /// The position in the write-ahead log; `None` where the source gives none, as incremental snapshots do.
    pub lsn: Option<i64>,
    /// When the change was committed, or when the snapshot was taken.
    pub committed_at: Micros,
}

/// A row of the source as applied, and what is needed to distinguish the next event from a duplicate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied<R> {
    /// The row; `None`: it was deleted.
    pub row: Option<R>,
    /// How often the row has changed, deletes included; it never starts again.
    pub version: i64,
    /// The snapshot or truncate since which the row was last seen, as [`TableState::generation`] counts them.
    pub generation: i64,
    /// The newest streamed change that was applied.
    pub streamed: Option<SourcePosition>,
    /// The newest snapshot that showed the row.
    pub snapshot: Option<SourcePosition>,
}

impl<R> Default for Applied<R> {
    fn default() -> Self {
        Self {
            row: None,
            version: 0,
            generation: 0,
            streamed: None,
            snapshot: None,
        }
    }
}

/// How far snapshots and truncates of a table are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// Counts the snapshots and truncates that have begun.
    pub generation: i64,
    /// The snapshot whose first row has come and whose last row has not.
    pub snapshot: Option<SourcePosition>,
    /// The newest snapshot that is complete.
    pub completed: Option<SourcePosition>,
    /// The newest truncate.
    pub truncated: Option<SourcePosition>,
    /// The deletion of rows that the snapshot did not show, while it runs.
    pub sweep: Option<Sweep>,
    /// Whether not all of the snapshot's rows may have come here: a record could not be processed, or its first row was not seen.
    #[serde(default)]
    pub has_gap: bool,
    /// The counting of rows that the newest complete snapshot did not show, while it runs.
    pub weighing: Option<Weighing>,
    /// The deletion that is held back.
    pub held: Option<Held>,
}

/// Rows of an earlier generation are being deleted, in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// The id up to which it is done.
    pub after: Option<i64>,
    /// Rows of an earlier generation than this one go.
    pub generation: i64,
    /// The snapshot or truncate that did not have them.
    pub at: SourcePosition,
    /// The transaction that truncated the table; `None`: a snapshot did not show them.
    #[serde(default)]
    pub tx_id: Option<i64>,
}

/// The rows that a snapshot did not show are being counted, in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weighing {
    /// The id up to which it is done.
    pub after: Option<i64>,
    /// Rows of an earlier generation than this one were not shown.
    pub generation: i64,
    /// The snapshot that did not show them.
    pub at: SourcePosition,
    /// Whether not all of its rows may have come here.
    pub has_gap: bool,
    /// The rows so far, those that are missing included.
    pub rows: i64,
    /// Of these, the ones that the snapshot did not show.
    pub missing: i64,
    /// Of these, the ones that the snapshot which is held back did not show either.
    pub missing_again: i64,
}

/// Rows that a snapshot did not show are not deleted before another one does not show them either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The snapshot that did not show them.
    pub at: SourcePosition,
    /// How many they are.
    pub rows: i64,
    /// Rows of an earlier generation than this one are deleted if the next snapshot does not show them either.
    pub generation: i64,
}

/// What of an account changes seldom. The source writes an account's row with each transaction, for its balance; what is made of the rest
/// need not hear of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountTerms {
    /// Whose it is.
    pub customer_id: CustomerId,
    /// Its kind.
    pub account_type: AccountType,
    /// Its currency.
    pub currency: Currency,
    /// What it opened with.
    pub opening_balance: Money,
    /// Whether it is open.
    pub status: AccountStatus,
    /// When it was closed, in microseconds since the epoch.
    pub closed_at: Option<i64>,
    /// When the row was made, in microseconds since the epoch.
    pub created_at: i64,
}

impl From<&Account> for AccountTerms {
    fn from(account: &Account) -> Self {
        Self {
            customer_id: account.customer_id,
            account_type: account.account_type,
            currency: account.currency,
            opening_balance: account.opening_balance,
            status: account.status,
            closed_at: account.closed_at,
            created_at: account.created_at,
        }
    }
}

/// The versions of an account, as far as its transactions need them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountTimeline {
    /// In their order; none: the account came and went in one transaction.
    pub versions: Vec<AccountPeriod>,
}

/// What an account is while one version of it is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountPeriod {
    /// The version's number, from 1.
    pub version: i64,
    /// From when on it is in force, until the next one is.
    pub valid_from: Micros,
    /// Whose the account is then.
    pub customer_id: CustomerId,
    /// Its kind then.
    pub account_type: AccountType,
    /// Its currency.
    pub currency: Currency,
}

impl AccountTimeline {
    /// The version in force at an instant, in microseconds since the epoch; before the first one, that.
    pub fn in_force(&self, at: i64) -> Option<&AccountPeriod> {
        let begun = self.versions.partition_point(|period| period.valid_from.0 <= at);
        self.versions.get(begun.saturating_sub(1))
    }
}

impl From<&[AccountVersion]> for AccountTimeline {
    /// Of all versions of an account, in their order.
    fn from(versions: &[AccountVersion]) -> Self {
        let period = |version: &AccountVersion| AccountPeriod {
            version: version.version,
            valid_from: version.valid_from,
            customer_id: version.customer_id,
            account_type: version.account_type,
            currency: version.currency,
        };
        Self {
            versions: versions.iter().map(period).collect(),
        }
    }
}

/// What a pending withdrawal or transfer holds of an account. Instants are in microseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// How much.
    pub amount: Money,
    /// The transaction's own time.
    pub placed_at: i64,
    /// When it was released since it had expired; `None`: it holds.
    pub released_at: Option<i64>,
    /// LSN of the change that placed it.
    pub source_lsn: i64,
}

/// What an account opened with and its currency, from a commit on, or that it was deleted: no posting says when it is made anew or corrected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// From when on, in microseconds since the epoch: the commit of the account's row, or when a snapshot showed it. [`Opening::UNKNOWN`]: an
    /// earlier version of Riverbank has not kept that.
    pub at: i64,
    /// How many postings the account had then; those behind them go on from this.
    pub entries: i64,
    /// What it opened with.
    pub balance: Money,
    /// Its currency.
    pub currency: Currency,
    /// When the account was opened, as its row says, in microseconds since the epoch.
    pub created_at: i64,
    /// Whether the row was deleted then.
    pub is_deleted: bool,
}

impl Opening {
    /// In the place of an instant: it is not known.
    pub const UNKNOWN: i64 = i64::MIN;
}

/// A balance of the source that is yet to be compared with the streamed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBalance {
    /// What the account's row says.
    pub balance: Money,
    /// When that was committed at the source, in microseconds since the epoch.
    pub source_ts: i64,
}

/// What was posted to an account on a day, and before it; without what the account opened with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaySums {
    /// What all earlier days come to.
    pub brought: Money,
    /// Sum of what came in on the day.
    pub credits: Money,
    /// Sum of what went out on the day.
    pub debits: Money,
    /// How many postings stand on the day.
    pub entries: i64,
}

avro_wire!(Applied<Customer>, include_str!("../avro/state/applied_customer.avsc"));
avro_wire!(Applied<Account>, include_str!("../avro/state/applied_account.avsc"));
avro_wire!(Applied<Transaction>, include_str!("../avro/state/applied_transaction.avsc"));
avro_wire!(TableState, include_str!("../avro/state/table.avsc"));
avro_wire!(AccountTerms, include_str!("../avro/state/account_terms.avsc"));
avro_wire!(AccountTimeline, include_str!("../avro/state/account_timeline.avsc"));
avro_wire!(DaySums, include_str!("../avro/state/day_sums.avsc"));
avro_wire!(Hold, include_str!("../avro/state/hold.avsc"));
avro_wire!(Opening, include_str!("../avro/state/opening.avsc"));
avro_wire!(SourceBalance, include_str!("../avro/state/source_balance.avsc"));
