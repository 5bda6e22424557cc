//! What is sent to a topology, and what it writes.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, CleanupPolicy, Outgoing, Polled, Start, TopicPartition, TopicSettings, TopicSpec};
use wire::{Codec, Topic, Wire};

use super::{Client, TestDriver, client};
use crate::clock::Millis;
use crate::record::Record;

impl TestDriver {
    /// Sends a record at an event time, a [`Millis`] or its number, and processes it; `None` is a tombstone.
    pub fn send<K: Wire, V: Wire>(&mut self, topic: Topic<K, V>, at_ms: impl Into<Millis>, key: &K, value: Option<&V>) {
        self.queue(topic, at_ms, key, value);
        self.settle();
    }

    /// Sends a record without processing it yet.
    pub fn queue<K: Wire, V: Wire>(&mut self, topic: Topic<K, V>, at_ms: impl Into<Millis>, key: &K, value: Option<&V>) {
        let client = Client::with_registry(Arc::new(self.broker.clone()), self.registry.clone());
        client.send(topic, at_ms, key, value).expect("the log is in this process");
    }

    /// Sends bytes as they are, without processing them yet.
    pub fn queue_bytes(&mut self, topic: &str, at_ms: impl Into<Millis>, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.queue_record(Outgoing {
            topic,
            partition: None,
            key,
            value,
            timestamp_ms: at_ms.into().0,
            headers: &[],
        });
    }

    /// Sends a record as it is, headers and all, without processing it yet.
    pub fn queue_record(&mut self, record: Outgoing<'_>) {
        let mut producer = self.broker.producer("test").expect("the log is in this process");
        producer.send_all(&[record]).expect("the log is in this process");
    }

    /// Sends bytes as they are, and processes them.
    pub fn send_bytes(&mut self, topic: &str, at_ms: impl Into<Millis>, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.queue_bytes(topic, at_ms, key, value);
        self.settle();
    }

    /// The records that came to a topic since the last call, by partition and offset.
    pub fn drain<K: Wire, V: Wire>(&mut self, topic: Topic<K, V>) -> Vec<Record<K, Option<V>>> {
        let codec = Codec::reader(self.registry.clone());
        self.drain_bytes(topic.name())
            .into_iter()
            .map(|message| {
                let key = client::decode_key(message.key.as_deref(), &codec).expect("the key is decoded");
                let value = message
                    .value
                    .map(|bytes| V::decode(&bytes, &codec).expect("the value is decoded"));
                Record::new(key, value, Millis(message.timestamp_ms))
            })
            .collect()
    }

    /// As [`TestDriver::drain`], as they are.
    pub fn drain_bytes(&mut self, topic: &str) -> Vec<broker::Message> {
        let broker = &self.broker;
        let reader = self.readers.entry(topic.to_owned()).or_insert_with(|| {
            let count = broker.partitions(topic, Duration::ZERO).ok().flatten().unwrap_or(0);
            let mut reader = broker.reader("test").expect("the log is in this process");
            for partition in 0..count {
                reader
                    .assign(&TopicPartition::new(topic, partition), Start::Earliest)
                    .expect("the partition is there");
            }
            reader
        });
        let mut polled = Polled::default();
        loop {
            let before = polled.messages.len();
            reader
                .poll(1000, Duration::ZERO, &mut polled)
                .expect("the log is in this process");
            if polled.messages.len() == before {
                break;
            }
        }
        polled.messages.sort_by_key(|m| (m.slot, m.offset));
        polled.messages
    }

    /// Makes a topic that somebody else owns.
    pub fn make_topic<K, V>(&self, topic: Topic<K, V>, partitions: u32) {
        let spec = TopicSpec {
            name: topic.name().to_owned(),
            partitions,
            accept_existing: true,
            cleanup: CleanupPolicy::Delete(None),
            settings: TopicSettings::default(),
        };
        let made = self.broker.ensure_topics(&[spec], Duration::ZERO);
        made.expect("the log is in this process, and a topic has a partition");
    }
}
