//! Rows as columns: a table lists its columns once and gives its rows as cells.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use schemas::Money;

/// Digits of an amount of money in the lake, of which two are after the point: `DECIMAL(18,2)`, as in the source.
const MONEY_DIGITS: u8 = 20;
const MONEY_SCALE: i8 = 4;
const MONEY_LIMIT: i128 = 10_i128.pow(MONEY_DIGITS as u32);

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A 32-bit whole number.
    Int32,
    /// A 64-bit whole number.
    Int64,
    /// UTF-8.
    Text,
    /// `DECIMAL(18,2)`.
    Money,
    /// Microseconds since the epoch, UTC.
    Timestamp,
    /// True or false.
    Bool,
    /// Bytes.
    Binary,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    name: &'static str,
    kind: Kind,
    nullable: bool,
}

impl Column {
    /// A column that can be null.
    pub const fn nullable(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            nullable: true,
        }
    }

    /// A column that always has a value.
    pub const fn required(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            nullable: false,
        }
    }

    fn field(&self) -> Field {
        let data_type = match self.kind {
            Kind::Int32 => DataType::Int32,
            Kind::Int64 => DataType::Int64,
            Kind::Text => DataType::Utf8,
            Kind::Money => DataType::Decimal128(MONEY_DIGITS, MONEY_SCALE),
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Bool => DataType::Boolean,
            Kind::Binary => DataType::Binary,
        };
        Field::new(self.name, data_type, self.nullable)
    }
}

