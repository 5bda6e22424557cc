//! Failed transactions, and whether Kafka has really ended them.
//!
//! A producer that fails is dropped, and the next one of its id has the coordinator end what was open. Up to 4.4 at least the
//! coordinator leaves out the marker of a partition that has no leader at that moment, as if its topic had been deleted, and
//! takes the transaction for ended. Its records stay open in that partition, and the next transaction of the id that writes there
//! ends them with its own: what was aborted becomes visible. So a producer does not begin before every partition that a failed
//! transaction of its id has written to is stable up to the end that it had when the id was taken over, and the group says its
//! offsets again, which it does not while any are open. In doubt is only what this process has seen fail.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::config::KafkaSettings;
use super::context::Watch;
use super::errors::{from_code, from_kafka, is_missing};
use super::group::committed;
use super::reaper::reap;
use crate::port::{BrokerError, Committed, Membership, Outgoing, TopicPartition};

/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(10);

/// How long one look may take: a partition without a leader would take all there is.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Where a transaction has written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// A partition of a topic; `None` is one that the client chose.
    Partition(String, Option<u32>),
    /// A group's offset of a partition.
    Offset(Arc<str>, TopicPartition),
}

impl Place {
    fn is_of(&self, record: &Outgoing<'_>) -> bool {
        matches!(self, Self::Partition(topic, partition) if *partition == record.partition && topic == record.topic)
    }
}

/// All the places of a transaction.
#[derive(Default)]
pub(super) struct Written {
    places: Vec<Place>,
    /// The place of the latest record: the next is mostly for the same.
    last: usize,
}

impl Written {
    pub fn note(&mut self, record: &Outgoing<'_>) {
        if self.places.get(self.last).is_some_and(|place| place.is_of(record)) {
            return;
        }
        let known = self.places.iter().position(|place| place.is_of(record));
        self.last = known.unwrap_or_else(|| {
            self.places.push(Place::Partition(record.topic.to_owned(), record.partition));
            self.places.len() - 1
        });
    }

    pub fn note_offsets(&mut self, offsets: &[(TopicPartition, Committed)], membership: &Membership) {
        if let Membership::Kafka { group, .. } = membership {
            let places = offsets.iter().map(|(place, _)| Place::Offset(group.clone(), place.clone()));
            self.places.extend(places);
        }
    }

    pub fn clear(&mut self) {
        self.places.clear();
    }
}

/// The places in doubt of an id, with the ends up to which partitions must be stable, where those are known.
type InDoubt = BTreeMap<Place, Option<i64>>;

/// What failed, by transactional id.
#[derive(Default)]
pub(super) struct Doubts {
    of: Mutex<HashMap<String, InDoubt>>,
}

impl Doubts {
    /// A transaction has failed, or was dropped while it was open.
    pub fn add(&self, id: &str, written: &mut Written) {
        if written.places.is_empty() {
            return;
        }
        let places = written.places.drain(..).map(|place| (place, None));
        self.of.lock().entry(id.to_owned()).or_default().extend(places);
    }

    /// Waits until what failed is ended everywhere, which for a producer that was just initialised it mostly is. What is ended is
    /// not asked for again by the next attempt.
    pub fn settle(&self, settings: &KafkaSettings, id: &str, until: Instant) -> Result<(), BrokerError> {
        let Some(mut in_doubt) = self.of.lock().remove(id) else {
            return Ok(());
        };
        let settled = settle(settings, id, until, &mut in_doubt);
        if !in_doubt.is_empty() {
            self.of.lock().insert(id.to_owned(), in_doubt);
        }
        settled
    }
}

