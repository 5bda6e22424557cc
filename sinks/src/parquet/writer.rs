//! A file in the making: records become rows, rows become compressed column chunks, in memory and as they come.
//!
//! Encoding while reading spreads the work over the file's age and holds compressed pages instead of records.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use broker::Message;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;

use super::digest::Digest;
use super::encoding;
use super::footer::Identity;
use super::layout::FileName;
use crate::columns::GENERATION;
use crate::group::protocol::{Days, Intent};
use crate::{Origin, Row, RowError, Rows, Table};

/// Rows that are gathered before they are encoded.
const BATCH_ROWS: usize = 4_096;
/// Bytes of records that are gathered at most: a few large records must not wait in thousands.
const BATCH_BYTES: u64 = 4 << 20;
/// What the compressor of a column keeps from its first page on, as measured: the crate's figures leave it out.
const COMPRESSOR_BYTES: u64 = 110 << 10;

/// A file that takes records.
pub struct FileWriter {
    table: Arc<dyn Table>,
    generation: u32,
    rows: Box<dyn Rows>,
    /// Made with the first rows that are encoded: then the shape is settled.
    arrow: Option<ArrowWriter<Vec<u8>>>,
    taken: u64,
    undecodable: u64,
    waiting_bytes: u64,
    oldest_ms: Option<i64>,
    digest: Digest,
}

/// A file's bytes, ready for the store.
#[derive(Debug, Clone)]
pub struct FileBytes {
    /// Its name.
    pub file: FileName,
    /// What the footer says of it.
    pub identity: Identity,
    /// The whole file.
    pub bytes: Bytes,
    /// How many of its rows stand for records that cannot be read.
    pub undecodable: u64,
}

impl FileWriter {
    /// An empty file of these rows, of a generation of the table's topic.
    pub fn new(table: Arc<dyn Table>, rows: Box<dyn Rows>, generation: u32) -> Self {
        Self {
            rows,
            table,
            generation,
            arrow: None,
            taken: 0,
            undecodable: 0,
            waiting_bytes: 0,
            oldest_ms: None,
            digest: Digest::default(),
        }
    }

    /// An empty buffer for the file that comes after this one.
    pub fn next_rows(&self) -> Option<Box<dyn Rows>> {
        self.rows.next()
    }

    /// An empty buffer for this file, begun again, with a shape that the record which it refused has, too.
    pub fn wider_rows(&self) -> Option<Box<dyn Rows>> {
        self.rows.wider()
    }

    /// Takes a record, and returns the bytes of its key and value. On an error it is not taken; a [`RowError::Shape`] says that
    /// it belongs into the next file.
    pub fn push(&mut self, partition: u32, record: &Message) -> Result<u64, RowError> {
        let origin = Origin {
            topic: self.table.topic(),
            partition,
        };
        let row = self.rows.push(origin, record)?;
        let bytes = [&record.key, &record.value]
            .into_iter()
            .flatten()
            .map(|part| part.len() as u64)
            .sum::<u64>();
        self.taken += 1;
        self.undecodable += u64::from(row == Row::Undecodable);
        self.waiting_bytes += bytes;
        self.digest.add(record);
        self.oldest_ms = Some(
            self.oldest_ms
                .map_or(record.timestamp_ms, |oldest| oldest.min(record.timestamp_ms)),
        );
        if self.rows.len() >= BATCH_ROWS || self.waiting_bytes >= BATCH_BYTES {
            self.encode()?;
        }
        Ok(bytes)
    }

    fn encode(&mut self) -> Result<(), RowError> {
        if !self.rows.is_empty() {
            let batch = self.rows.take().map_err(broken)?;
            let generation = Int32Array::from_value(self.generation.try_into().map_err(broken)?, batch.num_rows());
            let columns = batch.columns().iter().cloned().chain([Arc::new(generation) as ArrayRef]);
            let batch = RecordBatch::try_new(with_generation(&batch.schema()), columns.collect()).map_err(broken)?;
            self.arrow()?.write(&batch).map_err(broken)?;
            self.waiting_bytes = 0;
        }
        Ok(())
    }

    fn arrow(&mut self) -> Result<&mut ArrowWriter<Vec<u8>>, RowError> {
        let arrow = match self.arrow.take() {
            Some(arrow) => arrow,
            None => {
                let schema = with_generation(&self.rows.schema());
                let properties = encoding::properties(&schema).map_err(broken)?;
                ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(broken)?
            }
        };
        Ok(self.arrow.insert(arrow))
    }

    /// How many rows it has.
    pub fn row_count(&self) -> u64 {
        self.taken
    }

    /// The digest of its records.
    pub fn digest(&self) -> String {
        self.digest.clone().finish()
    }

    /// The smallest timestamp of its records, in milliseconds since the epoch.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.oldest_ms
    }

    /// What it holds in memory, in bytes, as far as is known.
    pub fn memory_bytes(&self) -> u64 {
        let Some(arrow) = &self.arrow else {
            return with_room(self.waiting_bytes);
        };
        let encoded = (arrow.memory_size() + arrow.bytes_written()) as u64;
        let has_pages = arrow.in_progress_rows() >= encoding::PAGE_ROWS || arrow.in_progress_size() >= encoding::PAGE_BYTES;
        let compressors = match has_pages {
            true => self.rows.schema().fields().len() as u64 * COMPRESSOR_BYTES,
            false => 0,
        };
        with_room(encoded + self.waiting_bytes) + compressors
    }

    /// Ends the file, as the one of this name.
    pub fn finish(mut self, intent: &Intent, file: FileName) -> Result<FileBytes, RowError> {
        self.encode()?;
        let identity = Identity {
            table: file.table.clone(),
            topic: self.table.topic().to_owned(),
            partition: file.partition,
            start: file.start,
            end: file.end,
            schema: self.table.schema_version(),
            rows: self.taken,
            topic_id: intent.place.topic_id,
            generation: file.generation,
            days: match &intent.days {
                Days::Split(days) => Some(days.keys().copied().collect()),
                Days::Whole(_) => None,
            },
            digest: Some(self.digest()),
            superseded_by: None,
        };
        let bytes = self.close(&identity)?;
        Ok(FileBytes {
            file,
            identity,
            bytes,
            undecodable: self.undecodable,
        })
    }

    /// A mark in place of a file that is written with another version of the shape.
    pub fn superseded(table: Arc<dyn Table>, rows: Box<dyn Rows>, identity: &Identity) -> Result<Bytes, RowError> {
        Self::new(table, rows, identity.generation).close(identity)
    }

    fn close(&mut self, identity: &Identity) -> Result<Bytes, RowError> {
        let arrow = self.arrow()?;
        for (key, value) in identity.key_values() {
            arrow.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        arrow.finish().map_err(broken)?;
        Ok(std::mem::take(arrow.inner_mut()).into())
    }
}

/// With the room that growing buffers have to spare.
fn with_room(bytes: u64) -> u64 {
    bytes + bytes / 2
}

/// A table's shape, and the column that every file has besides.
fn with_generation(shape: &Schema) -> SchemaRef {
    let generation = Arc::new(GENERATION.field());
    let fields = shape.fields().iter().cloned().chain([generation]);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn broken(error: impl std::fmt::Display) -> RowError {
    RowError::Table(error.to_string())
}
