//! The files beside the log: as many rows as records, and what is not written yet.

use std::time::{Duration, Instant};

use broker::{Broker, BrokerError, Polled, Reader, Start, TopicPartition};

use super::LakeError;
use super::verify::{CheckedFile, PartitionReport, Problem, TableReport};
use crate::Table;

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
}

/// A table's log beside its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogReport {
    /// Every partition of the topic.
    pub partitions: Vec<PartitionLog>,
    /// What must not be.
    pub problems: Vec<Problem>,
}

/// Reads the whole of a table's topic, as far as the log still has it, and counts its records file by file. Blocks, at the longest
/// for `timeout` without any progress.
pub fn compare_with_log(
    broker: &dyn Broker,
    table: &dyn Table,
    report: &TableReport,
    timeout: Duration,
) -> Result<LogReport, LakeError> {
    let mut reader = broker.reader("riverbank-lake-verify")?;
    let count = broker.partitions(table.topic(), timeout)?.unwrap_or(0);
    let mut compared = LogReport {
        partitions: Vec::new(),
        problems: Vec::new(),
    };
    for partition in 0..count {
        let files = report.partitions.iter().find(|report| report.partition == partition);
        let at = TopicPartition::new(table.topic(), partition);
        let beside = Beside::read(reader.as_mut(), &at, files, timeout)?;
        compared.problems.extend(beside.problems(table, partition));
        compared.partitions.push(PartitionLog {
            partition,
            records: beside.records,
            unwritten: beside.unwritten,
        });
    }
    Ok(compared)
}

struct Beside<'a> {
    first: i64,
    files: &'a [CheckedFile],
    counts: Vec<u64>,
    records: u64,
    unwritten: u64,
    /// Records before the first file or between files: the first and last of them.
    uncovered: Option<(i64, i64)>,
}

impl<'a> Beside<'a> {
    fn read(
        reader: &mut dyn Reader,
        at: &TopicPartition,
        report: Option<&'a PartitionReport>,
        timeout: Duration,
    ) -> Result<Self, BrokerError> {
        let files = report.map_or(&[][..], |report| report.files.as_slice());
        let (first, end) = reader.bounds(at, timeout)?;
        let mut beside = Self {
            first,
            files,
            counts: vec![0; files.len()],
            records: 0,
            unwritten: 0,
            uncovered: None,
        };
        if first >= end {
            return Ok(beside);
        }
        let slot = reader.assign(at, Start::At(first))?;
        let mut polled = Polled::default();
        let mut progress = Instant::now();
        let mut next = first;
        while next < end {
            reader.poll(POLL_RECORDS, POLL, &mut polled)?;
            let seen = polled.messages.last().map(|message| message.offset + 1);
            let ended = polled.ends.iter().filter(|(of, _)| *of == slot).map(|(_, next)| *next).max();
            polled
                .messages
                .drain(..)
                .filter(|message| message.offset < end)
                .for_each(|message| beside.count(message.offset));
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
        Ok(beside)
    }

    fn count(&mut self, offset: i64) {
        self.records += 1;
        let index = self.files.partition_point(|file| file.name.end < offset);
        match self.files.get(index) {
            Some(file) if file.name.start <= offset => self.counts[index] += 1,
            None => self.unwritten += 1,
            Some(_) => {
                let (from, to) = self.uncovered.unwrap_or((offset, offset));
                self.uncovered = Some((from.min(offset), to.max(offset)));
            }
        }
    }

    fn problems(&self, table: &dyn Table, partition: u32) -> Vec<Problem> {
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
            .zip(&self.counts)
            .filter(|(file, _)| file.name.start >= self.first);
        let differs = countable.filter(|(file, count)| {
            if table.is_compacted() {
                **count > file.rows
            } else {
                **count != file.rows
            }
        });
        let differs = differs.map(|(file, count)| Problem::File {
            path: file.name.to_string(),
            reason: format!("it has {} rows, and the log has {count} records in its range", file.rows),
        });
        uncovered.into_iter().chain(differs).collect()
    }
}
