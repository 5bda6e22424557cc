//! Kafka goes away, by being killed and by hanging: nothing may block for ever, and nothing may be lost or doubled.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "conformance/world.rs"]
#[allow(dead_code)]
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{BrokerError, Committed, KafkaBroker, KafkaSettings, TopicPartition, TopicSpec, TransactionalProducer};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use testbed::{Testbed, block_on};
use world::{GLANCE, Member, PATIENCE, Reading, World, patiently, record, settle, text, write};

/// A Kafka of its own, with a reader and a member of a group at work.
struct Scene {
    bed: Testbed,
    world: World,
    topic: String,
    place: TopicPartition,
    reading: Reading,
    member: Member,
}

impl Scene {
    fn set() -> Self {
        let bed = Testbed::builder().kafka().start_blocking().expect("Kafka starts");
        let settings = KafkaSettings {
            bootstrap: bed.kafka().bootstrap().to_owned(),
            ..KafkaSettings::default()
        };
        let world = World::new(Arc::new(KafkaBroker::new(settings)), "faults");
        let topic = world.topic("t", 1);
        let reading = world.reader_of(&[(&topic, 1)]);
        let mut member = world.member("m", &[&topic]);
        settle(&mut [&mut member], "the member has all", |held| held[0] == [0]);
        let place = TopicPartition::new(topic.as_str(), 0);
        Self {
            bed,
            world,
            topic,
            place,
            reading,
            member,
        }
    }

    /// The end of the log, open transactions included.
    fn high_watermark(&self) -> i64 {
        let bootstrap = self.bed.kafka().bootstrap();
        let mut config = ClientConfig::new();
        let config = config
            .set("bootstrap.servers", bootstrap)
            .set("isolation.level", "read_uncommitted");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.fetch_watermarks(&self.topic, 0, PATIENCE).unwrap().1
    }

    fn at(&self, offset: i64) -> [(TopicPartition, Committed); 1] {
        [(
            self.place.clone(),
            Committed {
                offset,
                metadata: String::new(),
            },
        )]
    }

    /// Begins a transaction, has the fault happen, and commits: that must fail in time, and letting go must not block.
    /// If the record is `settled`, it is acknowledged before the fault, so that adding the offsets is what is in the way.
    fn commit_amid(&mut self, settled: bool, fault: impl FnOnce(&Testbed)) {
        let mut producer = patiently(|| self.world.broker.transactional_producer(&self.world.name("p"), PATIENCE));
        producer.begin().unwrap();
        producer.send(record(&self.topic, 0, "k", "in doubt")).unwrap();
        if settled {
            let before = self.high_watermark();
            let started = Instant::now();
            while self.high_watermark() == before {
                assert!(started.elapsed() < PATIENCE, "the record was not written");
            }
            std::thread::sleep(GLANCE);
            producer.service().unwrap();
        }
        let membership = self.member.group.membership().unwrap();
        fault(&self.bed);
        let started = Instant::now();
        let error = producer.commit(&self.at(77), &membership).unwrap_err();
        println!("the commit failed after {:?}: {error}", started.elapsed());
        assert!(
            matches!(error, BrokerError::Unavailable(_) | BrokerError::Fenced(_)),
            "{error:?}"
        );
        assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
        let started = Instant::now();
        drop(producer);
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "a drop took {:?}",
            started.elapsed()
        );
    }

    /// While Kafka is away: errors that say so, within their time-outs; trouble; no panic.
    fn all_is_away(&mut self) {
        let short = Duration::from_secs(1);
        let away = |what: &str, error: Option<BrokerError>| {
            assert!(matches!(error, Some(BrokerError::Unavailable(_))), "{what}: {error:?}");
        };
        let started = Instant::now();
        away("bounds", self.reading.reader.bounds(&self.place, short).err());
        away(
            "committed",
            self.member.group.committed(std::slice::from_ref(&self.place), short).err(),
        );
        away("a producer", self.world.broker.transactional_producer("other", short).err());
        let spec = TopicSpec {
            accept_existing: true,
            ..self.world.spec("t", 1)
        };
        away("topics", self.world.broker.ensure_topics(&[spec], short).err());
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
        while self.reading.reader.trouble().is_none() {
            self.reading
                .reader
                .poll(10, Duration::from_millis(100), &mut self.reading.polled)
                .unwrap();
            assert!(started.elapsed() < PATIENCE, "a reader in trouble must say so");
        }
    }

    /// The next producer of the id whose transaction is in doubt. Kafka may have ended it without its marker: a partition has no leader for
    /// a moment when a broker comes back. Then no producer is made until it was ended by hand, as an operator does.
    fn producer_again(&self) -> Box<dyn TransactionalProducer> {
        let id = self.world.name("p");
        let short = Duration::from_secs(10);
        let make = || self.world.broker.transactional_producer(&id, short);
        patiently(|| match make() {
            Err(BrokerError::Unavailable(text)) if text.contains("find-hanging") => {
                println!("{text}");
                self.end_by_hand(0);
                make()
            }
            made => made,
        })
    }

    /// Aborts the transaction that began at this offset.
    fn end_by_hand(&self, offset: i64) {
        let (topic, offset) = (["--topic", &self.topic, "--partition", "0"], offset.to_string());
        let args = [&["abort"], &topic[..], &["--start-offset", &offset]].concat();
        let ended = self.bed.kafka().tool("org.apache.kafka.tools.TransactionsCommand", &args);
        ended.expect("the transaction is ended");
    }

    /// A transaction of somebody else, who has written to the topic.
    fn open_elsewhere(&self) -> BaseProducer {
        let mut config = ClientConfig::new();
        let config = config
            .set("bootstrap.servers", self.bed.kafka().bootstrap())
            .set("transactional.id", self.world.name("elsewhere"))
            .set("transaction.timeout.ms", "600000");
        let producer: BaseProducer = config.create().unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        producer
            .send(BaseRecord::to(&self.topic).partition(0).key("k").payload("elsewhere"))
            .unwrap();
        producer.flush(PATIENCE).unwrap();
        producer
    }

    /// After Kafka is back: the same reader and member go on; what was in doubt is there as a whole or not at all.
    fn all_is_well(&mut self) {
        let started = Instant::now();
        while self.member.group.membership().is_err() || self.member.held() != [0] {
            self.member.step(Duration::from_millis(100));
            assert!(started.elapsed() < PATIENCE, "the member did not get its partition back");
        }
        println!("a member again after {:?}", started.elapsed());
        while self.reading.reader.trouble().is_some() {
            self.reading
                .reader
                .poll(10, Duration::from_millis(100), &mut self.reading.polled)
                .unwrap();
            assert!(
                started.elapsed() < PATIENCE,
                "the trouble is over, even if there is nothing to read"
            );
        }
        let mut producer = self.producer_again();
        write(producer.as_mut(), &[record(&self.topic, 0, "k", "after")]);
        let (of_after, place) = (
            |message: &broker::Message| text(&message.value) == "after",
            self.place.clone(),
        );
        self.reading
            .until("the record after", |polled| polled.messages.iter().any(of_after));
        assert_eq!(self.reading.reader.trouble(), None, "the trouble is over");
        let in_doubt = self.reading.values().iter().filter(|value| *value == "in doubt").count();
        let stand = self.member.group.committed(&[place], PATIENCE).unwrap();
        println!("in doubt: {in_doubt} records, offset {stand:?}");
        let expected = if in_doubt == 1 { Some(77) } else { None };
        assert_eq!(
            stand[0].as_ref().map(|committed| committed.offset),
            expected,
            "with {in_doubt} of the records"
        );
    }
}

