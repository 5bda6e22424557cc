//! The conformance suite on Kafka, and what only Kafka can be asked.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod conformance;

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use broker::{
    Broker, BrokerError, CleanupPolicy, Committed, KafkaBroker, KafkaSettings, Membership, Rebalance, Start, TopicPartition,
    TransactionalProducer,
};
use conformance::world::{GLANCE, PATIENCE, Setup, World, record, settle, sizes, write};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use testbed::Testbed;

/// One Kafka for the tests that run at the same time; it ends with the last of them.
struct Shared {
    broker: Arc<dyn Broker>,
    bed: Arc<Testbed>,
}

impl Deref for Shared {
    type Target = Arc<dyn Broker>;

    fn deref(&self) -> &Arc<dyn Broker> {
        &self.broker
    }
}

fn kafka() -> Shared {
    kafka_with(&[])
}

fn kafka_with(extra: &[(&str, &str)]) -> Shared {
    static BED: Mutex<Weak<Testbed>> = Mutex::new(Weak::new());
    let mut bed = BED.lock().unwrap_or_else(PoisonError::into_inner);
    let running = bed.upgrade().unwrap_or_else(|| {
        let started = Arc::new(Testbed::builder().kafka().start_blocking().expect("Kafka starts"));
        *bed = Arc::downgrade(&started);
        started
    });
    let settings = KafkaSettings {
        bootstrap: running.kafka().bootstrap().to_owned(),
        extra: extra
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    };
    Shared {
        broker: Arc::new(KafkaBroker::new(settings)),
        bed: running,
    }
}

conformance!(kafka().clone(), &kafka());

impl Setup for Shared {
    fn broker(&self) -> Arc<dyn Broker> {
        self.broker.clone()
    }

    fn impatient(&self) -> Arc<dyn Broker> {
        kafka_with(&[
            ("producer.transaction.timeout.ms", "3000"),
            ("producer.socket.timeout.ms", "3000"),
        ])
        .broker
    }

    fn pass_time(&self) {}

    fn delete_topic(&self, topic: &str) {
        let deleted = futures::executor::block_on(self.admin().delete_topics(&[topic], &AdminOptions::new())).unwrap();
        assert_eq!(deleted, [Ok(topic.to_owned())]);
    }

    fn abandon_offsets(&self, id: &str, offsets: &[(TopicPartition, Committed)], membership: &Membership) {
        let Membership::Kafka {
            metadata: membership, ..
        } = membership
        else {
            panic!("{id}: not Kafka's")
        };
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", self.bed.kafka().bootstrap())
            .set("transactional.id", id)
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for (place, committed) in offsets {
            let offset = Offset::Offset(committed.offset);
            list.add_partition_offset(&place.topic, place.partition as i32, offset)
                .unwrap();
        }
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        producer.send_offsets_to_transaction(&list, membership, PATIENCE).unwrap();
    }

    /// Who does not look at the answer does not know it.
    fn commit_without_an_answer(
        &self,
        _id: &str,
        mut producer: Box<dyn TransactionalProducer>,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
        took_effect: bool,
    ) {
        if took_effect {
            producer.commit(offsets, membership).unwrap();
        }
    }
}

impl Shared {
    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new()
            .set("bootstrap.servers", self.bed.kafka().bootstrap())
            .create()
            .unwrap()
    }
}

/// Kafka's own limit is 1 MiB; a row with a document in it is larger, and what is made of it a little more so.
#[test]
fn a_record_of_sixteen_mebibytes_goes_through_a_topic_of_ours() {
    let kafka = kafka();
    let world = World::new(kafka.clone(), "large");
    let topic = world.topic("t", 1);
    let large = "x".repeat((16 << 20) + 4096);
    world
        .broker
        .producer("p")
        .unwrap()
        .send_all(&[record(&topic, 0, "k", "before"), record(&topic, 0, "k", &large)])
        .unwrap();
    write(
        world.transactions("t").as_mut(),
        &[record(&topic, 0, "k", &large), record(&topic, 0, "k", "after")],
    );
    let mut reading = world.reader_of(&[(&topic, 1)]);
    reading.until_count(4);
    let values = reading.values();
    assert_eq!(values[..2], ["after", "before"]);
    assert!(values[2] == large && values[3] == large, "large records arrive whole");
}