/// The shape of these columns.
pub fn schema(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>()))
}

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// For [`Kind::Int32`] and [`Kind::Int64`].
    Int(i64),
    /// For [`Kind::Text`].
    Text(&'a str),
    /// For [`Kind::Money`].
    Money(Money),
    /// For [`Kind::Timestamp`], in microseconds since the epoch.
    Timestamp(i64),
    /// For [`Kind::Bool`].
    Bool(bool),
    /// For [`Kind::Binary`].
    Binary(&'a [u8]),
}

impl<'a> Cell<'a> {
    /// A number, or null.
    pub fn int(value: Option<i64>) -> Self {
        value.map_or(Cell::Null, Cell::Int)
    }

    /// A text, or null.
    pub fn text(value: Option<&'a str>) -> Self {
        value.map_or(Cell::Null, Cell::Text)
    }

    /// An amount, or null.
    pub fn money(value: Option<Money>) -> Self {
        value.map_or(Cell::Null, Cell::Money)
    }

    /// An instant, or null.
    pub fn timestamp(value: Option<i64>) -> Self {
        value.map_or(Cell::Null, Cell::Timestamp)
    }

    /// Bytes, or null.
    pub fn binary(value: Option<&'a [u8]>) -> Self {
        value.map_or(Cell::Null, Cell::Binary)
    }
}

/// Buffered rows, as columns.
pub struct Columns {
    columns: &'static [Column],
    schema: SchemaRef,
    builders: Vec<Builder>,
    len: usize,
}

impl Columns {
    /// An empty buffer.
    pub fn new(columns: &'static [Column]) -> Self {
        Self {
            columns,
            schema: schema(columns),
            builders: columns.iter().map(|column| Builder::new(column.kind)).collect(),
            len: 0,
        }
    }

    /// Appends a row; on an error, which says what does not fit where, nothing is appended.
    pub fn push(&mut self, row: &[Cell<'_>]) -> Result<(), String> {
        if row.len() != self.columns.len() {
            return Err(format!("a row has {} cells for {} columns", row.len(), self.columns.len()));
        }
        self.columns
            .iter()
            .zip(row)
            .try_for_each(|(column, cell)| fits(column, cell))?;
        self.builders
            .iter_mut()
            .zip(row)
            .for_each(|(builder, cell)| builder.append(cell));
        self.len += 1;
        Ok(())
    }

    /// How many rows are buffered.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the rows out.
    pub fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        self.len = 0;
        let arrays = self.builders.iter_mut().map(Builder::finish).collect::<Result<_, _>>()?;
        RecordBatch::try_new(self.schema.clone(), arrays)
    }
}

/// Whether a cell can stand in a column.
fn fits(column: &Column, cell: &Cell<'_>) -> Result<(), String> {
    let fits = match (column.kind, cell) {
        (_, Cell::Null) if !column.nullable => return Err(format!("{} is null", column.name)),
        (_, Cell::Null) => true,
        (Kind::Money, Cell::Money(amount)) if amount.ten_thousandths().unsigned_abs() >= MONEY_LIMIT.unsigned_abs() => {
            return Err(format!(
                "{} {amount} does not fit a decimal({MONEY_DIGITS},{MONEY_SCALE})",
                column.name
            ));
        }
        (Kind::Int32, Cell::Int(value)) => i32::try_from(*value).is_ok(),
        (Kind::Int64, Cell::Int(_)) => true,
        (Kind::Text, Cell::Text(_)) => true,
        (Kind::Money, Cell::Money(_)) => true,
        (Kind::Timestamp, Cell::Timestamp(_)) => true,
        (Kind::Bool, Cell::Bool(_)) => true,
        (Kind::Binary, Cell::Binary(_)) => true,
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(format!("{} is {:?}, not {cell:?}", column.name, column.kind))
    }
}

enum Builder {
    Int32(Int32Builder),
    Int64(Int64Builder),
    Text(StringBuilder),
    Money(Decimal128Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Bool(BooleanBuilder),
    Binary(BinaryBuilder),
}

impl Builder {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Int32 => Builder::Int32(Int32Builder::new()),
            Kind::Int64 => Builder::Int64(Int64Builder::new()),
            Kind::Text => Builder::Text(StringBuilder::new()),
            Kind::Money => Builder::Money(Decimal128Builder::new()),
            Kind::Timestamp => Builder::Timestamp(TimestampMicrosecondBuilder::new()),
            Kind::Bool => Builder::Bool(BooleanBuilder::new()),
            Kind::Binary => Builder::Binary(BinaryBuilder::new()),
        }
    }

    /// Appends a cell that [`fits`] has passed; any other would be a null.
    fn append(&mut self, cell: &Cell<'_>) {
        macro_rules! append {
            ($builder:expr, $variant:path) => {
                match cell {
                    $variant(value) => $builder.append_value(*value),
                    _ => $builder.append_null(),
                }
            };
        }
        match self {
            Builder::Int32(builder) => match cell {
                Cell::Int(value) => builder.append_option(i32::try_from(*value).ok()),
                _ => builder.append_null(),
            },
            Builder::Money(builder) => match cell {
                Cell::Money(amount) => builder.append_value(amount.ten_thousandths()),
                _ => builder.append_null(),
            },
            Builder::Int64(builder) => append!(builder, Cell::Int),
            Builder::Text(builder) => append!(builder, Cell::Text),
            Builder::Timestamp(builder) => append!(builder, Cell::Timestamp),
            Builder::Bool(builder) => append!(builder, Cell::Bool),
            Builder::Binary(builder) => append!(builder, Cell::Binary),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Builder::Int32(builder) => Arc::new(builder.finish()),
            Builder::Int64(builder) => Arc::new(builder.finish()),
            Builder::Text(builder) => Arc::new(builder.finish()),
            Builder::Money(builder) => Arc::new(builder.finish().with_precision_and_scale(MONEY_DIGITS, MONEY_SCALE)?),
            Builder::Timestamp(builder) => Arc::new(builder.finish().with_timezone("UTC")),
            Builder::Bool(builder) => Arc::new(builder.finish()),
            Builder::Binary(builder) => Arc::new(builder.finish()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[Column::required("id", Kind::Int64), Column::nullable("amount", Kind::Money)];

    #[test]
    fn a_row_that_does_not_fit_leaves_nothing_behind() {
        let mut columns = Columns::new(COLUMNS);
        let most = Money::from_ten_thousandths(MONEY_LIMIT - 1);
        let over = Money::from_ten_thousandths(-MONEY_LIMIT);
        columns.push(&[Cell::Int(1), Cell::Money(most)]).unwrap();
        for (row, word) in [
            (vec![Cell::Int(2), Cell::Money(over)], "does not fit"),
            (vec![Cell::Null, Cell::Null], "id is null"),
            (vec![Cell::Int(2), Cell::Text("x")], "amount is Money"),
            (vec![Cell::Int(2)], "cells"),
        ] {
            let error = columns.push(&row).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        columns.push(&[Cell::Int(3), Cell::Null]).unwrap();
        let batch = columns.take().unwrap();
        assert_eq!((batch.num_rows(), columns.len()), (2, 0));
        assert_eq!(batch.schema().field(1).data_type(), &DataType::Decimal128(20, 4));
    }
}
