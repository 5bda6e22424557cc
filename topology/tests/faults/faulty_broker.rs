//! A broker whose commits fail now and then, before or after they took effect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use broker::*;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// What a commit suffers, in parts of a hundred.
#[derive(Default)]
pub struct Faults {
    before: AtomicU32,
    after: AtomicU32,
    random: Mutex<Option<StdRng>>,
    /// No reader hears of an end: somebody's transaction hides it.
    pub hides_ends: AtomicBool,
}

impl Faults {
    /// From now on, and as often as these say.
    pub fn begin(&self, seed: u64, before_percent: u32, after_percent: u32) {
        *self.random.lock() = Some(StdRng::seed_from_u64(seed));
        self.before.store(before_percent, Ordering::Relaxed);
        self.after.store(after_percent, Ordering::Relaxed);
    }

    fn strikes(&self, percent: &AtomicU32) -> bool {
        let mut random = self.random.lock();
        random
            .as_mut()
            .is_some_and(|r| r.random_range(0..100) < percent.load(Ordering::Relaxed))
    }
}

pub struct FaultyBroker<B>(pub B, pub Arc<Faults>);

impl<B: Broker> Broker for FaultyBroker<B> {
    fn ensure_topics(&self, specs: &[TopicSpec], timeout: Duration) -> Result<(), BrokerError> {
        self.0.ensure_topics(specs, timeout)
    }
    fn partitions(&self, topic: &str, timeout: Duration) -> Result<Option<u32>, BrokerError> {
        self.0.partitions(topic, timeout)
    }
    fn topic_ids(&self, topics: &[&str], timeout: Duration) -> Result<Vec<Option<TopicId>>, BrokerError> {
        self.0.topic_ids(topics, timeout)
    }
    fn add_partitions(&self, topic: &str, total: u32, timeout: Duration) -> Result<(), BrokerError> {
        self.0.add_partitions(topic, total, timeout)
    }
    fn delete_records(&self, before: &[(TopicPartition, i64)], timeout: Duration) -> Result<(), BrokerError> {
        self.0.delete_records(before, timeout)
    }
    fn tombstone_retention(&self, topics: &[&str], timeout: Duration) -> Result<Vec<Option<Duration>>, BrokerError> {
        self.0.tombstone_retention(topics, timeout)
    }
    fn reader(&self, client_id: &str) -> Result<Box<dyn Reader>, BrokerError> {
        Ok(Box::new(FaultyReader(self.0.reader(client_id)?, self.1.clone())))
    }
    fn group(&self, options: GroupOptions) -> Result<Box<dyn Group>, BrokerError> {
        self.0.group(options)
    }
    fn transactional_producer(&self, id: &str, timeout: Duration) -> Result<Box<dyn TransactionalProducer>, BrokerError> {
        Ok(Box::new(FaultyProducer(
            self.0.transactional_producer(id, timeout)?,
            self.1.clone(),
        )))
    }
    fn producer(&self, client_id: &str) -> Result<Box<dyn Producer>, BrokerError> {
        self.0.producer(client_id)
    }
}

struct FaultyReader(Box<dyn Reader>, Arc<Faults>);

impl Reader for FaultyReader {
    fn assign(&mut self, partition: &TopicPartition, start: Start) -> Result<u32, BrokerError> {
        self.0.assign(partition, start)
    }
    fn unassign(&mut self, slot: u32) -> Result<(), BrokerError> {
        self.0.unassign(slot)
    }
    fn pause(&mut self, slot: u32) -> Result<(), BrokerError> {
        self.0.pause(slot)
    }
    fn resume(&mut self, slot: u32) -> Result<(), BrokerError> {
        self.0.resume(slot)
    }
    fn poll(&mut self, max: usize, timeout: Duration, into: &mut Polled) -> Result<(), BrokerError> {
        self.0.poll(max, timeout, into)?;
        if self.1.hides_ends.load(Ordering::Relaxed) {
            into.ends.clear();
        }
        Ok(())
    }
    fn bounds(&mut self, partition: &TopicPartition, timeout: Duration) -> Result<(i64, i64), BrokerError> {
        self.0.bounds(partition, timeout)
    }
    fn trouble(&self) -> Option<String> {
        self.0.trouble()
    }
}

struct FaultyProducer(Box<dyn TransactionalProducer>, Arc<Faults>);

impl TransactionalProducer for FaultyProducer {
    fn begin(&mut self) -> Result<(), BrokerError> {
        self.0.begin()
    }
    fn send(&mut self, record: Outgoing<'_>) -> Result<(), BrokerError> {
        self.0.send(record)
    }
    fn service(&mut self) -> Result<(), BrokerError> {
        self.0.service()
    }
    fn commit(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
    ) -> Result<Vec<(TopicPartition, i64)>, BrokerError> {
        if self.1.strikes(&self.1.before) {
            return Err(BrokerError::Unavailable("the commit did not get there".to_owned()));
        }
        let written = self.0.commit(offsets, membership)?;
        if self.1.strikes(&self.1.after) {
            return Err(BrokerError::Unavailable("the answer did not get back".to_owned()));
        }
        Ok(written)
    }
}
