//! What is known of the lake's files, and what is to be done with each. No clock, no store, no network: times come with the calls.
//! [`super::stream`] has the states of a file.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use sinks::parquet::layout::FileName;

use super::lake::Seen;
use super::settings::{NotifierSettings, path_in_stage};
use super::stream::{Known, Open, Received, State, Stream};
use crate::snowflake::{PipeName, StagedFile};

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It is new, and will be looked at.
    Taken,
    /// It is known already.
    Known,
    /// There is no room: a later listing finds it.
    Full,
    /// It is of no table that has a pipe.
    Foreign,
}

/// A file that waits to be reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The file.
    pub file: FileName,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written.
    pub written_at: Timestamp,
    /// Since when it waits.
    since: Timestamp,
}

/// Files to be reported with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The pipe.
    pub pipe: PipeName,
    /// The files, at least one.
    pub files: Vec<Waiting>,
}

impl Batch {
    /// The files, as they are reported to Snowflake.
    pub fn staged(&self) -> Vec<StagedFile> {
        let staged = |waiting: &Waiting| StagedFile {
            path: path_in_stage(&waiting.file.table, &waiting.file.to_string()).to_owned(),
            size: Some(waiting.size),
        };
        self.files.iter().map(staged).collect()
    }
}

/// What is known.
#[derive(Debug)]
pub struct Memory {
    settings: NotifierSettings,
    streams: BTreeMap<Stream, Known>,
    named: VecDeque<FileName>,
    waiting: BTreeMap<PipeName, VecDeque<Waiting>>,
    /// Files of all open ranges.
    files: usize,
    changed: bool,
}

impl Memory {
    /// Nothing is known but these offsets, which are received.
    pub fn new(settings: NotifierSettings, received: BTreeMap<Stream, Received>) -> Self {
        let known = |received| Known {
            received,
            open: BTreeMap::new(),
        };
        Self {
            streams: received
                .into_iter()
                .map(|(stream, received)| (stream, known(received)))
                .collect(),
            named: VecDeque::new(),
            waiting: BTreeMap::new(),
            files: 0,
            changed: false,
            settings,
        }
    }

    /// A file may be there.
    pub fn offer(&mut self, file: &FileName, now: Timestamp) -> Offer {
        if !self.settings.pipes.contains_key(&file.table) {
            return Offer::Foreign;
        }
        if self.is_known(file) {
            return Offer::Known;
        }
        let known = self.streams.get(&Stream::of(file));
        // The days of a range that is open have room, or it would never be received and make room.
        let is_open = known.is_some_and(|known| known.open.contains_key(&(file.start, file.end)));
        if !is_open && self.files >= self.settings.files_max {
            return Offer::Full;
        }
        let known = self.streams.entry(Stream::of(file)).or_default();
        let open = known.open.entry((file.start, file.end)).or_insert_with(|| Open {
            files: BTreeMap::new(),
            days: None,
            since: now,
        });
        open.files.insert(file.clone(), State::Named);
        self.files += 1;
        self.named.push_back(file.clone());
        Offer::Taken
    }

    fn is_known(&self, file: &FileName) -> bool {
        self.streams.get(&Stream::of(file)).is_some_and(|known| {
            let open = known.open.get(&(file.start, file.end));
            known.received.offsets.covers(file.start, file.end) || open.is_some_and(|open| open.files.contains_key(file))
        })
    }

    /// Takes files whose footers are to be read, at most `max`. Each is to be answered with [`Memory::seen`], [`Memory::gone`] or
    /// [`Memory::again`].
    pub fn to_look_at(&mut self, max: usize) -> Vec<FileName> {
        let some = self.named.len().min(max);
        self.named.drain(..some).collect()
    }

    /// It could not be looked at now.
    pub fn again(&mut self, file: FileName) {
        self.named.push_back(file);
    }

    /// There is no such file.
    pub fn gone(&mut self, file: &FileName) {
        let Some(known) = self.streams.get_mut(&Stream::of(file)) else {
            return;
        };
        let range = (file.start, file.end);
        let Some(open) = known.open.get_mut(&range) else {
            return;
        };
        if open.files.remove(file).is_some() {
            self.files -= 1;
        }
        if open.files.is_empty() {
            known.open.remove(&range);
        }
    }

    /// It is there.
    pub fn seen(&mut self, file: &FileName, seen: &Seen, now: Timestamp) {
        let Some(pipe) = self.settings.pipes.get(&file.table) else {
            return;
        };
        let known = self.streams.get_mut(&Stream::of(file));
        let Some(open) = known.and_then(|known| known.open.get_mut(&(file.start, file.end))) else {
            return;
        };
        if let Some(schema) = seen.superseded_by {
            open.files.insert(file.clone(), State::Superseded(schema));
            self.offer(&FileName { schema, ..file.clone() }, now);
            return;
        }
        open.files.insert(file.clone(), State::Waiting);
        open.days = Some(seen.days.clone().unwrap_or_else(|| [file.day].into()));
        let waiting = Waiting {
            file: file.clone(),
            size: seen.size,
            written_at: seen.written_at,
            since: now,
        };
        self.waiting.entry(pipe.clone()).or_default().push_back(waiting);
    }

