//! From a change event's timestamp to the balance that a reader of committed records gets, at a fixed rate.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::ensure;
use broker::CleanupPolicy;

use super::engines::{EngineKind, Job, start};
use super::input::{Changes, now_ms};
use crate::kafka::Kafka;
use crate::load::{Watcher, Writer, Written};
use crate::measure::percentile;

/// Latencies of all updates of the second half of the time.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// The median, in milliseconds.
    pub p50_ms: i64,
    /// In milliseconds.
    pub p99_ms: i64,
    /// The longest, in milliseconds.
    pub max_ms: i64,
    /// The load, as it was.
    pub written: Written,
}

/// Change events before the measurement, at full speed.
const WARM_UP: usize = 300_000;

/// Measures a program at so many change events a second.
pub fn measure(
    kind: EngineKind,
    job: &Job,
    kafka: &Kafka,
    mut changes: Changes,
    rate: u32,
    seconds: u32,
) -> anyhow::Result<Latency> {
    kafka.create(&job.input, job.partitions, CleanupPolicy::Delete(None))?;
    kafka.create(&job.output(kind), job.partitions, CleanupPolicy::Compact)?;
    kafka.fill(&job.input, &mut changes, WARM_UP, now_ms())?;
    let mut way = job.way(kind, kafka)?;
    let mut running = start(kind, job, kafka)?;
    way.finish(kafka, &mut running)?;
    let writer = Writer::new(kafka, &job.input, &mut changes)?;
    let seen: Arc<Mutex<Vec<(i64, i64)>>> = Arc::default();
    let watcher = {
        let seen = seen.clone();
        let tell = move |at_ms, latency_ms| seen.lock().expect("nobody panics with it").push((at_ms, latency_ms));
        Watcher::start(kafka, &job.output(kind), job.partitions, tell)?
    };
    let written = writer.run(rate, Duration::from_secs(seconds.into()), &AtomicBool::new(false))?;
    job.way(kind, kafka)?.finish(kafka, &mut running)?;
    // The last commit is known; what it wrote has been fetched soon after.
    std::thread::sleep(Duration::from_millis(500));
    watcher.stop()?;
    running.stop()?;
    let seen = std::mem::take(&mut *seen.lock().expect("nobody panics with it"));
    let of_the_second_half = seen.into_iter().filter(|(at_ms, _)| *at_ms >= written.half_ms);
    let mut latencies: Vec<i64> = of_the_second_half.map(|(_, latency_ms)| latency_ms).collect();
    let least = rate as usize * seconds as usize / 2;
    ensure!(latencies.len() >= least, "{} updates were seen, not {least}", latencies.len());
    latencies.sort_unstable();
    Ok(Latency {
        p50_ms: percentile(&latencies, 50.0),
        p99_ms: percentile(&latencies, 99.0),
        max_ms: percentile(&latencies, 100.0),
        written,
    })
}
