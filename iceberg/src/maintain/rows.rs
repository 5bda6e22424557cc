//! The rows of small files, written as one file; a row group of each is in memory at a time.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use bytes::buf::Reader;
use bytes::{Buf, Bytes};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};
use sha2::{Digest as _, Sha256};
use sinks::parquet::encoding;
use sinks::parquet::footer::{self, FooterError, Identity};
use tokio::io::AsyncWriteExt;

use super::error::MaintainError;

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 8_192;
/// What is in memory at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// A row group ends at so many bytes, or at the sinks' number of rows.
    group_bytes: usize,
    /// A part of the upload; smaller files are one put. An object has at most 10,000 parts.
    part_bytes: usize,
}

impl Limits {
    pub const DEFAULT: Self = Self {
        group_bytes: 64 << 20,
        part_bytes: 16 << 20,
    };
}

/// In a merged file's footer: of how many.
const MERGED: &str = "riverbank.merged_files";

/// A file with its footer.
pub(super) struct Opened {
    pub path: Path,
    pub size: u64,
    pub metadata: Arc<ParquetMetaData>,
    shape: ArrowReaderMetadata,
}

/// Why a file is left as it is.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// The store.
    #[error(transparent)]
    Store(#[from] object_store::Error),
    /// Its content.
    #[error("{0}: {1}")]
    Content(Path, String),
}

impl From<Unreadable> for MaintainError {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::Store(error) => MaintainError::Store(error),
            Unreadable::Content(path, reason) => {
                let error = ParquetError::General(reason);
                MaintainError::Commit(crate::error::CommitError::Footer(path, error))
            }
        }
    }
}

impl Opened {
    pub async fn at(store: &dyn ObjectStore, path: Path) -> Result<Self, Unreadable> {
        let (size, metadata) = match footer::read_metadata(store, &path).await {
            Ok(read) => read,
            Err(FooterError::Store(error)) => return Err(error.into()),
            Err(FooterError::Damaged(reason)) => return Err(Unreadable::Content(path, reason)),
        };
        let metadata = Arc::new(metadata);
        match ArrowReaderMetadata::try_new(metadata.clone(), ArrowReaderOptions::default()) {
            Ok(shape) => Ok(Self {
                path,
                size,
                metadata,
                shape,
            }),
            Err(error) => Err(Unreadable::Content(path, error.to_string())),
        }
    }

    /// Whether all of its rows are of the day that its path says. Files of earlier versions may have several days, and do not say so.
    pub fn has_one_day(&self) -> bool {
        Identity::from_metadata(&self.metadata).is_ok_and(|identity| identity.days.is_some())
    }

    pub fn schema(&self) -> &SchemaRef {
        self.shape.schema()
    }

    fn wrong(&self, error: impl std::fmt::Display) -> Unreadable {
        Unreadable::Content(self.path.clone(), error.to_string())
    }

    /// Reads a row group's bytes; they are decoded as they are asked for.
    async fn group(&self, store: &dyn ObjectStore, index: usize) -> Result<ParquetRecordBatchReader, Unreadable> {
        let chunks = self.metadata.row_group(index).columns().iter();
        let ranges = chunks.map(|chunk| chunk.byte_range());
        let (start, end) = ranges.fold((u64::MAX, 0), |(start, end), (from, length)| {
            (start.min(from), end.max(from + length))
        });
        let part = Part {
            start,
            bytes: store.get_range(&self.path, start.min(end)..end).await?,
            size: self.size,
        };
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(part, self.shape.clone());
        let builder = builder.with_row_groups(vec![index]).with_batch_size(BATCH_ROWS);
        builder.build().map_err(|error| self.wrong(error))
    }

    /// The digest of its rows.
    pub async fn digest(&self, store: &dyn ObjectStore) -> Result<(u64, Vec<u8>), Unreadable> {
        let mut digest = RowDigest::of(self.schema()).map_err(|error| self.wrong(error))?;
        for index in 0..self.metadata.num_row_groups() {
            for batch in self.group(store, index).await? {
                let added = batch.and_then(|batch| digest.add(&batch));
                added.map_err(|error| self.wrong(error))?;
            }
        }
        Ok(digest.finish())
    }
}

/// Writes the rows of these files, which have one shape, as one. Returns their number and their digest.
pub(super) async fn merge(
    store: &Arc<dyn ObjectStore>,
    files: &[Opened],
    path: &Path,
    limits: Limits,
) -> Result<(u64, Vec<u8>), Unreadable> {
    let Some(first) = files.first() else {
        return Ok((0, Vec::new()));
    };
    let mut upload = BufWriter::with_capacity(store.clone(), path.clone(), limits.part_bytes);
    let merged = write(store.as_ref(), files, first, &mut upload, limits).await;
    match merged {
        Ok(digest) => {
            let failed = |error: std::io::Error| object_store::Error::Generic {
                store: "upload",
                source: error.into(),
            };
            upload.shutdown().await.map_err(failed)?;
            Ok(digest)
        }
        Err(error) => {
            // Parts that were uploaded are nobody's.
            let _ = upload.abort().await;
            Err(error)
        }
    }
}

