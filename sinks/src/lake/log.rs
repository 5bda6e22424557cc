//! The files beside the log: the same records, and what is not written yet.

use std::time::{Duration, Instant};

use broker::{Broker, BrokerError, Message, Polled, Reader, Start, TopicId, TopicPartition};
use jiff::civil::Date;

use super::LakeError;
use super::report::{CheckedFile, PartitionReport, Problem, TableReport};
use crate::Table;
use crate::group::generations::Generation;
use crate::group::protocol::Intent;
use crate::parquet::digest::{self, Digest};
use crate::parquet::layout::day_of;

/// Records of one poll.
const POLL_RECORDS: usize = 10_000;
/// The wait of one poll.
const POLL: Duration = Duration::from_millis(500);

/// A partition of the log beside its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLog {
    /// The partition.
    pub partition: u32,
    /// Records that were counted, the ones below and `unwritten` ones.
    pub records: u64,
    /// Records that are in no file yet, after the last file's end.
    pub unwritten: u64,
    /// The first offset of files whose records are not the log's.
    pub differs_from: Option<i64>,
}

/// A table's log beside its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogReport {
    /// The topic's id, if the broker gives one.
    pub topic_id: Option<TopicId>,
    /// Every partition of the topic.
    pub partitions: Vec<PartitionLog>,
    /// What must not be.
    pub problems: Vec<Problem>,
}

/// Reads a table's topic, as far as the log still has it and the report judges it, and compares its records file by file: with those
/// files that the report keeps. Files of topics that are gone have no log any more. Blocks, at the longest for `timeout` without any progress.
pub fn compare_with_log(
    broker: &dyn Broker,
    table: &dyn Table,
    report: &TableReport,
    timeout: Duration,
) -> Result<LogReport, LakeError> {
    let mut reader = broker.reader("riverbank-lake-verify")?;
    let count = broker.partitions(table.topic(), timeout)?.unwrap_or(0);
    let ids = broker.topic_ids(&[table.topic()], timeout)?;
    let topic_id = ids.into_iter().next().flatten();
    let problem = unknown_topic(table, report, topic_id, count);
    let is_unknown = problem.is_some();
    let mut compared = LogReport {
        topic_id,
        partitions: Vec::new(),
        problems: problem.into_iter().collect(),
    };
    for partition in 0..count {
        let noted = Generation::of(&report.generations, topic_id, partition);
        let generation = noted.map_or(1, |noted| noted.generation);
        let of_log = |files: &&PartitionReport| files.partition == partition && files.generation == generation && !is_unknown;
        let files = report.partitions.iter().find(of_log);
        // What is before a generation that began in the middle of its log is in the files before it.
        let begins = noted
            .filter(|noted| noted.generation > 1)
            .and_then(|noted| noted.ends.get(&partition));
        let begins = begins.map_or(0, |end| end + 1);
        let judged = match files {
            Some(files) => files.judged_from.unwrap_or(0),
            // Of the days that were asked for, it has none.
            None if report.since.is_some() => i64::MAX,
            None => 0,
        };
        let at = TopicPartition::new(table.topic(), partition);
        let scope = Beside {
            begins: begins.max(judged),
            since: report.since,
            files: files.map_or(&[], |files| files.files.as_slice()),
            ..Beside::default()
        };
        let beside = scope.read(reader.as_mut(), &at, timeout)?;
        let (problems, differs_from) = beside.problems(table, partition);
        compared.problems.extend(problems);
        compared.partitions.push(PartitionLog {
            partition,
            records: beside.records,
            unwritten: beside.unwritten,
            differs_from,
        });
    }
    Ok(compared)
}

/// Where the files are of other topics than the one that is there. Where nothing is noted, nothing but offsets can be compared.
fn unknown_topic(table: &dyn Table, report: &TableReport, id: Option<TopicId>, count: u32) -> Option<Problem> {
    let is_known = |noted: &Generation| id.is_some() && noted.topic_id == id;
    if count == 0 || report.generations.is_empty() || report.generations.iter().any(is_known) {
        return None;
    }
    let last = report.generations.last().map(Generation::id_text).unwrap_or_default();
    let now = id.map_or_else(|| "one whose id the broker does not give".to_owned(), |id| id.to_string());
    let reason = format!(
        "topic {} is {now}, and the files are of {last}: it was made anew, or is another cluster's",
        table.topic()
    );
    Some(Problem::Topic {
        table: table.name().to_owned(),
        reason,
    })
}

/// Whether the log has the records that were decided upon, as far as that can be said: not where retention took some.
pub(super) fn has_records_of(
    reader: &mut dyn Reader,
    at: &TopicPartition,
    intent: &Intent,
    timeout: Duration,
) -> Result<bool, BrokerError> {
    let files = intent.files().into_iter().map(|name| CheckedFile {
        days: Some(intent.files().iter().map(|file| file.day).collect()),
        name,
        bytes: 0,
        rows: 0,
        topic_id: None,
        digest: None,
    });
    let files: Vec<_> = files.collect();
    let scope = Beside {
        begins: intent.start,
        files: &files,
        ..Beside::default()
    };
    let beside = scope.read(reader, at, timeout)?;
    if intent.start < beside.first {
        return Ok(true);
    }
    let mut all = files.iter().zip(&beside.found);
    Ok(all.all(|(file, found)| {
        let digest = found.digest.clone().finish();
        intent
            .digest(file.name.day)
            .is_none_or(|decided| digest::short(&digest) == decided)
    }))
}

