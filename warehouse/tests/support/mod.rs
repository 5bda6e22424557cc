//! A lake and a Snowflake in memory, with the faults of real ones.

#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use object_store::path::Path;
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sinks::parquet::layout::FileName;
use warehouse::notifier::lake::{Lake, LakeError, Seen};
use warehouse::snowflake::snowpipe::{FILES_MAX, PATH_BYTES_MAX, Pipes};
use warehouse::snowflake::{ApiError, FileReport, History, LoadStatus, PipeName, Report, StagedFile};

pub const TABLES: [&str; 2] = ["bronze.accounts", "gold.account_balances"];

/// Everything that both know, behind one lock.
#[derive(Debug)]
pub struct World {
    pub rng: ChaCha8Rng,
    pub now: Timestamp,
    /// Files that are written, and what they say.
    pub files: BTreeMap<FileName, Seen>,
    /// Files that are decided upon, in their order.
    pub unwritten: Vec<(FileName, Seen)>,
    /// The last intent of each partition, and where the next range begins.
    pub newest: BTreeMap<(String, u32), (Vec<FileName>, i64)>,
    pub notes: BTreeMap<Path, Bytes>,
    /// Paths that each pipe has received, with the time, and how often they came.
    pub received: BTreeMap<(PipeName, String), (Timestamp, u32)>,
    loads: Vec<(PipeName, Timestamp, FileReport)>,
    /// How likely a request fails.
    pub lake_faults: f64,
    pub pipe_faults: f64,
    /// How likely a load fails.
    pub bad_loads: f64,
    pub batches_max: usize,
    pub day_listings: usize,
    pub history_scans: usize,
}

#[derive(Debug, Clone)]
pub struct Shared(pub Arc<Mutex<World>>);

impl Shared {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World {
            rng: ChaCha8Rng::seed_from_u64(seed),
            now: "2026-03-01T12:00:00Z".parse().unwrap(),
            files: BTreeMap::new(),
            unwritten: Vec::new(),
            newest: BTreeMap::new(),
            notes: BTreeMap::new(),
            received: BTreeMap::new(),
            loads: Vec::new(),
            lake_faults: 0.0,
            pipe_faults: 0.0,
            bad_loads: 0.0,
            batches_max: 0,
            day_listings: 0,
            history_scans: 0,
        })))
    }

    pub fn now(&self) -> Timestamp {
        self.0.lock().now
    }

    /// The files that no pipe has received.
    pub fn missed(&self, pipes: &BTreeMap<String, PipeName>) -> Vec<FileName> {
        let world = self.0.lock();
        let is_missed = |(file, seen): &(&FileName, &Seen)| {
            let path = file.to_string()[file.table.len() + 1..].to_owned();
            seen.superseded_by.is_none() && !world.received.contains_key(&(pipes[&file.table].clone(), path))
        };
        world.files.iter().filter(is_missed).map(|(file, _)| file.clone()).collect()
    }
}

impl World {
    pub fn today(&self) -> Date {
        self.now.to_zoned(TimeZone::UTC).date()
    }

    /// A sink decides upon the next range of a partition, of these days, and notes its intent.
    pub fn decide(&mut self, table: &str, partition: u32, days: BTreeSet<Date>) {
        self.write_all();
        let key = (table.to_owned(), partition);
        let start = self.newest.get(&key).map_or(0, |(_, next)| *next);
        let end = start + self.rng.random_range(0..50);
        let file = |day: &Date, schema| FileName {
            table: table.to_owned(),
            day: *day,
            partition,
            generation: 1,
            start,
            end,
            schema,
        };
        let seen = |superseded_by| Seen {
            size: 1_000,
            written_at: self.now,
            days: Some(days.clone()),
            superseded_by,
        };
        let files: Vec<_> = days.iter().map(|day| file(day, 1)).collect();
        for day in &days {
            if self.rng.random_bool(0.03) {
                self.unwritten.push((file(day, 1), seen(Some(2))));
                self.unwritten.push((file(day, 2), seen(None)));
            } else {
                self.unwritten.push((file(day, 1), seen(None)));
            }
        }
        self.newest.insert(key, (files, end + 1));
    }

    /// Writes the next file that was decided upon.
    pub fn write_one(&mut self) -> Option<FileName> {
        if self.unwritten.is_empty() {
            return None;
        }
        let (file, mut seen) = self.unwritten.remove(0);
        seen.written_at = self.now;
        self.files.insert(file.clone(), seen);
        Some(file)
    }

    /// A sink goes on only when all files of a range are written.
    pub fn write_all(&mut self) {
        while self.write_one().is_some() {}
    }

    pub fn days_ago(&self, days: i64) -> Date {
        self.today().checked_sub(Span::new().days(days)).unwrap()
    }

    fn lake_fails(&mut self) -> Result<(), LakeError> {
        let p = self.lake_faults;
        match self.rng.random_bool(p) {
            true => Err(LakeError::TimedOut(std::time::Duration::from_secs(1))),
            false => Ok(()),
        }
    }
}

fn unavailable() -> ApiError {
    ApiError::Unavailable {
        what: "load files".to_owned(),
        reason: "503".to_owned(),
        attempts: 1,
    }
}

