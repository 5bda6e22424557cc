//! Avro decimals as what they are: an integer and a scale.
//!
//! serde has no decimal, and text in between (formatting and parsing twice per field) costs more than the rest of a small
//! record. So writer and reader agree on two forms of it that only they use: written, it is a newtype variant whose index is the
//! scale; read, it is a map with one entry, from the scale to the digits. Both are gone after inlining.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
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
    #[inline]
    pub fn from_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        // A record's or a map's keys are texts, so none is taken for a decimal.
        let scale = map
            .next_key()?
            .ok_or_else(|| A::Error::custom("an empty map in a decimal's place"))?;
        let unscaled = map.next_value()?;
        Ok(Self { unscaled, scale })
    }
}
