//! A file in the making: records become rows, rows become compressed column chunks, in memory and as they come.
//!
//! Encoding while reading spreads the work over the file's age and holds compressed pages instead of records.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::Message;
use bytes::Bytes;
use jiff::civil::Date;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::footer::Identity;
use super::layout::{FileName, day_of};
use crate::{Origin, Row, RowError, Rows, SinkSettings, Table};

/// Rows that are gathered before they are encoded.
const BATCH_ROWS: usize = 4_096;
/// Bytes of records that are gathered at most: a few large records must not wait in thousands.
const BATCH_BYTES: u64 = 4 << 20;
/// Zstandard's own default.
const ZSTD_LEVEL: i32 = 3;

/// A file that takes records.
pub struct FileWriter {
    table: Arc<dyn Table>,
    rows: Box<dyn Rows>,
    /// Made with the first rows that are encoded: then the shape is settled.
    arrow: Option<ArrowWriter<Vec<u8>>>,
    taken: u64,
    undecodable: u64,
    record_bytes: u64,
    waiting_bytes: u64,
    day: Option<Date>,
    last_offset: Option<i64>,
    oldest_ms: Option<i64>,
    opened: Instant,
}

/// A file's bytes, ready for the store.
#[derive(Debug, Clone)]
pub struct FileBytes {
    /// What the footer says of it.
    pub identity: Identity,
    /// The whole file.
    pub bytes: Bytes,
    /// How many of its rows stand for records that cannot be read.
    pub undecodable: u64,
}

impl FileWriter {
    /// An empty file of these rows.
    pub fn new(table: Arc<dyn Table>, rows: Box<dyn Rows>) -> Self {
        Self {
            rows,
            table,
            arrow: None,
            taken: 0,
            undecodable: 0,
            record_bytes: 0,
            waiting_bytes: 0,
            day: None,
            last_offset: None,
            oldest_ms: None,
            opened: Instant::now(),
        }
    }

    /// An empty buffer for the file that comes after this one.
    pub fn next_rows(&self) -> Option<Box<dyn Rows>> {
        self.rows.next()
    }

    /// The same file, begun again with a shape that the record which it refused has, too.
    pub fn wider(&self) -> Option<Self> {
        Some(Self::new(self.table.clone(), self.rows.wider()?))
    }

    /// Takes a record. On an error it is not taken; a [`RowError::Shape`] says that it belongs into the next file.
    pub fn push(&mut self, partition: u32, record: &Message) -> Result<(), RowError> {
        let table = self.table.clone();
        let row = self.rows.push(
            Origin {
                topic: table.topic(),
                partition,
            },
            record,
        )?;
        let bytes = [&record.key, &record.value]
            .into_iter()
            .flatten()
            .map(|part| part.len() as u64)
            .sum::<u64>();
        self.taken += 1;
        self.undecodable += u64::from(row == Row::Undecodable);
        self.record_bytes += bytes;
        self.waiting_bytes += bytes;
        self.last_offset = Some(record.offset);
        self.day.get_or_insert_with(|| day_of(record.timestamp_ms));
        self.oldest_ms = Some(
            self.oldest_ms
                .map_or(record.timestamp_ms, |oldest| oldest.min(record.timestamp_ms)),
        );
        if self.rows.len() >= BATCH_ROWS || self.waiting_bytes >= BATCH_BYTES {
            self.encode()?;
        }
        Ok(())
    }

    fn encode(&mut self) -> Result<(), RowError> {
        if !self.rows.is_empty() {
            let batch = self.rows.take().map_err(broken)?;
            self.arrow()?.write(&batch).map_err(broken)?;
            self.waiting_bytes = 0;
        }
        Ok(())
    }

    fn arrow(&mut self) -> Result<&mut ArrowWriter<Vec<u8>>, RowError> {
        let arrow = match self.arrow.take() {
            Some(arrow) => arrow,
            None => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).map_err(broken)?))
                    .set_dictionary_enabled(true)
                    .set_statistics_enabled(EnabledStatistics::Page)
                    .set_created_by(concat!("riverbank ", env!("CARGO_PKG_VERSION")).to_owned())
                    .build();
                ArrowWriter::try_new(Vec::new(), self.rows.schema(), Some(properties)).map_err(broken)?
            }
        };
        Ok(self.arrow.insert(arrow))
    }

    /// Whether the settings say that it ends here.
    pub fn is_full(&self, settings: &SinkSettings) -> bool {
        self.taken >= settings.rows_max || self.record_bytes >= settings.bytes_max
    }

    /// How long ago it was opened.
    pub fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// How many rows it has.
    pub fn row_count(&self) -> u64 {
        self.taken
    }

    /// The smallest timestamp of its records, in milliseconds since the epoch.
    pub fn oldest_ms(&self) -> Option<i64> {
        self.oldest_ms
    }

    /// What it holds in memory, in bytes, as far as is known.
    pub fn memory_bytes(&self) -> u64 {
        let encoded = self.arrow.as_ref();
        encoded.map_or(0, |arrow| (arrow.memory_size() + arrow.bytes_written()) as u64) + self.waiting_bytes
    }

    /// The name that it gets if it ends here; `None` while it is empty.
    pub fn name(&self, partition: u32, start: i64) -> Option<FileName> {
        Some(FileName {
            table: self.table.name().to_owned(),
            day: self.day?,
            partition,
            start,
            end: self.last_offset?,
            schema: self.table.schema_version(),
        })
    }

    /// Ends the file.
    pub fn finish(mut self, file: &FileName) -> Result<FileBytes, RowError> {
        self.encode()?;
        let identity = Identity {
            table: file.table.clone(),
            topic: self.table.topic().to_owned(),
            partition: file.partition,
            start: file.start,
            end: file.end,
            schema: self.table.schema_version(),
            rows: self.taken,
        };
        let arrow = self.arrow()?;
        for (key, value) in identity.key_values() {
            arrow.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        arrow.finish().map_err(broken)?;
        let bytes = std::mem::take(arrow.inner_mut());
        Ok(FileBytes {
            identity,
            bytes: bytes.into(),
            undecodable: self.undecodable,
        })
    }
}

fn broken(error: impl std::fmt::Display) -> RowError {
    RowError::Table(error.to_string())
}
