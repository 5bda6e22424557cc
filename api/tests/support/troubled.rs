//! A database in trouble.

use async_trait::async_trait;
use schemas::{AccountId, CustomerId, TransactionId};
use system_of_record::{Account, Change, Customer, Row, SystemOfRecord, SystemOfRecordError, Transaction};

/// It fails so, or never answers.
pub struct Troubled(pub Option<SystemOfRecordError>);

impl Troubled {
    async fn give<T>(&self) -> Result<T, SystemOfRecordError> {
        match &self.0 {
            Some(error) => Err(error.clone()),
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl SystemOfRecord for Troubled {
    async fn commit(&self, _: &[Change]) -> Result<Vec<Row>, SystemOfRecordError> {
        assert!(
            self.0 != Some(SystemOfRecordError::Internal("panic".to_owned())),
            "as the test wants it"
        );
        self.give().await
    }
    async fn customer(&self, _: CustomerId) -> Result<Option<Customer>, SystemOfRecordError> {
        self.give().await
    }
    async fn account(&self, _: AccountId) -> Result<Option<Account>, SystemOfRecordError> {
        self.give().await
    }
    async fn transaction(&self, _: TransactionId) -> Result<Option<Transaction>, SystemOfRecordError> {
        self.give().await
    }
    async fn check(&self) -> Result<(), SystemOfRecordError> {
        self.give().await
    }
}
