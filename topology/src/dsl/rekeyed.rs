//! A stream whose records may lie in the wrong partition for their key.

use broker::CleanupPolicy;
use wire::{Topic, Wire};

use super::{Builder, Stream};
use crate::graph::TopicUse;
use crate::record::Payload;

/// A stream that was given other keys. It can only be written to a topic, or be [repartitioned](Rekeyed::repartition).
pub struct Rekeyed<K, V> {
    pub(super) stream: Stream<K, V>,
}

impl<K: Wire, V: Wire + Payload<V>> Rekeyed<K, V> {
    /// Partitions the records by key: they go through a topic, or in memory where the same worker has the partition.
    ///
    /// The topic is the topology's own: there many records travel as one, in a form that only the engine reads. So the offsets
    /// of [`RecordMetadata`](crate::RecordMetadata) are finer than the log's there.
    pub fn repartition(&self, topic: Topic<K, V>) -> Stream<K, V> {
        self.repartition_to(topic)
    }

    /// The same into a topic with a partition count of its own, whatever the other topics have.
    pub fn repartition_with(&self, topic: Topic<K, V>, partitions: u32) -> Stream<K, V> {
        self.stream.graph.borrow_mut().set_partitions(topic.name(), partitions);
        self.repartition_to(topic)
    }

    fn repartition_to(&self, topic: Topic<K, V>) -> Stream<K, V> {
        self.stream.write_as(topic, TopicUse::Repartition);
        let builder = Builder {
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
