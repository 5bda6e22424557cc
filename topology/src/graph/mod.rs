//! The topology as data: nodes, edges, stores, and the sub-topologies that fall out of them.
//!
//! The DSL builds a [`Graph`]; [`Topology`] is the checked result. A sub-topology is what hangs together without passing
//! through a topic; a task is a sub-topology and a partition.

mod describe;
mod matches;
mod pattern;
mod reset;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use broker::CleanupPolicy;
use pattern::Pattern;
pub use reset::OffsetReset;
use wire::Registry;

use crate::error::EngineError;
use crate::node::Node;
use crate::store::{Backing, StoreDef};

pub(crate) type MakeNode = Arc<dyn Fn(&Arc<dyn Registry>) -> Result<Box<dyn Node>, EngineError> + Send + Sync>;

/// What a node is, for the description and the wiring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Source {
        topic: &'static str,
    },
    /// Reads whatever topics match a regular expression.
    Matching {
        expression: &'static str,
    },
    Operator,
    Processor {
        stores: Vec<&'static str>,
        reads_ahead: bool,
    },
    Sink {
        topic: &'static str,
    },
}

pub(crate) struct NodeDef {
    pub name: String,
    pub kind: Kind,
    pub make: MakeNode,
    /// Children by output port.
    pub children: Vec<Vec<usize>>,
}

/// How a topic is used, and what it must be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TopicUse {
    /// Read only: somebody else owns it. Created where it is missing, so that its partition count is ours.
    Foreign,
    /// Written by this topology.
    Own(CleanupPolicy),
    /// Written and read by this topology alone, in packs of records.
    Repartition,
}

/// A topology under construction.
#[derive(Default)]
pub(crate) struct Graph {
    /// Prefix of internal topics, consumer group, transactional ids.
    pub application: String,
    pub nodes: Vec<NodeDef>,
    pub stores: Vec<StoreDef>,
    pub topics: BTreeMap<&'static str, TopicUse>,
    /// Partition counts of topics that have one of their own.
    pub partitions: BTreeMap<&'static str, u32>,
    /// Where sources begin that do not begin at the log's start.
    pub resets: BTreeMap<&'static str, OffsetReset>,
    pub patterns: Vec<Pattern>,
    pub problems: Vec<String>,
}

impl Graph {
    pub fn add(&mut self, name: String, kind: Kind, make: MakeNode, ports: usize, parent: Option<(usize, usize)>) -> usize {
        if self.nodes.iter().any(|n| n.name == name) {
            self.problems.push(format!("two nodes are named {name}"));
        }
        let id = self.nodes.len();
        self.nodes.push(NodeDef {
            name,
            kind,
            make,
            children: vec![Vec::new(); ports],
        });
        if let Some((parent, port)) = parent {
            self.nodes[parent].children[port].push(id);
        }
        id
    }

    /// A name for an operator that keeps no state: where it stands among its kind after its parent.
    pub fn operator_name(&self, parent: usize, operator: &str) -> String {
        let base = format!("{}.{operator}", self.nodes[parent].name);
        let taken = |name: &str| self.nodes.iter().any(|n| n.name == name);
        if !taken(&base) {
            return base;
        }
        (2..)
            .map(|i| format!("{base}{i}"))
            .find(|name| !taken(name))
            .expect("names do not run out")
    }

    pub fn add_store(&mut self, store: StoreDef) {
        if let Err(problem) = store.settings() {
            self.problems.push(problem);
        }
        match self.stores.iter().find(|s| s.name == store.name) {
            None => self.stores.push(store),
            Some(known) if known.is_same(&store) => {}
            Some(_) => self.problems.push(format!(
                "two stores are named {} but differ in type, backing or their changelog's settings",
                store.name
            )),
        }
    }

    pub fn set_partitions(&mut self, topic: &'static str, count: u32) {
        let known = *self.partitions.entry(topic).or_insert(count);
        if count == 0 || known != count {
            self.problems
                .push(format!("topic {topic} cannot have {known} and {count} partitions"));
        }
    }

