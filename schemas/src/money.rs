//! Exact money.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use wire::Decimal;

/// An amount in hundredths of its currency's unit, as the source's `NUMERIC(18,2)` has it. Never a float.
///
/// Arithmetic is checked: what does not fit is an error, not a wrap. In Avro it is a decimal; in JSON and text `"12.30"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(i128);

/// Why something is not an amount of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// It is not a decimal number.
    #[error("{0:?} is not a decimal number")]
    NotDecimal(String),
    /// It has more than two decimal places that are not zero.
    #[error("{0:?} has more than two decimal places")]
    TooPrecise(String),
    /// It is too large to be exact.
    #[error("the amount is too large")]
    Overflow,
}

/// The most that is written: what 28 decimal digits hold, which every decimal in the path can carry.
const MAX_HUNDREDTHS: i128 = 9_999_999_999_999_999_999_999_999_999;

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);

    /// An amount in hundredths.
    pub const fn from_hundredths(hundredths: i128) -> Self {
        Self(hundredths)
    }

    /// The amount in hundredths.
    pub const fn hundredths(self) -> i128 {
        self.0
    }

    /// The sum.
    pub fn checked_add(self, other: Money) -> Result<Money, MoneyError> {
        self.0
            .checked_add(other.0)
            .filter(|sum| sum.abs() <= MAX_HUNDREDTHS)
            .map(Money)
            .ok_or(MoneyError::Overflow)
    }

    /// The difference.
    pub fn checked_sub(self, other: Money) -> Result<Money, MoneyError> {
        self.checked_add(other.negated())
    }

    /// The opposite amount.
    pub const fn negated(self) -> Money {
        // No amount that was made by a checked way is i128::MIN.
        Money(self.0.wrapping_neg())
    }

    /// Whether it is a whole number of a currency's smallest units, of which a unit has ten to the power of `minor_digits`.
    pub const fn fits_scale(self, minor_digits: u32) -> bool {
        match minor_digits {
            0 => self.0 % 100 == 0,
            1 => self.0 % 10 == 0,
            _ => true,
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", magnitude / 100, magnitude % 100)
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let not_decimal = || MoneyError::NotDecimal(text.to_owned());
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || (digits.contains('.') && fraction.is_empty()) {
            return Err(not_decimal());
        }
        let (cents, rest) = fraction.split_at(fraction.len().min(2));
        if rest.bytes().any(|b| b != b'0') {
            return Err(MoneyError::TooPrecise(text.to_owned()));
        }
        let whole: i128 = whole.parse().map_err(|_| MoneyError::Overflow)?;
        let cents: i128 = format!("{cents:0<2}").parse().map_err(|_| not_decimal())?;
        let hundredths = whole
            .checked_mul(100)
            .and_then(|w| w.checked_add(cents))
            .ok_or(MoneyError::Overflow)?;
        if hundredths > MAX_HUNDREDTHS {
            return Err(MoneyError::Overflow);
        }
        Ok(Money(if negative { -hundredths } else { hundredths }))
    }
}

impl From<Money> for Decimal {
    fn from(money: Money) -> Self {
        Self {
            unscaled: money.0,
            scale: 2,
        }
    }
}

impl TryFrom<Decimal> for Money {
    type Error = MoneyError;

    fn try_from(Decimal { unscaled, scale }: Decimal) -> Result<Self, MoneyError> {
        let power = |digits: u32| 10_i128.checked_pow(digits).ok_or(MoneyError::Overflow);
        let hundredths = match scale {
            2 => unscaled,
            0 | 1 => unscaled.checked_mul(power(2 - scale)?).ok_or(MoneyError::Overflow)?,
            _ if unscaled % power(scale - 2)? == 0 => unscaled / power(scale - 2)?,
            _ => return Err(MoneyError::TooPrecise(format!("{unscaled}e-{scale}"))),
        };
        Money::ZERO.checked_add(Money(hundredths))
    }
}

/// For Avro. JSON has its own form: see [`as_text`].
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Decimal::from(*self).serialize(serializer)
    }
}

/// From an Avro decimal, or from text.
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Money;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal with at most two places")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Money, A::Error> {
                Decimal::from_map(map)?.try_into().map_err(de::Error::custom)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Money, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
