//! What flows along the edges of a topology.

use clock::Millis;

use crate::offset::RecordOffset;

/// A key and a value at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<K, V> {
    /// The key: decides the partition, and with it the task.
    pub key: K,
    /// The value.
    pub value: V,
    /// Event time.
    pub timestamp_ms: Millis,
}

impl<K, V> Record<K, V> {
    /// A record of these parts.
    pub fn new(key: K, value: V, timestamp_ms: Millis) -> Self {
        Self {
            key,
            value,
            timestamp_ms,
        }
    }
}

/// Where the record in hand came from.
#[derive(Debug, Clone, Default)]
pub struct RecordMetadata {
    /// The source topic; empty in a punctuation.
    pub topic: std::sync::Arc<str>,
    /// The task's partition.
    pub partition: u32,
    /// The record's own offset; [`RecordOffset::NONE`] in a punctuation. In a repartition topic it is finer than the log's.
    pub offset: RecordOffset,
    /// The record's timestamp; the wall clock's in a punctuation.
    pub timestamp_ms: Millis,
    /// The key's bytes as they came, for a dead letter or a quarantine.
    pub key: Option<bytes::Bytes>,
    /// The value's bytes as they came.
    pub value: Option<bytes::Bytes>,
    /// The headers as they came, also through a repartition topic; those of the record in hand are in [`crate::Context`].
    pub headers: broker::Headers,
}

/// A value that may be written to a topic of `T`: `T` itself, or an `Option<T>` whose `None` is a tombstone.
pub trait Payload<T>: Send + 'static {
    /// The value to encode; `None` is written as a tombstone.
    fn payload(&self) -> Option<&T>;
}

impl<T: Send + 'static> Payload<T> for T {
    fn payload(&self) -> Option<&T> {
        Some(self)
    }
}

impl<T: Send + 'static> Payload<T> for Option<T> {
    fn payload(&self) -> Option<&T> {
        self.as_ref()
    }
}
