//! Key-value stores, without and with timestamps.

use std::marker::PhantomData;

use clock::Millis;
use wire::{Codec, Topic, Wire, WireError};

use super::{Backing, ChangelogSettings};

/// A key-value store: its name and its types.
pub struct KeyValue<K, V> {
    name: &'static str,
    backing: Backing,
    changelog: ChangelogSettings,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> KeyValue<K, V> {
    /// A store with a changelog of its own.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            backing: Backing::Changelog,
            changelog: &[],
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
            changelog: &[],
            types: PhantomData,
        }
    }

    /// The same store, whose changelog's topic is made with these settings: Kafka Streams' `withLoggingEnabled`. They go before those of
    /// [`EngineSettings::topics`](crate::EngineSettings::topics), and a topic that is there already must have them. A changelog is always
    /// compacted, as it holds what the store has.
    ///
    /// ```
    /// use topology::store::KeyValue;
    ///
    /// const SEEN: KeyValue<i64, i64> = KeyValue::new("seen").with_changelog(&[
    ///     ("segment.bytes", "104857600"),
    ///     ("min.cleanable.dirty.ratio", "0.1"),
    /// ]);
    /// ```
    pub const fn with_changelog(self, settings: ChangelogSettings) -> Self {
        Self {
            changelog: settings,
            ..self
        }
    }

    /// The same store without a changelog: Kafka Streams' `withLoggingDisabled`. What it has is nowhere but here, so it is **empty whenever its
    /// task is opened**: at each start, when the task moves to another worker or instance, and when a fault has it opened anew. That
    /// is the same every time, whatever a state folder may still have; a line of the log tells of it, and the metric `stores_emptied_total` counts it.
    ///
    /// So it is for what may be missing without anything becoming wrong: what is looked up elsewhere and kept for a while, or counted for a
    /// moment's sake. Tables cannot be kept so: after a move they would take back less than they had added.
    ///
    /// A store that had a changelog before loses what it has; so the engine does not start until that topic is deleted.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::store::KeyValue;
    /// use topology::testing::TestDriver;
    /// use topology::{Context, ProcessError, Processor, Record, Topic};
    ///
    /// const LOOKUPS: Topic<i64, i64> = Topic::new("lookups");
    /// const FOUND: Topic<i64, i64> = Topic::new("found");
    /// const KEPT: KeyValue<i64, i64> = KeyValue::new("kept").without_changelog();
    ///
    /// /// What is dear to find is found once; if it is forgotten, it is found again.
    /// struct Find;
    ///
    /// impl Processor for Find {
    ///     type KeyIn = i64;
    ///     type In = i64;
    ///     type KeyOut = i64;
    ///     type Out = i64;
    ///     type Stores = KeyValue<i64, i64>;
    ///
    ///     fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
    ///         let found = match cx.stores.get(&record.value)? {
    ///             Some(kept) => kept,
    ///             None => record.value * record.value,
    ///         };
    ///         cx.stores.put(record.value, found);
    ///         cx.out.forward(record.key, found);
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let b = Builder::new("example");
    /// b.stream(LOOKUPS).process("find", KEPT, || Find).to(FOUND);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(LOOKUPS, 0, &1, Some(&12));
    /// assert_eq!(driver.view(KEPT), [(12, 144)]);
    /// driver.restart().unwrap();
    /// assert_eq!(driver.view(KEPT), []);
    /// ```
    pub const fn without_changelog(self) -> Self {
        Self {
            backing: Backing::Nowhere,
            ..self
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

    /// What its changelog's topic is made with.
    pub(crate) const fn changelog(&self) -> ChangelogSettings {
        self.changelog
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
    /// Event time.
    pub timestamp_ms: Millis,
}

impl<V> Timestamped<V> {
    /// A value at an event time.
    pub fn new(value: V, timestamp_ms: Millis) -> Self {
        Self { value, timestamp_ms }
    }
}

/// Eight bytes of the time, big endian, before those of the value.
impl<V: Wire> Wire for Timestamped<V> {
    const SCHEMA: Option<&'static str> = V::SCHEMA;

    fn encode(&self, codec: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
        out.extend_from_slice(&self.timestamp_ms.0.to_be_bytes());
        self.value.encode(codec, out)
    }

    fn decode(bytes: &[u8], codec: &Codec) -> Result<Self, WireError> {
        let (time, value) = bytes
            .split_first_chunk()
            .ok_or_else(|| WireError::Malformed(format!("a value with a timestamp has {} bytes", bytes.len())))?;
        Ok(Self::new(V::decode(value, codec)?, Millis(i64::from_be_bytes(*time))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_survives_and_a_short_value_is_an_error() {
        let codec = Codec::plain();
        let mut bytes = Vec::new();
        Timestamped::new(-7_i64, Millis(-1)).encode(&codec, &mut bytes).unwrap();
        assert_eq!(bytes.len(), 16);
        assert_eq!(
            Timestamped::decode(&bytes, &codec).unwrap(),
            Timestamped::new(-7_i64, Millis(-1))
        );
        assert!(Timestamped::<i64>::decode(&bytes[..7], &codec).is_err());
    }
}
