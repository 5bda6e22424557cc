//! Each operator: what it needs, and the node that it is.

use rand::RngExt;

use super::{Flow, Generator, Made, SOURCES_MAX};
use crate::case::{Node, feature};

/// What makes a stream of a stream or a table.
const STREAM_OPERATORS: [&str; 19] = [
    "filter",
    "filter_not",
    "map",
    "flat_map",
    "map_values",
    "flat_map_values",
    "select_key",
    "peek",
    "merge",
    "merge",
    "split",
    "repartition",
    "process",
    "join",
    "left_join",
    "to_stream",
    "to_stream",
    "join",
    "filter",
];
/// What makes a table.
const TABLE_OPERATORS: [&str; 17] = [
    "to_table",
    "count",
    "reduce",
    "aggregate",
    "cogroup",
    "table_filter",
    "table_filter_not",
    "table_map_values",
    "table_count",
    "table_reduce",
    "table_aggregate",
    "table_join",
    "table_left_join",
    "table_outer_join",
    "fk_join",
    "fk_left_join",
    "table_filter",
];

impl Generator<'_> {
    /// Some operator, if one fits.
    pub(super) fn anything(&mut self, depth: usize) -> Option<Made> {
        let op = if self.chance(0.5) {
            self.one_of(&STREAM_OPERATORS)
        } else {
            self.one_of(&TABLE_OPERATORS)
        };
        if (self.allowed)(op) { self.apply(op, depth) } else { None }
    }

    fn new_source(&mut self, op: &str) -> Flow {
        self.sources += 1;
        let topic = format!("in{}", self.sources);
        let node = Node {
            topic: Some(topic.clone()),
            ..Node::default()
        };
        let node = if op == "table" { self.with_store(op, node) } else { node };
        let versioned = node.versioned;
        Flow {
            id: self.add(op, &[], node),
            region: self.regions.add(None),
            causes: [topic].into(),
            many: false,
            rekeyed: false,
            versioned,
        }
    }

    /// A stream: one that is there, one from a topic, or what an operator makes.
    pub(super) fn stream(&mut self, depth: usize) -> usize {
        if !self.streams.is_empty() && (self.chance(0.4) || self.sources >= SOURCES_MAX) {
            return self.random.random_range(0..self.streams.len());
        }
        if depth > 0 && self.chance(0.7) {
            let op = self.one_of(&STREAM_OPERATORS);
            if (self.allowed)(op)
                && let Some(Made::Stream(made)) = self.apply(op, depth - 1)
            {
                return made;
            }
        }
        let source = self.new_source("stream");
        self.add_stream(source)
    }

    pub(super) fn table(&mut self, depth: usize) -> usize {
        if !self.tables.is_empty() && (self.chance(0.35) || self.sources >= SOURCES_MAX) {
            return self.random.random_range(0..self.tables.len());
        }
        if depth > 0 && self.chance(0.6) {
            let op = self.one_of(&TABLE_OPERATORS);
            if (self.allowed)(op)
                && let Some(Made::Table(made)) = self.apply(op, depth - 1)
            {
                return made;
            }
        }
        let source = self.new_source("table");
        self.add_table(source)
    }

    /// A stream for an operator that the engine has for streams of other keys only where that is allowed.
    pub(super) fn plain_stream(&mut self, depth: usize) -> Option<usize> {
        let at = self.stream(depth);
        let is_fine = !self.streams[at].rekeyed || (self.allowed)(feature::REKEYED);
        is_fine.then_some(at)
    }

    /// A stream in front of state: Kafka Streams sends one of other keys through an internal topic.
    pub(super) fn keyed(&mut self, at: usize) -> Flow {
        let flow = self.streams[at].clone();
        if flow.rekeyed {
            self.through_a_topic(&flow, flow.many)
        } else {
            flow
        }
    }

    pub(super) fn with_store(&mut self, op: &str, node: Node) -> Node {
        let is_table = ["table", "to_table"].contains(&op);
        let feature = if is_table {
            feature::VERSIONED
        } else {
            feature::VERSIONED_RESULT
        };
        let is_versioned = (self.allowed)(feature) && self.chance(0.15);
        Node {
            store: self.store(),
            versioned: is_versioned.then(|| self.one_of(&[50, 200, 1_000])),
            ..node
        }
    }

    pub(super) fn maybe_store(&mut self, op: &str, node: Node) -> Node {
        if (self.allowed)(feature::MATERIALIZED) && self.chance(0.3) {
            self.with_store(op, node)
        } else {
            node
        }
    }

    /// Applies an operator to inputs of this depth; `None` if it does not fit what it found.
    pub(super) fn apply(&mut self, op: &str, depth: usize) -> Option<Made> {
        match op {
            "stream" => {
                let source = self.new_source(op);
                Some(Made::Stream(self.add_stream(source)))
            }
            "table" => {
                let source = self.new_source(op);
                Some(Made::Table(self.add_table(source)))
            }
            "filter" | "filter_not" | "map_values" | "flat_map_values" | "peek" | "process" | "map" | "flat_map"
            | "select_key" => self.on_stream(op, depth),
            "merge" => self.merge(depth),
            "split" | "branch" => self.split(depth),
            "repartition" => {
                let from = self.stream(depth);
                let from = self.streams[from].clone();
                let mut flow = self.through_a_topic(&from, from.many);
                flow.id = self.add(op, &[&from.id], Node::default());
                Some(Made::Stream(self.add_stream(flow)))
            }
            "to" | "to_by" | "for_each" => {
                let from = if op == "to_by" {
                    self.plain_stream(depth)?
                } else {
                    self.stream(depth)
                };
                self.sink(op, from);
                Some(Made::Nothing)
            }
            "to_stream" => {
                let table = self.table(depth);
                Some(Made::Stream(self.stream_of(table)))
            }
            "to_table" => {
                let from = self.stream(depth);
                let flow = self.keyed(from);
                let node = self.with_store(op, Node::default());
                Some(self.made_table(op, &[&self.streams[from].id.clone()], node, flow))
            }
            "table_filter" | "table_filter_not" | "table_map_values" => {
                let from = self.table(depth);
                let flow = self.tables[from].clone();
                let function = if op == "table_map_values" {
                    self.mapper()
                } else {
                    self.predicate()
                };
                let node = self.maybe_store(
                    op,
                    Node {
                        function,
                        ..Node::default()
                    },
                );
                Some(self.made_table(op, &[&flow.id.clone()], node, flow))
            }
            "group_by_key" | "group_by" | "count" | "reduce" | "aggregate" => self.aggregate(op, depth),
            "cogroup" => self.cogroup(depth),
            "table_group_by" | "table_count" | "table_reduce" | "table_aggregate" => self.table_aggregate(op, depth),
            "join" | "left_join" => self.stream_join(op, depth),
            "table_join" | "table_left_join" | "table_outer_join" => self.table_join(op, depth),
            "fk_join" | "fk_left_join" => self.foreign_join(op, depth),
            _ => panic!("no operator {op}"),
        }
    }
}
