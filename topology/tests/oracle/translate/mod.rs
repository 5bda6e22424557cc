//! A case's topology in the engine's DSL: one arm for each operator ([`operators`]).
//!
//! Null values are [`Maybe`]: a stream's type says whether there are any, and before state there are none, as Kafka Streams passes over
//! them there.

mod key;
mod operators;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use topology::Topology;
use topology::dsl::{Builder, Grouped, GroupedTable, Materialized, Rekeyed, Stream, Table};
use topology::store::{Store, Versioned};
use wire::Topic;

use crate::case::{Case, Function, Node, Row, feature};
use crate::value::{AsOf, Maybe};
use key::Key;

/// What the engine does not have yet: operators and features of the format. A case that needs one is recorded, and not compared.
pub const NOT_YET: [&str; 0] = [];

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
enum Made<K> {
    Stream(Stream<K, Maybe>),
    /// A stream whose keys a processor may have changed.
    Processed(Stream<K, Maybe>),
    Rekeyed(Rekeyed<K, Maybe>),
    Branches(Vec<Made<K>>),
    /// A stream that is grouped where it is aggregated, as in Kafka Streams: until then, no node stands among those of other operators.
    ToGroup(Box<Node>),
    Grouped(Grouped<String, i64>),
    Table(Table<String, i64>),
    GroupedTable(GroupedTable<String, i64>),
    Nothing,
}

struct Translation<'a, K> {
    builder: Builder,
    made: BTreeMap<&'a str, Made<K>>,
    peeked: Peeked,
    plant: Option<Plant>,
}

/// Builds the topology of a case; an error says which node cannot be built.
pub fn translate(case: &Case, plant: Option<Plant>) -> Result<Built, String> {
    if case.needs().contains(feature::NULL_KEY) {
        translate_with::<Option<String>>(case, plant)
    } else {
        translate_with::<String>(case, plant)
    }
}

fn translate_with<K: Key>(case: &Case, plant: Option<Plant>) -> Result<Built, String> {
    let mut translation = Translation {
        builder: Builder::new("oracle"),
        made: BTreeMap::<&str, Made<K>>::new(),
        peeked: Peeked::default(),
        plant,
    };
    for node in &case.nodes {
        let made = translation.node(node)?;
        if let Some(versions) = versions(node) {
            let asked: Stream<String, i64> = translation.builder.stream(asking(versions.name()));
            let answers = asked.process(format!("{}-as-of", node.id), versions, || AsOf);
            answers.to::<i64>(answered(versions.name()));
        }
        translation.made.insert(&node.id, made);
    }
    let Translation {
        builder, peeked, made, ..
    } = translation;
    drop(made);
    let topology = builder.build().map_err(|error| format!("the topology is refused: {error}"))?;
    Ok(Built { topology, peeked })
}

/// The versioned store of a node.
pub fn versions(node: &Node) -> Option<Versioned<String, i64>> {
    let retention = Duration::from_millis(node.versioned?.unsigned_abs());
    Some(Versioned::named(node.store.as_deref()?, retention))
}

/// Where a versioned store is asked what a key had at a time, which is the value.
pub fn asking(store: &str) -> Topic<String, i64> {
    Topic::named(&format!("ask-{store}"))
}

/// Where its answers are.
pub fn answered(store: &str) -> Topic<String, i64> {
    Topic::named(&format!("answer-{store}"))
}

/// The topics of a `to_by`.
pub fn topics(node: &Node) -> Vec<Topic<String, i64>> {
    let prefix = node.topic.as_deref().unwrap_or_default();
    let keys = node.key.iter().flat_map(|key| {
        let some = (0..key.parameters[0]).map(|rest| key.key(Some(rest)));
        some.chain([key.key(None)]).flatten()
    });
    keys.map(|key| Topic::named(&format!("{prefix}-{key}"))).collect()
}