#[derive(Default)]
struct Beside<'a> {
    /// The log's first offset.
    first: i64,
    /// What is before it is not looked at.
    begins: i64,
    /// What is of earlier days is not, either.
    since: Option<Date>,
    files: &'a [CheckedFile],
    found: Vec<Found>,
    records: u64,
    unwritten: u64,
    /// Records before the first file or between files: the first and last of them.
    uncovered: Option<(i64, i64)>,
}

/// What the log has for a file.
#[derive(Clone, Default)]
struct Found {
    count: u64,
    digest: Digest,
}

impl<'a> Beside<'a> {
    fn read(mut self, reader: &mut dyn Reader, at: &TopicPartition, timeout: Duration) -> Result<Self, BrokerError> {
        let (first, end) = reader.bounds(at, timeout)?;
        self.first = first;
        self.found = vec![Found::default(); self.files.len()];
        let from = first.max(self.begins);
        if from >= end {
            return Ok(self);
        }
        let slot = reader.assign(at, Start::At(from))?;
        let mut polled = Polled::default();
        let mut progress = Instant::now();
        let mut next = from;
        while next < end {
            reader.poll(POLL_RECORDS, POLL, &mut polled)?;
            let seen = polled.messages.last().map(|message| message.offset + 1);
            let ended = polled.ends.iter().filter(|(of, _)| *of == slot).map(|(_, next)| *next).max();
            polled
                .messages
                .drain(..)
                .filter(|message| message.offset < end)
                .for_each(|message| self.count(&message));
            polled.ends.clear();
            if let Some(reached) = seen.max(ended) {
                next = next.max(reached);
                progress = Instant::now();
            } else if progress.elapsed() > timeout {
                return Err(BrokerError::Unavailable(format!(
                    "{at}: nothing after offset {next} for {timeout:?}"
                )));
            }
        }
        reader.unassign(slot)?;
        Ok(self)
    }

    fn count(&mut self, message: &Message) {
        let (offset, day) = (message.offset, day_of(message.timestamp_ms));
        if offset < self.begins {
            return;
        }
        let is_old = self.since.is_some_and(|since| day < since);
        let range = self.files.partition_point(|file| file.name.end < offset);
        let of_range = self.files.get(range).map(|file| (file.name.start, file.name.end));
        let in_range = of_range.filter(|(start, _)| *start <= offset);
        let all = self.files[range..].iter().zip(range..);
        let mut all = all.take_while(|(file, _)| Some((file.name.start, file.name.end)) == in_range);
        let place = all.find(|(file, _)| file.days.is_none() || file.name.day == day);
        if let Some((_, place)) = place {
            let found = &mut self.found[place];
            found.count += 1;
            found.digest.add(message);
        } else if is_old {
            return;
        } else if of_range.is_none()
            || (in_range.is_some()
                && self
                    .files
                    .last()
                    .is_some_and(|last| in_range == Some((last.name.start, last.name.end))))
        {
            // After the last range, or in it: that may be on its way.
            self.unwritten += 1;
        } else {
            let (from, to) = self.uncovered.unwrap_or((offset, offset));
            self.uncovered = Some((from.min(offset), to.max(offset)));
        }
        self.records += 1;
    }

    /// What must not be, and from which offset on the files are not the log's.
    fn problems(&self, table: &dyn Table, partition: u32) -> (Vec<Problem>, Option<i64>) {
        let uncovered = self.uncovered.map(|(from, to)| Problem::Gap {
            table: table.name().to_owned(),
            partition,
            from,
            to,
        });
        // What retention has taken from a file's range cannot be counted any more.
        let countable = self
            .files
            .iter()
            .zip(&self.found)
            .filter(|(file, _)| file.name.start >= self.first);
        let differs = countable.filter_map(|(file, found)| {
            let (rows, count) = (file.rows, found.count);
            if count > rows || (count < rows && !table.is_compacted()) {
                return Some((
                    file,
                    format!("it has {rows} rows, and the log has {count} records in its range"),
                ));
            }
            let digest = file.digest.as_ref().filter(|_| count == rows)?;
            let other = found.digest.clone().finish() != *digest;
            other.then(|| {
                (
                    file,
                    "the log has other records in its range: it was cut off and has grown again".to_owned(),
                )
            })
        });
        let differs: Vec<_> = differs.collect();
        let first = differs.iter().map(|(file, _)| file.name.start).min();
        let differs = differs.into_iter().map(|(file, reason)| Problem::File {
            path: file.name.to_string(),
            reason,
        });
        (uncovered.into_iter().chain(differs).collect(), first)
    }
}
