//! The sink's metrics, in base units.

use clock::Millis;
use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// What the sinks of one process count. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Metrics {
    /// Rows in finished files, by table.
    pub rows: IntCounterVec,
    /// Finished files, by table.
    pub files: IntCounterVec,
    /// Bytes of finished files, by table.
    pub bytes: IntCounterVec,
    /// Rows of files written that stand for records which cannot be read, by table.
    pub undecodable: IntCounterVec,
    /// Failed attempts at anything, by table.
    pub failures: IntCounterVec,
    /// From the first attempt at a put to its success, in seconds, by table.
    pub write_seconds: HistogramVec,
    /// Records that the log has and no finished file, by table and partition.
    pub lag_records: IntGaugeVec,
    /// The age of the oldest record that was read and is in no finished file, in seconds, by table and partition.
    pub lag_seconds: GaugeVec,
    /// The offset up to which, itself left out, everything is in finished files, by table and partition.
    pub next_offset: IntGaugeVec,
    /// When the last range was finished, in seconds since the epoch, by table and partition.
    pub finished_seconds: GaugeVec,
    /// What open files and waiting records hold in memory, in bytes.
    pub memory_bytes: IntGauge,
}

const TABLE: &[&str] = &["table"];
const TABLE_PARTITION: &[&str] = &["table", "partition"];
/// From a local disk's to a tired store's.
const WRITE_BUCKETS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

impl Metrics {
    /// Registers the metrics; an error if they are there already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), TABLE);
        let seconds = HistogramOpts::new(
            "riverbank_sink_write_duration_seconds",
            "Time from the first attempt to a file in the store",
        )
        .buckets(WRITE_BUCKETS.to_vec());
        let metrics = Self {
            rows: counter("riverbank_sink_rows_total", "Rows in finished files")?,
            files: counter("riverbank_sink_files_total", "Finished files")?,
            bytes: counter("riverbank_sink_written_bytes_total", "Bytes of finished files")?,
            undecodable: counter(
                "riverbank_sink_undecodable_rows_total",
                "Rows that stand for records which cannot be read",
            )?,
            failures: counter("riverbank_sink_failures_total", "Attempts that failed and are made again")?,
            write_seconds: HistogramVec::new(seconds, TABLE)?,
            lag_records: IntGaugeVec::new(
                Opts::new(
                    "riverbank_sink_lag_records",
                    "Records in the log that are in no finished file yet",
                ),
                TABLE_PARTITION,
            )?,
            lag_seconds: GaugeVec::new(
                Opts::new(
                    "riverbank_sink_lag_seconds",
                    "Age of the oldest record read that is in no finished file yet",
                ),
                TABLE_PARTITION,
            )?,
            next_offset: IntGaugeVec::new(
                Opts::new(
                    "riverbank_sink_next_offset",
                    "The first offset that is in no finished file yet",
                ),
                TABLE_PARTITION,
            )?,
            finished_seconds: GaugeVec::new(
                Opts::new(
                    "riverbank_sink_finished_timestamp_seconds",
                    "When the last range of offsets was finished",
                ),
                TABLE_PARTITION,
            )?,
            memory_bytes: IntGauge::new(
                "riverbank_sink_memory_bytes",
                "Memory that open files and waiting records hold",
            )?,
        };
        for counter in [
            &metrics.rows,
            &metrics.files,
            &metrics.bytes,
            &metrics.undecodable,
            &metrics.failures,
        ] {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(metrics.write_seconds.clone()))?;
        registry.register(Box::new(metrics.lag_records.clone()))?;
        registry.register(Box::new(metrics.lag_seconds.clone()))?;
        registry.register(Box::new(metrics.next_offset.clone()))?;
        registry.register(Box::new(metrics.finished_seconds.clone()))?;
        registry.register(Box::new(metrics.memory_bytes.clone()))?;
        Ok(metrics)
    }

    /// Makes a table's counters, so that they are served as zeros from the start.
    pub(crate) fn introduce(&self, table: &str) {
        for counter in [&self.rows, &self.files, &self.bytes, &self.undecodable, &self.failures] {
            counter.with_label_values(&[table]);
        }
        self.write_seconds.with_label_values(&[table]);
    }

    /// A range is finished, and everything before it.
    pub(crate) fn finished(&self, table: &str, partition: u32, next: i64, now_ms: Millis) {
        let partition = partition.to_string();
        let label = [table, partition.as_str()];
        self.next_offset.with_label_values(&label).set(next);
        self.finished_seconds.with_label_values(&label).set(now_ms.0 as f64 / 1_000.0);
    }

    /// A partition went to another member: that one reports its lag.
    pub(crate) fn forget(&self, table: &str, partition: u32) {
        let partition = partition.to_string();
        // An error says that it was never reported.
        let _ = self.lag_records.remove_label_values(&[table, &partition]);
        let _ = self.lag_seconds.remove_label_values(&[table, &partition]);
        let _ = self.next_offset.remove_label_values(&[table, &partition]);
        let _ = self.finished_seconds.remove_label_values(&[table, &partition]);
    }
}
