//! Counts what was set aside, by rule: follows `silver.rejected` and serves `riverbank_rejected_records_total`.
//!
//! Every instance counts the whole topic from its start, so the number is that of the records in it, whoever rejected
//! them, and no restart resets it. Why not count where records are rejected? That would count what an aborted
//! transaction takes back; the topic shows committed records only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use broker::{Polled, Reader, Start, TopicPartition};
use prometheus::{IntCounterVec, Opts};
use schemas::silver::Rejected;
use schemas::topics::SILVER_REJECTED;
use wire::{Codec, Wire};

use crate::open::log::Log;

/// Records of one poll, and how long it waits for the first.
const POLL_RECORDS: usize = 1_000;
const POLL: Duration = Duration::from_millis(500);
/// How long the broker may take to name the topic's partitions.
const TOPIC_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause after a fault.
const PAUSE: Duration = Duration::from_secs(1);
/// The rule of a record in the topic that is none of ours.
const UNREADABLE: &str = "unreadable";

/// The follower; it ends when this is dropped.
#[derive(Debug)]
pub struct Rejections {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Rejections {
    /// Starts to count. The topic must exist.
    pub fn follow(log: &Log, metrics: &prometheus::Registry) -> anyhow::Result<Self> {
        let options = Opts::new(
            "riverbank_rejected_records_total",
            "Records in silver.rejected, by the rule that they broke.",
        );
        let counts = IntCounterVec::new(options, &["rule"])?;
        metrics.register(Box::new(counts.clone()))?;
        let mut reader = log.broker.reader("riverbank-rejections")?;
        let topic = SILVER_REJECTED.name();
        let partitions = log
            .broker
            .partitions(topic, TOPIC_TIMEOUT)?
            .with_context(|| format!("there is no topic {topic}"))?;
        for partition in 0..partitions {
            reader.assign(&TopicPartition::new(topic, partition), Start::Earliest)?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let follower = Follower {
            reader,
            codec: Codec::reader(log.registry.clone()),
            counts,
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("rejections".to_owned())
            .spawn(move || follower.run())?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Rejections {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the count of rejected records ended in a panic");
        }
    }
}

struct Follower {
    reader: Box<dyn Reader>,
    codec: Codec,
    counts: IntCounterVec,
    stop: Arc<AtomicBool>,
}

impl Follower {
    fn run(mut self) {
        let mut polled = Polled::default();
        while !self.stop.load(Ordering::Relaxed) {
            if let Err(error) = self.reader.poll(POLL_RECORDS, POLL, &mut polled) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "silver.rejected cannot be read; rejected records are not counted"
                );
                std::thread::sleep(PAUSE);
            }
            for message in polled.messages.drain(..) {
                let rule = message
                    .value
                    .as_deref()
                    .and_then(|value| rule(value, &self.codec, &self.stop));
                self.counts.with_label_values(&[rule.as_deref().unwrap_or(UNREADABLE)]).inc();
            }
            polled.ends.clear();
        }
    }
}

/// The rule that a record broke; waits while the registry is away.
fn rule(value: &[u8], codec: &Codec, stop: &AtomicBool) -> Option<String> {
    while !stop.load(Ordering::Relaxed) {
        match Rejected::decode(value, codec) {
            Ok(rejected) => return Some(rejected.rule),
            Err(error) if error.is_transient() => std::thread::sleep(PAUSE),
            Err(_) => return None,
        }
    }
    None
}
