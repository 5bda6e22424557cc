//! Where streams begin.

use std::sync::Arc;

use clock::Millis;
use wire::{Codec, Registry, Topic, Wire};

use super::{Builder, Stream, TopicPattern};
use crate::error::{EngineError, ProcessError};
use crate::graph::{Kind, MakeNode, TopicUse};
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

    /// The records of a topic at the event time that `timestamp_ms` reads from them (its last argument is the
    /// record's own); tombstones are passed over. Where a task has several inputs, it decides which record comes next. What has no such
    /// time, as a tombstone or what cannot be read, comes right behind the record before it, and does not move stream time on.
    pub fn stream_at<K: Wire, V: Wire>(
        &self,
        topic: Topic<K, V>,
        timestamp_ms: impl Fn(&K, &V, Millis) -> Millis + Clone + Send + Sync + 'static,
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
        timestamp_ms: impl Fn(&K, &V, Millis) -> Millis + Clone + Send + Sync + 'static,
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

    /// The records of all topics that match, as those of one: partition p of each is an input of task p, and
    /// [`RecordMetadata::topic`](crate::RecordMetadata) says which topic a record is of. Tombstones are passed over.
    ///
    /// Which those are is looked up at the start and every few seconds: a topic that is made later is read, too, and one that is deleted no
    /// more. Where the sub-topology keeps state, all must have equally many partitions. There may be none yet.
    ///
    /// ```
    /// use topology::dsl::{Builder, TopicPattern};
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// const ORDERS: TopicPattern<i64, i64> = TopicPattern::new("orders", "orders-[a-z]+");
    /// const ALL: Topic<i64, i64> = Topic::new("all-orders");
    ///
    /// let b = Builder::new("example");
    /// b.stream_matching(ORDERS).to(ALL);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    ///
    /// // A topic comes, and is found.
    /// let north = Topic::<i64, i64>::new("orders-north");
    /// driver.make_topic(north, 2);
    /// driver.watch_topics().unwrap();
    /// driver.send(north, 1_000, &7, Some(&70));
    /// assert_eq!(driver.drain(ALL)[0].value, Some(70));
    /// ```
    pub fn stream_matching<K: Wire, V: Wire>(&self, pattern: TopicPattern<K, V>) -> Stream<K, V> {
        self.matching(pattern, false, |arrived| {
            let key = arrived.key()?;
            let Some(value) = arrived.value()? else { return Ok(None) };
            Ok(Some(Record::new(key, value, arrived.timestamp_ms())))
        })
    }

    /// As [`Builder::stream_matching`], with the event time of [`Builder::stream_at`].
    ///
    /// ```
    /// use topology::dsl::{Builder, TopicPattern};
    /// use topology::{Millis, Topic};
    ///
    /// const READINGS: TopicPattern<i64, i64> = TopicPattern::new("readings", "readings-.*");
    ///
    /// let b = Builder::new("example");
    /// let measured_at = |_: &i64, value: &i64, own_ms: Millis| Millis(*value).min(own_ms);
    /// b.stream_matching_at(READINGS, measured_at).to(Topic::<i64, i64>::new("times"));
    /// b.build().unwrap();
    /// ```
    pub fn stream_matching_at<K: Wire, V: Wire>(
        &self,
        pattern: TopicPattern<K, V>,
        timestamp_ms: impl Fn(&K, &V, Millis) -> Millis + Clone + Send + Sync + 'static,
    ) -> Stream<K, V> {
        self.matching(pattern, true, move |arrived| {
            let key = arrived.key()?;
            let Some(value) = arrived.value()? else { return Ok(None) };
            let at_ms = timestamp_ms(&key, &value, arrived.timestamp_ms());
            Ok(Some(Record::new(key, value, at_ms)))
        })
    }

    fn source<K: Wire, T: Wire, V: Send + 'static>(
        &self,
        topic: Topic<K, T>,
        extracts_time: bool,
        read: impl Fn(&Arrived<'_>) -> Result<Option<Record<K, V>>, ProcessError> + Clone + Send + Sync + 'static,
    ) -> Stream<K, V> {
        let mut graph = self.graph.borrow_mut();
        if graph.nodes.iter().any(|n| n.kind == Kind::Source { topic: topic.name() }) {
            graph.problems.push(format!(
                "topic {} is read twice: read it once and use the stream twice",
                topic.name()
            ));
        }
        graph.use_topic(topic.name(), TopicUse::Foreign);
        let name = format!("{}.source", topic.name());
        let make = made(extracts_time, read);
        let node = graph.add(name, Kind::Source { topic: topic.name() }, make, 1, None);
        drop(graph);
        Stream::at(&self.graph, node, 0)
    }

    fn matching<K: Wire, T: Wire, V: Send + 'static>(
        &self,
        pattern: TopicPattern<K, T>,
        extracts_time: bool,
        read: impl Fn(&Arrived<'_>) -> Result<Option<Record<K, V>>, ProcessError> + Clone + Send + Sync + 'static,
    ) -> Stream<K, V> {
        let mut graph = self.graph.borrow_mut();
        let kind = Kind::Matching {
            expression: pattern.expression(),
        };
        let name = format!("{}.source", pattern.name());
        let node = graph.add(name, kind, made(extracts_time, read), 1, None);
        graph.add_pattern(pattern.name(), pattern.expression(), pattern.reset(), node);
        drop(graph);
        Stream::at(&self.graph, node, 0)
    }
}

fn made<K: Wire, V: Send + 'static>(
    extracts_time: bool,
    read: impl Fn(&Arrived<'_>) -> Result<Option<Record<K, V>>, ProcessError> + Clone + Send + Sync + 'static,
) -> MakeNode {
    Arc::new(move |registry: &Arc<dyn Registry>| -> Result<Box<dyn Node>, EngineError> {
        let codec = || Codec::reader(registry.clone());
        Ok(Box::new(SourceNode::<K, V, _> {
            key: codec(),
            value: codec(),
            read: read.clone(),
            extracts_time,
            ahead: Vec::new(),
            waiting: None,
        }))
    })
}
