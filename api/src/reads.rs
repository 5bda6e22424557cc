//! The port to the state stores: what the routes ask, and nothing of how it is kept.
//!
//! One instance owns each key. A list is of all instances: each reads the partitions that it owns.

mod aggregates;
mod engine;
mod history;
mod journal;
mod openings;
mod part;
pub mod past;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use history::Versions;
pub use part::Part;
use schemas::gold::{
    AccountBalance, AccountDay, AccountVersion, BankDay, CustomerPosition, CustomerVersion, Reconciliation, TransactionMinute,
    TransactionMinuteKey,
};
use schemas::silver::{Account, AccountStatus, Customer, Frontier, Posting, Transaction, TransactionStatus};
use schemas::state::{Hold, Opening};
use schemas::{AccountId, CustomerId, TransactionId};
use topology::Millis;
pub use topology::query::{InputLag, Instance, Readiness, Scattered, Token};

/// A value of a store, and what it reflects.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading<T> {
    /// The value.
    pub value: T,
    /// When the state that has it was committed.
    pub committed_at_ms: Millis,
}

/// An account's balance, and how far the source's transactions are where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Balanced {
    /// Read before the balance: that has at least all transactions up to here. `None`: none has come, or they are not counted.
    pub frontier: Option<Frontier>,
    /// The balance; `None`: there is no such account.
    pub balance: Option<AccountBalance>,
    /// Whether transactions wait for the account's row, which is on its way.
    pub is_awaited: bool,
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq)]
pub enum Located<T> {
    /// On this instance.
    Here(T),
    /// On this other instance.
    Elsewhere(Instance),
}

/// Why the stores gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The partition is being restored, or is moving to another instance: ask again soon.
    #[error("{0}")]
    NotReady(String),
    /// The store failed.
    #[error("{0}")]
    Failed(String),
}

/// Which accounts a list holds; those that agree with everything that is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountFilter {
    /// Those of this customer.
    pub customer_id: Option<CustomerId>,
    /// Those of this status.
    pub status: Option<AccountStatus>,
}

/// Which transactions a list holds; those that agree with everything that is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// Those on this account, and the transfers to it.
    pub account_id: Option<AccountId>,
    /// Those of this status.
    pub status: Option<TransactionStatus>,
}

impl AccountFilter {
    /// Whether the account is one of those.
    pub fn accepts(&self, row: &Account) -> bool {
        self.customer_id.is_none_or(|id| row.customer_id == id) && self.status.is_none_or(|status| row.status == status)
    }
}

impl TransactionFilter {
    /// Whether the transaction is one of those.
    pub fn accepts(&self, row: &Transaction) -> bool {
        let on = |id| row.account_id == id || row.related_account_id == Some(id);
        self.account_id.is_none_or(on) && self.status.is_none_or(|status| row.status == status)
    }
}

/// What of a list is to be read, and how much work that may be.
#[derive(Debug, Clone)]
pub struct Scan {
    /// Only rows behind this id.
    pub after: Option<i64>,
    /// How many rows at most.
    pub limit: usize,
    /// How many rows are looked at, at most; at least one of each partition is.
    pub visits_max: usize,
    /// These partitions alone; without it, all.
    pub partitions: Option<Vec<u32>>,
    /// Set by whoever wants the answer no longer.
    pub ended: Arc<AtomicBool>,
}

impl Scan {
    /// Whether nobody wants the answer any longer.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

/// The rows of a list that are here.
pub type Rows<T, U = i64> = Result<Scattered<Part<T, U>>, ReadError>;

/// Which days of an account, in days since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first one.
    pub from: i32,
    /// The last one.
    pub to: i32,
    /// How many rows at most.
    pub limit: usize,
}

/// Which minutes, by when they begin, in microseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minutes {
    /// From this on.
    pub from: i64,
    /// Before this.
    pub to: i64,
    /// Only rows behind this one.
    pub after: Option<TransactionMinuteKey>,
}

/// Rows that add up others, with what they reflect.
pub trait Aggregates {
    /// What a customer has, by currency; of those positions that are here, all.
    fn positions(&self, id: CustomerId, scan: &Scan) -> Rows<CustomerPosition>;
    /// Some of an account's days, in their order; nothing where there is no such account.
    fn account_days(&self, id: AccountId, days: Days) -> AccountDays;
    /// The bank's days up to one; of those rows that are here, all.
    fn bank_days(&self, last: i32, scan: &Scan) -> Rows<BankDay>;
    /// The first transactions of some minutes, of those that are here.
    fn minutes(&self, minutes: &Minutes, scan: &Scan) -> Rows<TransactionMinute, TransactionMinuteKey>;
}

