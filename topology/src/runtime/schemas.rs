//! Which registry this is: what its ids mean must be what they meant when state and topics were written.
//!
//! All that is written in Avro names its schema by the registry's id. A registry that has lost its storage gives ids anew, and what
//! was written with id 7 would be read by whatever has that id now. So the application keeps the schemas that it has registered, with
//! their ids, in a compacted topic of its own, and compares them at each start.

use std::collections::BTreeMap;
use std::time::Duration;

use broker::{Broker, Outgoing, Replay, TopicPartition};
use clock::Millis;
use serde::{Deserialize, Serialize};
use wire::{Registered, Registry, RegistryError, same_schema, schema_name};

use crate::error::EngineError;

/// A schema that was written with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Kept {
    subject: String,
    schema: String,
}

/// A registry may be a moment behind: how often it is asked for an id, and how long between.
const TIMES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Compares the registry with what the application has written before, then keeps what it has registered now.
pub(super) fn check(
    broker: &dyn Broker,
    registry: &dyn Registry,
    topic: &str,
    registered: &[Registered],
    now_ms: Millis,
    timeout: Duration,
) -> Result<(), EngineError> {
    let kept = read(broker, topic, timeout)?;
    for (id, Kept { subject, schema }) in &kept {
        let found = ask(registry, *id).map_err(|source| EngineError::Schema {
            subject: subject.clone(),
            source: source.into(),
        })?;
        if !found.as_ref().is_some_and(|found| same_schema(found, schema)) {
            return Err(EngineError::AnotherRegistry {
                id: *id,
                subject: subject.clone(),
                expected: schema_name(schema),
                found: found.map_or_else(|| "unknown".to_owned(), |found| described(&found, schema)),
            });
        }
    }
    keep(broker, topic, &kept, registered, now_ms)
}

fn described(found: &str, expected: &str) -> String {
    let (found, expected) = (schema_name(found), schema_name(expected));
    if found == expected {
        format!("another {found}")
    } else {
        found
    }
}

/// The schema of an id; `None` where the registry says again and again that there is none.
fn ask(registry: &dyn Registry, id: u32) -> Result<Option<std::sync::Arc<str>>, RegistryError> {
    for time in 1..=TIMES {
        match registry.by_id(id) {
            Err(RegistryError::NotFound(_)) if time < TIMES => std::thread::sleep(PAUSE),
            Err(RegistryError::NotFound(_)) => break,
            answer => return answer.map(Some),
        }
    }
    Ok(None)
}

fn read(broker: &dyn Broker, topic: &str, timeout: Duration) -> Result<BTreeMap<u32, Kept>, EngineError> {
    let mut kept = BTreeMap::new();
    Replay::of(broker, topic, &[TopicPartition::new(topic, 0)])?.to_the_end(timeout, |_, message| {
        let id = message
            .key
            .as_deref()
            .and_then(|key| std::str::from_utf8(key).ok()?.parse().ok());
        let schema = message.value.as_deref().and_then(|value| serde_json::from_slice(value).ok());
        match (id, schema) {
            (Some(id), Some(schema)) => drop(kept.insert(id, schema)),
            _ => tracing::warn!(topic, offset = message.offset, "a kept schema cannot be read"),
        }
        Ok::<_, EngineError>(())
    })?;
    Ok(kept)
}

fn keep(
    broker: &dyn Broker,
    topic: &str,
    kept: &BTreeMap<u32, Kept>,
    registered: &[Registered],
    now_ms: Millis,
) -> Result<(), EngineError> {
    let mut new: BTreeMap<u32, Kept> = BTreeMap::new();
    for Registered { subject, id, schema } in registered.iter().filter(|registered| !kept.contains_key(&registered.id)) {
        new.entry(*id).or_insert_with(|| Kept {
            subject: subject.clone(),
            schema: schema.clone(),
        });
    }
    if new.is_empty() {
        return Ok(());
    }
    let encoded: Vec<(String, Vec<u8>)> = new
        .iter()
        .map(|(id, kept)| (id.to_string(), serde_json::to_vec(kept).expect("plain data becomes JSON")))
        .collect();
    let records = encoded.iter().map(|(key, value)| Outgoing {
        topic,
        partition: Some(0),
        key: Some(key.as_bytes()),
        value: Some(value),
        timestamp_ms: now_ms.0,
        headers: &[],
    });
    let records: Vec<Outgoing<'_>> = records.collect();
    Ok(broker.producer(topic)?.send_all(&records)?)
}
