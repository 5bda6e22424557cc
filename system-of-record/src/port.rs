//! The port.

use async_trait::async_trait;
use schemas::{AccountId, CustomerId, TransactionId};

use crate::{
    Account, AccountDraft, AccountUpdate, Change, Customer, CustomerDraft, Row, SystemOfRecordError, Transaction,
    TransactionDraft, TransactionUpdate, Version,
};

/// The most changes that one commit takes: its locks are held until it ends.
pub const CHANGES_MAX: usize = 10_000;

/// Owns customers, accounts and transactions, and keeps the bank's rules. Callable from many tasks at once.
#[async_trait]
pub trait SystemOfRecord: Send + Sync + 'static {
    /// Commits the changes in order, all or none; each sees those before it. Returns for each the row as the change left
    /// it, or as it was before its delete. When it returns, the commit is durable, and its change events will be sent (or
    /// were).
    ///
    /// If the call is dropped before it returns, the commit may or may not be in force.
    async fn commit(&self, changes: &[Change]) -> Result<Vec<Row>, SystemOfRecordError>;
    /// A customer as committed now.
    async fn customer(&self, id: CustomerId) -> Result<Option<Customer>, SystemOfRecordError>;
    /// An account as committed now.
    async fn account(&self, id: AccountId) -> Result<Option<Account>, SystemOfRecordError>;
    /// A transaction as committed now.
    async fn transaction(&self, id: TransactionId) -> Result<Option<Transaction>, SystemOfRecordError>;
    /// Whether it can be reached and its change events get through; the error says what is wrong.
    async fn check(&self) -> Result<(), SystemOfRecordError>;
}

/// Commits of a single change.
#[async_trait]
pub trait SystemOfRecordExt: SystemOfRecord {
    /// Adds a customer.
    async fn insert_customer(&self, draft: CustomerDraft) -> Result<Customer, SystemOfRecordError> {
        self.one(Change::InsertCustomer(draft)).await?.customer()
    }
    /// Replaces a customer's columns.
    async fn update_customer(
        &self,
        id: CustomerId,
        to: CustomerDraft,
        expected: Option<Version>,
    ) -> Result<Customer, SystemOfRecordError> {
        let id = id.into();
        self.one(Change::UpdateCustomer { id, to, expected }).await?.customer()
    }
    /// Removes a customer.
    async fn delete_customer(&self, id: CustomerId, expected: Option<Version>) -> Result<Customer, SystemOfRecordError> {
        let id = id.into();
        self.one(Change::DeleteCustomer { id, expected }).await?.customer()
    }
    /// Opens an account.
    async fn insert_account(&self, draft: AccountDraft) -> Result<Account, SystemOfRecordError> {
        self.one(Change::InsertAccount(draft)).await?.account()
    }
    /// Replaces an account's columns.
    async fn update_account(
        &self,
        id: AccountId,
        to: AccountUpdate,
        expected: Option<Version>,
    ) -> Result<Account, SystemOfRecordError> {
        let id = id.into();
        self.one(Change::UpdateAccount { id, to, expected }).await?.account()
    }
    /// Closes an account.
    async fn close_account(&self, id: AccountId, expected: Option<Version>) -> Result<Account, SystemOfRecordError> {
        let id = id.into();
        self.one(Change::CloseAccount { id, expected }).await?.account()
    }
    /// Removes an account.
    async fn delete_account(&self, id: AccountId, expected: Option<Version>) -> Result<Account, SystemOfRecordError> {
        let id = id.into();
        self.one(Change::DeleteAccount { id, expected }).await?.account()
    }
    /// Adds a transaction.
    async fn insert_transaction(&self, draft: TransactionDraft) -> Result<Transaction, SystemOfRecordError> {
        self.one(Change::InsertTransaction(draft)).await?.transaction()
    }
    /// Changes a transaction's columns.
    async fn update_transaction(
        &self,
        id: TransactionId,
        to: impl Into<TransactionUpdate> + Send + 'async_trait,
        expected: Option<Version>,
    ) -> Result<Transaction, SystemOfRecordError> {
        let (id, to) = (id.into(), to.into());
        self.one(Change::UpdateTransaction { id, to, expected }).await?.transaction()
    }
    /// Removes a transaction.
    async fn delete_transaction(&self, id: TransactionId, expected: Option<Version>) -> Result<Transaction, SystemOfRecordError> {
        let id = id.into();
        self.one(Change::DeleteTransaction { id, expected }).await?.transaction()
    }
    /// Commits a single change.
    async fn one(&self, change: Change) -> Result<Row, SystemOfRecordError> {
        let row = self.commit(&[change]).await?.pop();
        row.ok_or_else(|| SystemOfRecordError::Internal("a commit of one change returned no row".to_owned()))
    }
}

impl<S: SystemOfRecord + ?Sized> SystemOfRecordExt for S {}