/// What is open in a partition to which a failed transaction has written may be that transaction, see [`Scene::producer_again`].
#[test]
fn a_producer_begins_after_what_failed_is_ended_for_good() {
    let mut scene = Scene::set();
    let (id, short) = (scene.world.name("p"), Duration::from_secs(2));
    let make = |scene: &Scene| scene.world.broker.transactional_producer(&id, short);
    let mut producer = patiently(|| make(&scene));
    write(producer.as_mut(), &[record(&scene.topic, 0, "k", "before")]);
    let elsewhere = scene.open_elsewhere();
    write(producer.as_mut(), &[record(&scene.topic, 0, "k", "well")]);
    drop(producer);
    let mut producer = patiently(|| make(&scene)); // Nothing has failed.
    producer.begin().unwrap();
    producer.send(record(&scene.topic, 0, "k", "in doubt")).unwrap();
    producer.service().unwrap();
    drop(producer);
    for _ in 0..2 {
        let refused = patiently(|| match make(&scene) {
            Ok(_) => Ok("it begins".to_owned()),
            Err(BrokerError::Unavailable(text)) if text.contains("find-hanging") => Ok(text),
            Err(error) => Err(error),
        });
        assert!(refused.contains("offset 2 of"), "{refused}");
        let other = || scene.world.broker.transactional_producer(&scene.world.name("q"), short);
        drop(patiently(other)); // Another id has nothing in doubt.
    }
    // By the tool that the message names: nobody else can end what Kafka has forgotten.
    scene.end_by_hand(2);
    drop(elsewhere);
    let mut producer = patiently(|| make(&scene));
    write(producer.as_mut(), &[record(&scene.topic, 0, "k", "after")]);
    let all = |polled: &broker::Polled| polled.messages.iter().any(|message| text(&message.value) == "after");
    scene.reading.until("the record after", all);
    assert_eq!(scene.reading.values(), ["after", "before", "well"], "none of what failed");
}

#[test]
fn a_killed_broker_comes_back() {
    let mut scene = Scene::set();
    scene.commit_amid(false, |bed| bed.kafka().kill().unwrap());
    scene.all_is_away();
    block_on(scene.bed.kafka().start()).unwrap();
    scene.all_is_well();
}

#[test]
fn a_broker_that_hangs_holds_nobody_up_for_ever() {
    let mut scene = Scene::set();
    scene.commit_amid(true, |bed| bed.kafka().pause());
    scene.all_is_away();
    scene.bed.kafka().resume();
    scene.all_is_well();
}
