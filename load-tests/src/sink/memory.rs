//! Records to files' bytes in memory: by the sink, and from ready rows by the bare writer.

use std::iter::Sum;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail, ensure};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use broker::Message;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use sinks::group::protocol::Place;
use sinks::parquet::draft::{Draft, Refusal};
use sinks::parquet::encoding;
use sinks::parquet::writer::FileBytes;
use sinks::{Origin, RowError, SinkSettings, Table};
use wire::Registry;

use crate::measure;
use crate::report::Report;

/// Rows that the sink gathers before it encodes them; the bare writer gets as many at once.
const BATCH_ROWS: usize = 4_096;

/// What some rows took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Taken {
    pub rows: u64,
    /// Bytes of the records' keys and values.
    pub log_bytes: u64,
    /// Where they were counted.
    pub file_bytes: Option<u64>,
    pub cpu: Duration,
    /// Rows and bytes of the log in this time, where that is another part of the run than the CPU's.
    pub time: Duration,
    pub timed_rows: u64,
    /// Of a process.
    pub memory_mib_max: Option<f64>,
}

impl Sum for Taken {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            rows: sum.rows + one.rows,
            log_bytes: sum.log_bytes + one.log_bytes,
            file_bytes: one.file_bytes.map(|bytes| bytes + sum.file_bytes.unwrap_or(0)),
            cpu: sum.cpu + one.cpu,
            time: sum.time + one.time,
            timed_rows: sum.timed_rows + one.timed_rows,
            memory_mib_max: None,
        })
    }
}

impl Taken {
    /// Adds its figures to the report. Megabytes are of the log's bytes, before any compression.
    pub fn report_to(self, subject: &str, report: &mut Report) {
        let rows = self.rows as f64;
        let rows_per_s = self.timed_rows as f64 / self.time.as_secs_f64();
        let log_bytes_per_row = self.log_bytes as f64 / rows;
        report.add(subject, "cpu_us_per_row", self.cpu.as_secs_f64() * 1e6 / rows);
        report.add(subject, "rows_per_s", rows_per_s);
        report.add(subject, "mb_per_s", rows_per_s * log_bytes_per_row / 1e6);
        report.add(subject, "log_bytes_per_row", log_bytes_per_row);
        if let Some(bytes) = self.file_bytes {
            report.add(subject, "bytes_per_row", bytes as f64 / rows);
        }
        if let Some(memory) = self.memory_mib_max {
            report.add(subject, "memory_mib_max", memory);
        }
    }
}

/// How the bare writer encodes.
#[derive(Debug, Clone, Copy)]
pub enum Properties {
    /// As the sink does.
    Ours,
    /// As the crate does by itself, with Zstandard.
    Plain,
}

/// A table's records, and its rows as the sink makes them.
pub struct Held {
    table: Arc<dyn Table>,
    registry: Arc<dyn Registry>,
    messages: Vec<Message>,
    log_bytes: u64,
    /// By file.
    batches: Vec<(SchemaRef, Vec<RecordBatch>)>,
}

impl Held {
    /// Of records of one partition.
    pub fn new(table: Arc<dyn Table>, registry: Arc<dyn Registry>, records: Vec<(u32, Message)>) -> anyhow::Result<Self> {
        ensure!(
            records.iter().all(|(partition, _)| *partition == 0),
            "{} has several partitions",
            table.topic()
        );
        let messages: Vec<Message> = records.into_iter().map(|(_, message)| message).collect();
        let bytes =
            |message: &Message| [&message.key, &message.value].map(|part| part.as_ref().map_or(0, |part| part.len() as u64));
        let mut held = Self {
            log_bytes: messages.iter().flat_map(bytes).sum(),
            table,
            registry,
            messages,
            batches: Vec::new(),
        };
        for file in held.files(held.messages.clone())? {
            ensure!(
                file.undecodable == 0,
                "{} records of {} cannot be read",
                file.undecodable,
                file.file
            );
            let reader = ParquetRecordBatchReaderBuilder::try_new(file.bytes)?;
            let schema = reader.schema().clone();
            let batches = reader.with_batch_size(BATCH_ROWS).build()?.collect::<Result<_, _>>()?;
            held.batches.push((schema, batches));
        }
        Ok(held)
    }

    pub fn name(&self) -> &str {
        self.table.name()
    }

