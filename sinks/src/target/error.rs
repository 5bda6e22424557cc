//! Why there is no store.

use std::path::PathBuf;

/// Why a URL does not lead to a store: a setting is wrong.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It is not a URL, or has no meaning here.
    #[error("{url}: {reason}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder cannot be made.
    #[error("{0}: {1}")]
    Folder(PathBuf, std::io::Error),
    /// The store's client refuses its options.
    #[error(transparent)]
    Options(#[from] object_store::Error),
}
