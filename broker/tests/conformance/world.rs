//! What the tests of the suite are written with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use broker::{
    Broker, BrokerError, CleanupPolicy, Committed, Group, GroupOptions, Membership, Message, Outgoing, Polled, Reader, Rebalance,
    Start, TopicPartition, TopicSpec, TransactionalProducer,
};

/// The bound of every wait for something that must come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long to look for something that must not come.
pub const GLANCE: Duration = Duration::from_millis(300);

/// A new seed, or the one in `SEED` to see a failure again.
pub fn seed() -> u64 {
    let given = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is a number"));
    let seed = given.unwrap_or_else(rand::random);
    println!("SEED={seed}");
    seed
}

/// What some tests need beside the port.
pub trait Setup {
    fn broker(&self) -> Arc<dyn Broker>;
    /// The same log; a transaction that is begun through it times out soon.
    fn impatient(&self) -> Arc<dyn Broker>;
    /// Makes sure that transactions of the impatient one time out, now or by themselves in a moment.
    fn pass_time(&self);
    /// As an operator does.
    fn delete_topic(&self, topic: &str);
    /// Has a producer of this id add offsets to a transaction, and crash.
    fn abandon_offsets(&self, transactional_id: &str, offsets: &[(TopicPartition, Committed)], membership: &Membership);
    /// Commits what this producer of the id has open, or loses the commit on its way; the producer cannot tell, and is dropped.
    fn commit_without_an_answer(
        &self,
        transactional_id: &str,
        producer: Box<dyn TransactionalProducer>,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
        took_effect: bool,
    );
}

/// A broker, with names that no other test uses.
/// Within this, something has not waited for the end of a long session.
pub const SOONER: Duration = Duration::from_secs(45);

pub struct World {
    pub broker: Arc<dyn Broker>,
    prefix: String,
    /// Of the groups that are joined.
    session_timeout: Duration,
}

impl World {
    pub fn new(broker: Arc<dyn Broker>, name: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        #[allow(
            clippy::disallowed_methods,
            reason = "the names of a run's topics are those of no other run"
        )]
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock after 1970")
            .as_micros();
        let prefix = format!("{name}-{started}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Self {
            broker,
            prefix,
            session_timeout: Duration::from_secs(10),
        }
    }

    /// One in which no session ends by itself before a test would have failed.
    pub fn with_long_sessions(broker: Arc<dyn Broker>, name: &str) -> Self {
        Self {
            session_timeout: 2 * SOONER,
            ..Self::new(broker, name)
        }
    }

    pub fn name(&self, of: &str) -> String {
        format!("{}-{of}", self.prefix)
    }

    pub fn spec(&self, of: &str, partitions: u32) -> TopicSpec {
        TopicSpec {
            name: self.name(of),
            partitions,
            accept_existing: false,
            cleanup: CleanupPolicy::Delete(None),
            settings: broker::TopicSettings::default(),
        }
    }

    /// Makes a topic.
    pub fn topic(&self, of: &str, partitions: u32) -> String {
        let spec = self.spec(of, partitions);
        self.broker.ensure_topics(std::slice::from_ref(&spec), PATIENCE).unwrap();
        spec.name
    }

    pub fn transactions(&self, id: &str) -> Box<dyn TransactionalProducer> {
        self.broker.transactional_producer(&self.name(id), PATIENCE).unwrap()
    }

    pub fn reader(&self) -> Reading {
        Reading {
            reader: self.broker.reader(&self.name("reader")).unwrap(),
            slots: Vec::new(),
            polled: Polled::default(),
        }
    }

    /// A reader of whole topics from their start.
    pub fn reader_of(&self, topics: &[(&str, u32)]) -> Reading {
        let mut reading = self.reader();
        for (topic, partitions) in topics {
            for partition in 0..*partitions {
                reading.assign(topic, partition, Start::Earliest);
            }
        }
        reading
    }

    pub fn member(&self, client: &str, topics: &[&str]) -> Member {
        self.join(client, None, topics)
    }

    /// A static member, whose name is the client's.
    pub fn named_member(&self, client: &str, topics: &[&str]) -> Member {
        self.join(client, Some(client.to_owned()), topics)
    }

    fn join(&self, client: &str, member: Option<String>, topics: &[&str]) -> Member {
        let options = GroupOptions {
            group: self.name("group"),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            client_id: client.to_owned(),
            member,
            session_timeout: self.session_timeout,
        };
        Member {
            group: self.broker.group(options).unwrap(),
            steps: Vec::new(),
            fewest: None,
        }
    }
}

/// A record of text.
pub fn record<'a>(topic: &'a str, partition: u32, key: &'a str, value: &'a str) -> Outgoing<'a> {
    Outgoing {
        topic,
        partition: Some(partition),
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        timestamp_ms: 1_700_000_000_000,
        headers: &[],
    }
}

