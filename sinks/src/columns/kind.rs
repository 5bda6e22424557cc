//! What a column holds.

use std::fmt;

use arrow::datatypes::{DataType, TimeUnit};

/// The digits that every reader of the lake has in a decimal: Snowflake, Spark, DuckDB and Trino all end there.
pub const MOST_DIGITS: u8 = 38;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Bool,
    /// A 32-bit whole number.
    Int32,
    /// A 64-bit whole number.
    Int64,
    /// A 32-bit float.
    Float32,
    /// A 64-bit float.
    Float64,
    /// `DECIMAL(digits, scale)`, with at most [`MOST_DIGITS`].
    Decimal {
        /// All digits.
        digits: u8,
        /// Those after the point.
        scale: u8,
    },
    /// A day.
    Date,
    /// Microseconds since the epoch, UTC.
    Timestamp,
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
}

impl Kind {
    /// Our own amounts of money: the finest scale of any currency, and every sum.
    pub const MONEY: Kind = Kind::decimal(MOST_DIGITS, 4);

    /// `DECIMAL(digits, scale)`.
    pub const fn decimal(digits: u8, scale: u8) -> Self {
        Kind::Decimal { digits, scale }
    }

    /// Its type in Arrow.
    pub fn data_type(self) -> DataType {
        match self {
            Kind::Bool => DataType::Boolean,
            Kind::Int32 => DataType::Int32,
            Kind::Int64 => DataType::Int64,
            Kind::Float32 => DataType::Float32,
            Kind::Float64 => DataType::Float64,
            Kind::Decimal { digits, scale } => DataType::Decimal128(digits, scale as i8),
            Kind::Date => DataType::Date32,
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Text => DataType::Utf8,
            Kind::Binary => DataType::Binary,
        }
    }

    /// The kind that holds every value of both as what it is; text where there is no other.
    pub fn merge(self, other: Kind) -> Kind {
        use Kind::{Bool, Date, Decimal, Float32, Float64, Int32, Int64, Timestamp};
        match (self, other) {
            (one, same) if one == same => one,
            (Int32 | Int64, Int32 | Int64) => Int64,
            (Float32 | Float64, Float32 | Float64) => Float64,
            (Date | Timestamp, Date | Timestamp) => Timestamp,
            (Decimal { digits, scale }, whole @ (Int32 | Int64)) | (whole @ (Int32 | Int64), Decimal { digits, scale }) => {
                let whole = if whole == Int32 { 10 } else { 19 };
                sum_of_digits((digits - scale).max(whole), scale)
            }
            (Decimal { digits, scale }, Decimal { digits: d, scale: s }) => {
                sum_of_digits((digits - scale).max(d - s), scale.max(s))
            }
            (Bool | Int32 | Int64 | Float32 | Float64 | Decimal { .. } | Date | Timestamp | Kind::Text | Kind::Binary, _) => {
                Kind::Text
            }
        }
    }
}

/// As the reference of the lake's tables has it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Bool => f.write_str("boolean"),
            Kind::Int32 => f.write_str("int32"),
            Kind::Int64 => f.write_str("int64"),
            Kind::Float32 => f.write_str("float32"),
            Kind::Float64 => f.write_str("float64"),
            Kind::Decimal { digits, scale } => write!(f, "decimal({digits}, {scale})"),
            Kind::Date => f.write_str("date"),
            Kind::Timestamp => f.write_str("timestamp"),
            Kind::Text => f.write_str("text"),
            Kind::Binary => f.write_str("binary"),
        }
    }
}

fn sum_of_digits(whole: u8, scale: u8) -> Kind {
    match whole + scale {
        digits @ ..=MOST_DIGITS => Kind::decimal(digits, scale),
        _ => Kind::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merged_kind_holds_both_and_is_merged_no_further() {
        let decimals = [(18, 2), (18, 4), (38, 18), (38, 0), (5, 5)].map(|(digits, scale)| Kind::decimal(digits, scale));
        let plain = [
            Kind::Bool,
            Kind::Int32,
            Kind::Int64,
            Kind::Float32,
            Kind::Float64,
            Kind::Date,
            Kind::Timestamp,
            Kind::Text,
            Kind::Binary,
        ];
        let kinds: Vec<Kind> = decimals.into_iter().chain(plain).collect();
        for one in &kinds {
            for other in &kinds {
                let both = one.merge(*other);
                assert_eq!(both, other.merge(*one), "{one:?} and {other:?}");
                assert_eq!((both.merge(*one), both.merge(*other)), (both, both), "{one:?} and {other:?}");
            }
        }
        assert_eq!(Kind::decimal(18, 2).merge(Kind::decimal(18, 4)), Kind::decimal(20, 4));
        assert_eq!(Kind::decimal(18, 2).merge(Kind::decimal(38, 18)), Kind::decimal(38, 18));
        assert_eq!(Kind::Int64.merge(Kind::decimal(18, 2)), Kind::decimal(21, 2));
        assert_eq!(Kind::Int64.merge(Kind::Float64), Kind::Text);
    }
}
