//! How a file's columns are encoded.

use arrow::datatypes::Schema;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

/// Zstandard's own default.
const ZSTD_LEVEL: i32 = 3;

/// The writer's properties for a file of this shape.
pub fn properties(_schema: &Schema) -> Result<WriterProperties, ParquetError> {
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_dictionary_enabled(true)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_created_by(concat!("riverbank ", env!("CARGO_PKG_VERSION")).to_owned())
        .build())
}
