//! A log that says another topic id than its own, or none.

use std::collections::BTreeMap;
use std::time::Duration;

use broker::{
    Broker, BrokerError, Group, GroupOptions, InProcessBroker, Producer, Reader, TopicId, TopicPartition, TopicSpec,
    TransactionalProducer,
};

pub struct Worn {
    pub inner: InProcessBroker,
    /// What it says of every topic.
    pub id: Option<TopicId>,
}

impl Broker for Worn {
    fn ensure_topics(&self, specs: &[TopicSpec], timeout: Duration) -> Result<(), BrokerError> {
        self.inner.ensure_topics(specs, timeout)
    }
    fn partitions(&self, topic: &str, timeout: Duration) -> Result<Option<u32>, BrokerError> {
        self.inner.partitions(topic, timeout)
    }
    fn topics(&self, timeout: Duration) -> Result<BTreeMap<String, u32>, BrokerError> {
        self.inner.topics(timeout)
    }
    fn topic_ids(&self, topics: &[&str], _: Duration) -> Result<Vec<Option<TopicId>>, BrokerError> {
        Ok(vec![self.id; topics.len()])
    }
    fn tombstone_retention(&self, topics: &[&str], timeout: Duration) -> Result<Vec<Option<Duration>>, BrokerError> {
        self.inner.tombstone_retention(topics, timeout)
    }
    fn add_partitions(&self, topic: &str, total: u32, timeout: Duration) -> Result<(), BrokerError> {
        self.inner.add_partitions(topic, total, timeout)
    }
    fn delete_records(&self, before: &[(TopicPartition, i64)], timeout: Duration) -> Result<(), BrokerError> {
        self.inner.delete_records(before, timeout)
    }
    fn reader(&self, client_id: &str) -> Result<Box<dyn Reader>, BrokerError> {
        self.inner.reader(client_id)
    }
    fn group(&self, options: GroupOptions) -> Result<Box<dyn Group>, BrokerError> {
        self.inner.group(options)
    }
    fn transactional_producer(&self, id: &str, timeout: Duration) -> Result<Box<dyn TransactionalProducer>, BrokerError> {
        self.inner.transactional_producer(id, timeout)
    }
    fn producer(&self, client_id: &str) -> Result<Box<dyn Producer>, BrokerError> {
        self.inner.producer(client_id)
    }
}
