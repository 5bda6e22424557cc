//! Whether two files have the same rows, where their footers cannot say.

use std::collections::HashMap;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Compares the rows of what is there with ours, by offset and by the columns that both have; the error says how they differ.
///
/// Where the log is compacted, what is there may have rows that ours lack.
pub fn same_rows(there: Bytes, ours: Bytes, compacted: bool) -> Result<(), String> {
    let (there, ours) = (read(there)?, read(ours)?);
    let (theirs, own) = (there.num_rows(), ours.num_rows());
    if theirs < own || (theirs > own && !compacted) {
        return Err(format!("it has {theirs} rows, and the log gave {own}"));
    }
    let (left, right) = common(&there, &ours);
    let fields = right
        .iter()
        .map(|column| SortField::new(column.data_type().clone()))
        .collect();
    let fault = |error: arrow::error::ArrowError| error.to_string();
    let converter = RowConverter::new(fields).map_err(fault)?;
    let (left, right) = (
        converter.convert_columns(&left).map_err(fault)?,
        converter.convert_columns(&right).map_err(fault)?,
    );
    let places: HashMap<i64, usize> = offsets(&there)?.into_iter().zip(0..).collect();
    for (row, offset) in offsets(&ours)?.into_iter().enumerate() {
        match places.get(&offset) {
            None => return Err(format!("it lacks offset {offset}")),
            Some(place) if left.row(*place) != right.row(row) => return Err(format!("offset {offset} has another content")),
            Some(_) => {}
        }
    }
    Ok(())
}

fn read(bytes: Bytes) -> Result<RecordBatch, String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| error.to_string())?;
    let schema = builder.schema().clone();
    let reader = builder.build().map_err(|error| error.to_string())?;
    let batches: Result<Vec<_>, _> = reader.collect();
    let batches = batches.map_err(|error| error.to_string())?;
    concat_batches(&schema, &batches).map_err(|error| error.to_string())
}

/// The columns of the same name and type, in the same order.
fn common(there: &RecordBatch, ours: &RecordBatch) -> (Vec<ArrayRef>, Vec<ArrayRef>) {
    let schema = ours.schema();
    let own = schema.fields().iter().zip(ours.columns());
    let both = own.filter_map(|(field, column)| {
        let other = there.column_by_name(field.name())?;
        (other.data_type() == column.data_type()).then(|| (other.clone(), column.clone()))
    });
    both.unzip()
}

fn offsets(batch: &RecordBatch) -> Result<Vec<i64>, String> {
    let column = batch.column_by_name("_offset");
    let column = column.and_then(|column| column.as_primitive_opt::<Int64Type>());
    Ok(column.ok_or("it has no column _offset")?.values().to_vec())
}
