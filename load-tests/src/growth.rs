//! The growth scenario: what one change event costs with more and more keys in the store, at a fixed memory budget, beside Kafka
//! Streams; and with more and more partitions on one worker.

use broker::CleanupPolicy;
use topology::store::RocksSettings;

use crate::measure::disk_mib;
use crate::reference::bench::Bench;
use crate::reference::engines::{EngineKind, start};
use crate::reference::input::{Changes, Draw, now_ms};
use crate::report::Report;

/// Settings of the scenario.
#[derive(Debug, Clone, clap::Args)]
pub struct Growth {
    /// Keys in the store, one measurement each.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000, 10_000_000])]
    keys: Vec<i64>,
    /// Who does it while keys grow.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["riverbank", "kafka-streams"])]
    engines: Vec<EngineKind>,
    /// Partitions of Riverbank's input, one measurement each; 0: none.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16])]
    partitions: Vec<u32>,
    /// Keys in the store while partitions grow.
    #[arg(long, default_value_t = 100_000)]
    partitions_keys: i64,
    /// Partitions of the input while keys grow.
    #[arg(long, default_value_t = 4)]
    keys_partitions: u32,
    /// How the keys of the change events that are measured are drawn, one measurement each.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["evenly", "hot-fifth"])]
    draws: Vec<Draw>,
    /// Change events that are measured.
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    /// How much of them passes before the measurement starts, in percent: the new process has an empty cache.
    #[arg(long, default_value_t = 30)]
    warm_up_percent: usize,
    /// How often each is measured; the medians are reported.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// What the change events are made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The longest transaction, in milliseconds.
    #[arg(long, default_value_t = 100)]
    commit_interval_ms: u64,
}

/// A series of drains.
struct Series {
    kind: EngineKind,
    name: String,
    keys: i64,
    partitions: u32,
}

impl Series {
    fn by_keys(kind: EngineKind, keys: i64, partitions: u32) -> Self {
        Self {
            kind,
            name: format!("{}_keys_{keys}", kind.name()),
            keys,
            partitions,
        }
    }

    fn subject(&self, draw: Draw) -> String {
        match draw {
            Draw::Evenly | Draw::InTurn => self.name.clone(),
            Draw::HotFifth => format!("{}_hot_fifth", self.name),
        }
    }
}

impl Growth {
    /// Runs it all, and prints the report.
    pub fn run(&self) -> anyhow::Result<()> {
        let bench = Bench::new()?;
        let mut report = Report::new("growth");
        let memory = RocksSettings::default();
        report.setting("write_buffer_bytes", memory.write_buffer_bytes);
        report.setting("records", self.records);
        report.setting("keys_partitions", self.keys_partitions);
        report.setting("partitions_keys", self.partitions_keys);
        report.setting("warm_up_percent", self.warm_up_percent);
        report.setting("commit_interval_ms", self.commit_interval_ms);
        report.setting("rounds", self.rounds);
        report.setting("seed", self.seed);
        for &keys in &self.keys {
            for &kind in &self.engines {
                let series = Series::by_keys(kind, keys, self.keys_partitions);
                self.one(&bench, &mut report, &series, &self.draws)?;
            }
        }
        for &partitions in self.partitions.iter().filter(|count| **count > 0) {
            let kind = EngineKind::Riverbank;
            let series = Series {
                kind,
                name: format!("{}_partitions_{partitions}", kind.name()),
                keys: self.partitions_keys,
                partitions,
            };
            self.one(&bench, &mut report, &series, &[Draw::Evenly])?;
        }
        if let (Some(&most), Some(&least)) = (self.keys.iter().max(), self.keys.iter().min()) {
            for &kind in &self.engines {
                let [most, least] = [most, least].map(|keys| Series::by_keys(kind, keys, self.keys_partitions));
                for &draw in &self.draws {
                    for figure in ["cpu_us_per_record", "memory_mib_max"] {
                        report.ratio(figure, &most.subject(draw), &least.subject(draw));
                    }
                }
            }
        }
        report.print();
        Ok(())
    }

    /// Fills the store once; then each round drains further events in a process of its own.
    fn one(&self, bench: &Bench, report: &mut Report, series: &Series, draws: &[Draw]) -> anyhow::Result<()> {
        let &Series {
            kind,
            ref name,
            keys,
            partitions,
        } = series;
        let kafka = &bench.kafka;
        let input = format!("growth-input-{name}");
        let job = bench.job(kind, &format!("growth-{name}"), &input, partitions, self.commit_interval_ms);
        kafka.create(&input, partitions, CleanupPolicy::Delete(None))?;
        kafka.create(&job.output(kind), partitions, CleanupPolicy::Compact)?;
        eprintln!("{}: {keys} keys, {partitions} partitions", kind.name());
        kafka.fill(&input, &mut Changes::in_turn(self.seed, keys)?, keys as usize, now_ms())?;
        let mut way = job.way(kind, kafka)?;
        let mut running = start(kind, &job, kafka)?;
        way.finish(kafka, &mut running)?;
        running.stop()?;
        let changes = draws.iter().map(|&draw| Ok((draw, Changes::drawn(self.seed, keys, draw)?)));
        let mut changes: Vec<_> = changes.collect::<anyhow::Result<_>>()?;
        for _ in 0..self.rounds {
            for (draw, changes) in &mut changes {
                kafka.fill(&input, changes, self.records, now_ms())?;
                let mut way = job.way(kind, kafka)?;
                let mut running = start(kind, &job, kafka)?;
                let drained = way.measure(kafka, &mut running, self.warm_up_percent)?;
                running.stop()?;
                let subject = series.subject(*draw);
                report.add(&subject, "cpu_us_per_record", drained.cpu_us_per_record);
                report.add(&subject, "records_per_s", drained.records_per_s);
                report.add(&subject, "memory_mib_max", drained.memory_mib_max);
                report.add(&subject, "state_mib", disk_mib(&job.state()));
            }
        }
        bench.clean(kind, &job)?;
        kafka.delete(&[input])
    }
}