/// Some of an account's days.
pub type AccountDays = Result<Located<Reading<Option<Part<AccountDay, i32>>>>, ReadError>;

/// What an account's postings come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Entries {
    /// Read before the balance: that has at least all transactions up to here.
    pub frontier: Option<Frontier>,
    /// The balance, with the number of its newest posting.
    pub balance: AccountBalance,
    /// When the account was opened, as its row says, in microseconds since the epoch; `None`: the row is gone.
    pub opened_at: Option<i64>,
}

/// An account's journal; what is found in it is in [`past`].
pub trait Journal {
    /// What its postings come to; `None`: there is no such account.
    fn entries(&self, id: AccountId) -> Result<Located<Reading<Option<Entries>>>, ReadError>;
    /// Its postings with these numbers, in order, as far as they are kept; so many at most.
    fn postings(&self, id: AccountId, from: i64, to: i64) -> Result<Vec<Posting>, ReadError>;
    /// Those that were known before their own time, with that time: number and time. From a number on, some at once; none: there are no more.
    fn ahead(&self, id: AccountId, from: i64) -> Result<Vec<(i64, i64)>, ReadError>;
    /// What it opened with, the newest first, from a place on: place and opening. Some at once; none: there are no more.
    fn openings(&self, id: AccountId, from: i64) -> Result<Vec<(i64, Opening)>, ReadError>;
    /// What its pending transactions hold, from a transaction on; some at once, and none where there are no more.
    fn holds(&self, id: AccountId, from: TransactionId) -> Result<Vec<(TransactionId, Hold)>, ReadError>;
    /// Its balance beside the source's.
    fn reconciliation(&self, id: AccountId) -> Result<Located<Reading<Option<Reconciliation>>>, ReadError>;
    /// The accounts here whose balance differs from the source's.
    fn different(&self, scan: &Scan) -> Rows<Reconciliation, AccountId>;
}

/// Asks the state stores of this instance. Look-ups take microseconds and are called in place; lists are read on a thread that
/// may block.
pub trait Reads: Aggregates + Journal + Send + Sync + 'static {
    /// An account's balance as it is, and how far its partition is.
    fn balance(&self, id: AccountId) -> Result<Located<Reading<Balanced>>, ReadError>;

    /// What a balance was as of one of the source's transactions, where `now` is of a later one; `None`: it is not known that far back.
    fn former(&self, now: &AccountBalance, commit_number: i64) -> Result<Located<Reading<Option<AccountBalance>>>, ReadError>;
    /// Some of a customer's versions; none at all where there is no such customer, nor was.
    fn customer_history(&self, id: CustomerId, which: Versions) -> Result<Located<Reading<Part<CustomerVersion>>>, ReadError>;
    /// Some of an account's versions.
    fn account_history(&self, id: AccountId, which: Versions) -> Result<Located<Reading<Part<AccountVersion>>>, ReadError>;
    /// A customer.
    fn customer(&self, id: CustomerId) -> Result<Located<Reading<Option<Customer>>>, ReadError>;
    /// An account.
    fn account(&self, id: AccountId) -> Result<Located<Reading<Option<Account>>>, ReadError>;
    /// A transaction.
    fn transaction(&self, id: TransactionId) -> Result<Located<Reading<Option<Transaction>>>, ReadError>;
    /// The first customers by id, of those that are here.
    fn customers(&self, scan: &Scan) -> Rows<Customer>;
    /// The first accounts by id, of those that are here.
    fn accounts(&self, scan: &Scan, filter: AccountFilter) -> Rows<Account>;
    /// The first transactions by id, of those that are here.
    fn transactions(&self, scan: &Scan, filter: TransactionFilter) -> Rows<Transaction>;
    /// What the other instances present to this one.
    fn token(&self) -> &Token;
    /// Whether this instance gets on.
    fn readiness(&self) -> Readiness;
    /// Where its inputs stand.
    fn lag(&self) -> Vec<InputLag>;
}
