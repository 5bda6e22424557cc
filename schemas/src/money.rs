//! Exact money.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use wire::Decimal;

use crate::Currency;

/// An amount in ten-thousandths of its currency's unit: the smallest unit of every currency of ISO 4217 is a whole number of
/// them. Never a float.
///
/// Arithmetic is checked: what does not fit is an error, not a wrap. In Avro it is a decimal of scale 4; as text it has its
/// currency's scale ([`Money::in_currency`]), or without a currency at least two places (`12.30`, `1.234`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(i128);

/// Why something is not an amount of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// It is not a decimal number.
    #[error("{0:?} is not a decimal number")]
    NotDecimal(String),
    /// It has more than four decimal places.
    #[error("{0:?} has more than four decimal places")]
    TooPrecise(String),
    /// It is too large to be exact.
    #[error("the amount is too large")]
    Overflow,
}

/// The most that is written: what 28 decimal digits hold, which every decimal in the path can carry.
const TEN_THOUSANDTHS_MAX: i128 = 9_999_999_999_999_999_999_999_999_999;
/// Decimal places of the unit.
const SCALE: u32 = 4;

impl Money {
    /// Nothing.
    pub const ZERO: Money = Money(0);

    /// What a source's amount is read as that is none here: of more than four decimal places, or of too many digits. The row
    /// around it is read all the same.
    pub const UNFIT: Money = Money(i128::MIN);

    /// An amount in hundredths.
    pub const fn from_hundredths(hundredths: i128) -> Self {
        Self(hundredths * 100)
    }

    /// An amount in ten-thousandths.
    pub const fn from_ten_thousandths(ten_thousandths: i128) -> Self {
        Self(ten_thousandths)
    }

    /// The amount in ten-thousandths.
    pub const fn ten_thousandths(self) -> i128 {
        self.0
    }

    /// The amount in a currency's smallest units, of which a unit has ten to the power of `minor_digits` (at most 4); `None`
    /// if it is no whole number of them.
    pub const fn minor_units(self, minor_digits: u32) -> Option<i128> {
        let unit = 10_i128.pow(SCALE - minor_digits);
        if self.0 % unit == 0 { Some(self.0 / unit) } else { None }
    }

    /// The sum.
    pub fn checked_add(self, other: Money) -> Result<Money, MoneyError> {
        self.0
            .checked_add(other.0)
            .filter(|sum| sum.unsigned_abs() <= TEN_THOUSANDTHS_MAX.unsigned_abs())
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
        minor_digits >= SCALE || self.minor_units(minor_digits).is_some()
    }

    /// As text with its currency's scale: `12.30` EUR, `12` JPY, `12.345` KWD. What does not fit the scale keeps its places.
    pub fn in_currency(self, currency: Currency) -> impl fmt::Display {
        Scaled {
            money: self,
            places_min: currency.minor_digits(),
        }
    }
}

/// An amount with at least so many decimal places; more where they are not zero.
struct Scaled {
    money: Money,
    places_min: u32,
}

impl fmt::Display for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut places = SCALE;
        let mut magnitude = self.money.0.unsigned_abs();
        while places > self.places_min && magnitude.is_multiple_of(10) {
            magnitude /= 10;
            places -= 1;
        }
        let sign = if self.money.0 < 0 { "-" } else { "" };
        let unit = 10_u128.pow(places);
        write!(f, "{sign}{}", magnitude / unit)?;
        match places {
            0 => Ok(()),
            places => write!(f, ".{:0width$}", magnitude % unit, width = places as usize),
        }
    }
}

/// With at least two decimal places.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scaled = Scaled {
            money: *self,
            places_min: 2,
        };
        scaled.fmt(f)
    }
}

/// One grammar of amounts: an optional minus, digits without leading zeros, and one to four decimal places or none.
impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let not_decimal = || MoneyError::NotDecimal(text.to_owned());
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return Err(not_decimal()),
            None => (digits, ""),
        };
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || (whole.len() > 1 && whole.starts_with('0')) {
            return Err(not_decimal());
        }
        if fraction.len() > SCALE as usize {
            return Err(MoneyError::TooPrecise(text.to_owned()));
        }
        let whole: i128 = whole.parse().map_err(|_| MoneyError::Overflow)?;
        let fraction: i128 = format!("{fraction:0<4}").parse().map_err(|_| not_decimal())?;
        let magnitude = whole
            .checked_mul(10_i128.pow(SCALE))
            .and_then(|w| w.checked_add(fraction))
            .filter(|magnitude| *magnitude <= TEN_THOUSANDTHS_MAX)
            .ok_or(MoneyError::Overflow)?;
        Ok(Money(if negative { -magnitude } else { magnitude }))
    }
}

impl From<Money> for Decimal {
    fn from(money: Money) -> Self {
        Self {
            unscaled: money.0,
            scale: SCALE,
        }
    }
}

/// By the decimal's own scale: each record says its own.
impl TryFrom<Decimal> for Money {
    type Error = MoneyError;

    fn try_from(Decimal { unscaled, scale }: Decimal) -> Result<Self, MoneyError> {
        let power = |digits: u32| 10_i128.checked_pow(digits).ok_or(MoneyError::Overflow);
        let ten_thousandths = match scale {
            ..=SCALE => unscaled.checked_mul(power(SCALE - scale)?).ok_or(MoneyError::Overflow)?,
            _ if unscaled == 0 => 0,
            _ if unscaled % power(scale - SCALE)? == 0 => unscaled / power(scale - SCALE)?,
            _ => return Err(MoneyError::TooPrecise(format!("{unscaled}e-{scale}"))),
        };
        Money::ZERO.checked_add(Money(ten_thousandths))
    }
}

/// For Avro. Over HTTP, an amount is a text with its currency's places: see [`Money::in_currency`].
impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Decimal::from(*self).serialize(serializer)
    }
}

/// Reads an optional amount of the source; one that is none is [`Money::UNFIT`].
pub(crate) fn optional_amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Money>, D::Error> {
    struct Optional;
    impl<'de> de::Visitor<'de> for Optional {
        type Value = Option<Money>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an amount, or null")
        }
        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            let amount = deserializer.deserialize_any(Amount)?;
            Ok(Some(amount.unwrap_or(Money::UNFIT)))
        }
    }
    deserializer.deserialize_option(Optional)
}

/// An Avro decimal, or text.
struct Amount;

impl<'de> de::Visitor<'de> for Amount {
    type Value = Result<Money, MoneyError>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal with at most four places")
    }
    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Ok(Decimal::from_map(map)?.try_into())
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(text.parse())
    }
}

/// From an Avro decimal, or from text.
impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Amount)?.map_err(de::Error::custom)
    }
}
