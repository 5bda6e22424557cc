//! A record's way through the nodes of a task, depth first.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use broker::Headers;
use clock::Millis;

use crate::error::ProcessError;
use crate::graph::Topology;
use crate::headers;
use crate::node::{Env, Expired, Node, Outgoings};
use crate::offset::RecordOffset;
use crate::planted::planted;
use crate::punctuators::{Punctuation, Punctuators};
use crate::record::RecordMetadata;
use crate::store::AnyStore;

/// A task's nodes and stores, and the record in hand.
pub(super) struct Flow {
    /// By the topology's numbers; those of other sub-topologies are empty, and a node is out while it is at work.
    pub nodes: Vec<Option<Box<dyn Node>>>,
    pub stores: Vec<Box<dyn AnyStore>>,
    /// What the record in hand writes to topics.
    pub out: Outgoings,
    /// The nodes that hold records back until the commit, in the order of their numbers: none comes before those that it gets records of.
    pub caches: Vec<usize>,
    /// The headers of the record that a node has in hand: those of `at` but for what says how its bytes are read, or what a processor gave.
    pub headers: Headers,
    pub punctuators: Punctuators,
    pub at: RecordMetadata,
    /// The event time of the record in hand. One that cannot be read has none where its source extracts times: the log's says nothing of it.
    pub event_time_ms: Option<Millis>,
    /// The nodes with rows that expire, in the order of their numbers.
    pub expiring: Vec<usize>,
    /// The highest event time that the task has seen, in milliseconds since the epoch; kept where rows expire.
    pub stream_time_ms: Option<Millis>,
}

impl Flow {
    pub fn begin_record(&mut self, timestamp_ms: Millis) {
        self.out.clear();
        self.stores.iter_mut().for_each(|s| s.begin_record(timestamp_ms));
        for &cache in &self.caches {
            self.nodes[cache].as_mut().into_iter().for_each(|node| node.begin_record());
        }
    }

    /// Whether a node holds back as much as it may.
    pub fn has_full_cache(&self) -> bool {
        let mut caches = self.caches.iter().filter_map(|&id| self.nodes[id].as_ref());
        caches.any(|node| node.is_full())
    }

    /// Has a node give on the next record that it held back. Returns whether there was one.
    pub fn flush(&mut self, topology: &Topology, id: usize, now_ms: Millis) -> Result<bool, ProcessError> {
        let Some(event_time_ms) = self.nodes[id].as_mut().and_then(|node| node.flush()) else {
            return Ok(false);
        };
        self.at = RecordMetadata {
            partition: self.at.partition,
            offset: RecordOffset::NONE,
            timestamp_ms: event_time_ms,
            ..RecordMetadata::default()
        };
        self.begin_record(event_time_ms);
        self.with_node(topology, id, now_ms, |_, _| Ok(None))?;
        Ok(true)
    }

    /// Has rows of a node expire.
    pub fn expire(
        &mut self,
        topology: &Topology,
        id: usize,
        stream_time_ms: Millis,
        now_ms: Millis,
    ) -> Result<Expired, ProcessError> {
        self.at = RecordMetadata {
            partition: self.at.partition,
            offset: RecordOffset::NONE,
            timestamp_ms: stream_time_ms,
            ..RecordMetadata::default()
        };
        self.begin_record(stream_time_ms);
        self.take_headers();
        let mut expired = Expired::default();
        self.with_node(topology, id, now_ms, |node, env| {
            expired = node.expire(stream_time_ms, env)?;
            Ok(None)
        })?;
        Ok(expired)
    }

    /// The headers in `at` go with what comes of it.
    fn take_headers(&mut self) {
        self.headers.clear();
        if !self.at.headers.is_empty() {
            let its = self.at.headers.iter().filter(|(name, _)| !headers::is_of_bytes(name));
            self.headers.extend(its.cloned());
        }
    }

    /// The record in hand has written nothing.
    pub fn undo_record(&mut self) {
        self.out.clear();
        if !planted("what a dead letter wrote stays") {
            self.stores.iter_mut().for_each(|s| s.undo_record());
        }
        self.nodes.iter_mut().flatten().for_each(|n| n.clear());
    }

    /// Before the record in `at` of this source.
    pub fn begin_source(&mut self, id: usize) {
        let extracts_time = self.nodes[id].as_ref().is_some_and(|node| node.extracts_time());
        self.event_time_ms = (!extracts_time).then_some(self.at.timestamp_ms);
        self.begin_record(self.at.timestamp_ms);
    }