#[test]
fn a_reader_before_the_start_is_told() {
    let kafka = kafka();
    let world = World::new(kafka.clone(), "deleted");
    let topic = world.topic("t", 1);
    world
        .broker
        .producer("p")
        .unwrap()
        .send_all(&vec![record(&topic, 0, "k", "v"); 25])
        .unwrap();
    let mut until = TopicPartitionList::new();
    until.add_partition_offset(&topic, 0, Offset::Offset(15)).unwrap();
    futures::executor::block_on(kafka.admin().delete_records(&until, &AdminOptions::new())).unwrap();

    let place = TopicPartition::new(topic.as_str(), 0);
    let mut reading = world.reader();
    assert_eq!(reading.reader.bounds(&place, PATIENCE).unwrap(), (15, 25));
    let slot = reading.assign(&topic, 0, Start::At(3));
    let started = Instant::now();
    let error = loop {
        assert!(started.elapsed() < PATIENCE, "no error came");
        if let Err(error) = reading.reader.poll(100, Duration::from_millis(100), &mut reading.polled) {
            break error;
        }
    };
    assert!(
        matches!(&error, BrokerError::OffsetOutOfRange { partition, offset: 3 } if *partition == place),
        "{error:?}"
    );
    reading.unassign(slot);
    reading.assign(&topic, 0, Start::Earliest);
    reading.until_ends();
    let offsets: Vec<_> = reading.polled.messages.iter().map(|message| message.offset).collect();
    assert_eq!(offsets, (15..25).collect::<Vec<_>>());
}

/// An operator's own setting, and not the default alone.
#[test]
fn a_topics_own_retention_of_tombstones_is_reported() {
    let kafka = kafka();
    let world = World::new(kafka.clone(), "tombstones");
    let topic = world.topic("t", 1);
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", kafka.bed.kafka().bootstrap())
        .create()
        .unwrap();
    let change = AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("delete.retention.ms", "90000");
    let changed = futures::executor::block_on(admin.alter_configs([&change], &AdminOptions::new())).unwrap();
    assert!(changed.iter().all(Result::is_ok), "{changed:?}");
    let kept = || world.broker.tombstone_retention(&[&topic], PATIENCE).unwrap();
    let started = Instant::now();
    // A broker hears of it a moment later.
    while kept() != [Some(Duration::from_secs(90))] {
        assert!(started.elapsed() < PATIENCE, "{:?}", kept());
    }
}

/// A changelog that is also deleted by age loses the state of keys that did not change for long.
#[test]
fn a_compacted_topic_that_is_deleted_by_age_too_is_refused() {
    let kafka = kafka();
    let world = World::new(kafka.clone(), "policies");
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", kafka.bed.kafka().bootstrap())
        .create()
        .unwrap();
    for (name, policy) in [
        ("both", "compact,delete"),
        ("turned", "delete,compact"),
        ("compacted", "compact"),
    ] {
        let spec = broker::TopicSpec {
            cleanup: CleanupPolicy::Compact,
            ..world.spec(name, 1)
        };
        let topic = NewTopic::new(&spec.name, 1, TopicReplication::Fixed(1)).set("cleanup.policy", policy);
        let made = futures::executor::block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
        let deleted = broker::TopicSpec {
            cleanup: CleanupPolicy::Delete(None),
            ..spec.clone()
        };
        assert!(
            world.broker.ensure_topics(&[deleted], PATIENCE).is_err(),
            "{policy} is not delete"
        );
        let foreign = broker::TopicSpec {
            accept_existing: true,
            ..spec.clone()
        };
        world.broker.ensure_topics(&[foreign], PATIENCE).unwrap();
        let checked = world.broker.ensure_topics(std::slice::from_ref(&spec), PATIENCE);
        if policy == "compact" {
            checked.unwrap();
            continue;
        }
        let error = checked.unwrap_err();
        assert!(
            matches!(&error, BrokerError::Topic { topic, reason } if *topic == spec.name && reason.contains(policy) && reason.contains("would be lost")),
            "{error}"
        );
    }
}