    pub fn use_topic(&mut self, topic: &'static str, how: TopicUse) {
        match (self.topics.get(topic).copied(), how) {
            (None | Some(TopicUse::Foreign), _) => {
                self.topics.insert(topic, how);
            }
            (Some(_), TopicUse::Foreign) => {}
            (Some(known), other) if known == other => {}
            (Some(TopicUse::Repartition), _) | (_, TopicUse::Repartition) => self.problems.push(format!(
                "topic {topic} is a repartition topic: nothing else can be written to it"
            )),
            _ => self
                .problems
                .push(format!("topic {topic} is written with two cleanup policies")),
        }
    }
}

/// A sub-topology: the nodes and stores of one kind of task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubTopology {
    /// Named by its first source topic, or pattern where none is named, so that it stays the same when others come or go.
    pub name: String,
    pub nodes: Vec<usize>,
    /// Source topics that are named, with their nodes.
    pub sources: Vec<(&'static str, usize)>,
    /// Nodes of sources whose topics match a pattern.
    pub matching: Vec<usize>,
    /// Indexes into [`Topology::stores`]. Those without a changelog come last, so that a task's changelogs are in the order of its stores.
    pub stores: Vec<usize>,
}

/// A checked topology, ready to run. Made by [`crate::dsl::Builder::build`].
pub struct Topology {
    pub(crate) application: String,
    pub(crate) nodes: Vec<NodeDef>,
    pub(crate) stores: Vec<StoreDef>,
    pub(crate) topics: BTreeMap<&'static str, TopicUse>,
    /// Partition counts of topics that have one of their own.
    pub(crate) partitions: BTreeMap<&'static str, u32>,
    resets: BTreeMap<&'static str, OffsetReset>,
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) subs: Vec<SubTopology>,
}

impl Topology {
    pub(crate) fn new(graph: Graph) -> Result<Self, EngineError> {
        if let Some(problem) = graph.problems.first() {
            return Err(EngineError::Topology(problem.clone()));
        }
        let subs = sub_topologies(&graph);
        if let Some(empty) = subs.iter().find(|s| s.sources.is_empty() && s.matching.is_empty()) {
            return Err(EngineError::Topology(format!("{} has no source", empty.name)));
        }
        let Graph {
            application,
            nodes,
            stores,
            topics,
            partitions,
            resets,
            patterns,
            ..
        } = graph;
        Ok(Self {
            application,
            nodes,
            stores,
            topics,
            partitions,
            resets,
            patterns,
            subs,
        })
    }

    /// The application's name: prefix of internal topics, consumer group, transactional ids.
    pub fn application(&self) -> &str {
        &self.application
    }

    /// The processors that read ahead by the key of a source: between them, operators keep it.
    pub(crate) fn readers_ahead(&self, source: usize) -> Vec<usize> {
        let mut found = self.processors_behind(source);
        found.retain(|&id| matches!(self.nodes[id].kind, Kind::Processor { reads_ahead: true, .. }));
        found
    }

    /// The processors that a source's records come to first.
    pub(crate) fn processors_behind(&self, source: usize) -> Vec<usize> {
        let mut found = BTreeSet::new();
        let mut ways: Vec<usize> = self.nodes[source].children.iter().flatten().copied().collect();
        while let Some(id) = ways.pop() {
            match self.nodes[id].kind {
                Kind::Operator => ways.extend(self.nodes[id].children.iter().flatten()),
                Kind::Processor { .. } => drop(found.insert(id)),
                _ => {}
            }
        }
        found.into_iter().collect()
    }

    /// Where a source begins of which nothing was ever committed, by its node.
    pub(crate) fn offset_reset(&self, source: usize) -> OffsetReset {
        let pattern = self.patterns.iter().find(|pattern| pattern.node == source);
        let name = match self.nodes[source].kind {
            Kind::Source { topic } => Some(topic),
            _ => None,
        };
        let said = pattern.map(|pattern| pattern.reset);
        said.or_else(|| self.resets.get(name?).copied()).unwrap_or_default()
    }

    /// Whether a source's topics are those that match.
    pub(crate) fn is_pattern(&self, source: usize) -> bool {
        matches!(self.nodes[source].kind, Kind::Matching { .. })
    }

    pub(crate) fn is_repartition(&self, topic: &str) -> bool {
        self.topics.get(topic) == Some(&TopicUse::Repartition)
    }

