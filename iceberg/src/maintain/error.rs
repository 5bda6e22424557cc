//! Why a table was not tended.

use object_store::path::Path;

use crate::error::CommitError;
use crate::named::NamedError;

/// Why a table was not tended.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    /// The table was not changed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// It is not known which files are of no use any more.
    #[error(transparent)]
    Named(#[from] NamedError),
    /// The store.
    #[error("the store failed: {0}")]
    Store(#[from] object_store::Error),
    /// Rows would be deleted that another writer has kept apart from their files.
    #[error("the table has delete files of another writer: whoever wrote them must compact it")]
    Deletes,
    /// What was written is not what was read: nothing was changed.
    #[error("{path} has {rows} rows, of {expected} that were merged, or others: nothing was changed")]
    Differs {
        /// The merged file.
        path: Path,
        /// Its rows.
        rows: u64,
        /// The rows that were read.
        expected: u64,
    },
    /// Other writers were faster each time.
    #[error("other writers changed the table {0} times meanwhile")]
    Busy(u32),
}
