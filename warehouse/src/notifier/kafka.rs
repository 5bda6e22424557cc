//! Bucket events from a Kafka topic, which MinIO writes.
//!
//! The topic is read from its end on, by every instance and with no group: what was written before is found by the listing that
//! every start begins with, and an event is only a hint.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use broker::{Broker, BrokerError, Polled, Reader, Start, TopicPartition};

use super::events::{Place, files};
use super::offers::{Offers, Source};

const POLL_RECORDS: usize = 500;
const POLL: Duration = Duration::from_millis(250);
/// The wait after a fault, or while there is no room.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two looks at how many partitions the topic has.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// The reader of the topic; it ends when this is dropped.
#[derive(Debug)]
pub struct EventReader {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl EventReader {
    /// Starts to read. A broker or a topic that is not there yet is waited for.
    pub fn start(broker: Arc<dyn Broker>, topic: String, place: Place, offers: Offers) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let work = Work {
            broker,
            topic,
            place,
            offers,
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("bucket-events".to_owned())
            .spawn(move || work.run())?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for EventReader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the reader of bucket events ended in a panic");
        }
    }
}

struct Work {
    broker: Arc<dyn Broker>,
    topic: String,
    place: Place,
    offers: Offers,
    stop: Arc<AtomicBool>,
}

impl Work {
    fn run(&self) {
        while !self.stopped() {
            if let Err(error) = self.read() {
                let reason = format!("the bucket events in topic {} cannot be read: {error}", self.topic);
                tracing::warn!(reason, "files are found by listings meanwhile");
                self.offers.set_source_trouble(Some(reason));
                self.pause();
            }
        }
    }

    /// Reads until a fault or the end.
    fn read(&self) -> Result<(), BrokerError> {
        let mut reader = self.broker.reader("riverbank-bucket-events")?;
        let mut assigned = BTreeSet::new();
        let mut looked: Option<Instant> = None;
        let mut polled = Polled::default();
        while !self.stopped() {
            if looked.is_none_or(|at| at.elapsed() > LOOK_INTERVAL) {
                let is_first = looked.is_none();
                self.assign(reader.as_mut(), &mut assigned, is_first)?;
                looked = Some(Instant::now());
            }
            reader.poll(POLL_RECORDS, POLL, &mut polled)?;
            self.offers.set_source_trouble(reader.trouble());
            for message in polled.messages.drain(..) {
                self.take(message.value.as_deref().unwrap_or_default());
            }
            polled.ends.clear();
        }
        Ok(())
    }

    /// Reads the topic's partitions, those that are new from their start.
    fn assign(&self, reader: &mut dyn Reader, assigned: &mut BTreeSet<u32>, is_first: bool) -> Result<(), BrokerError> {
        let count = self.broker.partitions(&self.topic, ASK_TIMEOUT)?;
        let count = count.ok_or_else(|| BrokerError::Topic {
            topic: self.topic.clone(),
            reason: "there is no such topic".to_owned(),
        })?;
        for partition in (0..count)
            .filter(|partition| !assigned.contains(partition))
            .collect::<Vec<_>>()
        {
            let start = if is_first { Start::Latest } else { Start::Earliest };
            reader.assign(&TopicPartition::new(self.topic.as_str(), partition), start)?;
            assigned.insert(partition);
        }
        Ok(())
    }

    fn take(&self, value: &[u8]) {
        match files(value, &self.place) {
            Ok(files) => {
                for file in files {
                    while !self.offers.offer(Source::Kafka, file.clone()) && !self.stopped() {
                        self.pause();
                    }
                }
            }
            Err(error) => tracing::warn!(topic = self.topic, %error, "a record is passed over"),
        }
    }

    fn pause(&self) {
        let until = Instant::now() + PAUSE;
        while Instant::now() < until && !self.stopped() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}
