//! The DSL: streams of typed records, from topics to topics.
//!
//! Each operator is a node. A stream that was re-keyed is a [`Rekeyed`], which offers only [`Rekeyed::repartition`]: state on a
//! stream that is not partitioned by its key does not compile. Internal topics and stores are always named, so that names
//! do not shift when the topology changes.
//!
//! ```
//! use topology::dsl::Builder;
//! use topology::Topic;
//!
//! const NUMBERS: Topic<i64, i64> = Topic::new("numbers");
//! const EVEN: Topic<i64, i64> = Topic::new("even");
//!
//! let builder = Builder::new("example");
//! builder.stream(NUMBERS).filter(|_, number| number % 2 == 0).to(EVEN);
//! let topology = builder.build().unwrap();
//! assert!(topology.to_string().contains("Sink: even"));
//! ```

mod cogrouped;
mod grace_join;
mod grouped;
mod pattern;
mod rekeyed;
mod running;
mod sink;
mod source;
mod stateless;
mod stream_join;
mod table;

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use wire::{Registry, Topic};

use crate::error::{EngineError, ProcessError};
use crate::graph::{Graph, Kind, Topology};
use crate::node::{Node, OperatorNode, ProcessorNode, StatefulNode};
use crate::processor::Processor;
use crate::record::{Record, RecordMetadata};
use crate::store::{StoreDef, StoreSet, TaskStores};

pub use crate::graph::OffsetReset;
pub use cogrouped::Cogrouped;
pub use grouped::Grouped;
pub use pattern::TopicPattern;
pub use rekeyed::{Rekeyed, RekeyedSplit};
pub use running::{Parts, Running};
pub use stateless::Split;
pub use table::{GroupedTable, Materialized, Table};

/// Builds a [`Topology`].
pub struct Builder {
    graph: Rc<RefCell<Graph>>,
}

/// A stream of records with keys `K` and values `V`.
pub struct Stream<K, V> {
    graph: Rc<RefCell<Graph>>,
    node: usize,
    port: usize,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for Stream<K, V> {
    fn clone(&self) -> Self {
        Self {
            graph: self.graph.clone(),
            node: self.node,
            port: self.port,
            types: PhantomData,
        }
    }
}

impl Builder {
    /// `application` names the consumer group, the internal topics and the transactional ids: two topologies of one name
    /// would share their work.
    pub fn new(application: impl Into<String>) -> Self {
        let graph = Graph {
            application: application.into(),
            ..Graph::default()
        };
        Self {
            graph: Rc::new(RefCell::new(graph)),
        }
    }

    /// Says how many partitions a topic is created with, if not as many as [`crate::EngineSettings::partitions`] says. A topic
    /// that somebody else owns may have any number when it is there already.
    pub fn partitions<K, V>(&self, topic: Topic<K, V>, count: u32) {
        self.graph.borrow_mut().set_partitions(topic.name(), count);
    }

    /// Says where a source begins of which nothing was ever committed, if not with the first record that is there.
    ///
    /// ```
    /// use topology::dsl::{Builder, OffsetReset};
    /// use topology::Topic;
    ///
    /// const CLICKS: Topic<i64, i64> = Topic::new("clicks");
    ///
    /// let b = Builder::new("example");
    /// b.stream(CLICKS).to(Topic::<i64, i64>::new("seen"));
    /// b.offset_reset(CLICKS, OffsetReset::Latest);
    /// b.build().unwrap();
    /// ```
    ///
    /// `OffsetReset::ByDuration` is by the records' own timestamps and the engine's clock:
    ///
    /// ```
    /// use std::time::Duration;
    /// use topology::dsl::{Builder, OffsetReset};
    /// use topology::Topic;
    ///
    /// const READINGS: Topic<i64, i64> = Topic::new("readings");
    ///
    /// let b = Builder::new("example");
    /// b.stream(READINGS).to(Topic::<i64, i64>::new("recent"));
    /// b.offset_reset(READINGS, OffsetReset::ByDuration(Duration::from_secs(3_600)));
    /// b.build().unwrap();
    /// ```
    pub fn offset_reset<K, V>(&self, topic: Topic<K, V>, reset: OffsetReset) {
        self.graph.borrow_mut().resets.insert(topic.name(), reset);
    }

    /// Checks the whole. Errors name the node, the store or the topic at fault.
    ///
    /// # Errors
    ///
    /// [`EngineError::Topology`]: two nodes of one name, a topic that is read twice, stores of one name that differ, and the like.
    pub fn build(self) -> Result<Topology, EngineError> {
        let mut graph = Rc::try_unwrap(self.graph)
            .map(RefCell::into_inner)
            .unwrap_or_else(|shared| std::mem::take(&mut *shared.borrow_mut()));
        let is_source = |topic: &str| {
            graph
                .nodes
                .iter()
                .any(|node| matches!(node.kind, Kind::Source { topic: of } if of == topic))
        };
        if let Some(topic) = graph.resets.keys().find(|topic| !is_source(topic)) {
            graph.problems.push(format!("{topic} has an offset reset, but is no source"));
        }
        graph.check_patterns();
        Topology::new(graph)
    }
}

impl<K: Send + 'static, V: Send + 'static> Stream<K, V> {
    fn at(graph: &Rc<RefCell<Graph>>, node: usize, port: usize) -> Self {
        Self {
            graph: graph.clone(),
            node,
            port,
            types: PhantomData,
        }
    }

