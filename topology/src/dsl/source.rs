//! Where streams begin.

use std::sync::Arc;

use wire::{Codec, Registry, Topic, Wire};

use super::{Builder, Stream};
use crate::error::{EngineError, ProcessError};
use crate::graph::{Kind, Node, SourceNode, TopicUse};

impl Builder {
    /// The records of a topic; tombstones are passed over.
    pub fn stream<K: Wire, V: Wire>(&self, topic: Topic<K, V>) -> Stream<K, V> {
        self.source(topic, |_, value, codec, timestamp_ms| match value {
            Some(bytes) => Ok(Some((V::decode(bytes, codec)?, timestamp_ms))),
            None => Ok(None),
        })
    }

    /// The records of a topic at the event time that `timestamp_ms` reads from them (milliseconds since the epoch; its last
    /// argument is the record's own); tombstones are passed over.
    pub fn stream_at<K: Wire, V: Wire>(
        &self,
        topic: Topic<K, V>,
        timestamp_ms: impl Fn(&K, &V, i64) -> i64 + Clone + Send + Sync + 'static,
    ) -> Stream<K, V> {
        self.source(topic, move |key, value, codec, own_ms| match value {
            Some(bytes) => {
                let value = V::decode(bytes, codec)?;
                let at = timestamp_ms(key, &value, own_ms);
                Ok(Some((value, at)))
            }
            None => Ok(None),
        })
    }

    /// The changes of a compacted topic: a tombstone is `None`.
    pub fn changes<K: Wire, V: Wire>(&self, topic: Topic<K, V>) -> Stream<K, Option<V>> {
        self.source(topic, |_, value, codec, timestamp_ms| {
            let value = value.map(|bytes| V::decode(bytes, codec)).transpose()?;
            Ok(Some((value, timestamp_ms)))
        })
    }

    fn source<K: Wire, T: Wire, V: Send + 'static>(
        &self,
        topic: Topic<K, T>,
        read: impl Fn(&K, Option<&[u8]>, &Codec, i64) -> Result<Option<(V, i64)>, ProcessError> + Clone + Send + Sync + 'static,
    ) -> Stream<K, V> {
        let make = Arc::new(move |registry: &Arc<dyn Registry>| -> Result<Box<dyn Node>, EngineError> {
            let codec = || Codec::reader(registry.clone());
            Ok(Box::new(SourceNode {
                key: codec(),
                value: codec(),
                read: read.clone(),
                waiting: None,
            }))
        });
        let mut graph = self.graph.borrow_mut();
        if graph.nodes.iter().any(|n| n.kind == Kind::Source { topic: topic.name() }) {
            graph.problems.push(format!(
                "topic {} is read twice: read it once and use the stream twice",
                topic.name()
            ));
        }
        graph.use_topic(topic.name(), TopicUse::Foreign);
        let name = format!("{}.source", topic.name());
        let node = graph.add(name, Kind::Source { topic: topic.name() }, make, 1, None);
        drop(graph);
        Stream::at(&self.graph, node, 0)
    }
}
