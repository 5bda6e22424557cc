//! A stream whose records may lie in the wrong partition for their key.

use std::sync::Arc;

use broker::CleanupPolicy;
use wire::{Topic, Wire};

use super::{Builder, Split, Stream};
use crate::graph::TopicUse;
use crate::node::ToAll;
use crate::processor::Processor;
use crate::record::{Payload, Record};

/// A stream that was given other keys. Before it meets state, it must be [repartitioned](Rekeyed::repartition) or
/// [grouped](Rekeyed::group_by_key).
pub struct Rekeyed<K, V> {
    pub(super) stream: Stream<K, V>,
}

impl<K, V> Clone for Rekeyed<K, V> {
    fn clone(&self) -> Self {
        Self {
            stream: self.stream.clone(),
        }
    }
}

/// Operators that need no state are the same as a stream's.
impl<K: Send + 'static, V: Send + 'static> Stream<K, V> {
    /// Says that the keys are no longer those of the partition: a processor may give its records keys of another kind.
    pub fn rekeyed(self) -> Rekeyed<K, V> {
        Rekeyed { stream: self }
    }
}

impl<K: Clone + Send + 'static, V: Clone + Send + 'static> Rekeyed<K, V> {
    /// As [`Stream::filter`].
    pub fn filter(&self, keep: impl Fn(&K, &V) -> bool + Clone + Send + Sync + 'static) -> Self {
        self.stream.filter(keep).rekeyed()
    }

    /// As [`Stream::filter_not`].
    pub fn filter_not(&self, drop: impl Fn(&K, &V) -> bool + Clone + Send + Sync + 'static) -> Self {
        self.stream.filter_not(drop).rekeyed()
    }

    /// As [`Stream::map_values`].
    pub fn map_values<VO: Send + 'static>(&self, map: impl Fn(&K, &V) -> VO + Clone + Send + Sync + 'static) -> Rekeyed<K, VO> {
        self.stream.map_values(map).rekeyed()
    }

    /// As [`Stream::flat_map_values`].
    pub fn flat_map_values<VO: Send + 'static, I: IntoIterator<Item = VO>>(
        &self,
        map: impl Fn(&K, &V) -> I + Clone + Send + Sync + 'static,
    ) -> Rekeyed<K, VO> {
        self.stream.flat_map_values(map).rekeyed()
    }

    /// As [`Stream::select_key`].
    pub fn select_key<KO: Send + 'static>(&self, key: impl Fn(&K, &V) -> KO + Clone + Send + Sync + 'static) -> Rekeyed<KO, V> {
        self.stream.select_key(key)
    }

    /// As [`Stream::map`].
    pub fn map<KO: Send + 'static, VO: Send + 'static>(
        &self,
        map: impl Fn(&K, &V) -> (KO, VO) + Clone + Send + Sync + 'static,
    ) -> Rekeyed<KO, VO> {
        self.stream.map(map)
    }

    /// As [`Stream::flat_map`].
    pub fn flat_map<KO: Send + 'static, VO: Send + 'static, I: IntoIterator<Item = (KO, VO)>>(
        &self,
        map: impl Fn(&K, &V) -> I + Clone + Send + Sync + 'static,
    ) -> Rekeyed<KO, VO> {
        self.stream.flat_map(map)
    }

    /// As [`Stream::peek`].
    pub fn peek(&self, look: impl Fn(&Record<K, V>) + Clone + Send + Sync + 'static) -> Self {
        self.stream.peek(look).rekeyed()
    }

    /// As [`Stream::merge`].
    pub fn merge(&self, other: &Self) -> Self {
        self.stream.merge(&other.stream).rekeyed()
    }

    /// As [`Stream::split`]; the branches have other keys, too.
    ///
    /// ```
    /// use topology::Topic;
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    ///
    /// const NUMBERS: Topic<i64, i64> = Topic::new("numbers");
    /// const EVEN: Topic<i64, i64> = Topic::new("even");
    /// const ODD: Topic<i64, i64> = Topic::new("odd");
    ///
    /// let b = Builder::new("example");
    /// let split = b.stream(NUMBERS).select_key(|_, number| number / 10).split();
    /// split.branch("even", |key, _| key % 2 == 0).to(EVEN);
    /// split.rest("odd").to(ODD);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// [10, 20, 30].iter().for_each(|number| driver.send(NUMBERS, 0, &0, Some(number)));
    /// assert_eq!((driver.drain(EVEN).len(), driver.drain(ODD).len()), (1, 2));
    /// ```
    pub fn split(&self) -> RekeyedSplit<K, V> {
        RekeyedSplit {
            split: self.stream.split(),
        }
    }

    /// Looks at each record, and ends there: as [`Stream::for_each`].
    pub fn for_each(&self, look: impl Fn(&Record<K, V>) + Clone + Send + Sync + 'static) {
        self.stream.for_each(look);
    }
}

