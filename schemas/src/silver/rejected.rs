//! The quarantine.

use serde::{Deserialize, Serialize};
use wire::avro_wire;

/// A record that breaks a data rule, kept whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Where it came from.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset; −1 where the rule is broken by what did not come.
    pub offset: i64,
    /// Its key, as it came.
    #[serde(with = "bytes_or_null")]
    pub key: Option<Vec<u8>>,
    /// Its value, as it came.
    #[serde(with = "bytes_or_null")]
    pub value: Option<Vec<u8>>,
    /// The rule's name.
    pub rule: String,
    /// What is wrong.
    pub reason: String,
    /// When it was found.
    pub rejected_at: i64,
}

avro_wire!(Rejected, include_str!("../../avro/silver/rejected.avsc"));

/// Serde takes a `Vec<u8>` for a sequence of numbers; Avro has bytes.
mod bytes_or_null {
    use std::fmt;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    struct Bytes(Vec<u8>);

    impl Serialize for Bytes {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }

    impl<'de> Deserialize<'de> for Bytes {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl de::Visitor<'_> for Visitor {
                type Value = Bytes;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("bytes")
                }
                fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                    Ok(Bytes(bytes.to_vec()))
                }
            }
            deserializer.deserialize_bytes(Visitor)
        }
    }

    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        bytes.as_ref().map(|b| Bytes(b.clone())).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Bytes>::deserialize(deserializer)?.map(|b| b.0))
    }
}
