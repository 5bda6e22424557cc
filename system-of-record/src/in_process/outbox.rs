//! The way of change events into the log: in order, none lost, none twice.
//!
//! Commits queue their events while they hold the tables' lock, so the queue has the order of the commits. One thread writes them,
//! many commits in one transaction of the log. When that fails, the same events are tried again until they are in; where the
//! log did not say what became of a transaction, a new producer fences the old one, and the log itself is read to find out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use broker::{
    Broker, BrokerError, Membership, Outgoing, Polled, Start, TopicPartition, TransactionalProducer, partition_for_key,
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

/// Commits that wait in the queue at most; further ones wait for their turn.
const QUEUE_MAX: usize = 1024;
/// Commits that one transaction of the log takes at most.
const GROUP_MAX: usize = 256;
const TRANSACTIONAL_ID: &str = "riverbank-system-of-record";
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE_MAX: Duration = Duration::from_secs(2);
const PAUSES: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(50))
    .with_max_delay(PAUSE_MAX)
    .without_max_times();
/// How long the last events are tried when the program ends.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(10);

/// A record of a change topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub topic: &'static str,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
    pub timestamp_ms: i64,
}

/// A commit's events, and whom to notify when they are in the log.
pub(super) struct Batch {
    pub events: Vec<Event>,
    pub written: oneshot::Sender<()>,
}

/// The queue's near end.
pub(super) struct Outbox {
    pub queue: mpsc::Sender<Batch>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Outbox {
    /// Starts the thread that writes.
    pub fn start(broker: Arc<dyn Broker>) -> std::io::Result<Self> {
        let (queue, batches) = mpsc::channel(QUEUE_MAX);
        let trouble = Arc::new(Mutex::new(None));
        let writer = Writer {
            broker,
            producer: None,
            is_in_doubt: false,
            partitions: HashMap::new(),
            next_offsets: HashMap::new(),
            trouble: trouble.clone(),
        };
        let thread = std::thread::Builder::new().name("change-events".to_owned());
        thread.spawn(move || writer.run(batches))?;
        Ok(Self { queue, trouble })
    }

    /// Why events do not get through at the moment.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }
}

struct Writer {
    broker: Arc<dyn Broker>,
    producer: Option<Box<dyn TransactionalProducer>>,
    /// Whether the last try may have committed.
    is_in_doubt: bool,
    partitions: HashMap<&'static str, u32>,
    /// Offsets from which on the log has nothing of this writer that it does not know of.
    next_offsets: HashMap<TopicPartition, i64>,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Writer {
    fn run(mut self, mut batches: mpsc::Receiver<Batch>) {
        while let Some(first) = batches.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP_MAX
                && let Ok(batch) = batches.try_recv()
            {
                group.push(batch);
            }
            let events: Vec<&Event> = group.iter().flat_map(|batch| &batch.events).collect();
            if !self.write_until_in(&events, &batches) {
                return;
            }
            for batch in group {
                // Nobody waits any more where the request has timed out; the commit holds all the same.
                let _ = batch.written.send(());
            }
        }
    }

    /// Tries until the events are in the log; gives up only after the program has ended.
    fn write_until_in(&mut self, events: &[&Event], batches: &mpsc::Receiver<Batch>) -> bool {
        let mut pauses = PAUSES.build();
        let mut give_up_at = None;
        loop {
            let error = match self.write(events) {
                Ok(()) => {
                    *self.trouble.lock() = None;
                    return true;
                }
                Err(error) => error,
            };
            tracing::warn!(%error, "change events are not in the log yet; trying again");
            *self.trouble.lock() = Some(format!("change events do not reach the log: {error}"));
            if batches.is_closed() {
                let give_up_at = *give_up_at.get_or_insert_with(|| Instant::now() + CLOSING_TIMEOUT);
                if Instant::now() >= give_up_at {
                    tracing::error!(
                        events = events.len(),
                        "the program ended with change events that never reached the log"
                    );
                    return false;
                }
            }
            std::thread::sleep(pauses.next().unwrap_or(PAUSE_MAX));
        }
    }

    fn write(&mut self, events: &[&Event]) -> Result<(), BrokerError> {
        if events.is_empty() {
            return Ok(());
        }
        let mut producer = match self.producer.take() {
            Some(producer) => producer,
            None => self.broker.transactional_producer(TRANSACTIONAL_ID, BROKER_TIMEOUT)?,
        };
        let places = events.iter().map(|event| self.place(event)).collect::<Result<Vec<_>, _>>()?;
        if self.is_in_doubt {
            if let (Some(event), Some(place)) = (events.first(), places.first())
                && self.has(event, place)?
            {
                self.is_in_doubt = false;
                self.producer = Some(producer);
                return Ok(());
            }
            self.is_in_doubt = false;
        }
        producer.begin()?;
        for (event, place) in events.iter().zip(&places) {
            producer.send(Outgoing {
                topic: event.topic,
                partition: Some(place.partition),
                key: Some(&event.key),
                value: event.value.as_deref(),
                timestamp_ms: event.timestamp_ms,
                headers: &[],
            })?;
        }
        self.is_in_doubt = true;
        let written = producer.commit(&[], &Membership::NoGroup)?;
        self.is_in_doubt = false;
        self.next_offsets
            .extend(written.into_iter().map(|(place, offset)| (place, offset + 1)));
        self.producer = Some(producer);
        Ok(())
    }

    /// Where an event goes: the partition that Kafka's own producers would choose.
    fn place(&mut self, event: &Event) -> Result<TopicPartition, BrokerError> {
        let count = match self.partitions.get(event.topic) {
            Some(count) => *count,
            None => {
                let count = self
                    .broker
                    .partitions(event.topic, BROKER_TIMEOUT)?
                    .ok_or_else(|| BrokerError::Topic {
                        topic: event.topic.to_owned(),
                        reason: "is not there".to_owned(),
                    })?;
                self.partitions.insert(event.topic, count);
                count
            }
        };
        let place = TopicPartition::new(event.topic, partition_for_key(&event.key, count));
        if !self.next_offsets.contains_key(&place) {
            let (_, end) = self.broker.reader(TRANSACTIONAL_ID)?.bounds(&place, BROKER_TIMEOUT)?;
            self.next_offsets.insert(place.clone(), end);
        }
        Ok(place)
    }

    /// Whether the log has the event. Transactions are all or nothing, so one event speaks for its whole group.
    fn has(&self, event: &Event, place: &TopicPartition) -> Result<bool, BrokerError> {
        let mut reader = self.broker.reader(TRANSACTIONAL_ID)?;
        let from = self.next_offsets.get(place).copied().unwrap_or(0);
        let slot = reader.assign(place, Start::At(from))?;
        let deadline = Instant::now() + BROKER_TIMEOUT;
        let mut polled = Polled::default();
        while Instant::now() < deadline {
            reader.poll(1000, Duration::from_millis(100), &mut polled)?;
            let is_it = |message: &broker::Message| {
                message.key.as_deref() == Some(&event.key) && message.value.as_deref() == event.value.as_deref()
            };
            if polled.messages.iter().any(is_it) {
                return Ok(true);
            }
            if polled.ends.iter().any(|(ended, _)| *ended == slot) {
                return Ok(false);
            }
            polled.messages.clear();
        }
        Err(BrokerError::Unavailable(format!("{place} could not be read to its end")))
    }
}
