//! A stream whose records may lie in the wrong partition for their key.

use broker::CleanupPolicy;
use wire::{Topic, Wire};

use super::{Builder, Stream};
use crate::record::Payload;

/// A stream that was given other keys. It can only be written to a topic, or go on [`through`](Rekeyed::through) one.
pub struct Rekeyed<K, V> {
    pub(super) stream: Stream<K, V>,
}

impl<K: Wire, V: Wire + Payload<V>> Rekeyed<K, V> {
    /// Writes the records to a topic and reads them from it again, now partitioned by key.
    pub fn through(&self, topic: Topic<K, V>) -> Stream<K, V> {
        self.stream.write(topic, CleanupPolicy::Delete(None));
        let builder = Builder {
            application: String::new(),
            graph: self.stream.graph.clone(),
        };
        builder.stream(topic)
    }
}

impl<K: Wire, V: Send + 'static> Rekeyed<K, V> {
    /// Writes the records to an append-only topic.
    pub fn to<T: Wire>(&self, topic: Topic<K, T>)
    where
        V: Payload<T>,
    {
        self.stream.write(topic, CleanupPolicy::Delete(None));
    }

    /// Writes the records to a compacted topic.
    pub fn to_compacted<T: Wire>(&self, topic: Topic<K, T>)
    where
        V: Payload<T>,
    {
        self.stream.write(topic, CleanupPolicy::Compact);
    }
}
