//! Why a table was not changed.

use object_store::path::Path;

use crate::catalog::{CatalogError, TableName};
use crate::manifest::ManifestError;
use crate::next::FindError;
use crate::progress::Unknown;
use crate::schema::Mismatch;

/// Why nothing was committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The files.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The store.
    #[error("the store failed: {0}")]
    Store(#[from] object_store::Error),
    /// There is nothing to change.
    #[error("the catalog has no table {0}: it has another name or namespace there, or nothing has kept it yet")]
    NoTable(TableName),
    /// The columns.
    #[error(transparent)]
    Column(#[from] Mismatch),
    /// The offsets.
    #[error(transparent)]
    Progress(#[from] Unknown),
    /// What the table is made of.
    #[error("{0}: {1}")]
    Manifest(String, ManifestError),
    /// A footer without a shape.
    #[error("{0}: {1}")]
    Footer(Path, parquet::errors::ParquetError),
    /// The table is elsewhere.
    #[error("{0} is not in the lake")]
    Elsewhere(String),
    /// Files that were to be dropped, and are not in the table, or in a manifest of another writer.
    #[error("{0} is not in the table any more")]
    Gone(String),
}