    /// The sub-topology that reads a repartition topic; `None` for any other topic.
    pub(crate) fn repartition_reader(&self, topic: &str) -> Option<usize> {
        let reads = |sub: &SubTopology| sub.sources.iter().any(|(source, _)| *source == topic);
        self.subs.iter().position(reads).filter(|_| self.is_repartition(topic))
    }

    /// The repartition topics that a sub-topology writes to, each with the sub-topology that reads it.
    pub(crate) fn repartition_topics_of(&self, sub: &SubTopology) -> impl Iterator<Item = (&'static str, usize)> {
        sub.nodes.iter().filter_map(|&node| match self.nodes[node].kind {
            Kind::Sink { topic } => self.repartition_reader(topic).map(|reader| (topic, reader)),
            _ => None,
        })
    }

    /// The topic whose partitions stand for the groups of tasks.
    pub fn tasks_topic(&self) -> String {
        format!("{}-tasks", self.application)
    }

    /// The topic in which instances announce themselves.
    pub fn instances_topic(&self) -> String {
        format!("{}-instances", self.application)
    }

    /// The topic in which the schemas are kept that were registered, with their ids.
    pub fn schemas_topic(&self) -> String {
        format!("{}-schemas", self.application)
    }

    /// The topic that says which inputs were begun.
    pub fn inputs_topic(&self) -> String {
        format!("{}-inputs", self.application)
    }

    /// The topic for records that could not be processed.
    pub fn dead_letter_topic(&self) -> String {
        format!("{}-dead-letters", self.application)
    }
}

/// Joins nodes that are linked by an edge or share a store.
fn sub_topologies(graph: &Graph) -> Vec<SubTopology> {
    let mut group: Vec<usize> = (0..graph.nodes.len()).collect();
    fn root(group: &[usize], mut i: usize) -> usize {
        while group[i] != i {
            i = group[i];
        }
        i
    }
    let mut join = |a: usize, b: usize| {
        let (a, b) = (root(&group, a), root(&group, b));
        group[a.max(b)] = a.min(b);
    };
    let mut store_user: BTreeMap<&str, usize> = BTreeMap::new();
    for (id, node) in graph.nodes.iter().enumerate() {
        node.children.iter().flatten().for_each(|&child| join(id, child));
        if let Kind::Processor { stores, .. } = &node.kind {
            for store in stores {
                let first = *store_user.entry(store).or_insert(id);
                join(first, id);
            }
        }
    }
    let roots: BTreeSet<usize> = (0..graph.nodes.len()).map(|i| root(&group, i)).collect();
    roots
        .into_iter()
        .map(|r| {
            let nodes: Vec<usize> = (0..graph.nodes.len()).filter(|&i| root(&group, i) == r).collect();
            let sources: Vec<_> = nodes
                .iter()
                .filter_map(|&i| match graph.nodes[i].kind {
                    Kind::Source { topic } => Some((topic, i)),
                    _ => None,
                })
                .collect();
            let is_matching = |i: &usize| matches!(graph.nodes[*i].kind, Kind::Matching { .. });
            let matching: Vec<usize> = nodes.iter().copied().filter(is_matching).collect();
            let used: BTreeSet<&str> = nodes
                .iter()
                .filter_map(|&i| match &graph.nodes[i].kind {
                    Kind::Processor { stores, .. } => Some(stores.iter().copied()),
                    _ => None,
                })
                .flatten()
                .collect();
            let mut stores: Vec<usize> = (0..graph.stores.len())
                .filter(|&s| used.contains(graph.stores[s].name))
                .collect();
            stores.sort_by_key(|&s| graph.stores[s].backing == Backing::Nowhere);
            let mut patterns = graph.patterns.iter().filter(|pattern| matching.contains(&pattern.node));
            let first = sources.first().map(|(topic, _)| *topic);
            let first = first.or_else(|| patterns.next().map(|pattern| pattern.name));
            let name = first.unwrap_or(&graph.nodes[r].name).to_owned();
            SubTopology {
                name,
                nodes,
                sources,
                matching,
                stores,
            }
        })
        .collect()
}
