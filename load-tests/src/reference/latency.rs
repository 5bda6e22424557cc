//! From a change event's timestamp to the balance that a reader of committed records gets, at a fixed rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use broker::CleanupPolicy;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::drain::Way;
use super::engines::{EngineKind, Job, Running};
use super::input::{Changes, now_ms};
use crate::kafka::Kafka;
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
}

/// Change events before the measurement, at full speed.
const WARM_UP: usize = 300_000;

const PATIENCE: Duration = Duration::from_secs(60);

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
    let mut way = Way::new(kafka, job)?;
    let mut running = Running::start(kind, job, kafka)?;
    way.finish(kafka, job, &mut running)?;
    let stop = Arc::new(AtomicBool::new(false));
    let watching = {
        let (stop, consumer) = (stop.clone(), watcher(kafka, &job.output(kind), job.partitions)?);
        std::thread::spawn(move || watch(&consumer, &stop))
    };
    let from_ms = pace(kafka, &job.input, &mut changes, rate, seconds)?;
    Way::new(kafka, job)?.finish(kafka, job, &mut running)?;
    // The last commit is known; what it wrote has been fetched soon after.
    std::thread::sleep(Duration::from_millis(500));
    stop.store(true, Ordering::Relaxed);
    let seen = watching.join().map_err(|_| anyhow::anyhow!("the watcher failed"))??;
    running.stop()?;
    let mut latencies: Vec<i64> = seen
        .into_iter()
        .filter(|(at, _)| *at >= from_ms)
        .map(|(_, latency)| latency)
        .collect();
    let least = rate as usize * seconds as usize / 2;
    ensure!(latencies.len() >= least, "{} updates were seen, not {least}", latencies.len());
    latencies.sort_unstable();
    Ok(Latency {
        p50_ms: percentile(&latencies, 50.0),
        p99_ms: percentile(&latencies, 99.0),
        max_ms: percentile(&latencies, 100.0),
    })
}

fn watcher(kafka: &Kafka, topic: &str, partitions: u32) -> anyhow::Result<BaseConsumer> {
    let consumer: BaseConsumer = kafka
        .client()
        .set("group.id", "watcher")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "5")
        .set("fetch.queue.backoff.ms", "1")
        .create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions as i32 {
        let end = consumer.fetch_watermarks(topic, partition, PATIENCE)?.1;
        list.add_partition_offset(topic, partition, Offset::Offset(end))?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

/// Timestamp and latency of each update, in milliseconds.
fn watch(consumer: &BaseConsumer, stop: &AtomicBool) -> anyhow::Result<Vec<(i64, i64)>> {
    let mut seen = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if let Some(message) = consumer.poll(Duration::from_millis(10)) {
            let message = message?;
            let at_ms = message.timestamp().to_millis().context("a record has a timestamp")?;
            seen.push((at_ms, now_ms() - at_ms));
        }
    }
    Ok(seen)
}

/// Writes at a rate. Returns when the second half began, in milliseconds since the epoch.
fn pace(kafka: &Kafka, topic: &str, changes: &mut Changes, rate: u32, seconds: u32) -> anyhow::Result<i64> {
    let producer: BaseProducer = kafka
        .client()
        .set("linger.ms", "5")
        .set("enable.idempotence", "true")
        .create()?;
    let started = Instant::now();
    let total = u64::from(rate) * u64::from(seconds);
    let mut from_ms = i64::MAX;
    for number in 0..total {
        let due = started + Duration::from_nanos(number * 1_000_000_000 / u64::from(rate));
        let early = due.saturating_duration_since(Instant::now());
        if early > Duration::from_millis(1) {
            std::thread::sleep(early);
        }
        // One report each: with no linger there is about one per record.
        producer.poll(Duration::ZERO);
        let event = changes.event()?;
        let at_ms = now_ms();
        if number == total / 2 {
            from_ms = at_ms;
        }
        let record = BaseRecord::to(topic).key(&event.key).payload(&event.value).timestamp(at_ms);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(PATIENCE)?;
    Ok(from_ms)
}
