//! Failed transactions, and whether Kafka has really ended them.
//!
//! A producer that fails is dropped, and the next one of its id has the coordinator end what was open. Up to 4.4 at least the
//! coordinator leaves out the marker of a partition that has no leader at that moment, as if its topic had been deleted, and
//! takes the transaction for ended. Its records stay open in that partition, and the next transaction of the id that writes there
//! ends them with its own: what was aborted becomes visible. So a producer does not begin before every partition that a failed
//! transaction of its id has written to is stable up to the end that it has by then. In doubt is only what this process has
//! seen fail.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::config::KafkaSettings;
use super::context::Watch;
use super::errors::{from_kafka, is_missing};
use super::reaper::reap;
use crate::port::{BrokerError, Outgoing, TopicPartition};

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(10);

/// How long one look may take: a partition without a leader would take all there is.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// The partitions that a transaction has written to.
#[derive(Default)]
pub(super) struct Written {
    places: Vec<Place>,
    /// The place of the latest record: the next is mostly for the same.
    last: usize,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    topic: String,
    /// `None` for one that the client chose.
    partition: Option<u32>,
}

impl Place {
    fn is_of(&self, record: &Outgoing<'_>) -> bool {
        self.partition == record.partition && self.topic == record.topic
    }
}

impl Written {
    pub fn note(&mut self, record: &Outgoing<'_>) {
        if self.places.get(self.last).is_some_and(|place| place.is_of(record)) {
            return;
        }
        self.last = self.places.iter().position(|place| place.is_of(record)).unwrap_or_else(|| {
            self.places.push(Place {
                topic: record.topic.to_owned(),
                partition: record.partition,
            });
            self.places.len() - 1
        });
    }

    pub fn clear(&mut self) {
        self.places.clear();
    }
}

/// What failed, by transactional id.
#[derive(Default)]
pub(super) struct Doubts {
    of: Mutex<HashMap<String, BTreeSet<Place>>>,
}

impl Doubts {
    /// A transaction has failed, or was dropped while it was open.
    pub fn add(&self, id: &str, written: &mut Written) {
        if written.places.is_empty() {
            return;
        }
        self.of
            .lock()
            .entry(id.to_owned())
            .or_default()
            .extend(written.places.drain(..));
    }

    /// Waits until what failed is ended in each partition, which for a producer that was just initialised it mostly is.
    pub fn settle(&self, settings: &KafkaSettings, id: &str, until: Instant) -> Result<(), BrokerError> {
        let Some(places) = self.of.lock().get(id).cloned() else {
            return Ok(());
        };
        let look = Look::new(settings, id, until)?;
        places.iter().try_for_each(|place| look.settle(place))?;
        self.of.lock().remove(id);
        Ok(())
    }
}

/// Two clients, as the isolation level is a client's.
struct Look {
    stable: Ends,
    high: Ends,
    id: String,
    until: Instant,
}

/// The ends of partitions, as a client sees them. Ended elsewhere, as that may block.
struct Ends(Option<BaseConsumer<Watch>>);

impl Look {
    fn new(settings: &KafkaSettings, id: &str, until: Instant) -> Result<Self, BrokerError> {
        let client = |isolation: &str| {
            let mut config = settings.reader(&format!("{id}-doubt"));
            let made = config
                .set("isolation.level", isolation)
                .create_with_context(Watch::default())
                .map_err(|error| from_kafka("making a reader", &error))?;
            Ok::<_, BrokerError>(Ends(Some(made)))
        };
        Ok(Self {
            stable: client("read_committed")?,
            high: client("read_uncommitted")?,
            id: id.to_owned(),
            until,
        })
    }

    fn settle(&self, place: &Place) -> Result<(), BrokerError> {
        let topic = place.topic.as_str();
        let mut all = match place.partition {
            Some(partition) => partition..partition + 1,
            None => 0..self.stable.partitions(topic, self.left())?,
        };
        all.try_for_each(|partition| self.settle_one(&TopicPartition::new(topic, partition)))
    }

    fn settle_one(&self, place: &TopicPartition) -> Result<(), BrokerError> {
        // Records of the failed transaction can't come any more: its epoch is past.
        let Some(end) = self.high.end(place, self.left())? else {
            return Ok(());
        };
        loop {
            let stable = match self.stable.end(place, self.left())? {
                Some(stable) if stable < end => stable,
                _ => return Ok(()),
            };
            if self.left().is_zero() {
                let id = &self.id;
                return Err(BrokerError::Unavailable(format!(
                    "{id}, which had failed there, waits for what is open at offset {stable} of {place}: is a transaction hanging \
                     there? (kafka-transactions.sh find-hanging)"
                )));
            }
            std::thread::sleep(PAUSE.min(self.left()));
        }
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

impl Ends {
    fn client(&self) -> &BaseConsumer<Watch> {
        self.0.as_ref().expect("only a drop takes the client")
    }

    /// The end that a client of this isolation level sees; `None` if there is no such partition any more.
    fn end(&self, place: &TopicPartition, timeout: Duration) -> Result<Option<i64>, BrokerError> {
        let timeout = timeout.clamp(PAUSE, LOOK_MAX);
        match self.client().fetch_watermarks(&place.topic, place.partition as i32, timeout) {
            Ok((_, end)) => Ok(Some(end)),
            Err(error) if error.rdkafka_error_code().is_some_and(is_missing) => Ok(None),
            Err(error) => Err(from_kafka(&format!("asking for the end of {place}"), &error)),
        }
    }

    fn partitions(&self, topic: &str, timeout: Duration) -> Result<u32, BrokerError> {
        let metadata = self
            .client()
            .fetch_metadata(Some(topic), timeout.clamp(PAUSE, LOOK_MAX))
            .map_err(|error| from_kafka(&format!("asking for the partitions of {topic}"), &error))?;
        Ok(metadata.topics().iter().map(|topic| topic.partitions().len() as u32).sum())
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            reap(client, Duration::ZERO);
        }
    }
}
