//! Topics: made where they are missing, verified where they are not.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;
use rdkafka::{Offset, TopicPartitionList};

use super::config::{KafkaSettings, RECORD_BYTES_MAX};
use super::describe;
use super::errors::{from_code, from_kafka};
use super::reaper::reap;
use crate::port::{BrokerError, CleanupPolicy, TopicId, TopicPartition, TopicSpec};
use crate::topic_settings::TopicSettings;

/// Leaves the number of replicas to the broker.
const BROKER_DEFAULT: TopicReplication<'static> = TopicReplication::Fixed(-1);

/// What Kafka itself calls internal (`org.apache.kafka.common.internals.Topic`).
const KAFKAS_OWN: [&str; 4] = [
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
    "__cluster_metadata",
];

/// How long to wait between attempts while the broker is away or a new topic is not yet known everywhere.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) fn ensure_topics(settings: &KafkaSettings, specs: &[TopicSpec], timeout: Duration) -> Result<(), BrokerError> {
    with_admin(settings, timeout, |admin| admin.ensure(specs))
}

pub(super) fn partitions(settings: &KafkaSettings, topic: &str, timeout: Duration) -> Result<Option<u32>, BrokerError> {
    let counts = partition_counts(settings, &[topic], timeout)?;
    Ok(counts.into_iter().next().flatten())
}

pub(super) fn partition_counts(
    settings: &KafkaSettings,
    topics: &[&str],
    timeout: Duration,
) -> Result<Vec<Option<u32>>, BrokerError> {
    with_admin(settings, timeout, |admin| {
        let known = admin.known()?;
        Ok(topics.iter().map(|topic| known.get(*topic).copied()).collect())
    })
}

pub(super) fn topics(settings: &KafkaSettings, timeout: Duration) -> Result<BTreeMap<String, u32>, BrokerError> {
    with_admin(settings, timeout, |admin| {
        let known = admin.known()?.into_iter();
        Ok(known.filter(|(name, _)| !KAFKAS_OWN.contains(&name.as_str())).collect())
    })
}

pub(super) fn topic_ids(
    settings: &KafkaSettings,
    topics: &[&str],
    timeout: Duration,
) -> Result<Vec<Option<TopicId>>, BrokerError> {
    with_admin(settings, timeout, |admin| {
        describe::topic_ids(admin.client.inner(), topics, admin.left())
    })
}

pub(super) fn add_partitions(settings: &KafkaSettings, topic: &str, total: u32, timeout: Duration) -> Result<(), BrokerError> {
    with_admin(settings, timeout, |admin| admin.add_partitions(topic, total))
}

pub(super) fn delete_records(
    settings: &KafkaSettings,
    before: &[(TopicPartition, i64)],
    timeout: Duration,
) -> Result<(), BrokerError> {
    with_admin(settings, timeout, |admin| admin.delete_records(before))
}

pub(super) fn tombstone_retention(
    settings: &KafkaSettings,
    topics: &[&str],
    timeout: Duration,
) -> Result<Vec<Option<Duration>>, BrokerError> {
    with_admin(settings, timeout, |admin| admin.tombstone_retention(topics))
}

/// Tries until it works, fails for good, or the time is up.
fn with_admin<R>(
    settings: &KafkaSettings,
    timeout: Duration,
    act: impl Fn(&Admin) -> Result<R, BrokerError>,
) -> Result<R, BrokerError> {
    let client = settings.admin().create().map_err(|error| from_kafka("connecting", &error))?;
    let admin = Admin {
        client,
        until: Instant::now() + timeout,
    };
    let result = loop {
        match act(&admin) {
            Err(BrokerError::Unavailable(_)) if !admin.left().is_zero() => std::thread::sleep(PAUSE.min(admin.left())),
            result => break result,
        }
    };
    reap(admin, Duration::ZERO);
    result
}

struct Admin {
    client: AdminClient<DefaultClientContext>,
    until: Instant,
}