/// The coordinator is asked beside the member's own work, and says whether it still is one.
#[test]
fn a_lease_holds_while_the_coordinator_answers_and_no_longer() {
    let bed = Testbed::builder().kafka().start_blocking().expect("Kafka starts");
    let settings = KafkaSettings {
        bootstrap: bed.kafka().bootstrap().to_owned(),
        ..KafkaSettings::default()
    };
    let world = World::new(Arc::new(KafkaBroker::new(settings)), "lease");
    let tasks = world.topic("tasks", 2);
    let mut first = world.named_member("first", &[&tasks]);
    let lease = first.group.lease().unwrap();
    assert!(!lease.holds(), "it has nothing yet");
    settle(&mut [&mut first], "the first has all", |held| held[0].len() == 2);
    // From here on the member is busy, and polls no more.
    let until = |what: &str, holds: bool| {
        let started = Instant::now();
        while lease.holds() != holds {
            assert!(started.elapsed() < PATIENCE, "{what}: {lease:?} {:?}", lease.trouble());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    until("it holds", true);
    testbed::block_on(async { bed.kafka().kill().unwrap() });
    until("it ends", false);
    testbed::block_on(async { bed.kafka().start().await.unwrap() });
    settle(&mut [&mut first], "the first has all again", |held| held[0].len() == 2);
    until("it holds again", true);
    let started = Instant::now();
    let mut looked = Instant::now();
    while started.elapsed() < Duration::from_secs(12) {
        // Where this machine has stood still, so has what renews it.
        let is_late = looked.elapsed() > Duration::from_secs(1);
        assert!(
            is_late || lease.holds(),
            "it is renewed, though the session's length has passed"
        );
        looked = Instant::now();
        std::thread::sleep(Duration::from_millis(20));
    }
    // Who takes over the name ends it; nothing renews it any more.
    let mut later = world.named_member("first", &[&tasks]);
    settle(&mut [&mut later], "the later has all", |held| held[0].len() == 2);
    until("it ends for good", false);
    let started = Instant::now();
    while started.elapsed() < GLANCE {
        assert!(!lease.holds());
    }
}

/// A worker that hangs: its heartbeats go on, but it does not poll.
#[test]
fn a_member_that_hangs_loses_its_partitions_and_is_told() {
    let kafka = kafka_with(&[
        ("consumer.max.poll.interval.ms", "6000"),
        ("consumer.session.timeout.ms", "6000"),
    ]);
    let world = World::new(kafka.clone(), "hang");
    let topic = world.topic("t", 2);
    let place = TopicPartition::new(topic.as_str(), 0);
    let offsets = [(
        place.clone(),
        Committed {
            offset: 9,
            metadata: String::new(),
        },
    )];
    let mut first = world.member("first", &[&topic]);
    settle(&mut [&mut first], "the first has all", |held| held[0].len() == 2);
    let last = first.group.membership().unwrap();
    let mut second = world.member("second", &[&topic]);
    let started = Instant::now();
    while second.held().len() < 2 {
        second.step(Duration::from_millis(100));
        assert!(started.elapsed() < PATIENCE, "nothing was taken over");
    }

    let fenced = |result: Result<(), BrokerError>| assert!(matches!(result, Err(BrokerError::Fenced(_))), "{result:?}");
    fenced(first.group.membership().map(drop));
    fenced(first.group.commit(&offsets));
    let mut producer = world.transactions("p");
    producer.begin().unwrap();
    fenced(producer.commit(&offsets, &last).map(drop));
    assert_eq!(second.group.committed(&[place], PATIENCE).unwrap(), [None]);

    // Two members hold the same until the one that hung has been notified, which it must be before anything else.
    first.steps.clear();
    while !first.held().is_empty() {
        first.step(Duration::from_millis(100));
        assert!(started.elapsed() < 2 * PATIENCE, "it was not notified");
    }
    assert!(
        first.steps.iter().all(|step| matches!(step, Rebalance::Lost(_))),
        "{:?}",
        first.steps
    );
    settle(&mut [&mut first, &mut second], "one each again", |held| sizes(held) == [1, 1]);
}

#[test]
fn a_missing_topic_is_told() {
    let kafka = kafka();
    let world = World::new(kafka.clone(), "missing");
    let name = world.name("never-made");
    let sent = world.broker.producer("p").unwrap().send_all(&[record(&name, 0, "k", "v")]);
    assert!(
        matches!(&sent, Err(BrokerError::Topic { topic, .. }) if *topic == name),
        "{sent:?}"
    );
    let bounds = world
        .reader()
        .reader
        .bounds(&TopicPartition::new(name.as_str(), 0), Duration::from_secs(5));
    assert!(
        matches!(&bounds, Err(BrokerError::Topic { topic, .. }) if *topic == name),
        "{bounds:?}"
    );
}
