//! Where streams begin.

use std::sync::Arc;

use wire::{Codec, Registry, Topic, Wire};

use super::{Builder, Stream};
use crate::error::{EngineError, ProcessError};
use crate::graph::{Kind, TopicUse};
use crate::node::{Arrived, Node, SourceNode};
use crate::record::Record;

impl Builder {
    /// The records of a topic; tombstones are passed over.
    pub fn stream<K: Wire, V: Wire>(&self, topic: Topic<K, V>) -> Stream<K, V> {
        self.source(topic, false, |arrived| {
            let key = arrived.key()?;
            let Some(value) = arrived.value()? else { return Ok(None) };
            Ok(Some(Record::new(key, value, arrived.timestamp_ms())))
        })
    }

    /// The records of a topic at the event time that `timestamp_ms` reads from them (milliseconds since the epoch; its last
    /// argument is the record's own); tombstones are passed over. Where a task has several inputs, it decides which record comes next.
    pub fn stream_at<K: Wire, V: Wire>(
        &self,
        topic: Topic<K, V>,
        timestamp_ms: impl Fn(&K, &V, i64) -> i64 + Clone + Send + Sync + 'static,
    ) -> Stream<K, V> {
        self.source(topic, true, move |arrived| {
            let key = arrived.key()?;
            let Some(value) = arrived.value()? else { return Ok(None) };
            let at_ms = timestamp_ms(&key, &value, arrived.timestamp_ms());
            Ok(Some(Record::new(key, value, at_ms)))
        })
    }

    /// As [`Builder::stream_at`], for topics whose values say whose they are: `key_of` tells the key from the value. It is also
    /// given the record's own key, for values that say nothing; `None` where there is none, or none that can be read. Where it
    /// finds no key, the record goes to the dead-letter topic with its reason. Processors still [read ahead](crate::ReadAhead)
    /// by the record's own key.
    pub fn stream_by<K: Wire, V: Wire>(
        &self,
        topic: Topic<K, V>,
        key_of: impl Fn(Option<&K>, &V) -> Result<K, String> + Clone + Send + Sync + 'static,
        timestamp_ms: impl Fn(&K, &V, i64) -> i64 + Clone + Send + Sync + 'static,
    ) -> Stream<K, V> {
        self.source(topic, true, move |arrived| {
            let Some(value) = arrived.value()? else { return Ok(None) };
            let own: Option<K> = arrived.key_if_any()?;
            let key = key_of(own.as_ref(), &value).map_err(ProcessError::Record)?;
            let at_ms = timestamp_ms(&key, &value, arrived.timestamp_ms());
            Ok(Some(Record::new(key, value, at_ms)))
        })
    }

    /// The changes of a compacted topic: a tombstone is `None`.
    pub fn changes<K: Wire, V: Wire>(&self, topic: Topic<K, V>) -> Stream<K, Option<V>> {
        self.source(topic, false, |arrived| {
            Ok(Some(Record::new(arrived.key()?, arrived.value()?, arrived.timestamp_ms())))
        })
    }

    fn source<K: Wire, T: Wire, V: Send + 'static>(
        &self,
        topic: Topic<K, T>,
        extracts_time: bool,
        read: impl Fn(&Arrived<'_>) -> Result<Option<Record<K, V>>, ProcessError> + Clone + Send + Sync + 'static,
    ) -> Stream<K, V> {
        let make = Arc::new(move |registry: &Arc<dyn Registry>| -> Result<Box<dyn Node>, EngineError> {
            let codec = || Codec::reader(registry.clone());
            Ok(Box::new(SourceNode::<K, V, _> {
                key: codec(),
                value: codec(),
                read: read.clone(),
                extracts_time,
                ahead: None,
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
