//! The latency scenario: how long until an effect is visible, through the log alone and over the whole stack.

mod log;
mod stack;

use crate::reference::engines::EngineKind;
use crate::report::Report;

/// Settings of the scenario.
#[derive(Debug, Clone, clap::Args)]
pub struct Latency {
    /// What is measured.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["log", "stack"])]
    paths: Vec<Path>,
    /// Log: who does the work.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["riverbank", "riverbank-in-memory", "kafka-streams"])]
    engines: Vec<EngineKind>,
    /// Log: the longest transactions, in milliseconds, one series of measurements each.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 30, 100])]
    commit_intervals_ms: Vec<u64>,
    /// Log: load, in percent of the rate at which the engine drains a full topic.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 50, 80])]
    loads_percent: Vec<u32>,
    /// Log: load in change events a second, the same for all engines.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000])]
    rates: Vec<u32>,
    /// Log: change events of the drain.
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    /// Log: how many accounts.
    #[arg(long, default_value_t = 100_000)]
    accounts: i64,
    /// Log: partitions of the input.
    #[arg(long, default_value_t = 4)]
    partitions: u32,
    /// For how long each load lasts, in seconds; the second half of it counts.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// What the change events are made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Stack: deposits a second.
    #[arg(long, default_value_t = 100)]
    stack_rate: u32,
    /// Stack: for how long deposits flow before they are measured, in seconds: the Java servers compile themselves first.
    #[arg(long, default_value_t = 70)]
    stack_warm_up_seconds: u64,
    /// Stack: the longest transactions, in milliseconds.
    #[arg(long, default_value_t = 100)]
    stack_commit_interval_ms: u64,
}

/// A path whose latency is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Path {
    /// From a change event in Kafka to a committed update in Kafka.
    Log,
    /// From a commit in Postgres to an answer over HTTP.
    Stack,
}

impl Latency {
    /// Runs it all, and prints the report.
    pub fn run(&self) -> anyhow::Result<()> {
        let mut report = Report::new("latency");
        report.setting("seconds", self.seconds);
        report.setting("seed", self.seed);
        if self.paths.contains(&Path::Log) {
            self.log(&mut report)?;
        }
        if self.paths.contains(&Path::Stack) {
            self.stack(&mut report)?;
        }
        report.print();
        Ok(())
    }
}