async fn write(
    store: &dyn ObjectStore,
    files: &[Opened],
    first: &Opened,
    upload: &mut BufWriter,
    limits: Limits,
) -> Result<(u64, Vec<u8>), Unreadable> {
    let mut digest = RowDigest::of(first.schema()).map_err(|error| first.wrong(error))?;
    // Without what the first file's footer says of that file.
    let shape = Arc::new(Schema::new(first.schema().fields().clone()));
    let properties = encoding::properties(&shape).map_err(|error| first.wrong(error))?;
    let writer = ArrowWriter::try_new(Vec::new(), shape, Some(properties));
    let mut writer = writer.map_err(|error| first.wrong(error))?;
    writer.append_key_value_metadata(KeyValue::new(MERGED.to_owned(), files.len().to_string()));
    for file in files {
        for index in 0..file.metadata.num_row_groups() {
            for batch in file.group(store, index).await? {
                let batch = batch.map_err(|error| file.wrong(error))?;
                digest.add(&batch).map_err(|error| file.wrong(error))?;
                let written = writer
                    .write(&batch)
                    .and_then(|()| match writer.in_progress_size() > limits.group_bytes {
                        true => writer.flush(),
                        false => Ok(()),
                    });
                written.map_err(|error| file.wrong(error))?;
                if writer.inner().len() >= limits.part_bytes {
                    upload.put(std::mem::take(writer.inner_mut()).into()).await?;
                }
            }
        }
    }
    writer.finish().map_err(|error| first.wrong(error))?;
    upload.put(std::mem::take(writer.inner_mut()).into()).await?;
    Ok(digest.finish())
}

/// A part of a file, as the reader of the whole asks for it.
struct Part {
    start: u64,
    bytes: Bytes,
    size: u64,
}

impl Part {
    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let at = start.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        let at = at.filter(|at| *at <= self.bytes.len());
        at.map(|at| self.bytes.slice(at..)).ok_or_else(outside)
    }
}

fn outside() -> ParquetError {
    ParquetError::General("something outside of the row group is asked for".to_owned())
}

impl Length for Part {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Part {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.from(start)?;
        match length <= bytes.len() {
            true => Ok(bytes.slice(..length)),
            false => Err(outside()),
        }
    }
}

/// The digest of rows in their order, however they are cut into files and batches.
struct RowDigest {
    converter: RowConverter,
    hash: Sha256,
    rows: u64,
}

impl RowDigest {
    fn of(schema: &SchemaRef) -> Result<Self, ArrowError> {
        let fields = schema.fields().iter();
        let fields = fields.map(|field| SortField::new(field.data_type().clone()));
        Ok(Self {
            converter: RowConverter::new(fields.collect())?,
            hash: Sha256::new(),
            rows: 0,
        })
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        for row in &self.converter.convert_columns(batch.columns())? {
            let row = row.as_ref();
            self.hash.update((row.len() as u64).to_be_bytes());
            self.hash.update(row);
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn finish(self) -> (u64, Vec<u8>) {
        (self.rows, self.hash.finalize().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use object_store::memory::InMemory;

    use super::*;

    async fn written(store: &dyn ObjectStore, name: &str, rows: std::ops::Range<i64>) -> Opened {
        let text = |row: i64| (row % 3 > 0).then(|| format!("row {row} {}", row * row));
        let columns: [(&str, ArrayRef); 2] = [
            ("_offset", Arc::new(Int64Array::from_iter_values(rows.clone()))),
            ("note", Arc::new(rows.map(text).collect::<StringArray>())),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        for from in (0..batch.num_rows()).step_by(1_000) {
            writer.write(&batch.slice(from, 1_000.min(batch.num_rows() - from))).unwrap();
            writer.flush().unwrap();
        }
        let path = Path::from(name);
        store.put(&path, writer.into_inner().unwrap().into()).await.unwrap();
        Opened::at(store, path).await.unwrap()
    }

    /// A row group of each file in memory at a time, and parts of an upload: the rows are those of the whole.
    #[tokio::test]
    async fn files_are_merged_by_row_groups_and_parts() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut files = Vec::new();
        for (name, rows) in [("a", 0..2_500), ("b", 2_500..2_501), ("c", 2_501..9_000)] {
            files.push(written(store.as_ref(), name, rows).await);
        }
        let whole = written(store.as_ref(), "whole", 0..9_000).await;
        let expected = whole.digest(store.as_ref()).await.unwrap();
        let small = Limits {
            group_bytes: 1,
            part_bytes: 3_000,
        };
        for (limits, groups) in [(Limits::DEFAULT, 1), (small, 11)] {
            let path = Path::from("merged");
            assert_eq!(merge(&store, &files, &path, limits).await.unwrap(), expected);
            let merged = Opened::at(store.as_ref(), path).await.unwrap();
            assert_eq!(merged.digest(store.as_ref()).await.unwrap(), expected);
            assert_eq!(merged.schema().fields(), whole.schema().fields());
            assert_eq!(merged.schema().metadata()[MERGED], "3");
            assert_eq!(
                (merged.metadata.num_row_groups(), merged.schema().metadata().len()),
                (groups, 1)
            );
        }
        let other = written(store.as_ref(), "other", 1..9_001).await;
        assert_ne!(other.digest(store.as_ref()).await.unwrap(), expected);
    }
}