pub fn text(bytes: &Option<bytes::Bytes>) -> String {
    bytes
        .as_ref()
        .map_or_else(|| "∅".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// Writes records in one transaction, without offsets.
pub fn write(producer: &mut dyn TransactionalProducer, records: &[Outgoing<'_>]) -> Vec<(TopicPartition, i64)> {
    producer.begin().unwrap();
    for record in records {
        producer.send(*record).unwrap();
    }
    producer.commit(&[], &Membership::NoGroup).unwrap()
}

/// Tries until it works, as a worker does with what is [`BrokerError::Unavailable`].
pub fn patiently<T>(mut act: impl FnMut() -> Result<T, BrokerError>) -> T {
    let started = Instant::now();
    loop {
        match act() {
            Ok(value) => return value,
            Err(BrokerError::Unavailable(_)) if started.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A reader, and what it has brought so far.
pub struct Reading {
    pub reader: Box<dyn Reader>,
    pub slots: Vec<(u32, TopicPartition)>,
    pub polled: Polled,
}

impl Reading {
    pub fn assign(&mut self, topic: &str, partition: u32, start: Start) -> u32 {
        let partition = TopicPartition::new(topic, partition);
        let slot = self.reader.assign(&partition, start).unwrap();
        self.slots.push((slot, partition));
        slot
    }

    pub fn unassign(&mut self, slot: u32) {
        self.reader.unassign(slot).unwrap();
        self.slots.retain(|(assigned, _)| *assigned != slot);
    }

    /// Polls until this holds of what has come; panics after [`PATIENCE`].
    pub fn until(&mut self, what: &str, done: impl Fn(&Polled) -> bool) {
        let started = Instant::now();
        while !done(&self.polled) {
            assert!(
                started.elapsed() < PATIENCE,
                "{what} did not come; trouble: {:?}; have {:?}",
                self.reader.trouble(),
                self.polled
            );
            self.reader.poll(1_000, Duration::from_millis(100), &mut self.polled).unwrap();
        }
    }

    /// Polls until this many records have come.
    pub fn until_count(&mut self, count: usize) {
        self.until(&format!("record {count}"), |polled| polled.messages.len() >= count);
    }

    /// Polls until there is an error.
    pub fn until_error(&mut self) -> BrokerError {
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < PATIENCE, "no error came");
            if let Err(error) = self.reader.poll(1_000, Duration::from_millis(100), &mut self.polled) {
                return error;
            }
        }
    }

    /// Polls until each slot has reached the end that its partition has now.
    pub fn until_ends(&mut self) {
        let bounds = |reading: &mut Self, partition: &TopicPartition| reading.reader.bounds(partition, PATIENCE).unwrap().1;
        let slots = self.slots.clone();
        let ends: Vec<_> = slots
            .iter()
            .map(|(slot, partition)| (*slot, bounds(self, partition)))
            .collect();
        self.until("every end", |polled| {
            ends.iter()
                .all(|(slot, end)| polled.ends.iter().any(|(reached, at)| reached == slot && at >= end))
        });
    }

    /// Polls for a while, whatever comes.
    pub fn glance(&mut self) {
        let started = Instant::now();
        while started.elapsed() < GLANCE {
            self.reader.poll(1_000, Duration::from_millis(50), &mut self.polled).unwrap();
        }
    }

    /// `topic-partition@offset`s aside: the values that have come, sorted.
    pub fn values(&self) -> Vec<String> {
        let mut values: Vec<_> = self.polled.messages.iter().map(|message| text(&message.value)).collect();
        values.sort();
        values
    }

    pub fn of_slot(&self, slot: u32) -> Vec<&Message> {
        self.polled.messages.iter().filter(|message| message.slot == slot).collect()
    }
}

/// A member of a group, and the steps that it has taken.
pub struct Member {
    pub group: Box<dyn Group>,
    pub steps: Vec<Rebalance>,
    /// The fewest partitions that it has held since it first had any.
    pub fewest: Option<usize>,
}

impl Member {
    /// Polls once, and completes the step if there is one.
    pub fn step(&mut self, timeout: Duration) {
        if let Some(step) = self.group.poll(timeout).unwrap() {
            self.group.complete(&step).unwrap();
            self.steps.push(step);
        }
        let held = self.group.assignment().len();
        if held > 0 || self.fewest.is_some() {
            self.fewest = Some(held.min(self.fewest.unwrap_or(held)));
        }
    }

    pub fn held(&self) -> Vec<u32> {
        let mut held: Vec<_> = self.group.assignment().iter().map(|partition| partition.partition).collect();
        held.sort_unstable();
        held
    }
}

/// Lets members take steps in turn until this holds; after each round, no partition may be held by two.
pub fn settle(members: &mut [&mut Member], what: &str, done: impl Fn(&[Vec<u32>]) -> bool) {
    let started = Instant::now();
    loop {
        for member in members.iter_mut() {
            member.step(Duration::from_millis(20));
        }
        let held: Vec<_> = members.iter().map(|member| member.held()).collect();
        let mut all: Vec<_> = held.concat();
        all.sort_unstable();
        assert!(
            all.windows(2).all(|pair| pair[0] != pair[1]),
            "two members hold the same partition: {held:?}"
        );
        if done(&held) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "the group did not settle ({what}): {held:?}");
    }
}

/// The sizes of shares, sorted.
pub fn sizes(held: &[Vec<u32>]) -> Vec<usize> {
    let mut sizes: Vec<_> = held.iter().map(Vec::len).collect();
    sizes.sort_unstable();
    sizes
}
