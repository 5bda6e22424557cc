//! Random cases from a seed: topologies of several operators, and inputs with late records, tombstones and null keys.
//!
//! What Kafka Streams forbids is not generated (one topic read twice, a grace period without a versioned table). Nor are topologies
//! whose result depends on which of several waiting internal topics a task reads first: that is decided by timing, in Kafka Streams
//! as here. [`regions`] keeps account of it.

mod functions;
mod inputs;
mod operators;
mod regions;
mod streams;
mod tables;

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::case::{Case, Found, Function, Node, feature};
use regions::{Causes, Entry, Regions};

/// A stream or table of the topology so far.
#[derive(Debug, Clone)]
struct Flow {
    id: String,
    region: usize,
    causes: Causes,
    /// Whether one input record can become several here.
    many: bool,
    /// Whether its keys are no longer those of its topic.
    rekeyed: bool,
    /// How long its store keeps versions, in milliseconds.
    versioned: Option<i64>,
}

/// What an operator makes.
#[derive(Debug, Clone, Copy)]
enum Made {
    Stream(usize),
    Table(usize),
    Nothing,
}

/// How deep inputs of an operator are generated.
const DEPTH: usize = 2;
const SOURCES_MAX: usize = 3;

struct Generator<'a> {
    random: ChaCha8Rng,
    /// Whether an operator or feature may be used.
    allowed: &'a dyn Fn(&str) -> bool,
    nodes: Vec<Node>,
    streams: Vec<Flow>,
    tables: Vec<Flow>,
    regions: Regions,
    sources: usize,
}

/// The case of a seed for an operator, of what is allowed.
pub fn case(seed: u64, focus: &str, allowed: &dyn Fn(&str) -> bool) -> Case {
    let salt = focus
        .bytes()
        .fold(seed, |salt, byte| salt.wrapping_mul(1_000_003) ^ u64::from(byte));
    let mut random = ChaCha8Rng::seed_from_u64(salt);
    loop {
        let mut generator = Generator {
            random: ChaCha8Rng::seed_from_u64(random.random()),
            allowed,
            nodes: Vec::new(),
            streams: Vec::new(),
            tables: Vec::new(),
            regions: Regions::default(),
            sources: 0,
        };
        if let Some(case) = generator.case(seed, focus) {
            return case;
        }
    }
}

impl Generator<'_> {
    fn case(&mut self, seed: u64, focus: &str) -> Option<Case> {
        let op = match focus {
            feature::NULL_KEY => self.one_of(&["filter", "map", "group_by", "to_table", "left_join", "table", "group_by_key"]),
            feature::NULL_KEY_LEFT => "left_join",
            feature::VERSIONED => self.one_of(&["table", "to_table", "join", "left_join", "table_group_by", "table_filter"]),
            feature::VERSIONED_RESULT => self.one_of(&["count", "aggregate", "table_aggregate", "table_join"]),
            feature::GRACE => self.one_of(&["join", "left_join"]),
            feature::MATERIALIZED => self.one_of(&[
                "table_filter",
                "table_filter_not",
                "table_map_values",
                "table_join",
                "table_outer_join",
            ]),
            feature::REKEYED => self.one_of(&["process", "split", "to_by"]),
            feature::NULL_RESULT => self.one_of(&["reduce", "table_reduce", "table_join", "table_left_join", "fk_join"]),
            op => op,
        };
        self.apply(op, DEPTH)?;
        for _ in 0..self.random.random_range(0..3) {
            self.anything(1);
        }
        self.end();
        let inputs = self.inputs();
        let case = Case {
            seed,
            focus: focus.to_owned(),
            nodes: std::mem::take(&mut self.nodes),
            inputs,
            refused: None,
            expected: Found::default(),
        };
        let needs = case.needs();
        // Kafka Streams fails at a null key in front of a left join with grace: its buffer has no place for one.
        let fails = case.nodes.iter().any(|node| node.op == "left_join" && node.grace.is_some());
        let is_allowed = needs.iter().all(|need| *need == focus || (self.allowed)(need));
        let is_fine = is_allowed && needs.contains(focus) && !(fails && needs.contains(feature::NULL_KEY));
        drop(needs);
        is_fine.then_some(case)
    }

    /// Whatever nobody reads goes to a topic.
    fn end(&mut self) {
        let read: BTreeSet<String> = self.nodes.iter().flat_map(|node| node.inputs.clone()).collect();
        for at in 0..self.tables.len() {
            if !read.contains(&self.tables[at].id) {
                self.stream_of(at);
            }
        }
        let read: BTreeSet<String> = self.nodes.iter().flat_map(|node| node.inputs.clone()).collect();
        for at in 0..self.streams.len() {
            if !read.contains(&self.streams[at].id) {
                let is_plain = !self.streams[at].rekeyed || (self.allowed)(feature::REKEYED);
                let op = match self.random.random_range(0..20) {
                    0 if (self.allowed)("to_by") && is_plain => "to_by",
                    1 if (self.allowed)("for_each") => "for_each",
                    _ => "to",
                };
                self.sink(op, at);
            }
        }
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.random.random_bool(probability)
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.random.random_range(0..of.len())].clone()
    }

    /// One that is allowed, of equal chances; the last one always is.
    fn first_allowed<'n>(&mut self, names: &[&'n str]) -> &'n str {
        let allowed: Vec<&str> = names.iter().copied().filter(|name| (self.allowed)(name)).collect();
        if allowed.is_empty() {
            names[names.len() - 1]
        } else {
            self.one_of(&allowed)
        }
    }

    /// Adds a node and returns its id.
    fn add(&mut self, op: &str, inputs: &[&str], node: Node) -> String {
        let id = format!("n{}", self.nodes.len() + 1);
        self.nodes.push(Node {
            id: id.clone(),
            op: op.to_owned(),
            inputs: inputs.iter().map(|&input| input.to_owned()).collect(),
            ..node
        });
        id
    }

    fn add_stream(&mut self, flow: Flow) -> usize {
        self.streams.push(flow);
        self.streams.len() - 1
    }

    fn add_table(&mut self, flow: Flow) -> usize {
        self.tables.push(flow);
        self.tables.len() - 1
    }

    /// The name of the store of the node that is added next.
    fn store(&self) -> Option<String> {
        Some(format!("s{}", self.nodes.len() + 1))
    }

    fn function(&mut self, choices: &[(&str, &[&[i64]])]) -> Option<Function> {
        let (name, parameters) = self.one_of(choices);
        let parameters = parameters.iter().map(|of| self.one_of(of)).collect::<Vec<_>>();
        Some(Function::new(name, &parameters))
    }

    /// What a flow is behind an internal topic: a region of its own, which the topic enters.
    fn through_a_topic(&mut self, flow: &Flow, many: bool) -> Flow {
        let entry = Entry {
            causes: flow.causes.clone(),
            many,
        };
        Flow {
            region: self.regions.add(Some(entry)),
            rekeyed: false,
            versioned: None,
            many,
            ..flow.clone()
        }
    }

    /// What comes of two flows that meet, if they may.
    fn both(&mut self, one: &Flow, other: &Flow) -> Option<Flow> {
        if !self.regions.fit(one.region, other.region) {
            return None;
        }
        self.regions.join(one.region, other.region);
        Some(Flow {
            causes: one.causes.union(&other.causes).cloned().collect(),
            many: one.many || other.many || !one.causes.is_disjoint(&other.causes),
            versioned: None,
            ..one.clone()
        })
    }
}
