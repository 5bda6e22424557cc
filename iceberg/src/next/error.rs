//! Why no more files can be taken.

use object_store::path::Path;
use sinks::lake::LakeError;

/// Why no more can be taken: an operator must look at it, unless the store failed.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The store.
    #[error("the store failed: {0}")]
    Store(#[from] object_store::Error),
    /// What the sinks have noted.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Offsets that are in no file.
    #[error(
        "{table}, partition {partition}: offsets from {from} on are in no file, though later ones are (docs/runbooks/lake.md)"
    )]
    Gap {
        /// The table.
        table: String,
        /// The partition.
        partition: u32,
        /// The first of them.
        from: i64,
    },
    /// Offsets that are in two files.
    #[error("{table}, partition {partition}: offset {at} is in two files (docs/runbooks/lake.md)")]
    Overlap {
        /// The table.
        table: String,
        /// The partition.
        partition: u32,
        /// The first of them.
        at: i64,
    },
    /// A file that is not what its name says.
    #[error("{path}: {reason}")]
    File {
        /// Where.
        path: Path,
        /// What is wrong.
        reason: String,
    },
}
