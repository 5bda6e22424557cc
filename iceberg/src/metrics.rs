//! The Iceberg tables' metrics, in base units.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// What is counted, by table.
#[derive(Clone)]
pub struct Metrics {
    /// Snapshots.
    pub snapshots: IntCounterVec,
    /// Files added.
    pub files: IntCounterVec,
    /// Rows added.
    pub rows: IntCounterVec,
    /// Commits that somebody else was faster than.
    pub conflicts: IntCounterVec,
    /// Turns that failed otherwise, and are made again.
    pub failures: IntCounterVec,
    /// For how long the table has not been known to have every finished file, in seconds.
    pub lag_seconds: GaugeVec,
    /// The source's position up to which the table is whole.
    pub watermark: IntGaugeVec,
}

const TABLE: &[&str] = &["table"];

impl Metrics {
    /// Registers the metrics; an error if they are there already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), TABLE);
        let metrics = Self {
            snapshots: counter("riverbank_iceberg_snapshots_total", "Snapshots of Iceberg tables")?,
            files: counter("riverbank_iceberg_files_total", "Files added to Iceberg tables")?,
            rows: counter("riverbank_iceberg_rows_total", "Rows added to Iceberg tables")?,
            conflicts: counter(
                "riverbank_iceberg_conflicts_total",
                "Commits to Iceberg tables that another writer was faster than",
            )?,
            failures: counter(
                "riverbank_iceberg_failures_total",
                "Attempts to commit to Iceberg tables that failed and are made again",
            )?,
            lag_seconds: GaugeVec::new(
                Opts::new(
                    "riverbank_iceberg_lag_seconds",
                    "Time since an Iceberg table last had every finished file",
                ),
                TABLE,
            )?,
            watermark: IntGaugeVec::new(
                Opts::new(
                    "riverbank_iceberg_source_position",
                    "Source position (LSN) up to which an Iceberg table is whole",
                ),
                TABLE,
            )?,
        };
        for counter in metrics.counters() {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(metrics.lag_seconds.clone()))?;
        registry.register(Box::new(metrics.watermark.clone()))?;
        Ok(metrics)
    }

    fn counters(&self) -> [&IntCounterVec; 5] {
        [&self.snapshots, &self.files, &self.rows, &self.conflicts, &self.failures]
    }

    /// Makes a table's counters, so that they are served as zeros from the start.
    pub(crate) fn introduce(&self, table: &str) {
        for counter in self.counters() {
            counter.with_label_values(&[table]);
        }
        self.lag_seconds.with_label_values(&[table]).set(0.0);
    }
}