/// A [`Split`] of records with other keys.
pub struct RekeyedSplit<K, V> {
    split: Split<K, V>,
}

impl<K: Clone + Send + 'static, V: Clone + Send + 'static> RekeyedSplit<K, V> {
    /// As [`Split::branch`].
    pub fn branch(&self, name: &str, takes: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Rekeyed<K, V> {
        self.split.branch(name, takes).rekeyed()
    }

    /// As [`Split::rest`].
    pub fn rest(self, name: &str) -> Rekeyed<K, V> {
        self.split.rest(name).rekeyed()
    }
}

impl<K: Send + 'static, V: Send + 'static> Rekeyed<K, V> {
    /// As [`Stream::process`]. The processor sees the records where they lie, which is not where their keys belong: what it keeps of a key
    /// is there in as many partitions as the key's records come from. Where that is not meant, [`Rekeyed::repartition`] comes first.
    pub fn process<P>(
        &self,
        name: impl Into<String>,
        stores: P::Stores,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> Rekeyed<P::KeyOut, P::Out>
    where
        P: Processor<KeyIn = K, In = V>,
    {
        self.stream.process(name, stores, make).rekeyed()
    }
}

impl<K: Wire, V: Wire + Payload<V>> Rekeyed<K, V> {
    /// Partitions the records by key: they go through a topic, or in memory where the same worker has the partition.
    ///
    /// The topic is the topology's own: there many records travel as one, in a form that only the engine reads. So the offsets
    /// of [`RecordMetadata`](crate::RecordMetadata) are finer than the log's there. A record without a key stays in its partition, or goes
    /// to another one where the topic has fewer.
    pub fn repartition(&self, topic: Topic<K, V>) -> Stream<K, V> {
        self.repartition_to(topic, None)
    }

    /// The same, but records that `to_all` names go to every partition, each in its place behind what came before it: what all who keep
    /// state by these keys have to know, such as how far the stream is. Kafka Streams' partitioners that return several partitions
    /// (KIP-837) are the like.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::store::KeyValue;
    /// use topology::testing::TestDriver;
    /// use topology::{Context, ProcessError, Processor, Record, Topic};
    ///
    /// // Sales by shop; a negative one says that the day is over, and every partition keeps how many of its shops' sales it had by then.
    /// const SALES: Topic<i64, i64> = Topic::new("sales");
    /// const BY_SHOP: Topic<i64, i64> = Topic::new("sales-by-shop");
    /// const CLOSED: KeyValue<i64, i64> = KeyValue::new("closed");
    ///
    /// struct Close(i64);
    ///
    /// impl Processor for Close {
    ///     type KeyIn = i64;
    ///     type In = i64;
    ///     type KeyOut = i64;
    ///     type Out = i64;
    ///     type Stores = KeyValue<i64, i64>;
    ///
    ///     fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
    ///         match record.value {
    ///             day if day < 0 => cx.stores.put(day, self.0),
    ///             _ => self.0 += 1,
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let b = Builder::new("example");
    /// b.partitions(SALES, 1);
    /// b.partitions(BY_SHOP, 3);
    /// let sales = b.stream(SALES).select_key(|shop, _| *shop);
    /// let _ = sales.repartition_by(BY_SHOP, |_, sale| *sale < 0).process("close", CLOSED, || Close(0));
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// (1..=9).for_each(|shop| driver.send(SALES, 0, &shop, Some(&10)));
    /// driver.send(SALES, 0, &0, Some(&-1));
    /// let closed = driver.view(CLOSED);
    /// assert_eq!(closed.len(), 3);
    /// assert_eq!(closed.iter().map(|(_, sales)| sales).sum::<i64>(), 9);
    /// ```
    pub fn repartition_by(&self, topic: Topic<K, V>, to_all: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Stream<K, V> {
        self.repartition_to(topic, Some(Arc::new(to_all)))
    }

    /// The same into a topic with a partition count of its own, whatever the other topics have.
    pub fn repartition_with(&self, topic: Topic<K, V>, partitions: u32) -> Stream<K, V> {
        self.stream.graph.borrow_mut().set_partitions(topic.name(), partitions);
        self.repartition_to(topic, None)
    }

    fn repartition_to(&self, topic: Topic<K, V>, to_all: Option<ToAll<K, V>>) -> Stream<K, V> {
        self.stream.write_as(topic, TopicUse::Repartition, to_all);
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

    /// As [`Stream::to_by`].
    pub fn to_by<T: Wire>(&self, topics: &[Topic<K, T>], choose: impl Fn(&K, &V) -> Option<usize> + Clone + Send + Sync + 'static)
    where
        K: Clone,
        V: Payload<T> + Clone,
    {
        self.stream.to_by(topics, choose);
    }
}
