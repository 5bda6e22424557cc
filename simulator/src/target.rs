//! The port through which the simulator writes.

use std::future::Future;

use crate::operation::Batch;

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is in force.
    Committed,
    /// None of it is, and why: a rule of the bank forbids it.
    Refused(String),
}

/// The target could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Nothing of the batch is in force: try it again.
    #[error("{0}")]
    Retry(String),
    /// It is not known whether the batch is in force, or trying again is of no use: give up.
    #[error("{0}")]
    GiveUp(String),
}

/// Whatever can hold a bank. It takes batches, many at the same time, each all or nothing.
pub trait Target: Send + Sync + 'static {
    /// Commits a batch.
    fn commit(&self, batch: &Batch) -> impl Future<Output = Result<Outcome, TargetError>> + Send;
}
