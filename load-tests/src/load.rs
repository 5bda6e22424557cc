//! Load at a fixed rate, and what becomes of it: a writer of change events and a watcher of committed updates.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use crate::kafka::Kafka;
use crate::reference::input::{Changes, Event, now_ms};

const PATIENCE: Duration = Duration::from_secs(60);

/// Change events that are made before the load starts, and sent again and again: making them would cost more than sending.
const DIFFERENT: usize = 100_000;

/// Writes change events at a rate.
pub struct Writer {
    producer: BaseProducer,
    topic: String,
    events: Vec<Event>,
}

/// What a writer came to.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// When the second half began, in milliseconds since the epoch.
    pub half_ms: i64,
    /// Change events a second, as it was.
    pub per_s: f64,
    /// How far it fell behind its schedule at worst, in milliseconds.
    pub behind_ms_max: i64,
}

impl Writer {
    /// To this topic.
    pub fn new(kafka: &Kafka, topic: &str, changes: &mut Changes) -> anyhow::Result<Self> {
        let producer = kafka
            .client()
            .set("linger.ms", "5")
            .set("enable.idempotence", "true")
            .create()?;
        let events = (0..DIFFERENT).map(|_| changes.event()).collect::<anyhow::Result<_>>()?;
        Ok(Self {
            producer,
            topic: topic.to_owned(),
            events,
        })
    }

    /// Writes for so long, or until it is told to stop. A record's timestamp is when it was due: a writer that falls behind
    /// shows as latency, not as silence.
    pub fn run(&self, rate: u32, time: Duration, stop: &AtomicBool) -> anyhow::Result<Written> {
        let (started, started_ms) = (Instant::now(), now_ms());
        let total = (f64::from(rate) * time.as_secs_f64()) as u64;
        let (mut half_ms, mut behind_ms_max, mut number) = (i64::MAX, 0, 0);
        while number < total && !stop.load(Ordering::Relaxed) {
            let due = Duration::from_nanos(number * 1_000_000_000 / u64::from(rate));
            let early = due.saturating_sub(started.elapsed());
            if early > Duration::from_millis(1) {
                std::thread::sleep(early);
            }
            let (due_ms, at_ms) = (started_ms + due.as_millis() as i64, now_ms());
            behind_ms_max = behind_ms_max.max(at_ms - due_ms);
            if number == total / 2 {
                half_ms = due_ms;
            }
            self.send(&self.events[number as usize % self.events.len()], due_ms.min(at_ms))?;
            number += 1;
        }
        let per_s = number as f64 / started.elapsed().as_secs_f64();
        self.producer.flush(PATIENCE)?;
        Ok(Written {
            half_ms,
            per_s,
            behind_ms_max,
        })
    }

    fn send(&self, event: &Event, at_ms: i64) -> anyhow::Result<()> {
        // Reports of what was delivered.
        self.producer.poll(Duration::ZERO);
        let mut record = BaseRecord::to(&self.topic)
            .key(&event.key)
            .payload(&event.value)
            .timestamp(at_ms);
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.producer.poll(Duration::from_millis(1));
                    record = back;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }
}

/// Reads committed records, from the end of a topic on, on a thread of its own.
pub struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Watcher {
    /// Tells timestamp and latency of each record, in milliseconds.
    pub fn start(
        kafka: &Kafka,
        topic: &str,
        partitions: u32,
        mut tell: impl FnMut(i64, i64) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (stop, consumer) = (Arc::new(AtomicBool::new(false)), at_the_end(kafka, topic, partitions)?);
        let stopped = stop.clone();
        let watch = move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Some(message) = consumer.poll(Duration::from_millis(10)) {
                    let at_ms = message?.timestamp().to_millis().context("a record has a timestamp")?;
                    tell(at_ms, now_ms() - at_ms);
                }
            }
            Ok(())
        };
        let thread = std::thread::Builder::new().name("watcher".to_owned()).spawn(watch)?;
        Ok(Self { stop, thread })
    }

    /// Ends it.
    pub fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))?
    }
}

fn at_the_end(kafka: &Kafka, topic: &str, partitions: u32) -> anyhow::Result<BaseConsumer> {
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
