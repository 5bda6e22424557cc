//! The port on Apache Kafka, by librdkafka.
//!
//! Each reader, group member and producer is a client of its own, used by the thread that owns it. What librdkafka would
//! surprise us with is held in one file each: defaults in `config`, the bulk fetch in `native`, the
//! cooperative rebalance in `group`, transactions whose outcome may be unknown in `producer`.

mod admin;
mod config;
mod context;
mod copier;
mod describe;
mod doubt;
mod errors;
mod group;
mod native;
mod producer;
mod proofs;
mod reader;
mod reaper;
mod reports;
mod slots;
mod topics;
mod transactions;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use config::KafkaSettings;

use crate::port::{
    Broker, BrokerError, Group, GroupOptions, Producer, Reader, TopicId, TopicPartition, TopicSpec, TransactionalProducer,
};

/// A Kafka cluster.
#[derive(Clone)]
pub struct KafkaBroker {
    settings: KafkaSettings,
    doubts: Arc<doubt::Doubts>,
}

impl KafkaBroker {
    /// Names a cluster; connects only when something is asked of it.
    pub fn new(settings: KafkaSettings) -> Self {
        Self {
            settings,
            doubts: Arc::default(),
        }
    }
}

impl fmt::Debug for KafkaBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The extra settings may hold secrets.
        f.debug_struct("KafkaBroker")
            .field("bootstrap", &self.settings.bootstrap)
            .finish_non_exhaustive()
    }
}

impl Broker for KafkaBroker {
    fn ensure_topics(&self, specs: &[TopicSpec], timeout: Duration) -> Result<(), BrokerError> {
        admin::ensure_topics(&self.settings, specs, timeout)
    }

    fn partitions(&self, topic: &str, timeout: Duration) -> Result<Option<u32>, BrokerError> {
        admin::partitions(&self.settings, topic, timeout)
    }

    fn partition_counts(&self, topics: &[&str], timeout: Duration) -> Result<Vec<Option<u32>>, BrokerError> {
        admin::partition_counts(&self.settings, topics, timeout)
    }

    fn topics(&self, timeout: Duration) -> Result<BTreeMap<String, u32>, BrokerError> {
        admin::topics(&self.settings, timeout)
    }

    fn topic_ids(&self, topics: &[&str], timeout: Duration) -> Result<Vec<Option<TopicId>>, BrokerError> {
        admin::topic_ids(&self.settings, topics, timeout)
    }

    fn add_partitions(&self, topic: &str, total: u32, timeout: Duration) -> Result<(), BrokerError> {
        admin::add_partitions(&self.settings, topic, total, timeout)
    }

    fn delete_records(&self, before: &[(TopicPartition, i64)], timeout: Duration) -> Result<(), BrokerError> {
        admin::delete_records(&self.settings, before, timeout)
    }

    fn tombstone_retention(&self, topics: &[&str], timeout: Duration) -> Result<Vec<Option<Duration>>, BrokerError> {
        admin::tombstone_retention(&self.settings, topics, timeout)
    }

    fn reader(&self, client_id: &str) -> Result<Box<dyn Reader>, BrokerError> {
        Ok(Box::new(reader::KafkaReader::new(&self.settings, client_id)?))
    }

    fn group(&self, options: GroupOptions) -> Result<Box<dyn Group>, BrokerError> {
        Ok(Box::new(group::KafkaGroup::join(&self.settings, &options)?))
    }

    fn transactional_producer(
        &self,
        transactional_id: &str,
        timeout: Duration,
    ) -> Result<Box<dyn TransactionalProducer>, BrokerError> {
        Ok(Box::new(transactions::KafkaTransactions::init(
            &self.settings,
            &self.doubts,
            transactional_id,
            timeout,
        )?))
    }

    fn producer(&self, client_id: &str) -> Result<Box<dyn Producer>, BrokerError> {
        Ok(Box::new(producer::KafkaProducer::new(&self.settings, client_id)?))
    }
}
