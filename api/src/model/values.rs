//! Texts for money and instants.

use std::fmt;

use jiff::civil::{self, Date};
use jiff::{Span, Timestamp};
use schemas::{Currency, Money};
use serde::{Deserializer, de};
use system_of_record::Amount;
use topology::Micros;

use crate::problem::Problem;

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

/// The decimal places of `-?(0|[1-9][0-9]*)(\.[0-9]{1,4})?`; nothing if the text is not of this form, or is a zero with a sign.
fn places(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = is_digits(whole) && (whole == "0" || !whole.starts_with('0'));
    let is_fraction = fraction.is_none_or(|fraction| is_digits(fraction) && fraction.len() <= PLACES_MAX);
    let is_zero = digits.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let is_signed = digits.len() < text.len();
    (is_whole && is_fraction && !(is_signed && is_zero)).then(|| fraction.map_or(0, |fraction| fraction.len() as u32))
}

/// An instant as RFC 3339 in UTC.
pub fn instant(Micros(micros): Micros) -> String {
    // Beyond the years of the calendar there is no text; the nearest instant says as much as can be said.
    let nearest = if micros < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(micros).unwrap_or(nearest).to_string()
}

/// Reads an instant of RFC 3339; else the problem with the parameter.
pub fn instant_of(text: &str, field: &str) -> Result<Timestamp, Problem> {
    let at = is_rfc3339(text).then(|| text.parse().ok()).flatten();
    at.ok_or_else(|| {
        let detail =
            format!("{field} is an instant such as 2026-01-31T09:30:00Z, before 9999-12-30T22:00:00Z; a + in it is sent as %2B");
        Problem::malformed(detail).at(field)
    })
}

/// Whether it is `2026-01-31T09:30:00`, with or without a fraction, and `Z` or an offset such as `+01:00` behind it. A calendar's dates take more:
/// names of zones that may contradict the offset, weeks, and a second more in any minute.
fn is_rfc3339(text: &str) -> bool {
    let Some((time, rest)) = text.split_at_checked("2026-01-31T09:30:00".len()) else {
        return false;
    };
    let is_like = |text: &str, form: &str| {
        let fits = |(byte, of): (u8, u8)| match of {
            b'0' => byte.is_ascii_digit(),
            of => byte.eq_ignore_ascii_case(&of),
        };
        text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
    };
    let fraction = rest.strip_prefix('.').map_or(0, |digits| {
        let digits = digits.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 { 0 } else { digits + 1 }
    });
    let zone = &rest[fraction..];
    let is_offset = (is_like(zone, "+00:00") || is_like(zone, "-00:00")) && zone[1..3] < *"24" && zone[4..] < *"60";
    is_like(time, "0000-00-00T00:00:00") && time[17..] < *"60" && (is_like(zone, "Z") || is_offset)
}

/// The microsecond that an instant is in.
pub fn microsecond(at: Timestamp) -> Micros {
    Micros(at.as_nanosecond().div_euclid(1_000) as i64)
}

const EPOCH: Date = civil::date(1970, 1, 1);

/// A day, of days since the epoch, as `2026-01-31`.
pub fn day(days: i32) -> String {
    let nearest = if days < 0 { Date::MIN } else { Date::MAX };
    let span = Span::new().try_days(days);
    span.and_then(|span| EPOCH.checked_add(span)).unwrap_or(nearest).to_string()
}

/// The days since the epoch of a day as `2026-01-31`, of the years 1 to 9999; else the problem with the parameter.
pub fn day_of(text: &str, field: &str) -> Result<i32, Problem> {
    let date = text.parse::<Date>().ok();
    let date = date.filter(|date| date.year() >= 1 && date.to_string() == text);
    let date = date.ok_or_else(|| Problem::malformed(format!("{field} is a day such as 2026-01-31")).at(field))?;
    Ok((date.duration_since(EPOCH).as_hours() / 24) as i32)
}

/// The month (UTC) that an instant is in, as `2026-01`.
pub fn month(at: Micros) -> String {
    let mut text = instant(at);
    text.truncate("2026-01".len());
    text
}

