//! Follows the heartbeat's topic, from its last records on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use broker::{Broker, BrokerError, Polled, Reader, Start, TopicPartition};
use connect::HEARTBEAT_TABLE;
use schemas::topics::CDC_PREFIX;
use serde::Deserialize;
use topology::{Micros, Millis};
use wire::{Codec, WireError, decode_avro};

use super::Watched;
use crate::open::log::Log;

/// Records of one poll, and how long it waits for the first.
const POLL_RECORDS: usize = 100;
const POLL: Duration = Duration::from_millis(500);
/// How long the broker may take to say something of the topic.
const TOPIC_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause after a fault, and before a topic that does not exist is looked for again.
const PAUSE: Duration = Duration::from_secs(2);
/// How many records before a partition's end are read at the start: the last may be a marker.
const TAIL: i64 = 8;

/// A heartbeat's change event; the rest of it is of no interest.
#[derive(Deserialize)]
struct Beat {
    source: BeatSource,
    op: String,
}

/// Where and when the source committed it.
#[derive(Deserialize)]
struct BeatSource {
    ts_ms: i64,
    #[serde(default)]
    ts_us: Option<i64>,
    #[serde(default)]
    lsn: Option<i64>,
}

/// The follower; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Follower {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Starts to follow. The topic may not exist yet: the connector makes it with the first heartbeat.
    pub(super) fn start(log: &Log, watched: Arc<Watched>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let following = Following {
            broker: log.broker.clone(),
            codec: Codec::reader(log.registry.clone()),
            watched,
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("heartbeat".to_owned())
            .spawn(move || following.run())?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the follower of the heartbeat ended in a panic");
        }
    }
}

struct Following {
    broker: Arc<dyn Broker>,
    codec: Codec,
    watched: Arc<Watched>,
    stop: Arc<AtomicBool>,
}

impl Following {
    /// Begins anew after each fault, at the topic's end: a topic may be deleted and made again.
    fn run(self) {
        while !self.is_stopped() {
            match self.open() {
                Ok(Some(reader)) => {
                    if let Err(error) = self.follow(reader) {
                        tracing::warn!(error = &error as &dyn std::error::Error, "the heartbeat cannot be read");
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the heartbeat's topic cannot be looked for"
                    );
                }
            }
            self.pause();
        }
    }

    fn open(&self) -> Result<Option<Box<dyn Reader>>, BrokerError> {
        let topic = format!("{CDC_PREFIX}.{HEARTBEAT_TABLE}");
        let Some(partitions) = self.broker.partitions(&topic, TOPIC_TIMEOUT)? else {
            return Ok(None);
        };
        let mut reader = self.broker.reader("riverbank-heartbeat")?;
        for partition in 0..partitions {
            let partition = TopicPartition::new(topic.as_str(), partition);
            let (first, end) = reader.bounds(&partition, TOPIC_TIMEOUT)?;
            reader.assign(&partition, Start::At(first.max(end - TAIL)))?;
        }
        Ok(Some(reader))
    }

    fn follow(&self, mut reader: Box<dyn Reader>) -> Result<(), BrokerError> {
        let mut polled = Polled::default();
        while !self.is_stopped() {
            reader.poll(POLL_RECORDS, POLL, &mut polled)?;
            for message in polled.messages.drain(..) {
                if let Some(value) = message.value {
                    self.hear(&value);
                }
            }
            polled.ends.clear();
        }
        Ok(())
    }

    fn hear(&self, value: &[u8]) {
        match self.decode(value) {
            // A snapshot reads the heartbeat's row first, and the bank's tables after it.
            Some(Ok(Beat { op, .. })) if op == "r" => {}
            Some(Ok(Beat { source, .. })) => {
                let committed_at_us = source.ts_us.map_or(Millis(source.ts_ms).to_micros(), Micros);
                self.watched.hear(committed_at_us, source.lsn);
            }
            Some(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a heartbeat that is none");
            }
            None => {}
        }
    }

    /// Waits while the registry is away; nothing when the watch ends meanwhile.
    fn decode(&self, value: &[u8]) -> Option<Result<Beat, WireError>> {
        while !self.is_stopped() {
            match decode_avro(value, &self.codec) {
                Err(error) if error.is_transient() => self.pause(),
                done => return Some(done),
            }
        }
        None
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn pause(&self) {
        let step = Duration::from_millis(100);
        let mut waited = Duration::ZERO;
        while waited < PAUSE && !self.is_stopped() {
            std::thread::sleep(step);
            waited += step;
        }
    }
}
