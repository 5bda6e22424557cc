//! Avro decimals as what they are: an integer and a scale.
//!
//! serde has no decimal, and text in between (formatting and parsing twice per field) costs more than the rest of a small
//! record. So writer and reader agree on two forms of it that only they use: written, it is a newtype variant whose index is the
//! scale; read, it is a map with one entry, from the scale to the digits. Both are gone after inlining.

use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The number `unscaled` / 10^`scale`.
///
/// Its serde form is for [`crate::encode_avro`] and [`crate::decode_avro`]; there is none for text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    /// All digits, as an integer.
    pub unscaled: i128,
    /// How many of them are decimal places.
    pub scale: u32,
}

/// The name of the newtype variant.
pub(crate) const NAME: &str = "wire.Decimal";

impl Serialize for Decimal {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_variant(NAME, self.scale, "decimal", &self.unscaled)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl<'de> Visitor<'de> for Entry {
            type Value = Decimal;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Decimal, A::Error> {
                Decimal::from_map(map)
            }
        }
        deserializer.deserialize_any(Entry)
    }
}

impl Decimal {
    /// For the visitor of a type that is a decimal in Avro, and text elsewhere.
    ///
    /// A `NUMERIC` without precision is a record in Avro, since each of its values has a scale of its own: Debezium's
    /// `VariableScaleDecimal`, with the fields `scale` and `value`.
    #[inline]
    pub fn from_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        match map.next_key()? {
            Some(Key::Scale(scale)) => Ok(Self {
                unscaled: map.next_value()?,
                scale,
            }),
            Some(Key::Field(first)) => Self::from_record(first, map),
            None => Err(A::Error::custom("an empty map in a decimal's place")),
        }
    }

    #[cold]
    fn from_record<'de, A: MapAccess<'de>>(first: Field, mut map: A) -> Result<Self, A::Error> {
        let (mut scale, mut unscaled) = (None, None);
        let mut field = Some(first);
        while let Some(name) = field {
            match name {
                Field::Scale => scale = Some(map.next_value::<i32>()?),
                Field::Value => unscaled = Some(map.next_value::<Digits>()?.0),
                Field::Other => drop(map.next_value::<IgnoredAny>()?),
            }
            field = match map.next_key()? {
                Some(Key::Field(field)) => Some(field),
                Some(Key::Scale(_)) => return Err(A::Error::custom("a decimal within a decimal")),
                None => None,
            };
        }
        let (Some(scale), Some(unscaled)) = (scale, unscaled) else {
            return Err(A::Error::custom("a record without scale and value in a decimal's place"));
        };
        match u32::try_from(scale) {
            Ok(scale) => Ok(Self { unscaled, scale }),
            Err(_) => 10_i128
                .checked_pow(scale.unsigned_abs())
                .and_then(|power| power.checked_mul(unscaled))
                .map(|unscaled| Self { unscaled, scale: 0 })
                .ok_or_else(|| A::Error::custom("a decimal that is too large")),
        }
    }
}

/// What a map in a decimal's place begins with: a scale, which only the decimals of this crate have, or a field's name.
enum Key {
    Scale(u32),
    Field(Field),
}

enum Field {
    Scale,
    Value,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal")
            }
            #[inline]
            fn visit_u32<E>(self, scale: u32) -> Result<Key, E> {
                Ok(Key::Scale(scale))
            }
            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(Key::Field(match name {
                    "scale" => Field::Scale,
                    "value" => Field::Value,
                    _ => Field::Other,
                }))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Digits as bytes, big endian.
struct Digits(i128);

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Digits;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal's digits")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Digits, E> {
                crate::avro::digits(bytes).map(Digits).map_err(E::custom)
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}
