//! Runs a case on the engine, one record after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use topology::EngineSettings;
use topology::store::{MemoryBackends, TimestampedKeyValue};
use topology::testing::TestDriver;
use wire::Topic;

use crate::case::{Case, Found, Input, Node, Row, feature};
use crate::translate::{Built, Plant, answered, asking, topics, translate};
use crate::value::Totals;

/// How a case is run: the result is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Records are handed over in memory from task to task.
    InMemory,
    /// They go through the internal topics.
    ThroughTopics,
    /// The engine is killed after every third record, and started anew on what is left.
    Crashes,
    /// All topics have three partitions: the order is that of each key.
    Partitions,
}

impl Way {
    /// The way of a case, by its seed; the last two where they promise the same result.
    pub fn of(case: &Case) -> Self {
        // A punctuator begins anew with its task, and is called in the order of its keys in each.
        let has_clock = case.nodes.iter().any(|node| node.every.is_some());
        // A versioned store has a stream time for each partition.
        let has_versions = case.nodes.iter().any(|node| node.versioned.is_some());
        // A record without a key is in any partition.
        let has_nulls = case.needs().contains(feature::NULL_KEY);
        match case.seed % 4 {
            0 => Self::InMemory,
            1 if !has_clock => Self::Crashes,
            2 if !has_clock && !has_versions && !has_nulls && internal_topics(case) <= 1 => Self::Partitions,
            _ => Self::ThroughTopics,
        }
    }
}

/// Through how many internal topics a record goes, at most: behind a second one, what came through several partitions of the first
/// may be in any order.
fn internal_topics(case: &Case) -> usize {
    let mut behind: BTreeMap<&str, usize> = BTreeMap::new();
    let mut rekeyed: BTreeSet<&str> = BTreeSet::new();
    for node in &case.nodes {
        let (op, first) = (node.op.as_str(), node.inputs.first().map(String::as_str).unwrap_or_default());
        let is_rekeyed = rekeyed.contains(first);
        let changes_key = ["select_key", "map", "flat_map"].contains(&op);
        let needs_topic = is_rekeyed && ["to_table", "group_by_key", "join", "left_join"].contains(&op);
        let is_topic = needs_topic || ["repartition", "group_by", "table_group_by"].contains(&op) || op.starts_with("fk_");
        let stays = is_rekeyed && !is_topic && node.key.is_none();
        if changes_key || stays {
            rekeyed.insert(&node.id);
        }
        let before = node
            .inputs
            .iter()
            .filter_map(|input| behind.get(input.as_str()))
            .max()
            .copied();
        // Other keys count as well: what is written with them has records of several partitions.
        let more = usize::from(is_topic) + usize::from(changes_key) + usize::from(op == "group_by" && is_rekeyed);
        behind.insert(&node.id, before.unwrap_or_default() + more);
    }
    behind.into_values().max().unwrap_or_default()
}

/// What the engine makes of a case; an error says why it makes nothing of it.
pub fn run(case: &Case, plant: Option<Plant>) -> Result<Found, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| run_unguarded(case, plant)));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("the engine panicked: {}", text.unwrap_or("without a word")))
    })
}

fn run_unguarded(case: &Case, plant: Option<Plant>) -> Result<Found, String> {
    let Built { topology, peeked } = translate(case, plant)?;
    let way = Way::of(case);
    let settings = EngineSettings {
        partitions: if way == Way::Partitions { 3 } else { 1 },
        repartition_in_memory: way != Way::ThroughTopics,
        ..EngineSettings::default()
    };
    let driver = TestDriver::with(topology, settings, Arc::new(MemoryBackends::default()));
    let mut driver = driver.map_err(|error| format!("the engine does not start: {error}"))?;
    for (at, input) in case.inputs.iter().enumerate() {
        if way == Way::Crashes && at % 3 == 2 {
            driver
                .crash()
                .map_err(|error| format!("the engine does not start again: {error}"))?;
        }
        match input {
            Input::Record(topic, key, value, at_ms) => {
                let value = value.map(i64::to_be_bytes);
                let value = value.as_ref().map(|bytes| bytes.as_slice());
                driver.send_bytes(topic, *at_ms, key.as_deref().map(str::as_bytes), value);
            }
            Input::Advance([by_ms]) => driver.advance_wall_clock(Duration::from_millis(by_ms.unsigned_abs())),
        }
    }
    let mut found = Found {
        outputs: std::mem::take(&mut peeked.lock()),
        ..Found::default()
    };
    for node in &case.nodes {
        let topics = match node.op.as_str() {
            "to" => node.topic.iter().map(|topic| Topic::<String, i64>::named(topic)).collect(),
            "to_by" => topics(node),
            _ => Vec::new(),
        };
        for topic in topics {
            found
                .outputs
                .insert(topic.name().to_owned(), drain(&mut driver, topic.name())?);
        }
        if let Some(store) = &node.store {
            found.stores.insert(store.clone(), contents(&mut driver, case, node, store)?);
        }
    }
    Ok(found)
}

fn drain(driver: &mut TestDriver, topic: &str) -> Result<Vec<Row>, String> {
    driver.drain_bytes(topic).iter().map(row_of).collect()
}

fn contents(driver: &mut TestDriver, case: &Case, node: &Node, store: &str) -> Result<Vec<Row>, String> {
    if node.versioned.is_some() {
        return versions_of(driver, case, store);
    }
    if node.op == "process" {
        let all = driver.view(Totals::store(store)).into_iter();
        return Ok(all.map(|(key, value)| (Some(key), Some(value), None)).collect());
    }
    let all = driver.view(TimestampedKeyValue::<String, i64>::named(store)).into_iter();
    Ok(all
        .map(|(key, row)| (Some(key), Some(row.value), Some(row.timestamp_ms.0)))
        .collect())
}

/// Every version that can still be asked for: each key that the case can have, as of each instant that it can have. `Run.java` does the
/// same.
fn versions_of(driver: &mut TestDriver, case: &Case, store: &str) -> Result<Vec<Row>, String> {
    let mut keys: BTreeSet<String> = (0..32).map(|i| format!("k{i}")).chain(["k".to_owned()]).collect();
    let mut instants = BTreeSet::new();
    for input in &case.inputs {
        if let Input::Record(_, key, _, at_ms) = input {
            keys.extend(key.clone());
            instants.insert(*at_ms);
        }
    }
    let last_ms = instants.last().copied().unwrap_or_default();
    for key in &keys {
        for instant in &instants {
            driver.queue(asking(store), last_ms, key, Some(instant));
        }
    }
    driver.settle();
    let mut rows = drain(driver, answered(store).name())?;
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    rows.dedup_by(|one, other| (&one.0, one.2) == (&other.0, other.2));
    Ok(rows)
}

fn row_of(message: &broker::Message) -> Result<Row, String> {
    let key = message
        .key
        .as_deref()
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let value = message.value.as_deref().map(|bytes| {
        let bytes = bytes.try_into().map_err(|_| format!("a value of {} bytes", bytes.len()))?;
        Ok::<i64, String>(i64::from_be_bytes(bytes))
    });
    Ok((key, value.transpose()?, Some(message.timestamp_ms)))
}
