//! The reference scenario: the same work by this engine, by Kafka Streams and by a bare loop, on the same broker.

mod bare;
pub mod drain;
pub mod engines;
pub mod input;
mod latency;
pub mod program;
pub mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use broker::CleanupPolicy;
use testbed::Testbed;

use crate::kafka::Kafka;
use crate::report::Report;
use engines::{EngineKind, Job};
use input::Changes;

pub use bare::run as run_bare_loop;
pub use program::Program;

/// Settings of the scenario.
#[derive(Debug, Clone, clap::Args)]
pub struct Reference {
    /// A Kafka that runs; without it, one is started.
    #[arg(long, requires_all = ["topic", "schema_file"])]
    brokers: Option<String>,
    /// A topic that somebody has filled with Debezium's change events of transactions; latency is then not measured.
    #[arg(long, requires_all = ["brokers", "schema_file"])]
    topic: Option<String>,
    /// The schema (JSON) that its values are written with.
    #[arg(long)]
    schema_file: Option<PathBuf>,
    /// How many change events.
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    /// How much of them passes before the measurement starts, in percent: a JVM compiles itself first.
    #[arg(long, default_value_t = 30)]
    warm_up_percent: usize,
    /// How many accounts.
    #[arg(long, default_value_t = 100_000)]
    accounts: i64,
    /// Partitions of the input.
    #[arg(long, default_value_t = 4)]
    partitions: u32,
    /// What the change events are made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The longest transaction, in milliseconds.
    #[arg(long, default_value_t = 100)]
    commit_interval_ms: u64,
    /// How often each engine does it, in turns; the medians are told.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Who does it.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["riverbank", "kafka-streams", "bare-loop", "riverbank-backed", "kafka-streams-cached"])]
    engines: Vec<EngineKind>,
    /// Change events per second while latency is measured; 0: it is not.
    #[arg(long, default_value_t = 10_000)]
    latency_rate: u32,
    /// For how long latency is measured, in seconds.
    #[arg(long, default_value_t = 20)]
    latency_seconds: u32,
}

impl Reference {
    /// Runs it all, and prints the report.
    pub fn run(&self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let bed = match &self.brokers {
            None => Some(Testbed::builder().kafka().start_blocking().context("starting Kafka")?),
            Some(_) => None,
        };
        let brokers = match (&bed, &self.brokers) {
            (_, Some(brokers)) => brokers.clone(),
            (Some(bed), None) => bed.kafka().bootstrap().to_owned(),
            (None, None) => unreachable!("one or the other"),
        };
        let kafka = Kafka::at(&brokers);
        let schema_file = match &self.schema_file {
            Some(file) => file.clone(),
            None => {
                let file = folder.path().join("schema.json");
                std::fs::write(&file, input::SCHEMA)?;
                file
            }
        };
        let topic = self.topic.clone().unwrap_or_else(|| "reference-input".to_owned());
        if self.topic.is_none() {
            eprintln!("writing {} change events", self.records);
            kafka.create(&topic, self.partitions, CleanupPolicy::Delete(None))?;
            kafka.fill(
                &topic,
                &mut Changes::new(self.seed, self.accounts)?,
                self.records,
                input::now_ms(),
            )?;
        }
        let mut report = Report::new("reference");
        report.setting("records", self.records);
        report.setting("accounts", self.accounts);
        report.setting("partitions", self.partitions);
        report.setting("commit_interval_ms", self.commit_interval_ms);
        report.setting("warm_up_percent", self.warm_up_percent);
        report.setting("rounds", self.rounds);
        report.setting("seed", self.seed);
        let job = |kind: EngineKind, what: &str, input: &str, partitions| Job {
            application: format!("{}-{what}", kind.name().replace('_', "-")),
            input: input.to_owned(),
            partitions,
            schema_file: schema_file.clone(),
            commit_interval_ms: self.commit_interval_ms,
            folder: folder.path().to_owned(),
        };
        let partitions = kafka.partitions(&topic)?;
        let mut newest = BTreeMap::new();
        for round in 0..self.rounds {
            for &kind in &self.engines {
                eprintln!("round {}: {} drains the topic", round + 1, kind.name());
                let job = job(kind, &format!("drain-{round}"), &topic, partitions);
                let drained = drain::measure(kind, &job, &kafka, self.records, self.warm_up_percent)?;
                report.add(kind.name(), "cpu_us_per_record", drained.cpu_us_per_record);
                report.add(kind.name(), "records_per_s", drained.records_per_s);
                report.add(kind.name(), "memory_mib_max", drained.memory_mib_max);
                let (held, count) = kafka.newest(&job.output(kind))?;
                report.add(kind.name(), "outputs", count as f64);
                newest.insert(kind, held);
                clean(&kafka, kind, &job)?;
            }
        }
        let mut held = newest.values();
        let first = held.next().context("no engine was named")?;
        report.fact("outputs_equal", held.all(|other| other == first) && !first.is_empty());
        report.fact("accounts_with_postings", first.len());
        if self.latency_rate > 0 && self.topic.is_none() {
            for &kind in self.engines.iter().filter(|kind| kind.writes_every_update()) {
                eprintln!("{}: latency at {} change events a second", kind.name(), self.latency_rate);
                let input = format!("{}-latency-input", kind.name().replace('_', "-"));
                let job = job(kind, "latency", &input, self.partitions);
                let changes = Changes::new(self.seed, self.accounts)?;
                let measured = latency::measure(kind, &job, &kafka, changes, self.latency_rate, self.latency_seconds)?;
                report.add(kind.name(), "latency_ms_p50", measured.p50_ms as f64);
                report.add(kind.name(), "latency_ms_p99", measured.p99_ms as f64);
                report.add(kind.name(), "latency_ms_max", measured.max_ms as f64);
                clean(&kafka, kind, &job)?;
                kafka.delete(&[input])?;
            }
        }
        let ratios = [
            ("cpu_us_per_record", "kafka_streams", "riverbank"),
            ("records_per_s", "riverbank", "kafka_streams"),
            ("latency_ms_p99", "kafka_streams", "riverbank"),
            ("memory_mib_max", "kafka_streams", "riverbank"),
            ("records_per_s", "riverbank", "bare_loop"),
        ];
        for (figure, above, below) in ratios {
            report.ratio(figure, above, below);
        }
        report.print();
        Ok(())
    }
}

/// Deletes what a job has left.
pub fn clean(kafka: &Kafka, kind: EngineKind, job: &Job) -> anyhow::Result<()> {
    let mut topics = kafka.topics(&job.application)?;
    if !topics.contains(&job.output(kind)) {
        topics.push(job.output(kind));
    }
    topics.retain(|name| *name != job.input);
    kafka.delete(&topics)?;
    let state = job.folder.join(&job.application);
    if state.exists() {
        std::fs::remove_dir_all(state)?;
    }
    Ok(())
}
