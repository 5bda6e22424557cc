//! The proof from the files themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use broker::TopicId;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{LakeError, LakeFile, list};
use crate::group::generations::Generation;
use crate::parquet::footer::{self, FooterError};
use crate::parquet::layout::FileName;
use crate::parquet::store::Lake;

/// How long one request to the store may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Files that are looked at together.
const AT_ONCE: usize = 16;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The footers: a few kilobytes of each file.
    Footers,
    /// Every row's offset as well: the whole of each file is fetched.
    Offsets,
}

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
    Stranger(String),
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionReport {
    /// The partition.
    pub partition: u32,
    /// Which of the topics that had the table's name, from 1.
    pub generation: u32,
    /// Its files, in order.
    pub files: Vec<CheckedFile>,
}

impl PartitionReport {
    /// The first offset covered.
    pub fn start(&self) -> Option<i64> {
        self.files.first().map(|file| file.name.start)
    }
    /// The last offset covered.
    pub fn end(&self) -> Option<i64> {
        self.files.last().map(|file| file.name.end)
    }
    /// All rows.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
    /// All bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// What was found about a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReport {
    /// The table.
    pub table: String,
    /// Its partitions, as far as they have files: one for each generation.
    pub partitions: Vec<PartitionReport>,
    /// The topics that had the table's name, as far as they are noted.
    pub generations: Vec<Generation>,
    /// What must not be; empty is the proof.
    pub problems: Vec<Problem>,
}

/// Checks a table. What seems to be missing is looked for again: a listing takes time, and sinks go on meanwhile.
pub async fn verify(store: &Arc<dyn ObjectStore>, table: &str, depth: Depth) -> Result<TableReport, LakeError> {
    let report = look(store, table, depth).await?;
    let misses = |problem: &Problem| matches!(problem, Problem::Gap { .. } | Problem::Day { .. });
    match report.problems.iter().any(misses) {
        true => look(store, table, depth).await,
        false => Ok(report),
    }
}

