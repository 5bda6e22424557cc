//! The proof from the files themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{LakeError, LakeFile, list};
use crate::parquet::footer::{self, FooterError};
use crate::parquet::layout::FileName;

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
}

/// A partition's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionReport {
    /// The partition.
    pub partition: u32,
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
    /// Its partitions, as far as they have files.
    pub partitions: Vec<PartitionReport>,
    /// What must not be; empty is the proof.
    pub problems: Vec<Problem>,
}

/// Checks a table.
pub async fn verify(store: &Arc<dyn ObjectStore>, table: &str, depth: Depth) -> Result<TableReport, LakeError> {
    let listing = list(store.as_ref(), table).await?;
    let checks = stream::iter(listing.files.into_iter().map(|file| check(store.clone(), file, depth)));
    let checked: Vec<_> = checks.buffered(AT_ONCE).try_collect().await?;
    let mut problems: Vec<_> = listing.strangers.into_iter().map(Problem::Stranger).collect();
    let mut partitions: BTreeMap<u32, Vec<CheckedFile>> = BTreeMap::new();
    for (file, problem) in checked {
        problems.extend(problem);
        partitions.entry(file.name.partition).or_default().push(file);
    }
    for (partition, files) in &partitions {
        problems.extend(seams(table, *partition, files));
    }
    let partitions = partitions
        .into_iter()
        .map(|(partition, files)| PartitionReport { partition, files })
        .collect();
    Ok(TableReport {
        table: table.to_owned(),
        partitions,
        problems,
    })
}

/// Where one file does not begin right after the other's end.
fn seams(table: &str, partition: u32, files: &[CheckedFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut next = files.first().map_or(0, |file| file.name.start);
    for CheckedFile { name, .. } in files {
        let table = table.to_owned();
        if name.start > next {
            problems.push(Problem::Gap {
                table,
                partition,
                from: next,
                to: name.start - 1,
            });
        } else if name.start < next {
            problems.push(Problem::Overlap {
                table,
                partition,
                from: name.start,
                to: name.end.min(next - 1),
            });
        }
        next = next.max(name.end + 1);
    }
    problems
}

async fn check(store: Arc<dyn ObjectStore>, file: LakeFile, depth: Depth) -> Result<(CheckedFile, Option<Problem>), LakeError> {
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
        Err(FooterError::Damaged(reason)) => return Ok((CheckedFile { name, bytes, rows: 0 }, problem(reason))),
        Err(FooterError::Store(error)) => return Err(error.into()),
    };
    let rows = identity.rows;
    let covered = (name.end - name.start + 1) as u64;
    let found = if !identity.is_of(&name) {
        problem(format!("its footer says {identity:?}"))
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
    Ok((CheckedFile { name, bytes, rows }, found))
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
                start: *start,
                end: *end,
                schema: 1,
            },
            bytes: 1,
            rows: 1,
        };
        let files: Vec<_> = ranges.iter().map(file).collect();
        let problems: Vec<_> = seams("t", 0, &files).iter().map(ToString::to_string).collect();
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
}