#[async_trait]
impl Lake for Shared {
    async fn days(&self, table: &str) -> Result<Vec<Date>, LakeError> {
        let mut world = self.0.lock();
        world.lake_fails()?;
        let days: BTreeSet<Date> = world
            .files
            .keys()
            .filter(|file| file.table == table)
            .map(|file| file.day)
            .collect();
        Ok(days.into_iter().collect())
    }

    async fn files(&self, table: &str, day: Date) -> Result<Vec<FileName>, LakeError> {
        let mut world = self.0.lock();
        world.lake_fails()?;
        world.day_listings += 1;
        let is_of = |file: &&FileName| file.table == table && file.day == day;
        Ok(world.files.keys().filter(is_of).cloned().collect())
    }

    async fn newest(&self, table: &str) -> Result<Vec<FileName>, LakeError> {
        let mut world = self.0.lock();
        world.lake_fails()?;
        let of_table = world.newest.iter().filter(|((of, _), _)| of == table);
        Ok(of_table.flat_map(|(_, (files, _))| files.clone()).collect())
    }

    async fn look(&self, file: &FileName) -> Result<Option<Seen>, LakeError> {
        let mut world = self.0.lock();
        world.lake_fails()?;
        Ok(world.files.get(file).cloned())
    }

    async fn read_note(&self, path: &Path) -> Result<Option<Bytes>, LakeError> {
        let mut world = self.0.lock();
        world.lake_fails()?;
        Ok(world.notes.get(path).cloned())
    }

    async fn write_note(&self, path: &Path, bytes: Bytes) -> Result<(), LakeError> {
        let mut world = self.0.lock();
        world.lake_fails()?;
        world.notes.insert(path.clone(), bytes);
        // Or the answer is lost.
        world.lake_fails()
    }
}

#[async_trait]
impl Pipes for Shared {
    async fn insert_files(&self, pipe: &PipeName, files: &[StagedFile]) -> Result<(), ApiError> {
        let mut world = self.0.lock();
        let p = world.pipe_faults;
        if world.rng.random_bool(p) {
            return Err(unavailable());
        }
        assert!((1..=FILES_MAX).contains(&files.len()), "{} files", files.len());
        world.batches_max = world.batches_max.max(files.len());
        for file in files {
            assert!(file.path.len() <= PATH_BYTES_MAX);
            let is_there = world
                .files
                .keys()
                .any(|known| known.to_string().strip_prefix(&format!("{}/", known.table)) == Some(file.path.as_str()));
            assert!(
                is_there,
                "{} was reported before it was written: it would be ignored later",
                file.path
            );
            let now = world.now;
            let bad = world.bad_loads;
            let fails = world.rng.random_bool(bad);
            let key = (pipe.clone(), file.path.clone());
            if let Some((_, times)) = world.received.get_mut(&key) {
                *times += 1;
                continue;
            }
            world.received.insert(key, (now, 1));
            let status = if fails { LoadStatus::LoadFailed } else { LoadStatus::Loaded };
            let report = serde_json::json!({
                "path": file.path, "status": status, "timeReceived": now, "complete": true,
                "firstError": fails.then_some("a text is no number"),
            });
            world.loads.push((pipe.clone(), now, serde_json::from_value(report).unwrap()));
        }
        match world.rng.random_bool(p) {
            true => Err(unavailable()),
            false => Ok(()),
        }
    }

    async fn report(&self, pipe: &PipeName, begin_mark: Option<&str>) -> Result<Report, ApiError> {
        let mut world = self.0.lock();
        let p = world.pipe_faults;
        if world.rng.random_bool(p) {
            return Err(unavailable());
        }
        let now = world.now;
        let recent = |at: &Timestamp| *at + std::time::Duration::from_secs(600) >= now;
        let from: usize = begin_mark.map_or(0, |mark| mark.parse().unwrap());
        let all: Vec<_> = world.loads.iter().enumerate().filter(|(_, (of, ..))| of == pipe).collect();
        let gone = all.iter().any(|(at, (_, time, _))| *at >= from && !recent(time));
        let files = all.iter().filter(|(at, (_, time, _))| *at + 1 >= from && recent(time));
        Ok(Report {
            complete_result: begin_mark.is_none() || !gone,
            next_begin_mark: Some(world.loads.len().to_string()),
            files: files.map(|(_, (_, _, file))| file.clone()).collect(),
        })
    }

    async fn history(&self, pipe: &PipeName, from: Timestamp, to: Timestamp) -> Result<History, ApiError> {
        let mut world = self.0.lock();
        let p = world.pipe_faults;
        if world.rng.random_bool(p) {
            return Err(unavailable());
        }
        world.history_scans += 1;
        let oldest = world.now - std::time::Duration::from_secs(14 * 86_400);
        let in_range = |(of, at, _): &&(PipeName, Timestamp, FileReport)| of == pipe && *at >= from.max(oldest) && *at < to;
        let found: Vec<_> = world.loads.iter().filter(in_range).collect();
        // Small parts, so that they are followed; all of one instant must come together.
        let last = found.get(20).map(|(_, at, _)| *at);
        let part: Vec<_> = found
            .iter()
            .filter(|(_, at, _)| last.is_none_or(|last| *at <= last))
            .collect();
        Ok(History {
            complete_result: part.len() == found.len(),
            range_end_time: part.last().map(|(_, at, _)| *at),
            files: part.iter().map(|(_, _, file)| file.clone()).collect(),
        })
    }
}
