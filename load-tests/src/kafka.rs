//! What the harness itself asks of Kafka: topics, progress of a group, filling, reading back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use broker::{Broker as _, CleanupPolicy, KafkaBroker, KafkaSettings, Outgoing, Polled, Start, TopicPartition, TopicSpec};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::reference::input::Changes;

const PATIENCE: Duration = Duration::from_secs(30);
/// The length of a pack of the engine's that holds no record: a barrier.
const EMPTY_PACK: usize = 5;

/// The cluster of a run.
pub struct Kafka {
    /// Where it is.
    pub brokers: String,
    broker: KafkaBroker,
}

impl Kafka {
    /// A cluster that runs.
    pub fn at(brokers: &str) -> Self {
        let settings = KafkaSettings {
            bootstrap: brokers.to_owned(),
            ..KafkaSettings::default()
        };
        Self {
            brokers: brokers.to_owned(),
            broker: KafkaBroker::new(settings),
        }
    }

    /// Makes a topic.
    pub fn create(&self, name: &str, partitions: u32, cleanup: CleanupPolicy) -> anyhow::Result<()> {
        let spec = TopicSpec {
            name: name.to_owned(),
            partitions,
            accept_existing: false,
            cleanup,
            settings: broker::TopicSettings::default(),
        };
        Ok(self.broker.ensure_topics(&[spec], PATIENCE)?)
    }

    /// Makes a topic with settings of Kafka's own, such as `segment.bytes`.
    pub fn create_with(&self, name: &str, partitions: u32, settings: &[(&str, &str)]) -> anyhow::Result<()> {
        let topic = NewTopic::new(name, partitions as i32, TopicReplication::Fixed(-1));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        for made in testbed::block_on(admin.create_topics([&topic], &AdminOptions::new()))? {
            made.map_err(|(name, code)| anyhow::anyhow!("topic {name}: {code}"))?;
        }
        Ok(())
    }

    /// The broker's port, for what is not the harness's own.
    pub fn broker(&self) -> KafkaBroker {
        self.broker.clone()
    }

    /// How many partitions a topic has.
    pub fn partitions(&self, topic: &str) -> anyhow::Result<u32> {
        self.broker
            .partitions(topic, PATIENCE)?
            .with_context(|| format!("there is no topic {topic}"))
    }

    /// The client's own configuration.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// Deletes what a finished run has left, so that it costs the next one nothing.
    pub fn delete(&self, topics: &[String]) -> anyhow::Result<()> {
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        testbed::block_on(admin.delete_topics(&names, &AdminOptions::new().operation_timeout(Some(PATIENCE))))?;
        Ok(())
    }

    /// The topics whose name starts so.
    pub fn topics(&self, prefix: &str) -> anyhow::Result<Vec<String>> {
        let consumer: BaseConsumer = self.client().create()?;
        let metadata = consumer.fetch_metadata(None, PATIENCE)?;
        let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
        Ok(names.filter(|name| name.starts_with(prefix)).collect())
    }

    /// Writes so many changes, all with this timestamp.
    pub fn fill(&self, topic: &str, changes: &mut Changes, count: usize, timestamp_ms: i64) -> anyhow::Result<()> {
        let mut producer = self.broker.producer("fill")?;
        let mut left = count;
        while left > 0 {
            let events = (0..left.min(50_000))
                .map(|_| changes.event())
                .collect::<anyhow::Result<Vec<_>>>()?;
            left -= events.len();
            let records: Vec<_> = events
                .iter()
                .map(|event| Outgoing {
                    topic,
                    partition: None,
                    key: Some(&event.key),
                    value: Some(&event.value),
                    timestamp_ms,
                    headers: &[],
                })
                .collect();
            producer.send_all(&records)?;
        }
        Ok(())
    }

    /// The newest value of each key of a compacted topic, without the values' frames, and how many records it holds.
    pub fn newest(&self, topic: &str) -> anyhow::Result<(Newest, usize)> {
        let mut reader = self.broker.reader("compare")?;
        let mut open = BTreeMap::new();
        for partition in 0..self.partitions(topic)? {
            let slot = reader.assign(&TopicPartition::new(topic, partition), Start::Earliest)?;
            open.insert(slot, ());
        }
        let (mut newest, mut count) = (BTreeMap::new(), 0);
        let mut polled = Polled::default();
        while !open.is_empty() {
            reader.poll(50_000, PATIENCE, &mut polled)?;
            if polled.messages.is_empty() && polled.ends.is_empty() {
                bail!("{topic} could not be read to its end");
            }
            count += polled.messages.len();
            for message in polled.messages.drain(..) {
                let key = message.key.context("a record has a key")?.to_vec();
                let value = message.value.map(|v| v.slice(wire::HEADER_LEN.min(v.len())..).to_vec());
                newest.insert(key, value);
            }
            for (slot, _) in polled.ends.drain(..) {
                open.remove(&slot);
            }
        }
        Ok((newest, count))
    }
}

/// The newest value of each key; `None` where it is deleted.
pub type Newest = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// How far a group is in topics.
pub struct Progress {
    group: BaseConsumer,
    tail: BaseConsumer,
}

impl Progress {
    /// Of this group. It does not join.
    pub fn of(kafka: &Kafka, group: &str) -> anyhow::Result<Self> {
        let group = kafka
            .client()
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .create()?;
        let tail = kafka
            .client()
            .set("group.id", "tail")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_uncommitted")
            .create()?;
        Ok(Self { group, tail })
    }

    /// A broker that has just started has no coordinators for a while.
    fn asked<T>(&self, ask: impl Fn(&BaseConsumer) -> KafkaResult<T>) -> anyhow::Result<T> {
        let until = Instant::now() + PATIENCE;
        loop {
            match ask(&self.group) {
                Ok(answer) => return Ok(answer),
                Err(error) if Instant::now() > until => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// The committed offsets, 0 where there are none.
    pub fn committed(&self, topic: &str, partitions: u32) -> anyhow::Result<Vec<i64>> {
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition(topic, partition as i32);
        }
        let committed = self.asked(|group| group.committed_offsets(list.clone(), PATIENCE))?;
        let offset = |offset| match offset {
            Offset::Offset(offset) => offset,
            _ => 0,
        };
        Ok(committed.elements().iter().map(|e| offset(e.offset())).collect())
    }

    /// Whether a partition holds records from an offset on, committed or not; transaction markers and the
    /// engine's barriers are none.
    pub fn holds_records(&self, topic: &str, partition: u32, from: i64) -> anyhow::Result<bool> {
        let mut start = TopicPartitionList::new();
        start.add_partition_offset(topic, partition as i32, Offset::Offset(from))?;
        self.tail.assign(&start)?;
        let until = Instant::now() + PATIENCE;
        let found = loop {
            match self.tail.poll(Duration::from_millis(100)) {
                Some(Ok(message)) if message.payload_len() <= EMPTY_PACK => {}
                Some(Ok(_)) => break true,
                Some(Err(KafkaError::PartitionEOF(_))) => break false,
                Some(Err(error)) if Instant::now() > until => return Err(error.into()),
                _ => ensure!(Instant::now() < until, "{topic}-{partition} cannot be read"),
            }
        };
        self.tail.unassign()?;
        Ok(found)
    }

    /// The ends of a topic's partitions, transaction markers included.
    pub fn ends(&self, topic: &str, partitions: u32) -> anyhow::Result<Vec<i64>> {
        let end = |partition| {
            Ok(self
                .asked(|group| group.fetch_watermarks(topic, partition as i32, PATIENCE))?
                .1)
        };
        (0..partitions).map(end).collect()
    }
}
