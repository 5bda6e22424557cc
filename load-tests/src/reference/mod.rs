//! The reference scenario: the same work by this engine, by Kafka Streams and by a bare loop, on the same broker; and
//! what the client alone takes.

mod bare;
pub mod bench;
pub mod drain;
pub mod engines;
pub mod input;
pub mod latency;
pub mod program;
pub mod work;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use broker::CleanupPolicy;

use crate::report::Report;
use bench::Bench;
use engines::EngineKind;
use input::Changes;

pub use bare::{run as run_bare_loop, run_client_only};
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
    /// How often each engine does it, in turns; the medians are reported.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Who does it.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["riverbank", "riverbank-in-memory", "kafka-streams", "bare-loop", "client-only", "riverbank-backed", "kafka-streams-cached", "kafka-streams-transactional"])]
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
        let bench = match (&self.brokers, &self.schema_file) {
            (Some(brokers), Some(schema_file)) => Bench::at(brokers, schema_file)?,
            _ => Bench::new()?,
        };
        let mut report = Report::new("reference");
        report.setting("records", self.records);
        report.setting("accounts", self.accounts);
        report.setting("partitions", self.partitions);
        report.setting("commit_interval_ms", self.commit_interval_ms);
        report.setting("warm_up_percent", self.warm_up_percent);
        report.setting("rounds", self.rounds);
        report.setting("seed", self.seed);
        let topic = match &self.topic {
            Some(topic) => topic.clone(),
            None => self.filled(&bench)?,
        };
        self.rounds(&bench, &topic, &mut report)?;
        if self.latency_rate > 0 && self.topic.is_none() {
            self.latencies(&bench, &mut report)?;
        }
        let ratios = [
            ("cpu_us_per_record", "kafka_streams", "riverbank"),
            ("records_per_s", "riverbank", "kafka_streams"),
            ("latency_ms_p99", "kafka_streams", "riverbank"),
            ("memory_mib_max", "kafka_streams", "riverbank"),
            ("records_per_s", "riverbank", "bare_loop"),
            ("cpu_us_per_record", "kafka_streams", "client_only"),
        ];
        let in_memory = [
            ("cpu_us_per_record", "kafka_streams", "riverbank_in_memory"),
            ("records_per_s", "riverbank_in_memory", "kafka_streams"),
            ("latency_ms_p99", "kafka_streams", "riverbank_in_memory"),
            ("memory_mib_max", "kafka_streams", "riverbank_in_memory"),
        ];
        for (figure, above, below) in ratios.into_iter().chain(in_memory) {
            report.ratio(figure, above, below);
        }
        report.print();
        Ok(())
    }

    /// A topic of our own.
    fn filled(&self, bench: &Bench) -> anyhow::Result<String> {
        let topic = "reference-input";
        eprintln!("writing {} change events", self.records);
        bench.kafka.create(topic, self.partitions, CleanupPolicy::Delete(None))?;
        let mut changes = Changes::new(self.seed, self.accounts)?;
        bench.kafka.fill(topic, &mut changes, self.records, input::now_ms())?;
        Ok(topic.to_owned())
    }

    /// Every engine drains the topic, in turns; their outputs are compared.
    fn rounds(&self, bench: &Bench, topic: &str, report: &mut Report) -> anyhow::Result<()> {
        let partitions = bench.kafka.partitions(topic)?;
        let mut newest = BTreeMap::new();
        for round in 0..self.rounds {
            for &kind in &self.engines {
                eprintln!("round {}: {} drains the topic", round + 1, kind.name());
                let job = bench.job(kind, &format!("drain-{round}"), topic, partitions, self.commit_interval_ms);
                let drained = drain::measure(kind, &job, &bench.kafka, self.records, self.warm_up_percent)?;
                report.add(kind.name(), "cpu_us_per_record", drained.cpu_us_per_record);
                report.add(kind.name(), "records_per_s", drained.records_per_s);
                report.add(kind.name(), "memory_mib_max", drained.memory_mib_max);
                if kind.does_the_work() {
                    let (held, count) = bench.kafka.newest(&job.output(kind))?;
                    report.add(kind.name(), "outputs", count as f64);
                    newest.insert(kind, held);
                }
                bench.clean(kind, &job)?;
            }
        }
        let mut held = newest.values();
        let first = held.next().context("no engine was named")?;
        report.fact("outputs_equal", held.all(|other| other == first) && !first.is_empty());
        report.fact("accounts_with_postings", first.len());
        Ok(())
    }

    /// Each engine at a fixed rate, in a run of its own.
    fn latencies(&self, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
        for &kind in self.engines.iter().filter(|kind| kind.writes_every_update()) {
            eprintln!("{}: latency at {} change events a second", kind.name(), self.latency_rate);
            let input = format!("{}-latency-input", kind.name().replace('_', "-"));
            let job = bench.job(kind, "latency", &input, self.partitions, self.commit_interval_ms);
            let changes = Changes::new(self.seed, self.accounts)?;
            let measured = latency::measure(kind, &job, &bench.kafka, changes, self.latency_rate, self.latency_seconds)?;
            report.add(kind.name(), "latency_ms_p50", measured.p50_ms as f64);
            report.add(kind.name(), "latency_ms_p99", measured.p99_ms as f64);
            report.add(kind.name(), "latency_ms_max", measured.max_ms as f64);
            bench.clean(kind, &job)?;
            bench.kafka.delete(&[input])?;
        }
        Ok(())
    }
}
