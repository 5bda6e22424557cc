//! A range in the making: a file for each day of its records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::Message;
use jiff::civil::Date;
use wire::Registry;

use super::digest;
use super::layout::{FileName, day_of};
use super::writer::{FileBytes, FileWriter};
use crate::group::protocol::{DAYS_MAX, Days, Intent, Place};
use crate::{RowError, Rows, SinkSettings, Table};

/// Files that take records.
pub struct Draft {
    table: Arc<dyn Table>,
    registry: Arc<dyn Registry>,
    partition: u32,
    generation: u32,
    /// The days that it has, where that is decided.
    decided: Option<Days>,
    files: BTreeMap<Date, FileWriter>,
    /// What the files before this range's knew of shapes.
    rows: Option<Box<dyn Rows>>,
    /// The last record.
    last: Option<Message>,
    record_bytes: u64,
    opened: Instant,
}

/// Why a record was not taken.
#[derive(Debug)]
pub enum Refusal {
    /// It belongs into the next range.
    Next,
    /// It must wait, or the table is at fault.
    Row(RowError),
    /// The range was decided without a record of this day: the log is not the one that it was decided upon.
    Day(Date),
}

impl Draft {
    /// An empty range of a partition, in a generation of the table's topic.
    pub fn new(
        table: Arc<dyn Table>,
        registry: Arc<dyn Registry>,
        partition: u32,
        generation: u32,
        rows: Option<Box<dyn Rows>>,
    ) -> Self {
        Self {
            table,
            registry,
            partition,
            generation,
            decided: None,
            files: BTreeMap::new(),
            rows,
            last: None,
            record_bytes: 0,
            opened: Instant::now(),
        }
    }

    /// An empty range whose days are decided.
    pub fn again(mut self, intent: &Intent) -> Self {
        self.decided = Some(intent.days.clone());
        self
    }

    /// The same range, begun again with shapes that the record which it refused has, too; `None` if the table has but one.
    pub fn wider(&self) -> Option<Self> {
        let mut wider = Self::new(
            self.table.clone(),
            self.registry.clone(),
            self.partition,
            self.generation,
            None,
        );
        wider.decided = self.decided.clone();
        for (day, file) in &self.files {
            let rows = file.wider_rows()?;
            wider
                .files
                .insert(*day, FileWriter::new(self.table.clone(), rows, self.generation));
        }
        Some(wider)
    }

    /// Takes a record, unless it is refused. One that was taken is to be given to [`Draft::keep`].
    pub fn push(&mut self, message: &Message) -> Result<(), Refusal> {
        let day = day_of(message.timestamp_ms);
        let day = match &self.decided {
            None if self.files.len() >= DAYS_MAX && !self.files.contains_key(&day) => return Err(Refusal::Next),
            None => day,
            Some(Days::Whole(whole)) => *whole,
            Some(Days::Split(days)) if days.contains_key(&day) => day,
            Some(Days::Split(_)) => return Err(Refusal::Day(day)),
        };
        if !self.files.contains_key(&day) {
            let rows = self.next_rows().unwrap_or_else(|| self.table.rows(self.registry.clone()));
            self.files
                .insert(day, FileWriter::new(self.table.clone(), rows, self.generation));
        }
        let file = self.files.get_mut(&day).ok_or(Refusal::Next)?;
        match file.push(self.partition, message) {
            Ok(bytes) => {
                self.record_bytes += bytes;
                Ok(())
            }
            Err(RowError::Shape) => Err(Refusal::Next),
            Err(error) => Err(Refusal::Row(error)),
        }
    }

    /// The record that was taken last.
    pub fn keep(&mut self, message: Message) {
        self.last = Some(message);
    }

    /// What the last record's file knows of shapes, for another file.
    pub fn next_rows(&mut self) -> Option<Box<dyn Rows>> {
        let last = self.last.as_ref().map(|last| day_of(last.timestamp_ms));
        let file = last.and_then(|day| self.files.get(&day));
        file.and_then(FileWriter::next_rows).or_else(|| self.rows.take())
    }

    /// Whether the settings say that it ends here.
    pub fn is_full(&self, settings: &SinkSettings) -> bool {
        self.row_count() >= settings.rows_max || self.record_bytes >= settings.bytes_max
    }

    /// How long ago it was opened.
    pub fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// How many rows it has.
    pub fn row_count(&self) -> u64 {
        self.files.values().map(FileWriter::row_count).sum()
    }

    /// The smallest timestamp of its records, in milliseconds since the epoch.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.files.values().filter_map(FileWriter::oldest_ms).min()
    }

    /// What it holds in memory, in bytes, as far as is known.
    pub fn memory_bytes(&self) -> u64 {
        self.files.values().map(FileWriter::memory_bytes).sum()
    }

    /// The last record that it has.
    pub fn last(&self) -> Option<&Message> {
        self.last.as_ref()
    }

    /// What is decided if it ends here; `None` while it is empty.
    pub fn intent(&self, start: i64, place: Place) -> Option<Intent> {
        let last = self.last.as_ref()?;
        let filled = self.files.iter().filter(|(_, file)| file.row_count() > 0);
        let days = filled.map(|(day, file)| (*day, digest::short(&file.digest()).to_owned()));
        Some(Intent {
            table: self.table.name().to_owned(),
            partition: self.partition,
            place: Place {
                last: Some(digest::of_record(last)),
                ..place
            },
            start,
            end: last.offset,
            schema: self.table.schema_version(),
            days: Days::Split(days.collect()),
        })
    }

    /// Ends it as these files of what was decided. One whose records the log has dropped since is there without rows.
    pub fn finish(mut self, intent: &Intent, files: Vec<FileName>) -> Result<Vec<FileBytes>, RowError> {
        let rows = || self.table.rows(self.registry.clone());
        let finish = |file: FileName| {
            let open = self.files.remove(&file.day);
            let open = open.unwrap_or_else(|| FileWriter::new(self.table.clone(), rows(), self.generation));
            open.finish(intent, file)
        };
        files.into_iter().map(finish).collect()
    }
}