    /// A batch for each pipe of which one is due: it is full, or its oldest file has waited for long enough. Each is to be answered
    /// with [`Memory::accepted`] or [`Memory::failed`].
    pub fn batches(&mut self, now: Timestamp, may: impl Fn(&PipeName) -> bool) -> Vec<Batch> {
        let (max, wait) = (self.settings.batch_files_max, self.settings.batch_wait);
        let mut batches = Vec::new();
        for (pipe, waiting) in &mut self.waiting {
            let waits = waiting.front().is_some_and(|oldest| oldest.since + wait <= now);
            if !waits && waiting.len() < max || !may(pipe) {
                continue;
            }
            let files: Vec<_> = waiting.drain(..waiting.len().min(max)).collect();
            batches.push(Batch {
                pipe: pipe.clone(),
                files,
            });
        }
        self.waiting.retain(|_, waiting| !waiting.is_empty());
        for file in batches.iter().flat_map(|batch| &batch.files) {
            self.set(&file.file, State::Reported);
        }
        batches
    }

    /// The batch was not received, as far as is known: its files wait again, before the others.
    pub fn failed(&mut self, batch: Batch) {
        batch.files.iter().for_each(|file| self.set(&file.file, State::Waiting));
        let waiting = self.waiting.entry(batch.pipe).or_default();
        batch.files.into_iter().rev().for_each(|file| waiting.push_front(file));
    }

    /// Snowflake has received the batch.
    pub fn accepted(&mut self, batch: &Batch) {
        for Waiting { file, .. } in &batch.files {
            self.set(file, State::Received);
            let Some(known) = self.streams.get_mut(&Stream::of(file)) else {
                continue;
            };
            let range = (file.start, file.end);
            if known.open.get(&range).is_some_and(Open::is_received) {
                self.files -= known.open.remove(&range).map_or(0, |open| open.files.len());
                known.received.offsets.insert(range.0, range.1);
                self.changed = true;
            }
        }
    }

    fn set(&mut self, file: &FileName, state: State) {
        let known = self.streams.get_mut(&Stream::of(file));
        let open = known.and_then(|known| known.open.get_mut(&(file.start, file.end)));
        if let Some(at) = open.and_then(|open| open.files.get_mut(file)) {
            *at = state;
        }
    }

    /// The other files of ranges that are open for longer than `after`: footers say that there are such.
    pub fn missing_files(&self, now: Timestamp, after: Duration) -> Vec<FileName> {
        let open = self.streams.values().flat_map(|known| known.open.values());
        open.filter(|open| open.since + after <= now)
            .flat_map(Open::missing)
            .collect()
    }

    /// The ranges of a table that are in no file that is known, though later ones of their partitions are.
    pub fn holes(&self, table: &str) -> Vec<(Stream, i64, i64)> {
        let of_table = self.streams.iter().filter(|(stream, _)| stream.table == table);
        let holes = of_table.flat_map(|(stream, known)| known.holes().into_iter().map(move |hole| (stream, hole)));
        holes.map(|(stream, (start, end))| (stream.clone(), start, end)).collect()
    }

    /// All files before an offset have been looked for: a hole that is left before it was never a file, if nothing was known of where
    /// the stream begins. Returns whether that is so.
    pub fn settle(&mut self, stream: &Stream, offset: i64) -> bool {
        match self.streams.get_mut(stream) {
            Some(known) if known.received.base.is_none() => {
                known.received.base = Some(offset);
                self.changed = true;
                true
            }
            _ => false,
        }
    }

    /// The first offset of a stream that is in a file which is known.
    pub fn first(&self, stream: &Stream) -> Option<i64> {
        let known = self.streams.get(stream)?;
        let open = known.open.keys().next().map(|(start, _)| *start);
        open.into_iter().chain(known.received.offsets.first()).min()
    }

    /// The first day of a table that has a file which is not received.
    pub fn first_open_day(&self, table: &str) -> Option<Date> {
        let of_table = self.streams.iter().filter(|(stream, _)| stream.table == table);
        let open = of_table.flat_map(|(_, known)| known.open.values());
        open.flat_map(|open| {
            let named = open.files.iter().filter(|(_, state)| **state != State::Received);
            let named = named.map(|(file, _)| file.day);
            named.chain(open.days.iter().flatten().filter(|day| open.lacks(day)).copied())
        })
        .min()
    }

    /// What is received, of each stream.
    pub fn received(&self) -> impl Iterator<Item = (&Stream, &Received)> {
        self.streams.iter().map(|(stream, known)| (stream, &known.received))
    }

    /// The files that wait to be reported, or are being so, of a table; and when the oldest of them was written.
    pub fn waiting(&self, table: &str) -> (usize, Option<Timestamp>) {
        let of_table = || self.waiting.values().flatten().filter(|waiting| waiting.file.table == table);
        (of_table().count(), of_table().map(|waiting| waiting.written_at).min())
    }

    /// Whether something waits, for a look or a batch.
    pub fn is_idle(&self) -> bool {
        self.named.is_empty() && self.waiting.is_empty()
    }

    /// Whether names wait to be looked at.
    pub fn has_named(&self) -> bool {
        !self.named.is_empty()
    }

    /// Files that are known and not received.
    pub fn files(&self) -> usize {
        self.files
    }

    /// Whether more was received since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}
