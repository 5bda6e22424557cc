//! Rows as columns, on their way into Arrow arrays.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder, Int32Builder,
    Int64Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::cell::at_scale;
use super::{Cell, Column, Kind, schema};

/// Buffered rows, as columns.
pub struct Columns {
    columns: Vec<Column>,
    schema: SchemaRef,
    builders: Vec<Builder>,
    len: usize,
}

impl Columns {
    /// An empty buffer.
    pub fn new(columns: Vec<Column>) -> Self {
        Self {
            schema: schema(&columns),
            builders: columns.iter().map(|column| Builder::new(column.kind)).collect(),
            columns,
            len: 0,
        }
    }

    /// Its columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Their shape.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Appends a row, one cell for each column; on an error nothing was appended.
    pub fn push(&mut self, row: &[Cell<'_>]) -> Result<(), String> {
        if row.len() != self.columns.len() {
            return Err(format!("{} cells for {} columns", row.len(), self.columns.len()));
        }
        for (column, cell) in self.columns.iter().zip(row) {
            let name = &column.name;
            match cell {
                Cell::Null if !column.nullable => return Err(format!("{name} is null")),
                cell if !cell.fits(column.kind) => return Err(format!("{name} is {:?}: {cell:?} does not fit", column.kind)),
                _ => {}
            }
        }
        self.append(row);
        Ok(())
    }

    /// Appends a row of cells, one for each column, that are known to fit.
    pub fn append(&mut self, row: &[Cell<'_>]) {
        debug_assert_eq!(row.len(), self.columns.len());
        for (builder, cell) in self.builders.iter_mut().zip(row) {
            builder.append(cell);
        }
        self.len += 1;
    }

    /// How many rows wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the waiting rows out.
    pub fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        self.len = 0;
        let columns = self.builders.iter_mut().map(Builder::finish).collect::<Result<_, _>>()?;
        RecordBatch::try_new(self.schema.clone(), columns)
    }
}

enum Builder {
    Bool(BooleanBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder, u8, u8),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Binary(BinaryBuilder),
}

impl Builder {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Bool => Builder::Bool(BooleanBuilder::new()),
            Kind::Int32 => Builder::Int32(Int32Builder::new()),
            Kind::Int64 => Builder::Int64(Int64Builder::new()),
            Kind::Float32 => Builder::Float32(Float32Builder::new()),
            Kind::Float64 => Builder::Float64(Float64Builder::new()),
            Kind::Decimal { digits, scale } => Builder::Decimal(Decimal128Builder::new(), digits, scale),
            Kind::Date => Builder::Date(Date32Builder::new()),
            Kind::Timestamp => Builder::Timestamp(TimestampMicrosecondBuilder::new()),
            Kind::Text => Builder::Text(StringBuilder::new()),
            Kind::Binary => Builder::Binary(BinaryBuilder::new()),
        }
    }

    /// Appends a cell that [`Cell::fits`] has passed; any other would be a null.
    fn append(&mut self, cell: &Cell<'_>) {
        macro_rules! append {
            ($builder:expr, $variant:path) => {
                match cell {
                    $variant(value) => $builder.append_value(value.to_owned()),
                    _ => $builder.append_null(),
                }
            };
        }
        match self {
            Builder::Bool(builder) => append!(builder, Cell::Bool),
            Builder::Int32(builder) => match cell {
                Cell::Int(value) => builder.append_option(i32::try_from(*value).ok()),
                _ => builder.append_null(),
            },
            Builder::Int64(builder) => append!(builder, Cell::Int),
            Builder::Float32(builder) => match cell {
                Cell::Float(value) => builder.append_value(*value as f32),
                _ => builder.append_null(),
            },
            Builder::Float64(builder) => append!(builder, Cell::Float),
            Builder::Decimal(builder, digits, scale) => match cell {
                Cell::Decimal(value) => builder.append_option(at_scale(*value, *digits, *scale)),
                _ => builder.append_null(),
            },
            Builder::Date(builder) => append!(builder, Cell::Date),
            Builder::Timestamp(builder) => append!(builder, Cell::Timestamp),
            Builder::Text(builder) => match cell {
                Cell::Text(value) => builder.append_value(value),
                _ => builder.append_null(),
            },
            Builder::Binary(builder) => match cell {
                Cell::Binary(value) => builder.append_value(value),
                _ => builder.append_null(),
            },
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Builder::Bool(builder) => Arc::new(builder.finish()),
            Builder::Int32(builder) => Arc::new(builder.finish()),
            Builder::Int64(builder) => Arc::new(builder.finish()),
            Builder::Float32(builder) => Arc::new(builder.finish()),
            Builder::Float64(builder) => Arc::new(builder.finish()),
            Builder::Decimal(builder, digits, scale) => {
                Arc::new(builder.finish().with_precision_and_scale(*digits, *scale as i8)?)
            }
            Builder::Date(builder) => Arc::new(builder.finish()),
            Builder::Timestamp(builder) => Arc::new(builder.finish().with_timezone("UTC")),
            Builder::Text(builder) => Arc::new(builder.finish()),
            Builder::Binary(builder) => Arc::new(builder.finish()),
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use wire::Decimal;

    use super::*;

    #[test]
    fn a_row_that_does_not_fit_leaves_nothing_behind() {
        let money = Kind::decimal(18, 2);
        let mut columns = Columns::new(vec![
            Column::required("id", Kind::Int64, ""),
            Column::nullable("amount", money, ""),
        ]);
        let amount = |unscaled, scale| Cell::Decimal(Decimal { unscaled, scale });
        columns.push(&[Cell::Int(1), amount(10_i128.pow(18) - 1, 2)]).unwrap();
        for (row, word) in [
            (vec![Cell::Int(2), amount(-(10_i128.pow(18)), 2)], "does not fit"),
            (vec![Cell::Int(2), amount(1, 3)], "does not fit"),
            (vec![Cell::Null, Cell::Null], "id is null"),
            (vec![Cell::Int(2), Cell::Text("x".into())], "amount is Decimal"),
            (vec![Cell::Int(2)], "cells"),
        ] {
            let error = columns.push(&row).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        columns.push(&[Cell::Int(3), Cell::Null]).unwrap();
        columns.push(&[Cell::Int(4), amount(120, 3)]).unwrap();
        let batch = columns.take().unwrap();
        assert_eq!((batch.num_rows(), columns.len()), (3, 0));
        assert_eq!(batch.schema().field(1).data_type(), &DataType::Decimal128(18, 2));
        let amounts = arrow::array::AsArray::as_primitive::<arrow::datatypes::Decimal128Type>(batch.column(1));
        assert_eq!(amounts.value(2), 12);
    }
}
