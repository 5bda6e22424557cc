//! Key-value stores, without and with timestamps.

use std::marker::PhantomData;

use wire::{Codec, Topic, Wire, WireError};

use super::Backing;

/// A key-value store: its name and its types.
pub struct KeyValue<K, V> {
    name: &'static str,
    backing: Backing,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> KeyValue<K, V> {
    /// A store with a changelog of its own.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            backing: Backing::Changelog,
            types: PhantomData,
        }
    }

    /// The same, under a name that is known at run time only.
    pub fn named(name: &str) -> Self {
        Self::new(wire::name(name))
    }

    /// A store whose changelog is this public compacted topic. Its records are the last value of each key in each
    /// transaction, which is all that a reader of committed records could rely on anyway.
    pub const fn backed_by(name: &'static str, topic: Topic<K, V>) -> Self {
        Self {
            name,
            backing: Backing::Topic(topic.name()),
            types: PhantomData,
        }
    }

    /// The store's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Where its changes are kept.
    pub const fn backing(&self) -> Backing {
        self.backing
    }
}

impl<K, V> Clone for KeyValue<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for KeyValue<K, V> {}

/// A key-value store whose values have the event time of their last change, as tables do.
pub type TimestampedKeyValue<K, V> = KeyValue<K, Timestamped<V>>;

/// A value and its event time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamped<V> {
    /// The value.
    pub value: V,
    /// Event time, in milliseconds since the epoch.
    pub timestamp_ms: i64,
}

impl<V> Timestamped<V> {
    /// A value at an event time, in milliseconds since the epoch.
    pub fn new(value: V, timestamp_ms: i64) -> Self {
        Self { value, timestamp_ms }
    }
}

/// Eight bytes of the time, big endian, before those of the value.
impl<V: Wire> Wire for Timestamped<V> {
    const SCHEMA: Option<&'static str> = V::SCHEMA;

    fn encode(&self, codec: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
        out.extend_from_slice(&self.timestamp_ms.to_be_bytes());
        self.value.encode(codec, out)
    }

    fn decode(bytes: &[u8], codec: &Codec) -> Result<Self, WireError> {
        let (time, value) = bytes
            .split_first_chunk()
            .ok_or_else(|| WireError::Malformed(format!("a value with a timestamp has {} bytes", bytes.len())))?;
        Ok(Self::new(V::decode(value, codec)?, i64::from_be_bytes(*time)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_survives_and_a_short_value_is_an_error() {
        let codec = Codec::plain();
        let mut bytes = Vec::new();
        Timestamped::new(-7_i64, -1).encode(&codec, &mut bytes).unwrap();
        assert_eq!(bytes.len(), 16);
        assert_eq!(Timestamped::decode(&bytes, &codec).unwrap(), Timestamped::new(-7_i64, -1));
        assert!(Timestamped::<i64>::decode(&bytes[..7], &codec).is_err());
    }
}
