//! What is found about a table's files, and what must not be.

use broker::TopicId;
use jiff::civil::Date;

use crate::group::generations::Generation;
use crate::parquet::layout::FileName;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Offsets that no file covers, between two files.
    #[error("{table}, partition {partition}: offsets {from} to {to} are in no file")]
    Gap {
        /// The table.
        table: String,
        /// The partition.
        partition: u32,
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
    },
    /// Offsets that two files cover.
    #[error("{table}, partition {partition}: offsets {from} to {to} are in two files")]
    Overlap {
        /// The table.
        table: String,
        /// The partition.
        partition: u32,
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
    },
    /// Days of a range whose files are missing.
    #[error("{table}, partition {partition}: of offsets {start} to {end}, the file of {day} is missing")]
    Day {
        /// The table.
        table: String,
        /// The partition.
        partition: u32,
        /// The first offset of the range.
        start: i64,
        /// The last offset of the range.
        end: i64,
        /// The day.
        day: Date,
    },
    /// Files that are not of the topic that they should be of.
    #[error("{table}: {reason} (docs/runbooks/lake.md)")]
    Topic {
        /// The table.
        table: String,
        /// What does not agree.
        reason: String,
    },
    /// A file that is not what its name says.
    #[error("{path}: {reason}")]
    File {
        /// Where.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// An object that is none of ours.
    #[error("{0} is no file of the lake")]
    Unrecognized(String),
}

/// A file whose footer agrees with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedFile {
    /// What it covers.
    pub name: FileName,
    /// Its size.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// The id of the topic that it is of, if its footer says.
    pub topic_id: Option<TopicId>,
    /// The days of its range, each of which has a file; `None` if this file has them all.
    pub days: Option<Vec<Date>>,
    /// The digest of its records, if its footer has one.
    pub digest: Option<String>,
}

/// A partition's files of one generation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionReport {
    /// The partition.
    pub partition: u32,
    /// Which of the topics that had the table's name, from 1.
    pub generation: u32,
    /// How many files it has, marks left out.
    pub count: u64,
    /// All rows.
    pub rows: u64,
    /// All bytes.
    pub bytes: u64,
    /// The first offset covered.
    pub start: Option<i64>,
    /// The last offset covered.
    pub end: Option<i64>,
    /// The offset before which nothing is judged: retention has removed it, or it is of days that were not asked for.
    pub judged_from: Option<i64>,
    /// Files that retention has given up and not deleted yet; they count nowhere else.
    pub expired: u64,
    /// Those of its files that were to be kept in the report, in order.
    pub files: Vec<CheckedFile>,
}

/// What was found about a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReport {
    /// The table.
    pub table: String,
    /// The day before which nothing was looked at.
    pub since: Option<Date>,
    /// Its partitions, as far as they have files: one for each generation.
    pub partitions: Vec<PartitionReport>,
    /// The topics that had the table's name, as far as they are noted.
    pub generations: Vec<Generation>,
    /// What must not be; empty is the proof.
    pub problems: Vec<Problem>,
}

impl TableReport {
    /// All files, marks left out.
    pub fn files(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.count).sum()
    }

    /// All rows.
    pub fn rows(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.rows).sum()
    }
}
