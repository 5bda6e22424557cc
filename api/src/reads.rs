//! The port to the state stores: what the routes ask, and nothing of how it is kept.
//!
//! Balances are partitioned by account, so one instance owns each of them. Rows are partitioned as their change log is, by a key
//! whose bytes only the connector knows: whoever does not find a row here asks the other instances.

mod engine;

use schemas::gold::AccountBalance;
use schemas::silver::{Account, AccountStatus, Customer, Transaction, TransactionStatus};
use schemas::{AccountId, CustomerId, TransactionId};
pub use topology::query::{InputLag, Readiness, Scattered};

/// A value of a store, and what it reflects.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading<T> {
    /// The value.
    pub value: T,
    /// When the state that has it was committed, in milliseconds since the epoch.
    pub committed_at_ms: i64,
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq)]
pub enum Located<T> {
    /// On this instance.
    Here(T),
    /// On the instance with this address (`http://host:port`).
    Elsewhere(String),
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

/// The rows of a list that are here.
pub type Rows<T> = Result<Scattered<Vec<T>>, ReadError>;

/// Asks the state stores of this instance. Look-ups take microseconds and are called in place.
pub trait Reads: Send + Sync + 'static {
    /// An account's balance.
    fn balance(&self, id: AccountId) -> Result<Located<Reading<Option<AccountBalance>>>, ReadError>;
    /// A customer, if the row is here.
    fn customer(&self, id: CustomerId) -> Result<Scattered<Option<Customer>>, ReadError>;
    /// An account, if the row is here.
    fn account(&self, id: AccountId) -> Result<Scattered<Option<Account>>, ReadError>;
    /// A transaction, if the row is here.
    fn transaction(&self, id: TransactionId) -> Result<Scattered<Option<Transaction>>, ReadError>;
    /// The first `limit` customers after `after`, by id, of those that are here.
    fn customers(&self, after: Option<CustomerId>, limit: usize) -> Rows<Customer>;
    /// The first `limit` accounts after `after`, by id, of those that are here.
    fn accounts(&self, after: Option<AccountId>, limit: usize, filter: AccountFilter) -> Rows<Account>;
    /// The first `limit` transactions after `after`, by id, of those that are here.
    fn transactions(&self, after: Option<TransactionId>, limit: usize, filter: TransactionFilter) -> Rows<Transaction>;
    /// Whether this instance gets on.
    fn readiness(&self) -> Readiness;
    /// Where its inputs stand.
    fn lag(&self) -> Vec<InputLag>;
}
