//! A file that can be taken.

use std::sync::Arc;

use parquet::file::metadata::ParquetMetaData;
use sinks::parquet::layout::FileName;

/// A file with its footer.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Its name.
    pub name: FileName,
    /// Its size.
    pub bytes: u64,
    /// Its footer.
    pub metadata: Arc<ParquetMetaData>,
}

impl Ready {
    /// Its rows.
    pub fn rows(&self) -> i64 {
        self.metadata.file_metadata().num_rows()
    }
}
