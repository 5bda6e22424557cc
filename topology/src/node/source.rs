//! Where records come in.

use std::any::Any;
use std::sync::Arc;

use clock::Millis;
use wire::{Codec, KEY_SCHEMA_HEADER, VALUE_SCHEMA_HEADER, Wire, WireError};

use super::{Emit, Env, Node};
use crate::error::ProcessError;
use crate::offset::RecordOffset;
use crate::record::{Record, RecordMetadata};

/// A record as it came, for a source to read.
pub(crate) struct Arrived<'a> {
    at: &'a RecordMetadata,
    key: &'a Codec,
    value: &'a Codec,
}

impl Arrived<'_> {
    /// The record's own time.
    pub fn timestamp_ms(&self) -> Millis {
        self.at.timestamp_ms
    }

    /// Its key, which it must have, unless that is optional.
    pub fn key<K: Wire>(&self) -> Result<K, ProcessError> {
        match self.at.key.as_deref() {
            Some(bytes) => Ok(self.decode(bytes, self.key, KEY_SCHEMA_HEADER)?),
            None => K::missing().ok_or_else(|| ProcessError::Record("the record has no key".to_owned())),
        }
    }

    /// Its key, where it has one that can be read. That the registry is away says nothing of the key.
    pub fn key_if_any<K: Wire>(&self) -> Result<Option<K>, ProcessError> {
        let bytes = self.at.key.as_deref();
        match bytes.map(|bytes| self.decode(bytes, self.key, KEY_SCHEMA_HEADER)) {
            Some(Ok(key)) => Ok(Some(key)),
            Some(Err(error)) if error.is_transient() => Err(error.into()),
            _ => Ok(None),
        }
    }

    /// Its value; `None` for a tombstone.
    pub fn value<V: Wire>(&self) -> Result<Option<V>, ProcessError> {
        let bytes = self.at.value.as_deref();
        let decode = |bytes| self.decode(bytes, self.value, VALUE_SCHEMA_HEADER);
        Ok(bytes.map(decode).transpose()?)
    }

    /// What a header says of the schema goes before what stands in front of the datum.
    fn decode<T: Wire>(&self, bytes: &[u8], codec: &Codec, header: &str) -> Result<T, WireError> {
        if T::SCHEMA.is_some() && !self.at.headers.is_empty() {
            let mut headers = self.at.headers.iter().rev();
            if let Some((_, Some(schema))) = headers.find(|(name, _)| name == header) {
                return T::decode(&codec.framed(schema, bytes)?, codec);
            }
        }
        T::decode(bytes, codec)
    }
}

/// Where records come in: from bytes to a typed record.
pub(crate) struct SourceNode<K, V, F> {
    pub key: Codec,
    pub value: Codec,
    /// Makes a record of what came, or passes it over.
    pub read: F,
    /// Whether `read` tells an event time of its own.
    pub extracts_time: bool,
    /// What was read of records before their turns, one of each topic.
    pub ahead: Vec<Ahead<K, V>>,
    pub waiting: Option<Record<K, V>>,
}

/// What was read of a record before its turn.
pub(crate) struct Ahead<K, V> {
    topic: Arc<str>,
    offset: RecordOffset,
    read: Option<Record<K, V>>,
}

impl<K, V> Ahead<K, V> {
    fn is_of(&self, topic: &Arc<str>) -> bool {
        Arc::ptr_eq(&self.topic, topic) || self.topic == *topic
    }
}

impl<K, V, F> SourceNode<K, V, F>
where
    F: Fn(&Arrived<'_>) -> Result<Option<Record<K, V>>, ProcessError>,
{
    fn read_from(&self, at: &RecordMetadata) -> Result<Option<Record<K, V>>, ProcessError> {
        (self.read)(&Arrived {
            at,
            key: &self.key,
            value: &self.value,
        })
    }

    /// The event time of what was read. A record that is passed over has the log's, unless the source extracts times: it then has none.
    fn time_of(&self, read: &Option<Record<K, V>>, at: &RecordMetadata) -> Option<Millis> {
        let own_ms = (!self.extracts_time).then_some(at.timestamp_ms);
        read.as_ref().map(|record| record.timestamp_ms).or(own_ms)
    }
}

impl<K, V, F> Node for SourceNode<K, V, F>
where
    K: Wire,
    V: Send + 'static,
    F: Fn(&Arrived<'_>) -> Result<Option<Record<K, V>>, ProcessError> + Send + 'static,
{
    fn process(&mut self, _: &dyn Any, _: &mut Env<'_>) -> Result<(), ProcessError> {
        unreachable!("a source node has no parents")
    }

    fn source(&mut self, env: &mut Env<'_>) -> Result<Option<Millis>, ProcessError> {
        let ahead = self.ahead.iter().position(|ahead| ahead.is_of(&env.at.topic));
        self.waiting = match ahead.map(|ahead| self.ahead.swap_remove(ahead)) {
            Some(ahead) if ahead.offset == env.at.offset => ahead.read,
            _ => self.read_from(env.at)?,
        };
        Ok(self.time_of(&self.waiting, env.at))
    }

    fn extracts_time(&self) -> bool {
        self.extracts_time
    }

    fn event_time(&mut self, at: &RecordMetadata) -> Result<Option<Millis>, ProcessError> {
        self.ahead.retain(|ahead| !ahead.is_of(&at.topic));
        let read = self.read_from(at)?;
        let event_time_ms = self.time_of(&read, at);
        let (topic, offset) = (at.topic.clone(), at.offset);
        self.ahead.push(Ahead { topic, offset, read });
        Ok(event_time_ms)
    }

    fn show_key(&self, bytes: &[u8], show: &mut dyn FnMut(&dyn Any)) {
        if let Ok(key) = K::decode(bytes, &self.key) {
            show(&key);
        }
    }

    fn emit(&mut self, emit: &mut Emit<'_>) -> Result<(), ProcessError> {
        match self.waiting.take() {
            Some(record) => emit(0, &record, None),
            None => Ok(()),
        }
    }

    fn clear(&mut self) {
        self.waiting = None;
    }
}
