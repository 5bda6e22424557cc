//! A log that fails now and then: before a commit, after it (the caller cannot tell), or for as long as it is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use broker::in_process::InProcessBroker;
use broker::{
    Broker, BrokerError, Committed, Group, GroupOptions, Membership, Outgoing, Producer, Reader, TopicId, TopicPartition,
    TopicSpec, TransactionalProducer,
};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

pub struct FlakyBroker {
    inner: InProcessBroker,
    faults: Arc<Faults>,
}

struct Faults {
    random: Mutex<SmallRng>,
    lost_answers: AtomicU32,
    is_away: AtomicBool,
}

impl Faults {
    fn strike(&self, probability: f64) -> Result<(), BrokerError> {
        if self.is_away.load(Ordering::SeqCst) || self.random.lock().random_bool(probability) {
            return Err(BrokerError::Unavailable("as the test wants it".to_owned()));
        }
        Ok(())
    }
}

impl FlakyBroker {
    pub fn new(inner: InProcessBroker, seed: u64) -> Self {
        let faults = Faults {
            random: Mutex::new(SmallRng::seed_from_u64(seed)),
            lost_answers: AtomicU32::new(0),
            is_away: AtomicBool::new(false),
        };
        Self {
            inner,
            faults: Arc::new(faults),
        }
    }
    /// How often a transaction was committed, and its writer was told that it failed.
    pub fn lost_answers(&self) -> u32 {
        self.faults.lost_answers.load(Ordering::SeqCst)
    }
    pub fn go_away(&self) {
        self.faults.is_away.store(true, Ordering::SeqCst);
    }
    pub fn come_back(&self) {
        self.faults.is_away.store(false, Ordering::SeqCst);
    }
}

impl Broker for FlakyBroker {
    fn ensure_topics(&self, specs: &[TopicSpec], timeout: Duration) -> Result<(), BrokerError> {
        self.inner.ensure_topics(specs, timeout)
    }
    fn partitions(&self, topic: &str, timeout: Duration) -> Result<Option<u32>, BrokerError> {
        self.faults.strike(0.1)?;
        self.inner.partitions(topic, timeout)
    }
    fn topic_ids(&self, topics: &[&str], timeout: Duration) -> Result<Vec<Option<TopicId>>, BrokerError> {
        self.inner.topic_ids(topics, timeout)
    }
    fn add_partitions(&self, topic: &str, total: u32, timeout: Duration) -> Result<(), BrokerError> {
        self.inner.add_partitions(topic, total, timeout)
    }
    fn delete_records(&self, before: &[(TopicPartition, i64)], timeout: Duration) -> Result<(), BrokerError> {
        self.inner.delete_records(before, timeout)
    }
    fn tombstone_retention(&self, topics: &[&str], timeout: Duration) -> Result<Vec<Option<Duration>>, BrokerError> {
        self.inner.tombstone_retention(topics, timeout)
    }
    fn reader(&self, client_id: &str) -> Result<Box<dyn Reader>, BrokerError> {
        self.faults.strike(0.1)?;
        self.inner.reader(client_id)
    }
    fn group(&self, options: GroupOptions) -> Result<Box<dyn Group>, BrokerError> {
        self.inner.group(options)
    }
    fn transactional_producer(&self, id: &str, timeout: Duration) -> Result<Box<dyn TransactionalProducer>, BrokerError> {
        self.faults.strike(0.1)?;
        let inner = self.inner.transactional_producer(id, timeout)?;
        Ok(Box::new(FlakyProducer {
            inner,
            faults: self.faults.clone(),
        }))
    }
    fn producer(&self, client_id: &str) -> Result<Box<dyn Producer>, BrokerError> {
        self.inner.producer(client_id)
    }
}

struct FlakyProducer {
    inner: Box<dyn TransactionalProducer>,
    faults: Arc<Faults>,
}

impl TransactionalProducer for FlakyProducer {
    fn begin(&mut self) -> Result<(), BrokerError> {
        self.inner.begin()
    }
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), BrokerError> {
        self.faults.strike(0.001)?;
        self.inner.send(record)
    }
    fn service(&mut self) -> Result<(), BrokerError> {
        self.inner.service()
    }
    fn commit(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
    ) -> Result<Vec<(TopicPartition, i64)>, BrokerError> {
        self.faults.strike(0.2)?;
        let written = self.inner.commit(offsets, membership)?;
        // It is in, but the answer is lost.
        self.faults.strike(0.2).inspect_err(|_| {
            self.faults.lost_answers.fetch_add(1, Ordering::SeqCst);
        })?;
        Ok(written)
    }
}
