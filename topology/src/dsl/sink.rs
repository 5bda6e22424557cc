//! Where streams end in topics.

use std::marker::PhantomData;
use std::sync::Arc;

use broker::CleanupPolicy;
use wire::{Codec, Registry, Topic, Wire};

use super::Stream;
use crate::error::EngineError;
use crate::graph::{Kind, TopicUse};
use crate::node::{Node, SinkNode, ToAll};
use crate::record::Payload;

impl<K: Wire, V: Send + 'static> Stream<K, V> {
    /// Writes the records to an append-only topic.
    pub fn to<T: Wire>(&self, topic: Topic<K, T>)
    where
        V: Payload<T>,
    {
        self.write(topic, CleanupPolicy::Delete(None));
    }

    /// Writes the records to a compacted topic: the newest value of each key stays, `None` removes the key.
    pub fn to_compacted<T: Wire>(&self, topic: Topic<K, T>)
    where
        V: Payload<T>,
    {
        self.write(topic, CleanupPolicy::Compact);
    }

    /// Writes each record to the one of these append-only topics that `choose` names by its place; to none, where it names none.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// const NUMBERS: Topic<i64, i64> = Topic::new("numbers");
    /// const EVEN: Topic<i64, i64> = Topic::new("even");
    /// const ODD: Topic<i64, i64> = Topic::new("odd");
    ///
    /// let b = Builder::new("example");
    /// b.stream(NUMBERS).to_by(&[EVEN, ODD], |_, number| Some((number % 2) as usize));
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// (1..=3).for_each(|number| driver.send(NUMBERS, number, &number, Some(&number)));
    /// assert_eq!((driver.drain(EVEN).len(), driver.drain(ODD).len()), (1, 2));
    /// ```
    pub fn to_by<T: Wire>(&self, topics: &[Topic<K, T>], choose: impl Fn(&K, &V) -> Option<usize> + Clone + Send + Sync + 'static)
    where
        K: Clone,
        V: Payload<T> + Clone,
    {
        for (place, topic) in topics.iter().enumerate() {
            let choose = choose.clone();
            self.filter(move |key, value| choose(key, value) == Some(place)).to(*topic);
        }
    }

    pub(super) fn write<T: Wire>(&self, topic: Topic<K, T>, cleanup: CleanupPolicy)
    where
        V: Payload<T>,
    {
        self.write_as(topic, TopicUse::Own(cleanup), None);
    }

    pub(super) fn write_as<T: Wire>(&self, topic: Topic<K, T>, how: TopicUse, to_all: Option<ToAll<K, V>>)
    where
        V: Payload<T>,
    {
        let make = Arc::new(move |registry: &Arc<dyn Registry>| -> Result<Box<dyn Node>, EngineError> {
            let register = |subject: String| move |source| EngineError::Schema { subject, source };
            let key = Codec::register::<K>(registry.clone(), &topic.key_subject()).map_err(register(topic.key_subject()))?;
            let value =
                Codec::register::<T>(registry.clone(), &topic.value_subject()).map_err(register(topic.value_subject()))?;
            Ok(Box::new(SinkNode::<K, V, T> {
                topic: topic.name(),
                key,
                value,
                to_all: to_all.clone(),
                types: PhantomData,
            }))
        });
        let mut graph = self.graph.borrow_mut();
        let mut name = topic.name().to_owned();
        let mut more = 1;
        while graph.nodes.iter().any(|n| n.name == name) {
            more += 1;
            name = format!("{}#{more}", topic.name());
        }
        graph.use_topic(topic.name(), how);
        graph.add(
            name,
            Kind::Sink { topic: topic.name() },
            make,
            0,
            Some((self.node, self.port)),
        );
    }
}