impl Admin {
    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.left()))
            .operation_timeout(Some(self.left()))
    }

    /// What the client then knows, too. All topics are asked for, as asking for one by name may create it.
    fn metadata(&self) -> Result<Metadata, BrokerError> {
        let client = self.client.inner();
        client
            .fetch_metadata(None, self.left().min(Duration::from_secs(5)))
            .map_err(|error| from_kafka("asking for the topics", &error))
    }

    /// The topics that have a leader for each partition, with their numbers of partitions.
    fn known(&self) -> Result<HashMap<String, u32>, BrokerError> {
        Ok(counts(&self.metadata()?))
    }

    fn ensure(&self, specs: &[TopicSpec]) -> Result<(), BrokerError> {
        let metadata = self.metadata()?;
        let known = counts(&metadata);
        let missing: Vec<_> = specs.iter().filter(|spec| !known.contains_key(&spec.name)).collect();
        if !missing.is_empty() {
            self.create(&missing)?;
            // Not a failure yet: the next round sees them, when the brokers have heard of them.
            return Err(BrokerError::Unavailable(format!(
                "{} new topics are not known everywhere yet",
                missing.len()
            )));
        }
        let ours: Vec<_> = specs.iter().filter(|spec| !spec.accept_existing).collect();
        for spec in &ours {
            let has = known.get(&spec.name).copied().unwrap_or_default();
            if has != spec.partitions {
                return Err(refuse(spec, format!("it has {has} partitions, not {}", spec.partitions)));
            }
            // More of them are no fault: they may be on their way from one broker to another.
            let has = fewest_replicas(&metadata, &spec.name);
            if let Some(wanted) = spec.settings.replication_factor().filter(|wanted| has < *wanted) {
                let how = "kafka-reassign-partitions.sh adds some";
                return Err(refuse(spec, format!("it has {has} replicas, not {wanted}; {how}")));
            }
        }
        self.verify_settings(&ours)
    }

    /// Unavailable while one of the partitions has no leader that this client knows.
    fn meet_leaders(&self, of: &[(TopicPartition, i64)]) -> Result<(), BrokerError> {
        let metadata = self.metadata()?;
        let has_leader = |place: &TopicPartition| {
            let topic = metadata.topics().iter().find(|topic| topic.name() == &*place.topic);
            let mut partitions = topic.into_iter().flat_map(|topic| topic.partitions());
            partitions.any(|known| known.id() == place.partition as i32 && known.leader() >= 0)
        };
        match of.iter().find(|(place, _)| !has_leader(place)) {
            Some((place, _)) => Err(BrokerError::Unavailable(format!("{place} has no leader now"))),
            None => Ok(()),
        }
    }

    fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<(), BrokerError> {
        // When librdkafka must ask for a leader first, it looks on this thread and may be woken on its own at the same time;
        // both then answer and free the same request. That damaged the heap while a broker came back.
        self.meet_leaders(before)?;
        let mut list = TopicPartitionList::with_capacity(before.len());
        for (partition, offset) in before {
            let added = list.add_partition_offset(&partition.topic, partition.partition as i32, Offset::Offset(*offset));
            added.map_err(|error| from_kafka(&format!("offset {offset} of {partition}"), &error))?;
        }
        let deleted = block_on(self.client.delete_records(&list, &self.options()));
        let deleted = deleted.map_err(|error| from_kafka("deleting records", &error))?;
        for element in deleted.elements() {
            let of = || format!("deleting records of {}-{}", element.topic(), element.partition());
            match element.error() {
                // They are gone already.
                Ok(()) | Err(KafkaError::OffsetFetch(Code::OffsetOutOfRange)) => {}
                Err(error) => return Err(from_kafka(&of(), &error)),
            }
        }
        Ok(())
    }

    fn create(&self, specs: &[&TopicSpec]) -> Result<(), BrokerError> {
        let retention: Vec<_> = specs.iter().map(|spec| retention_ms(spec.cleanup)).collect();
        let bytes_max = RECORD_BYTES_MAX.to_string();
        let topics = specs.iter().zip(&retention).map(|(spec, retention)| {
            let replicas = spec.settings.replication_factor();
            let replicas = replicas.map_or(BROKER_DEFAULT, |replicas| TopicReplication::Fixed(replicas as i32));
            let mut topic = NewTopic::new(&spec.name, spec.partitions as i32, replicas);
            if spec.settings.get("max.message.bytes").is_none() {
                topic = topic.set("max.message.bytes", &bytes_max);
            }
            topic = topic.set("cleanup.policy", spec.cleanup.text());
            if spec.cleanup != CleanupPolicy::Compact {
                topic = topic.set("retention.ms", retention);
            }
            spec.settings
                .of_topic()
                .fold(topic, |topic, (name, value)| topic.set(name, value))
        });
        let topics: Vec<_> = topics.collect();
        let results = block_on(self.client.create_topics(&topics, &self.options()));
        for result in results.map_err(|error| from_kafka("creating topics", &error))? {
            match result {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    let reason = format!("it could not be created: {code}");
                    return Err(match from_code(code, format!("topic {topic}: {reason}")) {
                        BrokerError::Unavailable(text) => BrokerError::Unavailable(text),
                        _ => BrokerError::Topic { topic, reason },
                    });
                }
            }
        }
        Ok(())
    }

    fn add_partitions(&self, topic: &str, total: u32) -> Result<(), BrokerError> {
        let refused = |reason: String| BrokerError::Topic {
            topic: topic.to_owned(),
            reason,
        };
        let known = self.known()?;
        let has = *known.get(topic).ok_or_else(|| refused("there is no such topic".to_owned()))?;
        if has >= total {
            return Ok(());
        }
        let wanted = [NewPartitions::new(topic, total as usize)];
        let results = block_on(self.client.create_partitions(&wanted, &self.options()));
        for result in results.map_err(|error| from_kafka("adding partitions", &error))? {
            match result {
                // The controller has them already, by another's request or by one of ours whose answer was lost: the metadata lag.
                Ok(_) | Err((_, Code::InvalidPartitions)) => {}
                Err((_, code)) => {
                    let reason = format!("partitions could not be added: {code}");
                    return Err(match from_code(code, format!("topic {topic}: {reason}")) {
                        BrokerError::Unavailable(text) => BrokerError::Unavailable(text),
                        _ => refused(reason),
                    });
                }
            }
        }
        // Not a failure yet: the next round sees them, when the brokers have heard of them.
        Err(BrokerError::Unavailable(format!(
            "new partitions of {topic} are not known everywhere yet"
        )))
    }

    fn tombstone_retention(&self, topics: &[&str]) -> Result<Vec<Option<Duration>>, BrokerError> {
        let known = self.known()?;
        let there: Vec<&str> = topics.iter().copied().filter(|topic| known.contains_key(*topic)).collect();
        let asked: Vec<_> = there.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
        let mut kept = HashMap::new();
        for (topic, resource) in there.iter().zip(self.describe(&asked)?) {
            let resource = resource.map_err(|code| from_code(code, format!("settings of {topic}: {code}")))?;
            let text = setting(&resource, "delete.retention.ms");
            let retention = text.parse().map_err(|_| BrokerError::Topic {
                topic: (*topic).to_owned(),
                reason: format!("its delete.retention.ms is {text:?}, which is no number of milliseconds"),
            })?;
            kept.insert(*topic, Duration::from_millis(retention));
        }
        Ok(topics.iter().map(|topic| kept.get(topic).copied()).collect())
    }

    /// The settings of these resources, in the order asked.
    fn describe(&self, resources: &[ResourceSpecifier<'_>]) -> Result<Vec<Result<ConfigResource, Code>>, BrokerError> {
        if resources.is_empty() {
            return Ok(Vec::new());
        }
        let described = block_on(self.client.describe_configs(resources, &self.options()));
        described.map_err(|error| from_kafka("reading the topics' settings", &error))
    }

    fn verify_settings(&self, specs: &[&TopicSpec]) -> Result<(), BrokerError> {
        let topics: Vec<_> = specs.iter().map(|spec| ResourceSpecifier::Topic(&spec.name)).collect();
        for (spec, resource) in specs.iter().zip(self.describe(&topics)?) {
            let resource = resource.map_err(|code| from_code(code, format!("settings of {}: {code}", spec.name)))?;
            verify_policy(spec, &resource)?;
            for (name, wanted) in spec.settings.of_topic() {
                let has = setting(&resource, name);
                if !TopicSettings::is_same(name, &has, wanted) {
                    let how = "kafka-configs.sh changes it";
                    return Err(refuse(spec, format!("its {name} is {has:?}, not {wanted:?}; {how}")));
                }
            }
        }
        Ok(())
    }
}