    /// Takes the record in `at` from its source on.
    pub fn run_source(&mut self, topology: &Topology, id: usize, now_ms: Millis) -> Result<(), ProcessError> {
        self.begin_source(id);
        self.take_headers();
        self.with_node(topology, id, now_ms, |node, env| node.source(env))
    }

    /// The event time of the record in `at`, if it has one, which a source reads before its turn.
    pub fn event_time(&mut self, source: usize) -> Result<Option<Millis>, ProcessError> {
        let node = self.nodes[source].as_mut().expect("no node is at work");
        node.event_time(&self.at)
    }

    /// Has processors name what a waiting record of a source will ask for.
    pub fn name_ahead(&mut self, id: usize, key: &[u8], processors: &[usize]) {
        let source = self.nodes[id].take().expect("a node is not its own descendant");
        let shown = catch_unwind(AssertUnwindSafe(|| {
            source.show_key(key, &mut |key| {
                for &processor in processors {
                    if let Some(processor) = &mut self.nodes[processor] {
                        processor.read_ahead(key, &mut self.stores);
                    }
                }
            });
        }));
        self.nodes[id] = Some(source);
        shown.unwrap_or_else(|panic| resume_unwind(panic));
    }

    /// Tells the processors behind a source that the record in `at` was undone and is a dead letter.
    pub fn tell_dead_letter(&mut self, topology: &Topology, source: usize, now_ms: Millis) -> Result<(), ProcessError> {
        self.begin_record(self.at.timestamp_ms);
        self.take_headers();
        topology
            .processors_behind(source)
            .into_iter()
            .try_for_each(|id| self.with_node(topology, id, now_ms, |node, env| node.dead_letter(env).map(|()| None)))
    }

    /// Lets processors schedule their punctuators.
    pub fn init(&mut self, now_ms: Millis) {
        for (id, node) in self.nodes.iter_mut().enumerate() {
            if let Some(node) = node {
                node.init(id, &mut self.punctuators, now_ms);
            }
        }
    }

    /// Calls a node's punctuator.
    pub fn punctuate(
        &mut self,
        topology: &Topology,
        id: usize,
        punctuation: Punctuation,
        now_ms: Millis,
    ) -> Result<(), ProcessError> {
        self.take_headers();
        self.with_node(topology, id, now_ms, |node, env| {
            node.punctuate(env, punctuation).map(|()| None)
        })
    }

    fn run(&mut self, topology: &Topology, id: usize, record: &dyn Any, now_ms: Millis) -> Result<(), ProcessError> {
        self.with_node(topology, id, now_ms, |node, env| node.process(record, env).map(|()| None))
    }

    /// Lets a node work, then gives what it forwards to its children. A source tells the record's event time.
    fn with_node(
        &mut self,
        topology: &Topology,
        id: usize,
        now_ms: Millis,
        work: impl FnOnce(&mut dyn Node, &mut Env<'_>) -> Result<Option<Millis>, ProcessError>,
    ) -> Result<(), ProcessError> {
        let mut node = self.nodes[id].take().expect("a node is not its own descendant");
        let mut env = Env {
            id,
            stores: &mut self.stores,
            out: &mut self.out,
            punctuators: &mut self.punctuators,
            at: &self.at,
            headers: &self.headers,
            now_ms,
            stream_time_ms: self.stream_time_ms,
        };
        let worked = work(node.as_mut(), &mut env);
        let outcome = worked.and_then(|event_time_ms| {
            if let Some(event_time_ms) = event_time_ms {
                self.event_time_ms = Some(event_time_ms);
                if event_time_ms != self.at.timestamp_ms {
                    self.at.timestamp_ms = event_time_ms;
                    self.stores.iter_mut().for_each(|s| s.begin_record(event_time_ms));
                }
            }
            node.emit(&mut |port, record, headers| {
                let before = headers.map(|own| std::mem::replace(&mut self.headers, own.clone()));
                for &child in &topology.nodes[id].children[port] {
                    self.run(topology, child, record, now_ms)?;
                }
                if let Some(before) = before {
                    self.headers = before;
                }
                Ok(())
            })
        });
        if outcome.is_err() {
            node.clear();
        }
        self.nodes[id] = Some(node);
        outcome
    }
}