/// When a month as `2026-01` begins, and when the next one does, of the years 1 to 9998; else the problem with the parameter.
pub fn month_of(text: &str) -> Result<(Micros, Micros), Problem> {
    let first = (text.len() == 7)
        .then(|| day_of(&format!("{text}-01"), "month").ok())
        .flatten();
    let first = first
        .map(|days| EPOCH + Span::new().days(days))
        .filter(|first| first.year() < 9_999);
    let first = first.ok_or_else(|| Problem::malformed("month is a month such as 2026-01, before the year 9999").at("month"))?;
    let begins = |date: Date| Micros(i64::from((date.duration_since(EPOCH).as_hours() / 24) as i32) * 86_400_000_000);
    Ok((begins(first), begins(first + Span::new().months(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_in_one_way() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("0001-01-01", -719_162),
            ("9999-12-31", 2_932_896),
            ("2024-02-29", 19_782),
        ] {
            assert_eq!((day(days), day_of(text, "day")), (text.to_owned(), Ok(days)));
        }
        for refused in [
            "",
            "today",
            "2026-02-29",
            "2026-13-01",
            "2026-1-31",
            "20260131",
            "2026-01-31T00:00:00Z",
            " 2026-01-31",
            "0000-12-31",
            "-000001-01-01",
            "10000-01-01",
            "2026-W05-6",
        ] {
            let problem = day_of(refused, "day").expect_err(refused);
            assert_eq!((problem.status, problem.field.as_deref()), (400, Some("day")));
        }
        assert_eq!((day(i32::MAX), day(i32::MIN)), (Date::MAX.to_string(), Date::MIN.to_string()));
    }

    #[test]
    fn a_month_is_written_in_one_way() {
        for (text, from, to) in [
            ("1970-01", "1970-01-01T00:00:00Z", "1970-02-01T00:00:00Z"),
            ("2024-02", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"),
            ("1969-12", "1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z"),
            ("0001-01", "0001-01-01T00:00:00Z", "0001-02-01T00:00:00Z"),
            ("9998-12", "9998-12-01T00:00:00Z", "9999-01-01T00:00:00Z"),
        ] {
            let (begins, ends) = month_of(text).expect(text);
            assert_eq!((instant(begins), instant(ends)), (from.to_owned(), to.to_owned()));
            assert_eq!((month(begins), month(Micros(ends.0 - 1))), (text.to_owned(), text.to_owned()));
        }
        for refused in [
            "",
            "2026",
            "2026-1",
            "2026-13",
            "2026-00",
            "2026-01-01",
            "9999-01",
            "20260-1",
            "-001-01",
            "jan-26x",
        ] {
            let problem = month_of(refused).expect_err(refused);
            assert_eq!((problem.status, problem.field.as_deref()), (400, Some("month")));
        }
    }

    #[test]
    fn an_instant_is_of_rfc_3339() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01t00:00:01.5z", 1_500_000),
            ("1970-01-01T00:00:00.000001999Z", 1),
            ("1970-01-01T01:00:00+01:00", 0),
            ("1969-12-31T00:01:00-23:59", 0),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
        ] {
            assert_eq!(instant_of(text, "at").map(microsecond), Ok(Micros(micros)), "{text}");
        }
        for refused in [
            "",
            "Z",
            "now",
            "infinity",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01 00:00:00Z",
            "1970-01-01T00Z",
            "1970-01-01T00:00Z",
            "19700101T000000Z",
            "1970-01-01T00:00:60Z",
            "2016-12-31T23:59:60Z",
            "1970-01-01T24:00:00Z",
            "1970-02-29T00:00:00Z",
            "1970-01-01T00:00:00,5Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+01",
            "1970-01-01T00:00:00+0100",
            "1970-01-01T00:00:00+01:00:30",
            "1970-01-01T00:00:00-24:00",
            "1970-01-01T00:00:00+01:60",
            "1970-01-01T00:00:00 01:00",
            "1970-01-01T00:00:00Z[Europe/Berlin]",
            "1970-01-01T01:00:00+01:00[America/New_York]",
            "1970-01-01T00:00:00Z ",
            "+001970-01-01T00:00:00Z",
            "-000001-01-01T00:00:00Z",
            "1970-W01-4T00:00:00Z",
            "1970-01-01T00:00:0\u{660}Z",
            "1970-01-01T00:00:00\u{2212}01:00",
            "9999-12-31T23:59:59Z",
        ] {
            let problem = instant_of(refused, "at").expect_err(refused);
            assert_eq!((problem.status, problem.field.as_deref()), (400, Some("at")), "{refused}");
        }
    }

    #[test]
    fn an_amount_is_written_in_one_way() {
        for (text, expected) in [
            ("0", Some(0)),
            ("7", Some(0)),
            ("-7", Some(0)),
            ("12.3", Some(1)),
            ("12.300", Some(3)),
            ("0.0001", Some(4)),
            ("-0.0001", Some(4)),
            ("-0", None),
            ("-0.00", None),
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