fn verify_policy(spec: &TopicSpec, resource: &ConfigResource) -> Result<(), BrokerError> {
    let policy = setting(resource, "cleanup.policy");
    let mut policies: Vec<&str> = policy.split(',').map(str::trim).filter(|policy| !policy.is_empty()).collect();
    policies.sort_unstable();
    let wanted = spec.cleanup.text();
    if policies.is_empty() {
        let topic = &spec.name;
        return Err(BrokerError::Unavailable(format!(
            "the settings of {topic} are not shown: does the broker know it yet, and does it allow DescribeConfigs?"
        )));
    }
    if policies.join(",") != wanted {
        let loses = match spec.cleanup {
            CleanupPolicy::Compact if policies.contains(&"delete") => {
                ": what is older than its retention would be lost, and it holds the newest of each key"
            }
            _ => "",
        };
        return Err(refuse(
            spec,
            format!("its cleanup.policy is {policy:?}, not {wanted:?}{loses}; kafka-configs.sh changes it"),
        ));
    }
    Ok(())
}

/// The topics that have a leader for each partition, with their numbers of partitions.
fn counts(metadata: &Metadata) -> HashMap<String, u32> {
    let usable = metadata.topics().iter().filter(|topic| topic.error().is_none());
    usable
        .map(|topic| (topic.name().to_owned(), topic.partitions().len() as u32))
        .collect()
}

/// How many copies the partition of a topic has that has the fewest.
fn fewest_replicas(metadata: &Metadata, topic: &str) -> u32 {
    let topic = metadata.topics().iter().find(|known| known.name() == topic);
    let copies = topic.into_iter().flat_map(|topic| topic.partitions());
    copies
        .map(|partition| partition.replicas().len() as u32)
        .min()
        .unwrap_or_default()
}

fn refuse(spec: &TopicSpec, reason: String) -> BrokerError {
    BrokerError::Topic {
        topic: spec.name.clone(),
        reason,
    }
}

/// A topic's own setting, or the broker's where it has none.
fn setting(resource: &ConfigResource, name: &str) -> String {
    resource.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default()
}

/// Kafka's text for a retention: -1 keeps for ever.
fn retention_ms(cleanup: CleanupPolicy) -> String {
    let age = cleanup.retention();
    age.map_or_else(|| "-1".to_owned(), |age| age.as_millis().to_string())
}
