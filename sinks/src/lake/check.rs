//! One file: is it what its name says?

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::files::LakeFile;
use super::report::{CheckedFile, Problem};
use super::{Depth, LakeError};
use crate::parquet::footer::{self, FooterError};
use crate::parquet::layout::FileName;

/// A file, unless it is only a mark that another one has its rows, or is gone since it was listed; and what is wrong with it.
pub(super) type Checked = (Option<CheckedFile>, Option<Problem>);

pub(super) async fn check(store: Arc<dyn ObjectStore>, file: LakeFile, depth: Depth) -> Result<Checked, LakeError> {
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
        // Whether it is missed shows in the offsets: retention deletes files, too.
        Err(FooterError::Store(Error::NotFound { .. })) => return Ok((None, None)),
        Err(FooterError::Store(error)) => return Err(error.into()),
    };
    let rows = identity.rows;
    let covered = (name.end - name.start + 1) as u64;
    let found = if !identity.is_of(&name) {
        problem(format!("its footer says {identity:?}"))
    } else if identity.superseded_by.is_some() {
        let found = match rows {
            0 => None,
            _ => problem("it is superseded, and has rows".to_owned()),
        };
        return Ok((None, found));
    } else if rows > covered {
        problem(format!("{rows} rows cannot have come from {covered} offsets"))
    } else if depth == Depth::Offsets {
        match read_offsets(store.as_ref(), &path).await {
            Err(LakeError::Store(Error::NotFound { .. })) => return Ok((None, None)),
            offsets => offsets?
                .and_then(|offsets| ascending_within(&name, rows, &offsets))
                .err()
                .and_then(problem),
        }
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
