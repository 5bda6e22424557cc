//! Instants, in microseconds since the epoch, UTC. Debezium sends a `timestamptz` as text and a `timestamp` as a number.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserializer, Serializer, de};

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
        Ok(micros)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<i64, E> {
        let instant: Timestamp = text
            .parse()
            .map_err(|_| E::custom(format_args!("{text:?} is not an RFC 3339 time")))?;
        Ok(instant.as_microsecond())
    }
}

/// Writes an optional instant as Debezium writes a `timestamptz`.
pub(crate) fn as_text<S: Serializer>(instant: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match instant {
        Some(micros) => {
            let instant = Timestamp::from_microsecond(*micros).map_err(serde::ser::Error::custom)?;
            serializer.serialize_some(&instant.to_string())
        }
        None => serializer.serialize_none(),
    }
}
