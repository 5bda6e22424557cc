//! Texts for money and instants.

use std::fmt;

use jiff::Timestamp;
use schemas::{Currency, Money};
use serde::{Deserializer, de};
use system_of_record::Amount;
use topology::Micros;

/// Decimal places that any amount may have; its currency may have fewer.
const PLACES_MAX: usize = 4;

/// An amount with its currency's decimal places: `12.30`, or `1230` in a currency without minor units. What the source holds is
/// never rounded: should it have more places, they are shown.
pub fn money(amount: Money, currency: Currency) -> String {
    amount.in_currency(currency).to_string()
}

/// Reads an amount from JSON: a string of digits with up to four decimal places, without superfluous zeros in front, a plus sign,
/// an exponent or blanks. There is one way to write an amount, so that nobody reads another one out of it.
pub fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
    struct Visitor;
    impl de::Visitor<'_> for Visitor {
        type Value = Amount;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an amount as a string such as \"12.30\"")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
            let places = places(text).ok_or_else(|| E::custom(format!("{text:?} is not an amount such as \"12.30\"")))?;
            let value = text.parse().map_err(E::custom)?;
            Ok(Amount { value, places })
        }
    }
    deserializer.deserialize_str(Visitor)
}

/// The decimal places of `-?(0|[1-9][0-9]*)(\.[0-9]{1,4})?`; nothing if the text is not of this form.
fn places(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = is_digits(whole) && (whole == "0" || !whole.starts_with('0'));
    let is_fraction = fraction.is_none_or(|fraction| is_digits(fraction) && fraction.len() <= PLACES_MAX);
    (is_whole && is_fraction).then(|| fraction.map_or(0, |fraction| fraction.len() as u32))
}

/// An instant as RFC 3339 in UTC.
pub fn instant(Micros(micros): Micros) -> String {
    // Beyond the years of the calendar there is no text; the nearest instant says as much as can be said.
    let nearest = if micros < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(micros).unwrap_or(nearest).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_written_in_one_way() {
        for (text, expected) in [
            ("0", Some(0)),
            ("7", Some(0)),
            ("-7", Some(0)),
            ("12.3", Some(1)),
            ("12.300", Some(3)),
            ("0.0001", Some(4)),
            ("1234567890.99", Some(2)),
            ("", None),
            ("-", None),
            ("+1", None),
            ("--1", None),
            ("007", None),
            ("00", None),
            (" 1", None),
            ("1 ", None),
            ("1e2", None),
            ("1.", None),
            (".5", None),
            ("1.2.3", None),
            ("1,000", None),
            ("0x10", None),
            ("1.00000", None),
            ("٣", None),
            ("NaN", None),
            ("Infinity", None),
        ] {
            assert_eq!(places(text), expected, "{text:?}");
        }
    }

    #[test]
    fn amounts_have_the_places_of_their_currency() {
        let of = |text: &str, currency: &str| money(text.parse().expect("an amount"), currency.parse().expect("a currency"));
        assert_eq!(of("12.3", "EUR"), "12.30");
        assert_eq!(of("-0.05", "EUR"), "-0.05");
        assert_eq!(of("1230", "JPY"), "1230");
        assert_eq!(of("100.5", "JPY"), "100.5", "what is there is shown");
    }
}