fn settle(settings: &KafkaSettings, id: &str, until: Instant, in_doubt: &mut InDoubt) -> Result<(), BrokerError> {
    let look = Look::new(settings, id, until)?;
    for place in in_doubt.keys().cloned().collect::<Vec<_>>() {
        if let Place::Partition(topic, None) = &place {
            let count = look.stable.partitions(topic, look.left())?.unwrap_or(0);
            in_doubt.remove(&place);
            in_doubt.extend((0..count).map(|partition| (Place::Partition(topic.clone(), Some(partition)), None)));
        }
    }
    // All ends first: others write on, and each would be a later one than needed.
    for (place, end) in in_doubt.iter_mut() {
        if let (Place::Partition(topic, Some(partition)), None) = (place, &end) {
            let place = TopicPartition::new(topic.as_str(), *partition);
            // Records of the failed transaction can't come any more: its epoch is past.
            *end = Some(look.high.end(&place, look.left())?.unwrap_or(0));
        }
    }
    let mut of_groups: BTreeMap<Arc<str>, Vec<TopicPartition>> = BTreeMap::new();
    for place in in_doubt.keys() {
        if let Place::Offset(group, partition) = place {
            of_groups.entry(group.clone()).or_default().push(partition.clone());
        }
    }
    for (group, offsets) in of_groups {
        let member = Client::new(settings, id, ("group.id", &group))?;
        committed(member.get(), &offsets, look.left())?;
        in_doubt.retain(|place, _| !matches!(place, Place::Offset(of, _) if *of == group));
    }
    loop {
        let mut waits = None;
        let places: Vec<_> = in_doubt.iter().map(|(place, end)| (place.clone(), *end)).collect();
        for (place, end) in places {
            let Place::Partition(topic, Some(partition)) = &place else {
                continue;
            };
            let partition = TopicPartition::new(topic.as_str(), *partition);
            match look.stable.end(&partition, look.left())? {
                Some(stable) if end.is_some_and(|end| stable < end) => waits = Some((partition, stable)),
                _ => {
                    in_doubt.remove(&place);
                }
            }
        }
        let Some((place, stable)) = waits else { return Ok(()) };
        if look.left().is_zero() {
            return Err(BrokerError::Unavailable(format!(
                "{id}, which had failed there, waits for what is open at offset {stable} of {place}: is a transaction hanging \
                 there? (kafka-transactions.sh find-hanging)"
            )));
        }
        std::thread::sleep(PAUSE.min(look.left()));
    }
}

/// Two clients, as the isolation level is a client's.
struct Look {
    stable: Client,
    high: Client,
    until: Instant,
}

impl Look {
    fn new(settings: &KafkaSettings, id: &str, until: Instant) -> Result<Self, BrokerError> {
        Ok(Self {
            stable: Client::new(settings, id, ("isolation.level", "read_committed"))?,
            high: Client::new(settings, id, ("isolation.level", "read_uncommitted"))?,
            until,
        })
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

/// A client that asks. Ended elsewhere, as that may block.
struct Client(Option<BaseConsumer<Watch>>);

impl Client {
    fn new(settings: &KafkaSettings, id: &str, (name, value): (&str, &str)) -> Result<Self, BrokerError> {
        let mut config = settings.reader(&format!("{id}-doubt"));
        let made = config.set(name, value).create_with_context(Watch::default());
        Ok(Self(Some(made.map_err(|error| from_kafka("making a reader", &error))?)))
    }

    fn get(&self) -> &BaseConsumer<Watch> {
        self.0.as_ref().expect("only a drop takes the client")
    }

    /// The end that a client of this isolation level sees; `None` if there is no such partition any more.
    fn end(&self, place: &TopicPartition, timeout: Duration) -> Result<Option<i64>, BrokerError> {
        let timeout = timeout.clamp(PAUSE, LOOK_MAX);
        match self.get().fetch_watermarks(&place.topic, place.partition as i32, timeout) {
            Ok((_, end)) => Ok(Some(end)),
            Err(error) if error.rdkafka_error_code().is_some_and(is_missing) => {
                // A broker that has just come back may not know it yet.
                match self.partitions(&place.topic, timeout)? {
                    Some(count) if place.partition < count => {
                        Err(BrokerError::Unavailable(format!("{place} is not known everywhere")))
                    }
                    _ => Ok(None),
                }
            }
            Err(error) => Err(from_kafka(&format!("asking for the end of {place}"), &error)),
        }
    }

    /// How many partitions a topic has, by a broker that was asked just now; `None`: there is no such topic.
    fn partitions(&self, topic: &str, timeout: Duration) -> Result<Option<u32>, BrokerError> {
        let asking = || format!("asking for the partitions of {topic}");
        let metadata = self.get().fetch_metadata(Some(topic), timeout.clamp(PAUSE, LOOK_MAX));
        let metadata = metadata.map_err(|error| from_kafka(&asking(), &error))?;
        let Some(known) = metadata.topics().iter().find(|known| known.name() == topic) else {
            return Ok(None);
        };
        match known.error().map(Code::from) {
            None => Ok(Some(known.partitions().len() as u32)),
            Some(code) if is_missing(code) => Ok(None),
            Some(code) => Err(from_code(code, format!("{}: {code}", asking()))),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            reap(client, Duration::ZERO);
        }
    }
}