    pub fn topic(&self) -> &str {
        self.table.topic()
    }

    /// What follows on the last of so many records.
    pub fn offset_after(&self, rows: usize) -> i64 {
        let last = rows.checked_sub(1).and_then(|last| self.messages.get(last));
        last.map_or(0, |message| message.offset + 1)
    }

    pub fn log_bytes(&self) -> u64 {
        self.log_bytes
    }

    pub fn rows(&self) -> usize {
        self.messages.len()
    }

    fn taken(&self, since: (Instant, Duration), file_bytes: Option<usize>) -> anyhow::Result<Taken> {
        let (cpu, rows) = (measure::thread_cpu()? - since.1, self.rows() as u64);
        Ok(Taken {
            rows,
            log_bytes: self.log_bytes,
            file_bytes: file_bytes.map(|bytes| bytes as u64),
            cpu,
            time: since.0.elapsed(),
            timed_rows: rows,
            memory_mib_max: None,
        })
    }

    /// The bare writer on the rows.
    pub fn bare(&self, properties: Properties) -> anyhow::Result<Taken> {
        let since = (Instant::now(), measure::thread_cpu()?);
        let mut bytes = 0;
        for (schema, batches) in &self.batches {
            let properties = match properties {
                Properties::Ours => encoding::properties(schema)?,
                Properties::Plain => {
                    let compression = Compression::ZSTD(ZstdLevel::default());
                    WriterProperties::builder().set_compression(compression).build()
                }
            };
            let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?;
            for batch in batches {
                writer.write(batch)?;
            }
            bytes += writer.into_inner()?.len();
        }
        self.taken(since, Some(bytes))
    }

    /// The sink's own way, on the records.
    pub fn sink(&self) -> anyhow::Result<Taken> {
        // Kafka's client would hand them over: their copies are not the sink's.
        let messages = self.messages.clone();
        let since = (Instant::now(), measure::thread_cpu()?);
        let files = self.files(messages)?;
        self.taken(since, Some(files.iter().map(|file| file.bytes.len()).sum()))
    }

    /// The part of it that the bare writer has no part in: from records to rows.
    pub fn rows_alone(&self) -> anyhow::Result<Taken> {
        let origin = Origin {
            topic: self.table.topic(),
            partition: 0,
        };
        let mut rows = self.table.rows(self.registry.clone());
        let since = (Instant::now(), measure::thread_cpu()?);
        for message in &self.messages {
            if let Err(error) = rows.push(origin, message) {
                rows = rows.next().filter(|_| matches!(error, RowError::Shape)).ok_or(error)?;
                rows.push(origin, message)?;
            }
            if rows.len() == BATCH_ROWS {
                rows.take()?;
            }
        }
        self.taken(since, None)
    }

    fn files(&self, messages: Vec<Message>) -> anyhow::Result<Vec<FileBytes>> {
        let settings = SinkSettings::default();
        let new = |rows| Draft::new(self.table.clone(), self.registry.clone(), 0, 1, rows);
        let (mut files, mut draft, mut start) = (Vec::new(), new(None), 0);
        for message in messages {
            let offset = message.offset;
            match draft.push(&message) {
                Ok(()) => {}
                Err(Refusal::Next) => {
                    let rows = draft.next_rows();
                    files.extend(finish(std::mem::replace(&mut draft, new(rows)), start)?);
                    start = offset;
                    draft
                        .push(&message)
                        .map_err(|refusal| anyhow!("offset {offset} of {}: {refusal:?}", self.table.topic()))?;
                }
                Err(refusal) => bail!("offset {offset} of {}: {refusal:?}", self.table.topic()),
            }
            draft.keep(message);
            if draft.is_full(&settings) {
                let rows = draft.next_rows();
                files.extend(finish(std::mem::replace(&mut draft, new(rows)), start)?);
                start = offset + 1;
            }
        }
        files.extend(finish(draft, start)?);
        Ok(files)
    }
}

fn finish(draft: Draft, start: i64) -> anyhow::Result<Vec<FileBytes>> {
    let place = Place {
        topic_id: None,
        generation: 1,
        last: None,
    };
    match draft.intent(start, place) {
        Some(intent) => Ok(draft.finish(&intent, intent.files())?),
        None => Ok(Vec::new()),
    }
}
