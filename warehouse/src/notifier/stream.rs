//! A stream of ranges, and where each of its files stands.
//!
//! ```text
//!            offer          seen            batch              accepted
//! (unknown) ───────► named ───────► waiting ───────► reported ──────────► received
//!                      │ gone         ▲                 │ failed
//!                      ▼              └─────────────────┘
//!                  (unknown)
//! ```
//!
//! A range is received when its files of all days are; then only its offsets are remembered.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use sinks::parquet::layout::FileName;

use sinks::lake::Ranges;

/// A partition of a generation of a table's topic: its ranges follow one another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// The table.
    pub table: String,
    /// Which of the topics that had the table's name.
    pub generation: u32,
    /// The partition.
    pub partition: u32,
}

impl Stream {
    /// The one that a file is of.
    pub fn of(file: &FileName) -> Self {
        Self {
            table: file.table.clone(),
            generation: file.generation,
            partition: file.partition,
        }
    }
}

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            table,
            generation,
            partition,
        } = self;
        write!(f, "{table}, partition {partition}")?;
        match generation {
            1 => Ok(()),
            n => write!(f, ", generation {n}"),
        }
    }
}

/// Where a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Named,
    Waiting,
    Reported,
    Received,
    /// A mark that the range's rows are in a file of this version of the shape.
    Superseded(u32),
}

/// A range that is not wholly received.
#[derive(Debug)]
pub(super) struct Open {
    pub files: BTreeMap<FileName, State>,
    /// The days on which it has files, once a footer was read.
    pub days: Option<BTreeSet<Date>>,
    pub since: Timestamp,
}

impl Open {
    /// Whether its file of this day is not received.
    pub fn lacks(&self, day: &Date) -> bool {
        let received = |(file, state): (&FileName, &State)| file.day == *day && *state == State::Received;
        !self.files.iter().any(received)
    }

    /// The files that footers name and that are not known.
    pub fn missing(&self) -> Vec<FileName> {
        let mut missing = Vec::new();
        for (file, state) in &self.files {
            match state {
                State::Superseded(schema) => missing.push(FileName {
                    schema: *schema,
                    ..file.clone()
                }),
                _ => missing.extend(self.days.iter().flatten().map(|day| FileName {
                    day: *day,
                    ..file.clone()
                })),
            }
        }
        let is_day_known = |day: &Date| self.files.keys().any(|file| file.day == *day);
        let is_follower = |file: &FileName| self.files.values().any(|state| *state == State::Superseded(file.schema));
        missing.retain(|file| !self.files.contains_key(file) && (!is_day_known(&file.day) || is_follower(file)));
        missing.sort();
        missing.dedup();
        missing
    }

    /// Whether its files of all days are received.
    pub fn is_received(&self) -> bool {
        let complete = |days: &BTreeSet<Date>| days.iter().all(|day| !self.lacks(day));
        self.days.as_ref().is_some_and(complete)
    }
}

/// What Snowflake has of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// The offsets that it has received.
    pub offsets: Ranges,
    /// The offset before which there are no files; `None` until that is known.
    pub base: Option<i64>,
}

/// What is known of a stream.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub received: Received,
    pub open: BTreeMap<(i64, i64), Open>,
}

impl Known {
    /// The ranges that are in no file that is known.
    pub fn holes(&self) -> Vec<(i64, i64)> {
        let mut all = self.received.offsets.clone();
        self.open.keys().for_each(|(start, end)| all.insert(*start, *end));
        let base = self.received.base.unwrap_or(0);
        let before = all.first().filter(|first| *first > base).map(|first| (base, first - 1));
        before.into_iter().chain(all.holes()).collect()
    }
}
