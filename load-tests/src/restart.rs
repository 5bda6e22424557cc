//! The restart scenario: kill -9 with so many keys in the store, then from the new start to the last balance that waited.

use std::time::{Duration, Instant};

use broker::CleanupPolicy;

use crate::reference::bench::Bench;
use crate::reference::engines::{EngineKind, start};
use crate::reference::input::{Changes, now_ms};
use crate::report::Report;

/// Settings of the scenario.
#[derive(Debug, Clone, clap::Args)]
pub struct Restart {
    /// Keys in the store, one measurement each.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000])]
    keys: Vec<i64>,
    /// How often each is killed; the medians are reported.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Partitions of the input.
    #[arg(long, default_value_t = 4)]
    partitions: u32,
    /// What the change events are made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Who restarts.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["riverbank", "kafka-streams"])]
    engines: Vec<EngineKind>,
}

/// Change events that wait for the new process.
const WAITING: usize = 1_000;

/// State reaches the disk in the background; a process that is killed has mostly run for longer than this.
const SETTLE: Duration = Duration::from_secs(3);

impl Restart {
    /// Runs it all, and prints the report.
    pub fn run(&self) -> anyhow::Result<()> {
        let bench = Bench::new()?;
        let kafka = &bench.kafka;
        let mut report = Report::new("restart");
        report.setting("partitions", self.partitions);
        report.setting("rounds", self.rounds);
        report.setting("seed", self.seed);
        for &keys in &self.keys {
            let input = format!("restart-input-{keys}");
            kafka.create(&input, self.partitions, CleanupPolicy::Delete(None))?;
            let mut changes = Changes::in_turn(self.seed, keys)?;
            eprintln!("{keys} keys");
            kafka.fill(&input, &mut changes, keys as usize, now_ms())?;
            for &kind in &self.engines {
                let job = bench.job(kind, &format!("restart-{keys}"), &input, self.partitions, 100);
                kafka.create(&job.output(kind), job.partitions, CleanupPolicy::Compact)?;
                let mut running = start(kind, &job, kafka)?;
                job.way(kind, kafka)?.finish(kafka, &mut running)?;
                for _ in 0..self.rounds {
                    std::thread::sleep(SETTLE);
                    running.kill()?;
                    kafka.fill(&input, &mut changes, WAITING, now_ms())?;
                    let started = Instant::now();
                    running = start(kind, &job, kafka)?;
                    job.way(kind, kafka)?.finish(kafka, &mut running)?;
                    report.add(
                        kind.name(),
                        &format!("restart_ms_{keys}_keys"),
                        started.elapsed().as_secs_f64() * 1e3,
                    );
                }
                running.stop()?;
                bench.clean(kind, &job)?;
            }
            kafka.delete(&[input])?;
        }
        for keys in &self.keys {
            report.ratio(&format!("restart_ms_{keys}_keys"), "kafka_streams", "riverbank");
        }
        report.print();
        Ok(())
    }
}
