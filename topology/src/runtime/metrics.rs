//! What the engine tells of itself, in base units.

use broker::TopicPartition;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, exponential_buckets,
};

/// The engine's metrics; clones share their values.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) lag_records: IntGaugeVec,
    pub(crate) lag_seconds: prometheus::GaugeVec,
    pub(crate) end_to_end: HistogramVec,
    pub(crate) processed: IntCounterVec,
    pub(crate) handed_over: IntCounterVec,
    pub(crate) dead_letters: IntCounterVec,
    pub(crate) commit_duration: Histogram,
    pub(crate) commits: IntCounterVec,
    pub(crate) commit_records: Histogram,
    pub(crate) state_bytes: IntGaugeVec,
    pub(crate) restore_duration: Histogram,
    pub(crate) restored: IntCounter,
    pub(crate) restore_passed_over: IntCounter,
    pub(crate) flush_duration: Histogram,
    pub(crate) flush_failures: IntCounter,
    pub(crate) worker_panics: IntCounter,
    pub(crate) tasks: IntGauge,
    /// Sub-topologies that stand still until a restart, since an input got other partitions.
    pub(crate) still: IntGauge,
    /// Why topics that match are not read.
    pub(crate) refused: IntGauge,
    pub(crate) resets: IntCounter,
    /// State that had to be thrown away and restored from the start of its changelog.
    pub(crate) wipes: IntCounter,
    /// Stores without a changelog that began empty again.
    pub(crate) stores_emptied: IntCounter,
}

impl Metrics {
    /// Registers the metrics, named with `prefix_`.
    pub fn register(prefix: &str, registry: &Registry) -> Result<Self, prometheus::Error> {
        let name = |n: &str| format!("{prefix}_{n}");
        let latency = || exponential_buckets(0.001, 2.0, 16);
        let gauge = |n: &str, help: &str, labels: &[&str]| -> Result<IntGaugeVec, prometheus::Error> {
            let gauge = IntGaugeVec::new(Opts::new(n, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let counter = |n: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counter = IntCounterVec::new(Opts::new(name(n), help), labels)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let single = |n: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name(n), help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let histogram = |n: &str, help: &str, buckets: Vec<f64>| -> Result<Histogram, prometheus::Error> {
            let histogram = Histogram::with_opts(HistogramOpts::new(name(n), help).buckets(buckets))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok(histogram)
        };
        let lag_seconds = prometheus::GaugeVec::new(
            Opts::new(
                name("consumer_lag_seconds"),
                "Age of the oldest record that waits, by its event time; 0 when none waits.",
            ),
            &["topic", "partition"],
        )?;
        registry.register(Box::new(lag_seconds.clone()))?;
        let end_to_end = HistogramVec::new(
            HistogramOpts::new(
                name("end_to_end_latency_seconds"),
                "From a record's event time to its committed effect, sampled at every commit.",
            )
            .buckets(latency()?),
            &["topic"],
        )?;
        registry.register(Box::new(end_to_end.clone()))?;
        let tasks = IntGauge::new(name("tasks_running"), "Tasks that process records on this instance.")?;
        registry.register(Box::new(tasks.clone()))?;
        let still = IntGauge::new(
            name("sub_topologies_still"),
            "Sub-topologies that read no further before a restart: an input has other partitions than at the start.",
        )?;
        registry.register(Box::new(still.clone()))?;
        let refused = IntGauge::new(
            name("matching_topics_refused"),
            "Faults that keep topics from being read which match a source's pattern; readiness and the log name them.",
        )?;
        registry.register(Box::new(refused.clone()))?;
        Ok(Self {
            // The field's own name, as Kafka's exporters have it.
            lag_records: gauge(
                "kafka_consumergroup_lag",
                "Committed records between the group's position and the partition's end.",
                &["consumergroup", "topic", "partition"],
            )?,
            lag_seconds,
            end_to_end,
            processed: counter(
                "processed_records_total",
                "Records processed and committed, by source topic.",
                &["topic"],
            )?,
            handed_over: counter(
                "handed_over_records_total",
                "Re-keyed records handed over in memory instead of through their repartition topic.",
                &["topic"],
            )?,
            dead_letters: counter(
                "dead_letter_records_total",
                "Records sent to the dead-letter topic, by source topic.",
                &["topic"],
            )?,
            commit_duration: histogram(
                "commit_duration_seconds",
                "From the decision to commit to the end of the transaction.",
                latency()?,
            )?,
            commits: counter("commits_total", "Transactions, by result.", &["result"])?,
            commit_records: histogram(
                "commit_records",
                "Input records in a transaction.",
                exponential_buckets(1.0, 4.0, 10)?,
            )?,
            state_bytes: gauge(
                &name("state_size_bytes"),
                "Size of a store's partition in the backend.",
                &["store", "partition"],
            )?,
            restore_duration: histogram(
                "restore_duration_seconds",
                "From assignment of a task to its first record.",
                exponential_buckets(0.01, 2.0, 16)?,
            )?,
            restored: single("restored_records_total", "Changelog records replayed.")?,
            worker_panics: single(
                "worker_panics_total",
                "Workers that panicked outside of a processor and were replaced.",
            )?,
            restore_passed_over: single(
                "restore_passed_over_total",
                "Records of a public topic behind a store that are no records of the store, passed over in a restore.",
            )?,
            flush_duration: histogram(
                "flush_duration_seconds",
                "Time to write a task's committed layer to the backend.",
                latency()?,
            )?,
            flush_failures: single(
                "flush_failures_total",
                "Attempts to write a task's committed layer that the backend refused; each is made again.",
            )?,
            tasks,
            still,
            refused,
            resets: single(
                "resets_total",
                "Times a worker dropped its transaction and its tasks, and started them again.",
            )?,
            wipes: single(
                "state_wipes_total",
                "Task states that were discarded and restored from the start of their changelogs.",
            )?,
            stores_emptied: single(
                "stores_emptied_total",
                "Stores without a changelog that began empty again, as their task was opened.",
            )?,
        })
    }
    /// An input is another worker's now.
    pub(crate) fn forget_input(&self, group: &str, input: &TopicPartition) {
        let partition = input.partition.to_string();
        let _ = self.lag_seconds.remove_label_values(&[&*input.topic, &partition]);
        let _ = self.lag_records.remove_label_values(&[group, &*input.topic, &partition]);
    }

    pub(crate) fn count_dead_letter(&self, topic: &str) {
        self.dead_letters.with_label_values(&[topic]).inc();
    }
}
