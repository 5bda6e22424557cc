//! The DSL: streams of typed records, from topics to topics.
//!
//! Each operator is a node. A stream that was re-keyed is a [`Rekeyed`], which offers only [`Rekeyed::repartition`]: state on a
//! stream that is not partitioned by its key does not compile. Internal topics and stores are always named, so that names
//! do not shift when the topology changes.
//!
//! ```
//! use topology::dsl::Builder;
//! use wire::Topic;
//!
//! const NUMBERS: Topic<i64, i64> = Topic::new("numbers");
//! const EVEN: Topic<i64, i64> = Topic::new("even");
//!
//! let builder = Builder::new("example");
//! builder.stream(NUMBERS).filter(|_, number| number % 2 == 0).to(EVEN);
//! let topology = builder.build().unwrap();
//! assert!(topology.to_string().contains("Sink: even"));
//! ```

mod operators;
mod rekeyed;
mod sink;
mod source;

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use wire::{Registry, Topic};

use crate::error::{EngineError, ProcessError};
use crate::graph::{Graph, Kind, Node, OperatorNode, ProcessorNode, Topology};
use crate::processor::Processor;
use crate::record::{Record, RecordMetadata};
use crate::store::StoreSet;

pub use rekeyed::Rekeyed;

/// Builds a [`Topology`].
pub struct Builder {
    application: String,
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
        Self {
            application: application.into(),
            graph: Rc::default(),
        }
    }

    /// Says how many partitions a topic is created with, if not as many as [`crate::EngineSettings::partitions`] says. A topic
    /// that somebody else owns may have any number when it is there already.
    pub fn partitions<K, V>(&self, topic: Topic<K, V>, count: u32) {
        self.graph.borrow_mut().set_partitions(topic.name(), count);
    }

    /// Checks the whole. Errors name the node, the store or the topic at fault.
    pub fn build(self) -> Result<Topology, EngineError> {
        let graph = Rc::try_unwrap(self.graph)
            .map(RefCell::into_inner)
            .unwrap_or_else(|shared| std::mem::take(&mut *shared.borrow_mut()));
        Topology::new(self.application, graph)
    }
}

impl<K: Send + 'static, V: Send + 'static> Stream<K, V> {
    /// Says that the keys are no longer those of the partition: a processor may give its records keys of another kind.
    pub fn rekeyed(self) -> Rekeyed<K, V> {
        Rekeyed { stream: self }
    }

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

    /// Adds a processor; `make` is called for every task.
    pub fn process<P>(&self, make: impl Fn() -> P + Send + Sync + 'static) -> Stream<P::KeyOut, P::Out>
    where
        P: Processor<KeyIn = K, In = V>,
    {
        let mut graph = self.graph.borrow_mut();
        let definitions = P::STORES.definitions().0;
        let stores: Vec<&'static str> = definitions.iter().map(|d| d.name).collect();
        definitions.into_iter().for_each(|d| graph.add_store(d));
        let kind = Kind::Processor {
            stores: stores.clone(),
            punctuate: P::PUNCTUATE,
            reads_ahead: P::READ_AHEAD.is_some(),
        };
        let make = Arc::new(move |_: &Arc<dyn Registry>| -> Result<Box<dyn Node>, EngineError> {
            Ok(Box::new(ProcessorNode {
                processor: make(),
                stores: stores.clone(),
                at: Vec::new(),
                waiting: Vec::new(),
            }))
        });
        let node = graph.add(P::NAME.to_owned(), kind, make, 1, Some((self.node, self.port)));
        drop(graph);
        Stream::at(&self.graph, node, 0)
    }
}
