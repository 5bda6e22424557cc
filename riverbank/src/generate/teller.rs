//! The port through which the generator writes: whatever can hold a bank takes its batches.

use std::future::Future;

use super::operation::Batch;

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All of it is in force.
    Committed,
    /// None of it is, and the bank said why: a rule of the bank forbids it.
    Refused(String),
}

/// The bank could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum TellerError {
    /// Nothing of the batch is in force: try it again.
    #[error("{0}")]
    Again(String),
    /// It is not known whether the batch is in force, or trying again is of no use: give up.
    #[error("{0}")]
    GiveUp(String),
}

/// Takes batches to the bank; many at the same time, each all or nothing.
pub trait Teller: Send + Sync + 'static {
    /// Commits a batch.
    fn commit(&self, batch: &Batch) -> impl Future<Output = Result<Verdict, TellerError>> + Send;
}
