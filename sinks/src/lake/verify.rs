//! The proof from the files themselves.
//!
//! A table is listed day by day, and its files are looked at as they come. What is remembered of them is which offsets they cover and
//! how many there are ([`super::seams`]); a file itself stays in the report only where that is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker::TopicId;
use futures::TryStreamExt;
use jiff::civil::Date;
use object_store::ObjectStore;

use super::check::check;
use super::files::{self, LakeFile, Listed};
use super::floors::{Floors, floors};
use super::report::{CheckedFile, PartitionReport, Problem, TableReport};
use super::seams::{Missing, Seams};
use super::{Depth, LakeError};
use crate::group::generations::Generation;
use crate::parquet::layout::FileName;
use crate::parquet::store::Lake;

/// How long one request to the store may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Files that are looked at together.
const AT_ONCE: usize = 16;

/// Of a generation without a note, the most topics that are distinguished.
const TOPICS_MAX: usize = 2;

/// A partition of a generation.
type Log = (u32, u32);

/// What is looked at, and how.
#[derive(Debug, Clone)]
pub struct Scope {
    /// How closely.
    pub depth: Depth,
    /// The day before which nothing is looked at; `None` is everything.
    pub since: Option<Date>,
    /// The files that stay in the report.
    pub keep: Keep,
}

/// The files that stay in a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// All of them.
    All,
    /// By partition: those that reach beyond an offset, as the log's first one.
    From(BTreeMap<u32, i64>),
}

impl Keep {
    /// None of them.
    pub const NONE: Self = Self::From(BTreeMap::new());

    fn keeps(&self, name: &FileName) -> bool {
        match self {
            Self::All => true,
            Self::From(offsets) => offsets.get(&name.partition).is_some_and(|offset| name.end >= *offset),
        }
    }
}

/// Checks a whole table, and keeps its files in the report.
pub async fn verify(store: &Arc<dyn ObjectStore>, table: &str, depth: Depth) -> Result<TableReport, LakeError> {
    let scope = Scope {
        depth,
        since: None,
        keep: Keep::All,
    };
    verify_in(store, table, &scope).await
}

/// Checks a table. What seems to be missing is looked for again, in the names of all days: a listing takes time, and sinks go on
/// meanwhile; and a range that was written late may be of days before those that were asked for.
pub async fn verify_in(store: &Arc<dyn ObjectStore>, table: &str, scope: &Scope) -> Result<TableReport, LakeError> {
    let folders = files::folders(store.as_ref(), table).await?;
    let unrecognized = files::unrecognized(store.as_ref(), &folders).await?;
    let mut looked = Looked {
        table,
        scope,
        floors: floors(store.as_ref(), table).await?,
        logs: BTreeMap::new(),
        problems: unrecognized.into_iter().map(Problem::Unrecognized).collect(),
    };
    let is_wanted = |day: &Date| scope.since.is_none_or(|since| *day >= since);
    let days = folders.days.into_iter().filter(is_wanted).collect();
    looked.look(store, days, None).await?;
    // After the listing: a file of a generation that is noted later is not missed.
    let noted = generations(store, table).await?;
    let missing = looked.missing(&noted);
    if missing.values().any(|missing| !missing.is_empty()) {
        let days = files::folders(store.as_ref(), table).await?.days;
        looked.look(store, days, Some(&missing)).await?;
    }
    // Retention may have gone on meanwhile.
    looked.floors = floors(store.as_ref(), table).await?;
    let noted = generations(store, table).await?;
    Ok(looked.report(noted))
}

/// What was seen of a partition.
struct Seen {
    report: PartitionReport,
    seams: Seams,
    /// The topics that its files are of, as far as they say, each with one of them.
    topics: Vec<(TopicId, FileName)>,
}

struct Looked<'a> {
    table: &'a str,
    scope: &'a Scope,
    floors: Floors,
    logs: BTreeMap<Log, Seen>,
    problems: Vec<Problem>,
}

