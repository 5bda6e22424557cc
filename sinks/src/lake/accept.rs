//! An operator's word that a topic which was made anew, or a log that was cut off, goes on in the lake.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, TopicId, TopicPartition};
use jiff::Timestamp;
use object_store::ObjectStore;

use super::log::has_records_of;
use super::report::{PartitionReport, TableReport};
use super::verify::verify;
use super::{Depth, LakeError, compare_with_log};
use crate::Table;
use crate::group::generations::Generation;
use crate::group::protocol::Intent;
use crate::parquet::store::Lake;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// The log is the one that the files are of: there is nothing to accept.
    AsItIs,
    /// The sinks go on with this generation.
    Next(Generation),
}

/// Takes a table's log, as it is now, for the next generation of its files. A topic that was made anew begins at its log's
/// beginning; of a log that was cut off, what differs from the files is written anew. Nothing that is there is touched. It is noted as accepted `now`.
pub async fn accept(
    store: &Arc<dyn ObjectStore>,
    broker: &Arc<dyn Broker>,
    table: &Arc<dyn Table>,
    now: Timestamp,
    timeout: Duration,
) -> Result<Accepted, LakeError> {
    let notes = |error: &dyn std::fmt::Display| LakeError::Notes(error.to_string());
    let report = verify(store, table.name(), Depth::Footers).await?;
    let lake = Lake::new(store.clone(), timeout);
    let mut pending = Vec::new();
    let (log, of) = (broker.clone(), table.clone());
    let count = tokio::task::spawn_blocking(move || log.partitions(of.topic(), timeout));
    let count = count.await.map_err(|error| notes(&error))??.unwrap_or(0);
    for noted in &report.generations {
        for partition in 0..count {
            let intent = lake.pending(table.name(), partition, noted.generation).await;
            pending.extend(intent.map_err(|error| notes(&error))?);
        }
    }
    let (broker, of) = (broker.clone(), table.clone());
    let looked = tokio::task::spawn_blocking(move || look(&*broker, of.as_ref(), &report, &pending, now, timeout));
    let Some(next) = looked.await.map_err(|error| notes(&error))?? else {
        return Ok(Accepted::AsItIs);
    };
    let noted = lake.accept(table.name(), &next).await;
    match noted.map_err(|error| notes(&error))? {
        true => Ok(Accepted::Next(next)),
        false => Err(LakeError::Notes(format!(
            "generation {} of {} was noted by somebody else at the same time",
            next.generation,
            table.name()
        ))),
    }
}

/// The generation to be noted, if any.
fn look(
    broker: &dyn Broker,
    table: &dyn Table,
    report: &TableReport,
    pending: &[Intent],
    now: Timestamp,
    timeout: Duration,
) -> Result<Option<Generation>, LakeError> {
    let ids = broker.topic_ids(&[table.topic()], timeout)?;
    let Some(id) = ids.into_iter().next().flatten() else {
        return Err(LakeError::Notes(format!("the broker says no id of topic {}", table.topic())));
    };
    let Some(last) = report.generations.last() else {
        // The sink itself notes the first one.
        return Ok(None);
    };
    let mut ends = BTreeMap::new();
    if report.generations.iter().any(|known| known.topic_id == Some(id)) {
        ends = cut_off(broker, table, report, pending, id, timeout)?;
        if ends.is_empty() {
            return Ok(None);
        }
    }
    Ok(Some(next(table, last, id, ends, now)))
}

fn next(table: &dyn Table, last: &Generation, id: TopicId, ends: BTreeMap<u32, i64>, now: Timestamp) -> Generation {
    Generation {
        generation: last.generation + 1,
        topic: table.topic().to_owned(),
        topic_id: Some(id),
        ends,
        accepted_at: now,
    }
}

/// The partitions whose files are not the log's any more: the last offset until which they are.
fn cut_off(
    broker: &dyn Broker,
    table: &dyn Table,
    report: &TableReport,
    pending: &[Intent],
    id: TopicId,
    timeout: Duration,
) -> Result<BTreeMap<u32, i64>, LakeError> {
    let compared = compare_with_log(broker, table, report, timeout)?;
    let mut reader = broker.reader("riverbank-lake-accept")?;
    let mut ends = BTreeMap::new();
    for log in &compared.partitions {
        let known = Generation::of(&report.generations, Some(id), log.partition);
        let of_log = |files: &&PartitionReport| {
            files.partition == log.partition && known.is_some_and(|known| known.generation == files.generation)
        };
        let files = report.partitions.iter().find(of_log);
        let at = TopicPartition::new(table.topic(), log.partition);
        let (_, log_end) = reader.bounds(&at, timeout)?;
        let decided = pending.iter().find(|intent| {
            let generation = known.map_or(1, |known| known.generation);
            intent.partition == log.partition && intent.place.generation == generation
        });
        if let Some(intent) = decided
            && (intent.end >= log_end || (!table.is_compacted() && !has_records_of(reader.as_mut(), &at, intent, timeout)?))
        {
            let from = log.differs_from.map_or(intent.start, |from| from.min(intent.start));
            ends.insert(log.partition, from.min(log_end) - 1);
            continue;
        }
        let noted = known.and_then(|known| known.ends.get(&log.partition).copied());
        let Some(end) = files.and_then(|files| files.end).or(noted) else {
            continue;
        };
        let differs_from = log.differs_from.or((end >= log_end).then_some(log_end));
        if let Some(from) = differs_from {
            ends.insert(log.partition, from.min(log_end) - 1);
        }
    }
    Ok(ends)
}
