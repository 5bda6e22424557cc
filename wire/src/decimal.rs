//! Avro decimals as what they are: an integer and a scale.
//!
//! serde has no decimal, so the Avro library hands one over as text, and takes text: formatting and parsing twice per field
//! costs more than the rest of a small record. A record of one field has the same bytes as that field alone. So a schema is
//! read with each `bytes` decimal replaced by a record whose only field is `s` and the scale: the digits then pass as bytes,
//! and the scale is still known, which it would not be from bytes alone.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::ser::{Error as _, SerializeStruct as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

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

const NAME: &str = "wire.Decimal";

/// The names of the field, by scale.
const FIELDS: [&str; 19] = [
    "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", "s16", "s17", "s18",
];

/// Replaces the decimals of a schema. Those of a `fixed`, or with a larger scale than [`FIELDS`] knows, stay: they come as text.
pub(crate) fn replace(schema: &mut Value) {
    replace_in(schema, &mut [false; FIELDS.len()]);
}

fn replace_in(schema: &mut Value, defined: &mut [bool; FIELDS.len()]) {
    match schema {
        Value::Array(variants) => variants.iter_mut().for_each(|variant| replace_in(variant, defined)),
        Value::Object(object) => {
            let is = |name: &str, text: &str| object.get(name).and_then(Value::as_str) == Some(text);
            if is("type", "bytes") && is("logicalType", "decimal") {
                let scale = object.get("scale").map_or(Some(0), Value::as_u64);
                let Some((scale, field)) = scale.and_then(|scale| Some((scale as usize, FIELDS.get(scale as usize)?))) else {
                    return;
                };
                let name = format!("{NAME}{scale}");
                *schema = match std::mem::replace(&mut defined[scale], true) {
                    true => Value::String(name),
                    false => json!({"type": "record", "name": name, "fields": [{"name": field, "type": "bytes"}]}),
                };
                return;
            }
            for inner in ["type", "items", "values", "fields"] {
                if let Some(inner) = object.get_mut(inner) {
                    replace_in(inner, defined);
                }
            }
        }
        _ => {}
    }
}

/// The fewest bytes that hold it, big endian, as Java's `BigInteger.toByteArray` has them.
fn shortest(bytes: &[u8; 16]) -> &[u8] {
    let sign = if bytes[0] & 0x80 == 0 { 0x00 } else { 0xFF };
    let skipped = bytes[..15]
        .iter()
        .zip(&bytes[1..])
        .take_while(|(byte, next)| **byte == sign && (**next ^ sign) & 0x80 == 0);
    &bytes[skipped.count()..]
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Raw<'a>(&'a [u8]);
        impl Serialize for Raw<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(self.0)
            }
        }
        let field = FIELDS.get(self.scale as usize);
        let field = field.ok_or_else(|| S::Error::custom(format_args!("a decimal of scale {}", self.scale)))?;
        let mut record = serializer.serialize_struct("Decimal", 1)?;
        record.serialize_field(field, &Raw(shortest(&self.unscaled.to_be_bytes())))?;
        record.end()
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Record;
        impl<'de> Visitor<'de> for Record {
            type Value = Decimal;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Decimal, A::Error> {
                Decimal::from_map(map)
            }
        }
        deserializer.deserialize_struct("Decimal", &FIELDS, Record)
    }
}

impl Decimal {
    /// For the visitor of a type that is a decimal in Avro, and text elsewhere.
    pub fn from_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        let scale = map
            .next_key_seed(Scale)?
            .ok_or_else(|| A::Error::custom("a decimal without digits"))?;
        let unscaled = map.next_value_seed(Unscaled)?;
        match map.next_key_seed(Scale)? {
            None => Ok(Self { unscaled, scale }),
            Some(_) => Err(A::Error::custom("a record in a decimal's place")),
        }
    }
}

struct Scale;

impl<'de> DeserializeSeed<'de> for Scale {
    type Value = u32;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Scale {
    type Value = u32;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal's only field")
    }
    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<u32, E> {
        let digits = name.strip_prefix('s').and_then(|digits| digits.parse().ok());
        digits.ok_or_else(|| E::custom(format_args!("field {name} in a decimal's place")))
    }
}

struct Unscaled;

impl<'de> DeserializeSeed<'de> for Unscaled {
    type Value = i128;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<i128, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Unscaled {
    type Value = i128;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal's digits, of at most 16 bytes")
    }
    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<i128, E> {
        if bytes.len() > 16 {
            return Err(E::invalid_length(bytes.len(), &self));
        }
        let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
        let mut all = if negative { [0xFF; 16] } else { [0; 16] };
        all[16 - bytes.len()..].copy_from_slice(bytes);
        Ok(i128::from_be_bytes(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_avro_fast::Schema;
    use serde_avro_fast::ser::SerializerConfig;

    #[test]
    fn the_bytes_are_those_of_the_library_and_of_java() {
        let text = r#"{"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 3}"#;
        let theirs: Schema = text.parse().unwrap();
        let mut replaced: Value = serde_json::from_str(text).unwrap();
        replace(&mut replaced);
        let ours: Schema = replaced.to_string().parse().unwrap();
        let edges = [
            0,
            1,
            127,
            128,
            255,
            256,
            32_767,
            32_768,
            1 << 40,
            (1 << 63) - 1,
            1 << 63,
            9_999_999_999_999_999_999_999_999_999,
        ];
        for unscaled in edges.iter().flat_map(|n| [*n, -n, !n]) {
            let decimal = Decimal { unscaled, scale: 3 };
            let bytes = serde_avro_fast::to_datum_vec(&decimal, &mut SerializerConfig::new(&ours)).unwrap();
            let sign = if unscaled < 0 { "-" } else { "" };
            let digits = unscaled.unsigned_abs();
            let text = format!("{sign}{}.{:03}", digits / 1000, digits % 1000);
            let expected = serde_avro_fast::to_datum_vec(&text, &mut SerializerConfig::new(&theirs)).unwrap();
            assert_eq!(bytes, expected, "{unscaled}");
            assert_eq!(serde_avro_fast::from_datum_slice::<Decimal>(&bytes, &ours).unwrap(), decimal);
        }
        // More bytes than needed are the same number.
        let wide = serde_avro_fast::from_datum_slice::<Decimal>(&[6, 0xFF, 0xFF, 0x85], &ours).unwrap();
        assert_eq!(wide.unscaled, -123);
    }

    #[test]
    fn plain_bytes_are_no_decimal() {
        let plain: Schema = r#""bytes""#.parse().unwrap();
        assert!(serde_avro_fast::from_datum_slice::<Decimal>(&[2, 1], &plain).is_err());
    }
}
