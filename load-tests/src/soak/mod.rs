//! The soak scenario: half of what the engine can do, for long, and whether anything grows meanwhile.

mod load;
mod trend;

use std::time::Duration;

use anyhow::ensure;
use broker::CleanupPolicy;

use crate::reference::bench::Bench;
use crate::reference::drain;
use crate::reference::engines::EngineKind;
use crate::reference::input::{Changes, now_ms};
use crate::report::Report;
use trend::Trend;

/// Settings of the scenario.
#[derive(Debug, Clone, clap::Args)]
pub struct Soak {
    /// For how long.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
    /// Load, in percent of the rate at which the engine drains a full topic.
    #[arg(long, default_value_t = 50)]
    load_percent: u32,
    /// Change events of the drain.
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    /// How many accounts.
    #[arg(long, default_value_t = 100_000)]
    accounts: i64,
    /// Partitions of the input.
    #[arg(long, default_value_t = 4)]
    partitions: u32,
    /// The longest transaction, in milliseconds.
    #[arg(long, default_value_t = 100)]
    commit_interval_ms: u64,
    /// What the change events are made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How often it is looked at, in seconds.
    #[arg(long, default_value_t = 10)]
    sample_seconds: u64,
    /// For how long the load flows before the first look, in seconds: caches fill up.
    #[arg(long, default_value_t = 60)]
    warm_up_seconds: u64,
    /// Memory may grow by this, from the first quarter's median to the last one's, in percent.
    #[arg(long, default_value_t = 10.0)]
    memory_growth_max_percent: f64,
    /// File handles may grow by so many.
    #[arg(long, default_value_t = 16.0)]
    handles_growth_max: f64,
}

const KIND: EngineKind = EngineKind::Riverbank;

/// How much of the full topic passes before its rate is measured, in percent.
const WARM_UP_PERCENT: usize = 30;

impl Soak {
    /// Runs it all, prints the report, and fails where memory or file handles have grown beyond their bounds.
    pub fn run(&self) -> anyhow::Result<()> {
        let bench = Bench::new()?;
        let mut report = Report::new("soak");
        report.setting("minutes", self.minutes);
        report.setting("load_percent", self.load_percent);
        report.setting("accounts", self.accounts);
        report.setting("partitions", self.partitions);
        report.setting("commit_interval_ms", self.commit_interval_ms);
        report.setting("seed", self.seed);
        report.setting("sample_seconds", self.sample_seconds);
        report.setting("warm_up_seconds", self.warm_up_seconds);
        report.setting("memory_growth_max_percent", self.memory_growth_max_percent);
        report.setting("handles_growth_max", self.handles_growth_max);
        let full = self.full_rate(&bench)?;
        report.fact("full_records_per_s", full.round());
        let rate = (full * f64::from(self.load_percent) / 100.0) as u32;
        eprintln!("{rate} change events a second for {} minutes", self.minutes);
        let trend = self.under_load(&bench, rate, &mut report)?;
        trend.report_to(&mut report);
        let verdict = trend.verdict(self.memory_growth_max_percent, self.handles_growth_max);
        report.fact("flat", verdict.is_ok());
        report.print();
        verdict
    }

    fn full_rate(&self, bench: &Bench) -> anyhow::Result<f64> {
        let input = "soak-full";
        bench.kafka.create(input, self.partitions, CleanupPolicy::Delete(None))?;
        let mut changes = Changes::new(self.seed, self.accounts)?;
        bench.kafka.fill(input, &mut changes, self.records, now_ms())?;
        let job = bench.job(KIND, "soak-full", input, self.partitions, self.commit_interval_ms);
        let full = drain::measure(KIND, &job, &bench.kafka, self.records, WARM_UP_PERCENT)?;
        bench.clean(KIND, &job)?;
        bench.kafka.delete(&[input.to_owned()])?;
        Ok(full.records_per_s)
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.minutes * 60 + self.warm_up_seconds)
    }
}

/// Enough looks for quarters that mean something.
fn enough(trend: Trend) -> anyhow::Result<Trend> {
    let looks = trend.len();
    ensure!(looks >= 4, "{looks} looks are too few: give it more minutes");
    Ok(trend)
}
