//! How a file's columns are encoded. The reasons and figures are in docs/decisions/parquet-layout.md.

use arrow::datatypes::{DataType, Schema};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Zstandard's fastest but for the negative ones. On these columns its default, 3, takes longer and compresses no better.
const ZSTD_LEVEL: i32 = 1;
/// Rows of a row group: what engines read by one thread, and pass over as a whole. Twice DuckDB's own.
pub const GROUP_ROWS: usize = 2 * 122_880;
/// Rows of a page.
pub const PAGE_ROWS: usize = 20_000;
/// Bytes of a page before compression.
pub const PAGE_BYTES: usize = 1 << 20;
/// By which rows are ordered in every file.
const ORDER: &str = "_offset";
/// Texts of which hardly two are alike.
const FREE_TEXTS: &[&str] = &["_before", "_unparsed", "_error"];

/// The writer's properties for a file of this shape.
pub fn properties(schema: &Schema) -> Result<WriterProperties, ParquetError> {
    let order = schema.fields().iter().position(|field| field.name() == ORDER);
    let order = order.map(|place| SortingColumn {
        column_idx: place as i32,
        descending: false,
        nulls_first: false,
    });
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(order.map(|order| vec![order]))
        .set_created_by(concat!("riverbank ", env!("CARGO_PKG_VERSION")).to_owned());
    for field in schema.fields() {
        let column = ColumnPath::from(field.name().as_str());
        let is_bytes = matches!(field.data_type(), DataType::Utf8 | DataType::Binary);
        let repeats = match field.data_type() {
            DataType::Utf8 => !FREE_TEXTS.contains(&field.name().as_str()),
            // A partition's number, a generation's.
            DataType::Int32 => true,
            _ => false,
        };
        if repeats {
            properties = properties.set_column_dictionary_enabled(column.clone(), true);
        }
        if is_bytes {
            // Unordered texts are in every page alike.
            properties = properties.set_column_statistics_enabled(column, EnabledStatistics::Chunk);
        }
    }
    Ok(properties.build())
}