async fn look(store: &Arc<dyn ObjectStore>, table: &str, depth: Depth) -> Result<TableReport, LakeError> {
    // First: a file of a generation that is noted later is not missed.
    let listing = list(store.as_ref(), table).await?;
    let generations = generations(store, table).await?;
    let checks = stream::iter(listing.files.into_iter().map(|file| check(store.clone(), file, depth)));
    let checked: Vec<_> = checks.buffered(AT_ONCE).try_collect().await?;
    let mut problems: Vec<_> = listing.strangers.into_iter().map(Problem::Stranger).collect();
    let mut partitions: BTreeMap<(u32, u32), Vec<CheckedFile>> = BTreeMap::new();
    for (file, problem) in checked {
        problems.extend(problem);
        if let Some(file) = file {
            let name = &file.name;
            partitions.entry((name.partition, name.generation)).or_default().push(file);
        }
    }
    for ((partition, generation), files) in &partitions {
        let is_last = !is_over(&generations, *generation, *partition);
        problems.extend(seams(table, *partition, files, is_last));
        problems.extend(topics(table, &generations, *generation, files));
    }
    let partitions = partitions
        .into_iter()
        .map(|((partition, generation), files)| PartitionReport {
            partition,
            generation,
            files,
        })
        .collect();
    Ok(TableReport {
        table: table.to_owned(),
        partitions,
        generations,
        problems,
    })
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

/// Where one range does not begin right after the other's end, or lacks a day's file. The last range of the last generation may be
/// on its way: what it lacks is not written yet.
fn seams(table: &str, partition: u32, files: &[CheckedFile], is_last: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    let last = files.last().map(|file| file.name.start).filter(|_| is_last);
    let mut next = files.first().map_or(0, |file| file.name.start);
    for range in files.chunk_by(|one, other| (one.name.start, one.name.end) == (other.name.start, other.name.end)) {
        let Some(CheckedFile { name, days, .. }) = range.first() else {
            continue;
        };
        let (start, end) = (name.start, name.end);
        let overlap = |from, to| Problem::Overlap {
            table: table.to_owned(),
            partition,
            from,
            to,
        };
        if start > next {
            problems.push(Problem::Gap {
                table: table.to_owned(),
                partition,
                from: next,
                to: start - 1,
            });
        } else if start < next {
            problems.push(overlap(start, end.min(next - 1)));
        }
        next = next.max(end + 1);
        // Two of a day, or one that has all days beside others.
        let doubled = range.windows(2).any(|pair| pair[0].name.day == pair[1].name.day);
        let whole = range.len() > 1 && range.iter().any(|file| file.days.is_none());
        if doubled || whole || range.iter().any(|file| file.days != *days) {
            problems.push(overlap(start, end));
        }
        let days = days.iter().flatten().filter(|_| Some(start) != last);
        let missing = days.filter(|day| !range.iter().any(|file| file.name.day == **day));
        problems.extend(missing.map(|day| Problem::Day {
            table: table.to_owned(),
            partition,
            start,
            end,
            day: *day,
        }));
    }
    problems
}

/// Where files are not of the topic that is noted for their generation, or not of one topic.
fn topics(table: &str, generations: &[Generation], generation: u32, files: &[CheckedFile]) -> Option<Problem> {
    let noted = generations.iter().find(|noted| noted.generation == generation);
    let mut ids = files.iter().filter_map(|file| Some((file.topic_id?, &file.name)));
    let expected = match (noted, files.iter().find_map(|file| file.topic_id)) {
        (Some(noted), _) => noted.topic_id,
        (None, first) => first,
    };
    let reason = if noted.is_none() && generation > 1 {
        format!("it has files of generation {generation}, which is not noted")
    } else {
        let (id, name) = ids.find(|(id, _)| Some(*id) != expected)?;
        let expected = expected.map_or_else(|| "none that is known".to_owned(), |id| id.to_string());
        format!("{name} is of topic {id}, and its generation of {expected}")
    };
    Some(Problem::Topic {
        table: table.to_owned(),
        reason,
    })
}

/// A file, unless it is only a mark that another one has its rows; and what is wrong with it.
async fn check(
    store: Arc<dyn ObjectStore>,
    file: LakeFile,
    depth: Depth,
) -> Result<(Option<CheckedFile>, Option<Problem>), LakeError> {
    let path = file.name.path();
    let problem = |reason: String| {
        Some(Problem::File {
            path: path.to_string(),
            reason,
        })
    };
    let LakeFile { name, bytes, .. } = file;
    let identity = match footer::read(store.as_ref(), &path).await {
        Ok(identity) => identity,
        Err(FooterError::Damaged(reason)) => {
            let damaged = CheckedFile {
                name,
                bytes,
                rows: 0,
                topic_id: None,
                days: None,
                digest: None,
            };
            return Ok((Some(damaged), problem(reason)));
        }
        Err(FooterError::Store(error)) => return Err(error.into()),
    };
    let rows = identity.rows;
    let covered = (name.end - name.start + 1) as u64;
    let found = if !identity.is_of(&name) {
        problem(format!("its footer says {identity:?}"))
    } else if identity.superseded_by.is_some() {
        return Ok((
            None,
            (rows > 0)
                .then(|| problem("it is superseded, and has rows".to_owned()))
                .flatten(),
        ));
    } else if rows > covered {
        problem(format!("{rows} rows cannot have come from {covered} offsets"))
    } else if depth == Depth::Offsets {
        let offsets = read_offsets(store.as_ref(), &path).await?;
        offsets
            .and_then(|offsets| ascending_within(&name, rows, &offsets))
            .err()
            .and_then(problem)
    } else {
        None
    };
    let checked = CheckedFile {
        name,
        bytes,
        rows,
        topic_id: identity.topic_id,
        days: identity.days,
        digest: identity.digest,
    };
    Ok((Some(checked), found))
}

fn ascending_within(name: &FileName, rows: u64, offsets: &[i64]) -> Result<(), String> {
    let within = offsets.iter().all(|offset| (name.start..=name.end).contains(offset));
    if !within || !offsets.is_sorted_by(|a, b| a < b) || offsets.len() as u64 != rows {
        return Err(format!(
            "its {} offsets are not {rows} ascending ones within its range",
            offsets.len()
        ));
    }
    Ok(())
}

/// The offsets of a file's rows, in order; the inner error says what is wrong with the file.
pub async fn read_offsets(store: &dyn ObjectStore, path: &Path) -> Result<Result<Vec<i64>, String>, LakeError> {
    let bytes = store.get(path).await?.bytes().await?;
    let decode = || -> Result<Vec<i64>, String> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| error.to_string())?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), ["_offset"]);
        let reader = builder.with_projection(mask).build().map_err(|error| error.to_string())?;
        let mut offsets = Vec::new();
        for batch in reader {
            let batch = batch.map_err(|error| error.to_string())?;
            let column = batch
                .columns()
                .first()
                .and_then(|column| column.as_primitive_opt::<Int64Type>());
            offsets.extend_from_slice(column.ok_or("it has no column _offset")?.values());
        }
        Ok(offsets)
    };
    Ok(decode())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parquet::layout::day_of;

    fn check(ranges: &[(i64, i64)], expected: &[&str]) {
        let file = |(start, end): &(i64, i64)| CheckedFile {
            name: FileName {
                table: "t".into(),
                day: day_of(0),
                partition: 0,
                generation: 1,
                start: *start,
                end: *end,
                schema: 1,
            },
            bytes: 1,
            rows: 1,
            topic_id: None,
            days: None,
            digest: None,
        };
        let files: Vec<_> = ranges.iter().map(file).collect();
        let problems: Vec<_> = seams("t", 0, &files, true).iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), expected.len(), "{problems:?}");
        for (problem, words) in problems.iter().zip(expected) {
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn seams_are_found() {
        check(&[], &[]);
        check(&[(5, 9), (10, 10), (11, 30)], &[]);
        check(&[(0, 9), (12, 15)], &["offsets 10 to 11 are in no file"]);
        check(&[(0, 9), (5, 20), (21, 22)], &["offsets 5 to 9 are in two files"]);
        check(&[(0, 30), (5, 9), (31, 40)], &["offsets 5 to 9 are in two files"]);
        check(
            &[(0, 9), (0, 9), (11, 12)],
            &["offsets 0 to 9 are in two", "offsets 10 to 10 are in no"],
        );
    }

    #[test]
    fn each_day_of_a_range_is_there_once() {
        let days: Vec<Date> = (0..3).map(|day| day_of(day * 86_400_000)).collect();
        let file = |start: i64, day: usize, of: &[Date]| CheckedFile {
            name: FileName {
                table: "t".into(),
                day: days[day],
                partition: 0,
                generation: 1,
                start,
                end: start + 9,
                schema: 1,
            },
            bytes: 1,
            rows: 1,
            topic_id: None,
            days: Some(of.to_vec()),
            digest: None,
        };
        let problems =
            |files: &[CheckedFile]| -> Vec<String> { seams("t", 0, files, true).iter().map(ToString::to_string).collect() };
        let two = &days[..2];
        assert_eq!(
            problems(&[file(0, 0, two), file(0, 1, two), file(10, 2, &days[2..])]),
            [""; 0]
        );
        let missing = problems(&[file(0, 1, two), file(10, 2, &days[2..])]);
        assert!(
            missing.len() == 1 && missing[0].contains("the file of 1970-01-01 is missing"),
            "{missing:?}"
        );
        assert_eq!(problems(&[file(0, 1, two)]), [""; 0], "it may be on its way");
        assert_eq!(seams("t", 0, &[file(0, 1, two)], false).len(), 1);
        let doubled = problems(&[file(0, 0, two), file(0, 0, two), file(0, 1, two)]);
        assert!(
            doubled.len() == 1 && doubled[0].contains("0 to 9 are in two files"),
            "{doubled:?}"
        );
    }
}
