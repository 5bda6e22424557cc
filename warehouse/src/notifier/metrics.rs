//! The notifier's metrics, in base units.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::snowflake::FAULTS;

/// What a notifier counts. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Names that arrived, by source: `sink`, `webhook`, `kafka`.
    pub events: IntCounterVec,
    /// Files that only a listing found, by table.
    pub listed: IntCounterVec,
    /// Files that Snowflake has received, by table.
    pub notified: IntCounterVec,
    /// Files that Snowflake says are loaded, by table.
    pub loaded: IntCounterVec,
    /// Files that it says are not, or in part, by table.
    pub failed_loads: IntCounterVec,
    /// Requests to Snowflake and the store that failed, and are made again, by what was asked.
    pub failures: IntCounterVec,
    /// Files that are known and not received, by table.
    pub waiting: IntGaugeVec,
    /// Files that are received and in no report, by table.
    pub awaited: IntGaugeVec,
    /// The age of the oldest file that is not known to be loaded, in seconds, by table.
    pub lag_seconds: GaugeVec,
    /// When Snowflake last said what became of files, in seconds since 1970, by table.
    pub reported_at: GaugeVec,
}

/// What a connection to Snowflake is to count, registered and served as zeros; an error if it is there already.
pub fn faults(registry: &Registry) -> Result<IntCounterVec, prometheus::Error> {
    let opts = Opts::new(
        "riverbank_snowflake_faults_total",
        "Attempts at requests to Snowflake that met a fault that may pass",
    );
    let faults = IntCounterVec::new(opts, &["reason"])?;
    registry.register(Box::new(faults.clone()))?;
    for reason in FAULTS {
        faults.with_label_values(&[reason]);
    }
    Ok(faults)
}

const TABLE: &[&str] = &["table"];

impl Metrics {
    /// Registers the metrics; an error if they are there already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let gauge = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), TABLE);
        let seconds = |name: &str, help: &str| GaugeVec::new(Opts::new(name, help), TABLE);
        let metrics = Self {
            events: counter(
                "riverbank_snowpipe_events_total",
                "Files that were named by the sink, a webhook or Kafka",
                &["source"],
            )?,
            listed: counter(
                "riverbank_snowpipe_listed_files_total",
                "Files that a listing found before any event named them",
                TABLE,
            )?,
            notified: counter(
                "riverbank_snowpipe_notified_files_total",
                "Files that Snowflake has received the names of",
                TABLE,
            )?,
            loaded: counter(
                "riverbank_snowpipe_loaded_files_total",
                "Files that Snowflake has loaded",
                TABLE,
            )?,
            failed_loads: counter(
                "riverbank_snowpipe_failed_files_total",
                "Files that Snowflake has not loaded, or in part",
                TABLE,
            )?,
            failures: counter(
                "riverbank_snowpipe_failures_total",
                "Requests that failed and are made again",
                &["request"],
            )?,
            waiting: gauge(
                "riverbank_snowpipe_waiting_files",
                "Files that wait until Snowflake has received their names",
            )?,
            awaited: gauge(
                "riverbank_snowpipe_unreported_files",
                "Files that Snowflake has received and not yet reported on",
            )?,
            lag_seconds: seconds(
                "riverbank_snowpipe_lag_seconds",
                "Age of the oldest file that is not known to be loaded",
            )?,
            reported_at: seconds(
                "riverbank_snowpipe_last_report_timestamp_seconds",
                "When Snowflake last said what became of files, since 1970",
            )?,
        };
        for counter in [
            &metrics.events,
            &metrics.listed,
            &metrics.notified,
            &metrics.loaded,
            &metrics.failed_loads,
            &metrics.failures,
        ] {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(metrics.waiting.clone()))?;
        registry.register(Box::new(metrics.awaited.clone()))?;
        registry.register(Box::new(metrics.lag_seconds.clone()))?;
        registry.register(Box::new(metrics.reported_at.clone()))?;
        Ok(metrics)
    }

    /// Makes a table's counters, so that they are served as zeros from the start.
    pub fn introduce(&self, table: &str) {
        for counter in [&self.listed, &self.notified, &self.loaded, &self.failed_loads] {
            counter.with_label_values(&[table]);
        }
    }
}