impl<K: Key> Translation<'_, K> {
    fn input(&self, node: &Node, at: usize) -> Result<&Made<K>, String> {
        let id = node.inputs.get(at).ok_or_else(|| wrong_input(node))?;
        self.made.get(id.as_str()).ok_or_else(|| wrong_input(node))
    }

    fn stream(&self, node: &Node, at: usize) -> Result<Stream<K, Maybe>, String> {
        match self.input(node, at)? {
            Made::Stream(stream) | Made::Processed(stream) => Ok(stream.clone()),
            _ => Err(wrong_input(node)),
        }
    }

    /// A stream as one that has other keys, whether it has them or not.
    fn rekeyed(&self, node: &Node, at: usize) -> Result<Rekeyed<K, Maybe>, String> {
        match self.input(node, at)? {
            Made::Rekeyed(stream) => Ok(stream.clone()),
            _ => Ok(self.stream(node, at)?.rekeyed()),
        }
    }

    fn through_a_topic(&self, node: &Node, at: usize) -> Result<Stream<K, Maybe>, String> {
        let topic = Topic::named(&format!("oracle-{}-{at}", node.id));
        Ok(self.rekeyed(node, at)?.repartition(topic))
    }

    /// A stream in front of state: where its keys are not its topic's, Kafka Streams lets it go through a topic unasked. Null keys do
    /// not come this far.
    fn keyed(&self, node: &Node, at: usize) -> Result<Stream<String, Maybe>, String> {
        let stream = match self.input(node, at)? {
            Made::Rekeyed(_) | Made::Processed(_) => self.through_a_topic(node, at)?,
            _ => self.stream(node, at)?,
        };
        Ok(K::narrow(stream, &format!("{}-keyed{at}", node.id)))
    }

    /// A stream of texts as keys again, after state.
    fn widened(&self, stream: Stream<String, Maybe>, node: &Node) -> Made<K> {
        Made::Stream(K::widen(stream, &format!("{}-widened", node.id)))
    }

    fn table(&self, node: &Node, at: usize) -> Result<&Table<String, i64>, String> {
        match self.input(node, at)? {
            Made::Table(table) => Ok(table),
            _ => Err(wrong_input(node)),
        }
    }

    fn grouped(&self, node: &Node) -> Result<Grouped<String, i64>, String> {
        self.grouped_at(node, 0)
    }

    fn grouped_at(&self, node: &Node, at: usize) -> Result<Grouped<String, i64>, String> {
        match self.input(node, at)? {
            Made::ToGroup(group) => Ok(rows(&self.keyed(group, 0)?).group_by_key()),
            Made::Grouped(grouped) => Ok(grouped.clone()),
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

    fn subtractor(&self, node: &Node) -> Result<impl Fn(i64, i64) -> Option<i64> + Clone + use<K>, String> {
        let subtract = node
            .subtract
            .clone()
            .ok_or_else(|| format!("{} has no subtractor", node.id))?;
        let is_missing = self.plant == Some(Plant::NoSubtractor);
        Ok(move |all, value| if is_missing { Some(all) } else { subtract.fold(all, value) })
    }

    fn look(&self, node: &Node) -> impl Fn(&topology::Record<K, Maybe>) + Clone + use<K> {
        let (peeked, id) = (self.peeked.clone(), format!("peek:{}", node.id));
        move |record| {
            let row = (record.key.text(), record.value.0, None);
            peeked.lock().entry(id.clone()).or_default().push(row);
        }
    }
}

fn wrong_input(node: &Node) -> String {
    format!("{} ({}) cannot read what it reads", node.id, node.op)
}

fn topic<K>(node: &Node) -> Topic<K, i64> {
    Topic::named(node.topic.as_deref().unwrap_or_default())
}

fn store(node: &Node) -> Result<&str, String> {
    node.store.as_deref().ok_or_else(|| format!("{} has no store", node.id))
}

/// The store of a table, and whether it keeps versions.
fn materialized(node: &Node) -> Result<Materialized, String> {
    let store = store(node)?;
    Ok(match node.versioned {
        Some(retention) => Materialized::versioned(store, Duration::from_millis(retention.unsigned_abs())),
        None => store.into(),
    })
}

fn function(node: &Node) -> Result<Function, String> {
    node.function.clone().ok_or_else(|| format!("{} has no function", node.id))
}

fn key(node: &Node) -> Result<Function, String> {
    node.key.clone().ok_or_else(|| format!("{} has no key function", node.id))
}

/// The values that are there.
fn rows(stream: &Stream<String, Maybe>) -> Stream<String, i64> {
    stream.flat_map_values(|_, value| value.0)
}

/// The table, in a store of its own if the node says so.
fn stored<K>(table: Table<String, i64>, node: &Node) -> Made<K> {
    Made::Table(match materialized(node) {
        Ok(store) => table.materialized(store),
        Err(_) => table,
    })
}
