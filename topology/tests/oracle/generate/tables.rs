//! Operators that make tables.

use rand::RngExt;

use super::{Causes, Entry, Flow, Generator, Made};
use crate::case::{Function, Node};

impl Generator<'_> {
    pub(super) fn made_table(&mut self, op: &str, inputs: &[&str], node: Node, flow: Flow) -> Made {
        let versioned = node.versioned;
        let id = self.add(op, inputs, node);
        Made::Table(self.add_table(Flow {
            id,
            versioned,
            rekeyed: false,
            ..flow
        }))
    }

    pub(super) fn grouping(&mut self) -> &'static str {
        if self.chance(0.5) && (self.allowed)("group_by") {
            "group_by"
        } else {
            "group_by_key"
        }
    }

    /// Groups a stream; the node's id with what flows behind it.
    pub(super) fn group(&mut self, op: &str, from: usize) -> (String, Flow) {
        let from = self.streams[from].clone();
        let is_moved = op == "group_by" || from.rekeyed;
        let flow = if is_moved {
            self.through_a_topic(&from, from.many)
        } else {
            from.clone()
        };
        let key = if op == "group_by" { self.key() } else { None };
        let id = self.add(op, &[&from.id], Node { key, ..Node::default() });
        (id, flow)
    }

    pub(super) fn aggregate(&mut self, op: &str, depth: usize) -> Option<Made> {
        let from = self.stream(depth);
        let grouping = if op.starts_with("group_by") { op } else { self.grouping() };
        let (group, flow) = self.group(grouping, from);
        let op = if op.starts_with("group_by") {
            self.first_allowed(&["count", "reduce", "aggregate"])
        } else {
            op
        };
        let function = if op == "count" { None } else { self.fold(op == "reduce") };
        let node = self.with_store(
            op,
            Node {
                function,
                init: (op == "aggregate").then_some(1),
                ..Node::default()
            },
        );
        Some(self.made_table(op, &[&group], node, flow))
    }

    pub(super) fn cogroup(&mut self, depth: usize) -> Option<Made> {
        let mut inputs: Vec<String> = Vec::new();
        let mut all: Option<Flow> = None;
        for _ in 0..self.random.random_range(1..=3) {
            let from = self.stream(depth);
            let grouping = self.grouping();
            // Not twice the same one by the same key: Kafka Streams has a name for each.
            if self
                .nodes
                .iter()
                .any(|node| inputs.contains(&node.id) && node.inputs[0] == self.streams[from].id)
            {
                continue;
            }
            let (group, flow) = self.group(grouping, from);
            let met = match &all {
                None => Some(flow),
                Some(before) => self.both(before, &flow),
            };
            if let Some(met) = met {
                all = Some(met);
                inputs.push(group);
            }
        }
        let functions: Vec<Function> = inputs.iter().filter_map(|_| self.fold(false)).collect();
        let node = self.with_store(
            "cogroup",
            Node {
                functions,
                init: Some(1),
                ..Node::default()
            },
        );
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Some(self.made_table("cogroup", &inputs, node, all?))
    }

    pub(super) fn table_aggregate(&mut self, op: &str, depth: usize) -> Option<Made> {
        let from = self.table(depth);
        let from = self.tables[from].clone();
        let flow = self.through_a_topic(&from, true);
        let key = self.key();
        let group = self.add("table_group_by", &[&from.id], Node { key, ..Node::default() });
        let op = match op {
            "table_group_by" => self.first_allowed(&["table_count", "table_reduce", "table_aggregate"]),
            op => op,
        };
        let is_count = op == "table_count";
        let function = if is_count { None } else { self.fold(op == "table_reduce") };
        let subtract = if is_count {
            None
        } else {
            self.subtractor(op == "table_reduce")
        };
        let node = self.with_store(
            op,
            Node {
                function,
                subtract,
                init: (op == "table_aggregate").then_some(1),
                ..Node::default()
            },
        );
        Some(self.made_table(op, &[&group], node, flow))
    }

    pub(super) fn table_join(&mut self, op: &str, depth: usize) -> Option<Made> {
        let (one, other) = (self.table(depth), self.table(depth));
        let (one, other) = (self.tables[one].clone(), self.tables[other].clone());
        if one.id == other.id {
            return None;
        }
        let flow = self.both(&one, &other)?;
        let function = self.joiner(true);
        let node = self.maybe_store(
            op,
            Node {
                function,
                ..Node::default()
            },
        );
        Some(self.made_table(op, &[&one.id, &other.id], node, flow))
    }

    /// Both sides stay with their tasks, and ask and answer through two internal topics.
    pub(super) fn foreign_join(&mut self, op: &str, depth: usize) -> Option<Made> {
        let (left, right) = (self.table(depth), self.table(depth));
        let (left, right) = (self.tables[left].clone(), self.tables[right].clone());
        let causes: Causes = left.causes.union(&right.causes).cloned().collect();
        let asks = self.regions.entries(right.region);
        let answers = self.regions.entries(left.region);
        let fits = left.causes.is_disjoint(&right.causes)
            && asks.iter().all(|entry| entry.causes.is_disjoint(&left.causes))
            && answers
                .iter()
                .all(|entry| entry.causes.is_disjoint(&causes) || (!entry.many && entry.causes.is_disjoint(&right.causes)));
        if !fits {
            return None;
        }
        let ask = Entry {
            causes: left.causes.clone(),
            many: left.many,
        };
        self.regions.enter(right.region, [ask]);
        let answer = Entry {
            causes: causes.clone(),
            many: true,
        };
        self.regions.enter(left.region, [answer]);
        let node = Node {
            key: self.function(&[("fk_mod", &[&[2, 3, 4]])]),
            function: self.joiner(true),
            ..Node::default()
        };
        let node = self.maybe_store(op, node);
        let flow = Flow {
            causes,
            many: true,
            ..left.clone()
        };
        Some(self.made_table(op, &[&left.id, &right.id], node, flow))
    }
}
