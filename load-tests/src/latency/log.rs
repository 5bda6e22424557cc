//! Kafka in, Kafka out: the reference work under loads that are shares of the rate at which the engine drains a full topic.

use broker::CleanupPolicy;

use super::Latency;
use crate::reference::bench::Bench;
use crate::reference::engines::EngineKind;
use crate::reference::input::{Changes, now_ms};
use crate::reference::{drain, latency};
use crate::report::Report;

/// How much of the full topic passes before its rate is measured, in percent.
const WARM_UP_PERCENT: usize = 30;

const INPUT: &str = "latency-full";

impl Latency {
    /// Measures every engine with every interval at every load.
    pub(super) fn log(&self, report: &mut Report) -> anyhow::Result<()> {
        report.setting("records", self.records);
        report.setting("accounts", self.accounts);
        report.setting("partitions", self.partitions);
        let bench = Bench::new()?;
        bench.kafka.create(INPUT, self.partitions, CleanupPolicy::Delete(None))?;
        let mut changes = Changes::new(self.seed, self.accounts)?;
        bench.kafka.fill(INPUT, &mut changes, self.records, now_ms())?;
        // A Kafka that has just started compiles itself first.
        if let (Some(&kind), Some(&interval_ms), Some(&rate)) = (
            self.engines.first(),
            self.commit_intervals_ms.first(),
            self.rates.iter().max(),
        ) {
            self.load(&bench, &mut Report::new("warm-up"), kind, interval_ms, "warm-up", rate)?;
        }
        for &interval_ms in &self.commit_intervals_ms {
            for &kind in &self.engines {
                self.loads(&bench, report, kind, interval_ms)?;
            }
            // Shares of different rates are not compared.
            for &rate in &self.rates {
                let of = |kind| subject(kind, interval_ms, &per_second(rate));
                for ours in [EngineKind::Riverbank, EngineKind::RiverbankInMemory] {
                    report.ratio("p99_ms", &of(EngineKind::KafkaStreams), &of(ours));
                }
            }
        }
        Ok(())
    }

    /// One engine with one interval: first its rate, then each load.
    fn loads(&self, bench: &Bench, report: &mut Report, kind: EngineKind, interval_ms: u64) -> anyhow::Result<()> {
        let job = bench.job(kind, &format!("full-{interval_ms}"), INPUT, self.partitions, interval_ms);
        eprintln!("{} drains a full topic, {interval_ms} ms", kind.name());
        let full = drain::measure(kind, &job, &bench.kafka, self.records, WARM_UP_PERCENT)?;
        bench.clean(kind, &job)?;
        report.fact(
            &format!("{}_{interval_ms}_ms_full_records_per_s", kind.name()),
            full.records_per_s.round(),
        );
        let shares = self.loads_percent.iter().map(|&percent| {
            let rate = full.records_per_s * f64::from(percent) / 100.0;
            (format!("{percent}_percent"), rate.max(1.0) as u32)
        });
        let fixed = self.rates.iter().map(|&rate| (per_second(rate), rate));
        for (load, rate) in shares.chain(fixed) {
            self.load(bench, report, kind, interval_ms, &load, rate)?;
        }
        Ok(())
    }

    fn load(
        &self,
        bench: &Bench,
        report: &mut Report,
        kind: EngineKind,
        interval_ms: u64,
        load: &str,
        rate: u32,
    ) -> anyhow::Result<()> {
        let subject = subject(kind, interval_ms, load);
        eprintln!("{subject}: {rate} change events a second");
        let input = format!("latency-input-{subject}");
        let job = bench.job(
            kind,
            &format!("load-{interval_ms}-{load}"),
            &input,
            self.partitions,
            interval_ms,
        );
        let changes = Changes::new(self.seed, self.accounts)?;
        let measured = latency::measure(kind, &job, &bench.kafka, changes, rate, self.seconds)?;
        report.add(&subject, "p50_ms", measured.p50_ms as f64);
        report.add(&subject, "p99_ms", measured.p99_ms as f64);
        report.add(&subject, "max_ms", measured.max_ms as f64);
        report.add(&subject, "load_per_s", measured.written.per_s);
        report.add(&subject, "writer_behind_ms_max", measured.written.behind_ms_max as f64);
        bench.clean(kind, &job)?;
        bench.kafka.delete(&[input])
    }
}

fn per_second(rate: u32) -> String {
    format!("{rate}_per_s")
}

fn subject(kind: EngineKind, interval_ms: u64, load: &str) -> String {
    format!("{}_{interval_ms}_ms_{load}", kind.name())
}
