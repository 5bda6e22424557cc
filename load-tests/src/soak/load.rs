//! The load of the soak: written, worked off and watched for hours without filling the disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::trend::{Look, Trend};
use super::{KIND, Soak, enough};
use crate::load::{Watcher, Writer, Written};
use crate::measure;
use crate::process::Running;
use crate::reference::bench::Bench;
use crate::reference::engines::{Job, start};
use crate::reference::input::Changes;
use crate::report::Report;

/// What is worked off may go after a minute. The broker deletes and compacts whole segments, so they are small.
const PASSING: [(&str, &str); 3] = [
    ("cleanup.policy", "delete"),
    ("retention.ms", "60000"),
    ("segment.bytes", SEGMENT),
];
/// The engine itself deletes what is done here.
const REPARTITION: [(&str, &str); 3] = [
    ("cleanup.policy", "delete"),
    ("retention.ms", "-1"),
    ("segment.bytes", SEGMENT),
];
const COMPACTED: [(&str, &str); 2] = [("cleanup.policy", "compact"), ("segment.bytes", SEGMENT)];
const SEGMENT: &str = "33554432";

/// How far the writer may fall behind its rate, in percent.
const BEHIND_MAX_PERCENT: f64 = 2.0;

type Latencies = Arc<Mutex<Vec<i64>>>;

impl Soak {
    /// Looks at the engine again and again while change events flow.
    pub(super) fn under_load(&self, bench: &Bench, rate: u32, report: &mut Report) -> anyhow::Result<Trend> {
        let kafka = &bench.kafka;
        let job = bench.job(KIND, "soak", "soak-input", self.partitions, self.commit_interval_ms);
        kafka.create_with(&job.input, self.partitions, &PASSING)?;
        kafka.create_with(&job.repartition(), self.partitions, &REPARTITION)?;
        for compacted in [job.output(KIND), format!("{}-balances-changelog", job.application)] {
            kafka.create_with(&compacted, self.partitions, &COMPACTED)?;
        }
        let writer = Writer::new(kafka, &job.input, &mut Changes::new(self.seed, self.accounts)?)?;
        let mut running = start(KIND, &job, kafka)?;
        let latencies = Latencies::default();
        let told = latencies.clone();
        let tell = move |_, latency_ms| told.lock().expect("nobody panics with it").push(latency_ms);
        let watcher = Watcher::start(kafka, &job.output(KIND), self.partitions, tell)?;
        let over = AtomicBool::new(false);
        let (written, trend) = std::thread::scope(|scope| {
            let writing = scope.spawn(|| writer.run(rate, self.time(), &over));
            let trend = self.watch(bench, &job, &mut running, &latencies, || writing.is_finished());
            over.store(true, Ordering::Relaxed);
            let written = writing.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the writer panicked")));
            (written, trend)
        });
        let (written, trend): (Written, Trend) = (written?, trend?);
        job.way(KIND, kafka)?.finish(kafka, &mut running)?;
        watcher.stop()?;
        running.stop()?;
        report.fact("load_per_s", written.per_s.round());
        let least = f64::from(rate) * (1.0 - BEHIND_MAX_PERCENT / 100.0);
        ensure!(
            written.per_s >= least,
            "only {:.0} change events a second could be written, not {rate}",
            written.per_s
        );
        enough(trend)
    }

    /// A look at each interval, after the warm-up, until the load is over.
    fn watch(
        &self,
        bench: &Bench,
        job: &Job,
        running: &mut Running,
        latencies: &Latencies,
        is_over: impl Fn() -> bool,
    ) -> anyhow::Result<Trend> {
        let (started, warm_up) = (Instant::now(), Duration::from_secs(self.warm_up_seconds));
        let interval = Duration::from_secs(self.sample_seconds);
        let mut trend = Trend::default();
        let mut due = warm_up;
        while started.elapsed() < self.time() && !is_over() {
            std::thread::sleep(due.saturating_sub(started.elapsed()).min(Duration::from_secs(1)));
            running.check()?;
            if started.elapsed() < due {
                continue;
            }
            let mut window = std::mem::take(&mut *latencies.lock().expect("nobody panics with it"));
            ensure!(!window.is_empty(), "no update was seen for {interval:?}");
            window.sort_unstable();
            let pid = running.pid();
            let look = Look {
                memory_mib: measure::memory_mib(pid)?,
                handles: measure::handles(pid)?,
                threads: measure::threads(pid)?,
                state_mib: measure::disk_mib(&job.state()),
                p99_ms: measure::percentile(&window, 99.0) as f64,
                servers_mib: bench.servers().map_or(0.0, measure::disk_mib),
            };
            // The first window is the warm-up's.
            if due > warm_up {
                eprintln!("{:>6} s  {look:?}", started.elapsed().as_secs());
                trend.add(look);
            }
            due += interval;
        }
        Ok(trend)
    }
}
