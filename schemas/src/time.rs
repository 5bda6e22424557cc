//! Instants, in microseconds since the epoch, UTC. Debezium sends a `timestamptz` as text and a `timestamp` as a number.
//!
//! Postgres knows instants that nothing behind it can keep: `infinity`, years before 1 and after 9999. A date must not cost the
//! money beside it, so they are read as the nearest instant that can be kept, and [`is_kept`] tells.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserializer, Serializer, de};

/// The first instant that is kept: the beginning of year 1.
pub const INSTANT_MIN: i64 = -62_135_596_800_000_000;
/// The last instant that is kept: at the end of year 9999, with a day left for whoever shows it in a time zone.
pub const INSTANT_MAX: i64 = 253_402_128_000_000_000;
/// What a text that is no instant at all is read as.
pub const NO_INSTANT: i64 = i64::MIN;

/// Whether an instant is as the source has it: not the nearest one that can be kept, and not [`NO_INSTANT`].
pub const fn is_kept(instant: i64) -> bool {
    INSTANT_MIN < instant && instant < INSTANT_MAX
}

/// Reads an optional instant from either form.
pub(crate) fn optional_instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    struct Optional;
    impl<'de> de::Visitor<'de> for Optional {
        type Value = Option<i64>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an instant, or null")
        }
        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_any(Instant).map(Some)
        }
    }
    deserializer.deserialize_option(Optional)
}

struct Instant;

impl de::Visitor<'_> for Instant {
    type Value = i64;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("microseconds since the epoch, or an RFC 3339 time")
    }
    fn visit_i64<E>(self, micros: i64) -> Result<i64, E> {
        Ok(micros.clamp(INSTANT_MIN, INSTANT_MAX))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<i64, E> {
        Ok(instant(text))
    }
}

/// An instant from its text. A year of more than four digits has a sign before it, as has one before the year 1.
fn instant(text: &str) -> i64 {
    match text.parse::<Timestamp>() {
        Ok(instant) => instant.as_microsecond().clamp(INSTANT_MIN, INSTANT_MAX),
        Err(_) if text.starts_with('-') => INSTANT_MIN,
        Err(_) if text.starts_with('+') || text == "infinity" => INSTANT_MAX,
        Err(_) => NO_INSTANT,
    }
}

/// Writes an optional instant as Debezium writes a `timestamptz`.
pub(crate) fn as_text<S: Serializer>(instant: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match instant {
        Some(NO_INSTANT) => serializer.serialize_some("no instant"),
        Some(micros) => match Timestamp::from_microsecond(*micros) {
            Ok(instant) => serializer.serialize_some(&instant.to_string()),
            Err(_) => serializer.serialize_some(if *micros < 0 { "-infinity" } else { "infinity" }),
        },
        None => serializer.serialize_none(),
    }
}
