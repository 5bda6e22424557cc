//! Operators that make streams.

use rand::RngExt;

use super::{Flow, Generator, Made};
use crate::case::{Function, Node, feature};

impl Generator<'_> {
    pub(super) fn on_stream(&mut self, op: &str, depth: usize) -> Option<Made> {
        let from = if op == "process" {
            self.plain_stream(depth)?
        } else {
            self.stream(depth)
        };
        if op == "process" && self.nodes.iter().any(|node| node.op == op) {
            // There is one store of that name.
            return None;
        }
        let mut flow = self.streams[from].clone();
        let mut node = Node::default();
        match op {
            "filter" | "filter_not" => node.function = self.predicate(),
            "map_values" => node.function = self.mapper(),
            "flat_map_values" => node.function = self.function(&[("copies", &[])]),
            "select_key" => node.key = self.key(),
            "map" => (node.key, node.function) = (self.key(), self.mapper()),
            "flat_map" => (node.key, node.function) = (self.key(), self.function(&[("copies", &[])])),
            "process" => {
                node.store = Some("totals".to_owned());
                node.every = Some(1_000);
                flow.causes.insert("the wall clock".to_owned());
                flow.many = true;
            }
            _ => {}
        }
        flow.many |= op.starts_with("flat_map");
        flow.rekeyed |= matches!(op, "map" | "flat_map" | "select_key" | "process");
        let id = self.add(op, &[&flow.id], node);
        Some(Made::Stream(self.add_stream(Flow { id, ..flow })))
    }

    pub(super) fn merge(&mut self, depth: usize) -> Option<Made> {
        let (one, other) = (self.stream(depth), self.stream(depth));
        let (one, other) = (self.streams[one].clone(), self.streams[other].clone());
        if one.id == other.id {
            return None;
        }
        let flow = self.both(&one, &other)?;
        let id = self.add("merge", &[&one.id, &other.id], Node::default());
        let rekeyed = one.rekeyed || other.rekeyed;
        Some(Made::Stream(self.add_stream(Flow { id, rekeyed, ..flow })))
    }

    pub(super) fn split(&mut self, depth: usize) -> Option<Made> {
        let from = self.plain_stream(depth)?;
        let flow = self.streams[from].clone();
        let functions: Vec<Function> = (0..self.random.random_range(1..3)).filter_map(|_| self.predicate()).collect();
        let branches = functions.len() + 1;
        let node = Node {
            functions,
            ..Node::default()
        };
        let split = self.add("split", &[&flow.id], node);
        let mut last = None;
        for index in 0..branches {
            let node = Node {
                index: Some(index),
                ..Node::default()
            };
            let id = self.add("branch", &[&split], node);
            last = Some(Made::Stream(self.add_stream(Flow { id, ..flow.clone() })));
        }
        last
    }

    pub(super) fn stream_join(&mut self, op: &str, depth: usize) -> Option<Made> {
        let table = self.table(depth);
        let table = self.tables[table].clone();
        let stream = self.stream(depth);
        let id = self.streams[stream].id.clone();
        let keyed = self.keyed(stream);
        let flow = self.both(&keyed, &table)?;
        let grace = match table.versioned {
            Some(versioned) if (self.allowed)(feature::GRACE) && self.chance(0.7) => {
                Some(self.one_of(&[0, 20, 50]).min(versioned))
            }
            _ => None,
        };
        let node = Node {
            function: self.joiner(false),
            grace,
            ..Node::default()
        };
        let id = self.add(op, &[&id, &table.id], node);
        let many = keyed.many || grace.is_some();
        Some(Made::Stream(self.add_stream(Flow { id, many, ..flow })))
    }

    pub(super) fn stream_of(&mut self, table: usize) -> usize {
        let flow = self.tables[table].clone();
        let id = self.add("to_stream", &[&flow.id], Node::default());
        self.add_stream(Flow { id, ..flow })
    }

    pub(super) fn sink(&mut self, op: &str, from: usize) {
        let node = Node {
            topic: (op != "for_each").then(|| format!("out{}", self.nodes.len() + 1)),
            key: if op == "to_by" {
                self.function(&[("key_mod", &[&[2]])])
            } else {
                None
            },
            ..Node::default()
        };
        let from = self.streams[from].id.clone();
        self.add(op, &[&from], node);
    }
}
