//! Typed records to and from a log, as a producer and a consumer of the same types would send and see them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Broker, Outgoing, Polled, Start, TopicPartition};
use clock::Millis;
use wire::{Codec, MemoryRegistry, Registry, Topic, Wire, WireError};

use crate::error::EngineError;
use crate::record::Record;

/// How long one poll of a topic may take.
const POLL: Duration = Duration::from_millis(50);

/// A record's key, which may be missing where the type says so.
pub(super) fn decode_key<K: Wire>(bytes: Option<&[u8]>, codec: &Codec) -> Result<K, WireError> {
    match (bytes, K::missing()) {
        (None, Some(missing)) => Ok(missing),
        (bytes, _) => K::decode(bytes.unwrap_or_default(), codec),
    }
}

/// Sends and reads typed records: for tests and examples of programs that run on a log.
#[derive(Clone)]
pub struct Client {
    broker: Arc<dyn Broker>,
    registry: Arc<dyn Registry>,
}

impl Client {
    /// Of a log, for types with a fixed format.
    pub fn new(broker: Arc<dyn Broker>) -> Self {
        Self::with_registry(broker, Arc::new(MemoryRegistry::default()))
    }

    /// Of a log, with the schemas of this registry.
    pub fn with_registry(broker: Arc<dyn Broker>, registry: Arc<dyn Registry>) -> Self {
        Self { broker, registry }
    }

    /// Sends a record at an event time, a [`Millis`] or its number; `None` is a tombstone.
    ///
    /// # Errors
    ///
    /// The registry refuses a schema, the record has no encoding in it, or the log does not take it.
    pub fn send<K: Wire, V: Wire>(
        &self,
        topic: Topic<K, V>,
        at_ms: impl Into<Millis>,
        key: &K,
        value: Option<&V>,
    ) -> Result<(), EngineError> {
        let key = match key.is_missing() {
            true => None,
            false => Some(self.encode(&topic.key_subject(), key)?),
        };
        let value = value.map(|value| self.encode(&topic.value_subject(), value)).transpose()?;
        let record = Outgoing {
            topic: topic.name(),
            partition: None,
            key: key.as_deref(),
            value: value.as_deref(),
            timestamp_ms: at_ms.into().0,
            headers: &[],
        };
        Ok(self.broker.producer("client")?.send_all(&[record])?)
    }

    /// Reads a topic from its start until so many records have come; those of a partition are in order. Fewer, where no more come in time.
    ///
    /// # Errors
    ///
    /// The log cannot be read, or a record not decoded.
    pub fn read<K: Wire, V: Wire>(
        &self,
        topic: Topic<K, V>,
        count: usize,
        within: Duration,
    ) -> Result<Vec<Record<K, Option<V>>>, EngineError> {
        let mut reader = self.broker.reader("client")?;
        for partition in 0..self.broker.partitions(topic.name(), within)?.unwrap_or(0) {
            reader.assign(&TopicPartition::new(topic.name(), partition), Start::Earliest)?;
        }
        let (begun, mut polled) = (Instant::now(), Polled::default());
        while polled.messages.len() < count && begun.elapsed() < within {
            reader.poll(count - polled.messages.len(), POLL, &mut polled)?;
        }
        let codec = Codec::reader(self.registry.clone());
        let wrong = |source| EngineError::Schema {
            subject: topic.name().to_owned(),
            source,
        };
        let decoded = polled.messages.into_iter().map(|message| {
            let key = decode_key(message.key.as_deref(), &codec)?;
            let value = message.value.map(|bytes| V::decode(&bytes, &codec)).transpose()?;
            Ok(Record::new(key, value, Millis(message.timestamp_ms)))
        });
        decoded.collect::<Result<_, _>>().map_err(wrong)
    }

    fn encode<T: Wire>(&self, subject: &str, value: &T) -> Result<Vec<u8>, EngineError> {
        let mut bytes = Vec::new();
        let encoded = Codec::register::<T>(self.registry.clone(), subject).and_then(|codec| value.encode(&codec, &mut bytes));
        encoded.map_err(|source| EngineError::Schema {
            subject: subject.to_owned(),
            source,
        })?;
        Ok(bytes)
    }
}
