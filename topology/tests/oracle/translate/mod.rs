//! A case's topology in the engine's DSL: one arm for each operator ([`operators`]).
//!
//! Null values are [`Maybe`]: a stream's type says whether there are any, and before state there are none, as Kafka Streams passes over
//! them there.

mod operators;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use topology::Topology;
use topology::dsl::{Builder, Grouped, GroupedTable, Rekeyed, Stream, Table};
use wire::Topic;

use crate::case::{Case, Function, Node, Row, feature};
use crate::value::Maybe;

/// What the engine does not have yet. A case that needs it is not compared.
pub const NOT_YET: [&str; 7] = [
    "to_by",
    "cogroup",
    feature::NULL_KEY,
    feature::VERSIONED,
    feature::GRACE,
    feature::REKEYED,
    feature::NULL_RESULT,
];

/// A mistake in the translation, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    FilterInverted,
    MergeOfOneSide,
    AggregateFromZero,
    NoSubtractor,
    LeftJoinDropsUnmatched,
    OuterJoinOfTheLeft,
    ForeignKeyJoinDropsUnmatched,
}

/// A topology that can run.
pub struct Built {
    pub topology: Topology,
    pub peeked: Peeked,
}

/// What was peeked at, by `peek:<id>`.
pub type Peeked = Arc<Mutex<BTreeMap<String, Vec<Row>>>>;

/// What an operator made.
enum Made {
    Stream(Stream<String, Maybe>),
    /// A stream whose keys a processor may have changed.
    Processed(Stream<String, Maybe>),
    Rekeyed(Rekeyed<String, Maybe>),
    Branches(Vec<Stream<String, Maybe>>),
    Grouped(Grouped<String, i64>),
    Table(Table<String, i64>),
    GroupedTable(GroupedTable<String, i64>),
    Nothing,
}

struct Translation<'a> {
    builder: Builder,
    made: BTreeMap<&'a str, Made>,
    peeked: Peeked,
    plant: Option<Plant>,
}

/// Builds the topology of a case; an error says which node cannot be built.
pub fn translate(case: &Case, plant: Option<Plant>) -> Result<Built, String> {
    let mut translation = Translation {
        builder: Builder::new("oracle"),
        made: BTreeMap::new(),
        peeked: Peeked::default(),
        plant,
    };
    for node in &case.nodes {
        let made = translation.node(node)?;
        translation.made.insert(&node.id, made);
    }
    let Translation {
        builder, peeked, made, ..
    } = translation;
    drop(made);
    let topology = builder.build().map_err(|error| format!("the topology is refused: {error}"))?;
    Ok(Built { topology, peeked })
}

impl Translation<'_> {
    fn input(&self, node: &Node, at: usize) -> Result<&Made, String> {
        let id = node.inputs.get(at).ok_or_else(|| wrong_input(node))?;
        self.made.get(id.as_str()).ok_or_else(|| wrong_input(node))
    }

    fn stream(&self, node: &Node, at: usize) -> Result<Stream<String, Maybe>, String> {
        match self.input(node, at)? {
            Made::Stream(stream) | Made::Processed(stream) => Ok(stream.clone()),
            _ => Err(wrong_input(node)),
        }
    }

    /// A stream that goes through a topic at once, whatever its keys.
    fn before_a_topic(&self, node: &Node, at: usize) -> Result<Stream<String, Maybe>, String> {
        match self.input(node, at)? {
            Made::Rekeyed(stream) => Ok(stream.repartition(Topic::named(&format!("oracle-{}-before", node.id)))),
            _ => self.stream(node, at),
        }
    }

    fn through_a_topic(&self, node: &Node, at: usize) -> Result<Stream<String, Maybe>, String> {
        let topic = Topic::named(&format!("oracle-{}-{at}", node.id));
        match self.input(node, at)? {
            Made::Rekeyed(stream) => Ok(stream.repartition(topic)),
            _ => Ok(self.stream(node, at)?.rekeyed().repartition(topic)),
        }
    }

    /// A stream in front of state: where its keys are not its topic's, Kafka Streams lets it go through a topic unasked.
    fn keyed(&self, node: &Node, at: usize) -> Result<Stream<String, Maybe>, String> {
        match self.input(node, at)? {
            Made::Rekeyed(_) | Made::Processed(_) => self.through_a_topic(node, at),
            _ => self.stream(node, at),
        }
    }

    fn table(&self, node: &Node, at: usize) -> Result<&Table<String, i64>, String> {
        match self.input(node, at)? {
            Made::Table(table) => Ok(table),
            _ => Err(wrong_input(node)),
        }
    }

    fn grouped(&self, node: &Node) -> Result<&Grouped<String, i64>, String> {
        match self.input(node, 0)? {
            Made::Grouped(grouped) => Ok(grouped),
            _ => Err(wrong_input(node)),
        }
    }

    fn grouped_table(&self, node: &Node) -> Result<&GroupedTable<String, i64>, String> {
        match self.input(node, 0)? {
            Made::GroupedTable(grouped) => Ok(grouped),
            _ => Err(wrong_input(node)),
        }
    }

    fn initial(&self, node: &Node) -> i64 {
        let initial = node.init.unwrap_or_default();
        if self.plant == Some(Plant::AggregateFromZero) {
            0
        } else {
            initial
        }
    }

    fn subtractor(&self, node: &Node) -> Result<impl Fn(i64, i64) -> Option<i64> + Clone + use<>, String> {
        let subtract = node
            .subtract
            .clone()
            .ok_or_else(|| format!("{} has no subtractor", node.id))?;
        let is_missing = self.plant == Some(Plant::NoSubtractor);
        Ok(move |all, value| if is_missing { Some(all) } else { subtract.fold(all, value) })
    }

    fn look(&self, node: &Node) -> impl Fn(&topology::Record<String, Maybe>) + Clone + use<> {
        let (peeked, id) = (self.peeked.clone(), format!("peek:{}", node.id));
        move |record| {
            let row = (Some(record.key.clone()), record.value.0, None);
            peeked.lock().entry(id.clone()).or_default().push(row);
        }
    }
}

fn wrong_input(node: &Node) -> String {
    format!("{} ({}) cannot read what it reads", node.id, node.op)
}

fn topic(node: &Node) -> Topic<String, i64> {
    Topic::named(node.topic.as_deref().unwrap_or_default())
}

fn store(node: &Node) -> Result<&str, String> {
    node.store.as_deref().ok_or_else(|| format!("{} has no store", node.id))
}

fn function(node: &Node) -> Result<Function, String> {
    node.function.clone().ok_or_else(|| format!("{} has no function", node.id))
}

fn key(node: &Node) -> Result<Function, String> {
    node.key.clone().ok_or_else(|| format!("{} has no key function", node.id))
}

/// A key that is there: null keys are not supported yet.
fn new_key(key: &Function, value: Option<i64>) -> String {
    key.key(value).expect("the case needs no null keys")
}

/// A row that is there, as the types of the functions on rows say.
fn row(value: Option<i64>) -> i64 {
    value.expect("the case needs no null results")
}

/// The values that are there.
fn rows(stream: &Stream<String, Maybe>) -> Stream<String, i64> {
    stream.flat_map_values(|_, value| value.0)
}

/// The table, in a store of its own if the node says so.
fn stored(table: Table<String, i64>, node: &Node) -> Made {
    Made::Table(match &node.store {
        Some(store) => table.materialized(store),
        None => table,
    })
}