impl Looked<'_> {
    /// Looks at the files of these days: at all of them, or at those that may be what is missing.
    async fn look(
        &mut self,
        store: &Arc<dyn ObjectStore>,
        days: Vec<Date>,
        missing: Option<&BTreeMap<Log, Missing>>,
    ) -> Result<(), LakeError> {
        let depth = self.scope.depth;
        let is_wanted = |name: &FileName| {
            let of_log = |missing: &BTreeMap<Log, Missing>| {
                let of_log = missing.get(&(name.partition, name.generation));
                of_log.is_some_and(|missing| missing.wants(name))
            };
            missing.is_none_or(of_log)
        };
        let listed = files::each(store.as_ref(), self.table, days);
        let mut expired: BTreeMap<Log, u64> = BTreeMap::new();
        let mut unrecognized = Vec::new();
        let wanted = listed.try_filter_map(|listed| {
            let wanted = match listed {
                Listed::Unrecognized(path) => {
                    unrecognized.push(path);
                    None
                }
                Listed::File(LakeFile { name, .. }) if is_below(&self.floors, &name) => {
                    *expired.entry((name.partition, name.generation)).or_default() += 1;
                    None
                }
                Listed::File(file) => is_wanted(&file.name).then_some(file),
            };
            futures::future::ready(Ok(wanted))
        });
        let checks = wanted.map_ok(|file| check(store.clone(), file, depth)).try_buffered(AT_ONCE);
        let mut checked = Box::pin(checks);
        let (scope, table) = (self.scope, self.table);
        while let Some((file, problem)) = checked.try_next().await? {
            self.problems.extend(problem);
            if let Some(file) = file {
                let log = (file.name.partition, file.name.generation);
                self.logs
                    .entry(log)
                    .or_insert_with(|| Seen::new(table, log, scope))
                    .add(file, scope);
            }
        }
        drop(checked);
        if missing.is_none() {
            self.problems.extend(unrecognized.into_iter().map(Problem::Unrecognized));
            for (log, count) in expired {
                self.logs
                    .entry(log)
                    .or_insert_with(|| Seen::new(table, log, scope))
                    .report
                    .expired = count;
            }
        }
        Ok(())
    }

    /// The floor of a partition; without one, or where older days are not looked at, its beginning is not judged.
    fn floor(&self, log: Log) -> Option<i64> {
        let floor = self.floors.get(&log).copied();
        floor.filter(|_| self.scope.since.is_none())
    }

    fn missing(&self, noted: &[Generation]) -> BTreeMap<Log, Missing> {
        let of_log = |(log, seen): (&Log, &Seen)| {
            let is_over = is_over(noted, log.1, log.0);
            (*log, seen.seams.missing(self.floor(*log), is_over))
        };
        self.logs.iter().map(of_log).collect()
    }

    fn report(mut self, noted: Vec<Generation>) -> TableReport {
        let mut missing = self.missing(&noted);
        let (mut problems, mut partitions) = (std::mem::take(&mut self.problems), Vec::new());
        for (log, mut seen) in std::mem::take(&mut self.logs) {
            let floor = self.floors.get(&log).copied();
            seen.report.judged_from = match self.scope.since {
                Some(_) => seen.report.start.max(floor),
                None => floor,
            };
            problems.extend(topics(self.table, &noted, log.1, &seen.topics));
            problems.extend(seen.seams.problems(missing.remove(&log).unwrap_or_default()));
            seen.report.files.sort_by_key(|file| files::order(&file.name));
            partitions.push(seen.report);
        }
        // A floor is an offset that stays: where no file is left, it is lost with all that followed.
        let is_lost = |partition: u32, generation: u32| {
            // Those below it are leftovers.
            let has_files =
                |report: &PartitionReport| (report.partition, report.generation) == (partition, generation) && report.count > 0;
            self.scope.since.is_none() && !is_over(&noted, generation, partition) && !partitions.iter().any(has_files)
        };
        let floors = self
            .floors
            .iter()
            .filter(|((partition, generation), _)| is_lost(*partition, *generation));
        problems.extend(floors.map(|((partition, _), floor)| Problem::Gap {
            table: self.table.to_owned(),
            partition: *partition,
            from: *floor,
            to: *floor,
        }));
        TableReport {
            table: self.table.to_owned(),
            since: self.scope.since,
            partitions,
            generations: noted,
            problems,
        }
    }
}

fn is_below(floors: &Floors, name: &FileName) -> bool {
    let floor = floors.get(&(name.partition, name.generation));
    floor.is_some_and(|floor| name.end < *floor)
}

impl Seen {
    fn new(table: &str, (partition, generation): Log, scope: &Scope) -> Self {
        Self {
            report: PartitionReport {
                partition,
                generation,
                ..PartitionReport::default()
            },
            seams: Seams::new(table, partition, scope.since),
            topics: Vec::new(),
        }
    }

    fn add(&mut self, file: CheckedFile, scope: &Scope) {
        self.seams.add(&file);
        let (name, report) = (&file.name, &mut self.report);
        report.count += 1;
        report.rows += file.rows;
        report.bytes += file.bytes;
        report.start = Some(report.start.map_or(name.start, |start| start.min(name.start)));
        report.end = report.end.max(Some(name.end));
        if let Some(id) = file.topic_id
            && self.topics.len() < TOPICS_MAX
            && self.topics.iter().all(|(other, _)| *other != id)
        {
            self.topics.push((id, name.clone()));
        }
        if scope.keep.keeps(name) {
            report.files.push(file);
        }
    }
}

/// The topics that had a table's name, as far as they are noted, in order.
pub async fn generations(store: &Arc<dyn ObjectStore>, table: &str) -> Result<Vec<Generation>, LakeError> {
    Lake::new(store.clone(), PATIENCE)
        .generations(table)
        .await
        .map_err(|error| LakeError::Notes(error.to_string()))
}

/// Whether a partition has a later generation.
pub fn is_over(all: &[Generation], generation: u32, partition: u32) -> bool {
    let id = all
        .iter()
        .find(|noted| noted.generation == generation)
        .and_then(|noted| noted.topic_id);
    let mut later = all.iter().filter(|noted| noted.generation > generation);
    later.any(|noted| noted.topic_id != id || noted.ends.contains_key(&partition))
}

/// Where files are not of the topic that is noted for their generation, or not of one topic.
fn topics(table: &str, generations: &[Generation], generation: u32, seen: &[(TopicId, FileName)]) -> Option<Problem> {
    let noted = generations.iter().find(|noted| noted.generation == generation);
    let expected = match noted {
        Some(noted) => noted.topic_id,
        None => seen.first().map(|(id, _)| *id),
    };
    let reason = if noted.is_none() && generation > 1 {
        format!("it has files of generation {generation}, which is not noted")
    } else {
        let (id, name) = seen.iter().find(|(id, _)| Some(*id) != expected)?;
        let expected = expected.map_or_else(|| "none that is known".to_owned(), |id| id.to_string());
        format!("{name} is of topic {id}, and its generation of {expected}")
    };
    Some(Problem::Topic {
        table: table.to_owned(),
        reason,
    })
}
