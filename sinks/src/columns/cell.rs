//! A row's values.

use std::borrow::Cow;

use schemas::Money;
use wire::Decimal;

use super::kind::{Kind, MOST_DIGITS};

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// For [`Kind::Bool`].
    Bool(bool),
    /// For [`Kind::Int32`] and [`Kind::Int64`].
    Int(i64),
    /// For [`Kind::Float32`] and [`Kind::Float64`].
    Float(f64),
    /// For [`Kind::Decimal`], of any scale.
    Decimal(Decimal),
    /// For [`Kind::Date`], in days since the epoch.
    Date(i32),
    /// For [`Kind::Timestamp`], in microseconds since the epoch.
    Timestamp(i64),
    /// For [`Kind::Text`].
    Text(Cow<'a, str>),
    /// For [`Kind::Binary`].
    Binary(&'a [u8]),
}

impl<'a> Cell<'a> {
    /// A number, or null.
    pub fn int(value: Option<i64>) -> Self {
        value.map_or(Cell::Null, Cell::Int)
    }

    /// A text, or null.
    pub fn text(value: Option<impl Into<Cow<'a, str>>>) -> Self {
        value.map_or(Cell::Null, |text| Cell::Text(text.into()))
    }

    /// An amount, at its own scale.
    pub fn money(amount: Money) -> Self {
        Cell::Decimal(amount.into())
    }

    /// An instant, or null.
    pub fn timestamp(value: Option<i64>) -> Self {
        value.map_or(Cell::Null, Cell::Timestamp)
    }

    /// Bytes, or null.
    pub fn binary(value: Option<&'a [u8]>) -> Self {
        value.map_or(Cell::Null, Cell::Binary)
    }

    /// Whether a column of this kind can hold it without a change.
    pub fn fits(&self, kind: Kind) -> bool {
        match (kind, self) {
            (Kind::Int32, Cell::Int(value)) => i32::try_from(*value).is_ok(),
            (Kind::Decimal { digits, scale }, Cell::Decimal(value)) => at_scale(*value, digits, scale).is_some(),
            (_, Cell::Null)
            | (Kind::Bool, Cell::Bool(_))
            | (Kind::Int64, Cell::Int(_))
            | (Kind::Float32 | Kind::Float64, Cell::Float(_))
            | (Kind::Date, Cell::Date(_))
            | (Kind::Timestamp, Cell::Timestamp(_))
            | (Kind::Text, Cell::Text(_))
            | (Kind::Binary, Cell::Binary(_)) => true,
            _ => false,
        }
    }
}

/// Powers of ten.
const POWERS: [i128; MOST_DIGITS as usize + 1] = {
    let mut powers = [1; MOST_DIGITS as usize + 1];
    let mut place = 1;
    while place < powers.len() {
        powers[place] = powers[place - 1] * 10;
        place += 1;
    }
    powers
};

/// A decimal's digits at another scale; `None` if that would lose any, or there are too many.
pub(super) fn at_scale(Decimal { unscaled, scale: own }: Decimal, digits: u8, scale: u8) -> Option<i128> {
    let power = |places: u32| POWERS.get(places as usize).copied();
    let moved = match (u32::from(scale), power(u32::from(scale).abs_diff(own))) {
        (scale, _) if scale == own || unscaled == 0 => unscaled,
        (scale, Some(power)) if scale > own => unscaled.checked_mul(power)?,
        (_, Some(power)) if unscaled % power == 0 => unscaled / power,
        _ => return None,
    };
    (moved.unsigned_abs() < power(u32::from(digits))?.unsigned_abs()).then_some(moved)
}
