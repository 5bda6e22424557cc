//! Runs a case on the engine, one record after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use topology::EngineSettings;
use topology::store::{MemoryBackends, TimestampedKeyValue};
use topology::testing::TestDriver;

use crate::case::{Case, Found, Input, Row};
use crate::translate::{Built, Plant, translate};
use crate::value::Totals;

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
    let settings = EngineSettings {
        partitions: 1,
        // Internal topics are taken in memory or not: the result is the same.
        repartition_in_memory: case.seed.is_multiple_of(2),
        ..EngineSettings::default()
    };
    let driver = TestDriver::with(topology, settings, Arc::new(MemoryBackends::default()));
    let mut driver = driver.map_err(|error| format!("the engine does not start: {error}"))?;
    for input in &case.inputs {
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
        if let (Some(topic), "to") = (&node.topic, node.op.as_str()) {
            let rows: Result<Vec<Row>, String> = driver.drain_bytes(topic).iter().map(row_of).collect();
            found.outputs.insert(topic.clone(), rows?);
        }
        if let Some(store) = &node.store {
            let rows: Vec<Row> = match node.op.as_str() {
                "process" => {
                    let all = driver.view(Totals::store(store)).into_iter();
                    all.map(|(key, value)| (Some(key), Some(value), None)).collect()
                }
                _ => {
                    let all = driver.view(TimestampedKeyValue::<String, i64>::named(store)).into_iter();
                    all.map(|(key, row)| (Some(key), Some(row.value), Some(row.timestamp_ms)))
                        .collect()
                }
            };
            found.stores.insert(store.clone(), rows);
        }
    }
    Ok(found)
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