    /// Adds an operator without state: `apply` is cloned for every task.
    fn operator<KO, VO, E, F>(&self, operator: &str, ports: usize, apply: F) -> usize
    where
        KO: Send + 'static,
        VO: Send + 'static,
        E: Send + 'static,
        F: FnMut(&Record<K, V>, &RecordMetadata, &mut Vec<Record<KO, VO>>, &mut Vec<Record<KO, E>>) -> Result<(), ProcessError>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let mut graph = self.graph.borrow_mut();
        let name = graph.operator_name(self.node, operator);
        let make = Arc::new(move |_: &Arc<dyn Registry>| -> Result<Box<dyn Node>, EngineError> {
            Ok(Box::new(OperatorNode::<K, V, KO, VO, E, F> {
                apply: apply.clone(),
                main: Vec::new(),
                side: Vec::new(),
                types: PhantomData,
            }))
        });
        graph.add(name, Kind::Operator, make, ports, Some((self.node, self.port)))
    }

    /// A name for a step that has none of its own: where it stands among its kind after this stream.
    fn name_after(&self, operator: &str) -> String {
        self.graph.borrow().operator_name(self.node, operator)
    }

    /// The internal topic through which records go to be partitioned anew.
    fn repartition_topic<KO, VO>(&self, name: &str) -> Topic<KO, VO> {
        Topic::named(&format!("{}-{name}-repartition", self.graph.borrow().application))
    }

    /// Adds a step without state that never fails, and has one way out.
    fn on_changes<KO, VO, F>(&self, operator: &str, apply: F) -> Stream<KO, VO>
    where
        KO: Send + 'static,
        VO: Send + 'static,
        F: Fn(&Record<K, V>, &mut Vec<Record<KO, VO>>) + Clone + Send + Sync + 'static,
    {
        let node = self.operator::<KO, VO, std::convert::Infallible, _>(operator, 1, move |record, _, main, _| {
            apply(record, main);
            Ok(())
        });
        Stream::at(&self.graph, node, 0)
    }

    /// Adds a step that works with these stores: `apply` is cloned for every task.
    fn stateful<KO, VO, F>(&self, name: String, stores: Vec<StoreDef>, apply: F) -> Stream<KO, VO>
    where
        KO: Send + 'static,
        VO: Send + 'static,
        F: FnMut(&Record<K, V>, &mut TaskStores<'_>, &mut Vec<Record<KO, VO>>) -> Result<(), ProcessError>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.stateful_with(name, stores, move |_| Ok(apply.clone()))
    }

    /// The same, where the step needs the registry: `make` is called for every task.
    fn stateful_with<KO, VO, F>(
        &self,
        name: String,
        stores: Vec<StoreDef>,
        make: impl Fn(&Arc<dyn Registry>) -> Result<F, EngineError> + Send + Sync + 'static,
    ) -> Stream<KO, VO>
    where
        KO: Send + 'static,
        VO: Send + 'static,
        F: FnMut(&Record<K, V>, &mut TaskStores<'_>, &mut Vec<Record<KO, VO>>) -> Result<(), ProcessError> + Send + 'static,
    {
        let make = Arc::new(move |registry: &Arc<dyn Registry>| -> Result<Box<dyn Node>, EngineError> {
            Ok(Box::new(StatefulNode::<K, V, KO, VO, F> {
                apply: make(registry)?,
                waiting: Vec::new(),
                types: PhantomData,
            }))
        });
        let mut graph = self.graph.borrow_mut();
        let kind = Kind::Processor {
            stores: stores.iter().map(|store| store.name).collect(),
            reads_ahead: false,
        };
        stores.into_iter().for_each(|store| graph.add_store(store));
        let node = graph.add(name, kind, make, 1, Some((self.node, self.port)));
        drop(graph);
        Stream::at(&self.graph, node, 0)
    }

    /// Adds a processor, under a name that is unique in the topology, with its stores; `make` is called for every task.
    pub fn process<P>(
        &self,
        name: impl Into<String>,
        stores: P::Stores,
        make: impl Fn() -> P + Send + Sync + 'static,
    ) -> Stream<P::KeyOut, P::Out>
    where
        P: Processor<KeyIn = K, In = V>,
    {
        let mut graph = self.graph.borrow_mut();
        let definitions = stores.definitions().0;
        let stores: Vec<&'static str> = definitions.iter().map(|d| d.name).collect();
        definitions.into_iter().for_each(|d| graph.add_store(d));
        let kind = Kind::Processor {
            stores: stores.clone(),
            reads_ahead: P::READ_AHEAD.is_some(),
        };
        let make = Arc::new(move |_: &Arc<dyn Registry>| -> Result<Box<dyn Node>, EngineError> {
            Ok(Box::new(ProcessorNode {
                processor: make(),
                stores: stores.clone(),
                at: Vec::new(),
                waiting: Vec::new(),
                headers: Vec::new(),
            }))
        });
        let node = graph.add(name.into(), kind, make, 1, Some((self.node, self.port)));
        drop(graph);
        Stream::at(&self.graph, node, 0)
    }
}
