//! Two processes of one name, or on one state folder: the first goes on as if nothing were, the second reports why it cannot start.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use broker::in_process::InProcessBroker;
use broker::kafka::{KafkaBroker, KafkaSettings};
use broker::{Broker, BrokerError, Message, Outgoing, Replay, TopicPartition};
use testbed::Testbed;
use topology::clock::SystemClock;
use topology::dsl::Builder;
use topology::store::{Backends, KeyValue, MemoryBackends, RocksBackends, RocksSettings};
use topology::*;
use wire::{MemoryRegistry, Registry, Topic};

const INPUT: Topic<i64, i64> = Topic::new("names-in");
const OUTPUT: Topic<i64, i64> = Topic::new("names-out");
const TOTAL: KeyValue<i64, i64> = KeyValue::new("total");
const WITHIN: Duration = Duration::from_secs(30);
const GROUPS: [u32; 2] = [0, 1];

struct Sum;

impl Processor for Sum {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = KeyValue<i64, i64>;

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        let total = cx.stores.get(&record.key)?.unwrap_or(0) + record.value;
        cx.stores.put(record.key, total);
        Ok(())
    }
}

/// A log and a registry that instances share.
struct World {
    broker: Arc<dyn Broker>,
    registry: Arc<dyn Registry>,
}

impl World {
    fn on(broker: impl Broker) -> Self {
        Self {
            broker: Arc::new(broker),
            registry: Arc::new(MemoryRegistry::default()),
        }
    }

    fn start(&self, instance: &str, backends: Arc<dyn Backends>, address: &str) -> Result<Engine, EngineError> {
        let builder = Builder::new("names");
        builder.stream(INPUT).process("sum", TOTAL, || Sum).to(OUTPUT);
        let parts = EngineParts {
            broker: self.broker.clone(),
            backends,
            registry: self.registry.clone(),
            clock: Arc::new(SystemClock),
            metrics: Metrics::register("test", &prometheus::Registry::new()).unwrap(),
        };
        let settings = EngineSettings {
            instance: instance.to_owned(),
            partitions: GROUPS.len() as u32,
            ..EngineSettings::default()
        };
        Engine::start(builder.build().unwrap(), settings, parts, address)
    }

    fn start_at(&self, instance: &str, folder: &Path, address: &str) -> Result<Engine, EngineError> {
        self.start(
            instance,
            Arc::new(RocksBackends::new(folder, RocksSettings::default())),
            address,
        )
    }

    fn send(&self, value: i64) {
        let (key, value) = (1_i64.to_be_bytes(), value.to_be_bytes());
        let record = Outgoing {
            topic: INPUT.name(),
            partition: None,
            key: Some(&key),
            value: Some(&value),
            timestamp_ms: 1,
            headers: &[],
        };
        self.broker.producer("test").unwrap().send_all(&[record]).unwrap();
    }

    /// What was announced, as it is in the log.
    fn announcements(&self) -> Vec<Message> {
        let mut all = Vec::new();
        let place = TopicPartition::new("names-instances", 0);
        let mut replay = Replay::of(&*self.broker, "test", &[place]).unwrap();
        let keep = |_: &TopicPartition, message: Message| {
            all.push(message);
            Ok::<_, BrokerError>(())
        };
        replay.to_the_end(WITHIN, keep).unwrap();
        all
    }

    fn announce(&self, instance: &str, said: &serde_json::Value) {
        let value = said.to_string();
        let record = Outgoing {
            topic: "names-instances",
            partition: Some(0),
            key: Some(instance.as_bytes()),
            value: Some(value.as_bytes()),
            timestamp_ms: 1,
            headers: &[],
        };
        self.broker.producer("test").unwrap().send_all(&[record]).unwrap();
    }
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < WITHIN, "{what}: not within {WITHIN:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn memory() -> Arc<MemoryBackends> {
    Arc::new(MemoryBackends::default())
}

/// It works, and was never disturbed.
#[track_caller]
fn is_unharmed(world: &World, engine: &Engine, total: &mut i64) {
    assert_eq!((engine.trouble(), engine.ended()), (vec![], None));
    assert_eq!(engine.queries().groups(), GROUPS);
    world.send(5);
    *total += 5;
    until(
        "it goes on",
        || matches!(engine.queries().get(TOTAL, &1), Ok(answer) if answer.value == Some(*total)),
    );
}

fn second_of_a_name_is_refused(world: &World) {
    let folder = tempfile::tempdir().unwrap();
    let (of_first, of_second) = (folder.path().join("first"), folder.path().join("second"));
    let first = world.start_at("a", &of_first, "http://first").unwrap();
    until("the first has all", || first.queries().groups() == GROUPS);
    let mut total = 0;
    is_unharmed(world, &first, &mut total);
    let error = world.start_at("a", &of_second, "http://second").err().expect("it is refused");
    let text = error.to_string();
    assert!(
        matches!(&error, EngineError::NameTaken { instance, address } if instance == "a" && address == "http://first"),
        "{text}"
    );
    assert!(text.contains("a runs already, at http://first"), "{text}");
    is_unharmed(world, &first, &mut total);

    // On the same folder, under whatever name, nobody but the second hears of it.
    let before = world.announcements().len();
    let error = world.start_at("b", &of_first, "http://third").err().expect("it is refused");
    assert!(error.to_string().contains("another process"), "{error}");
    let names: Vec<_> = world.announcements()[before..]
        .iter()
        .map(|message| message.key.clone())
        .collect();
    assert!(names.iter().all(|name| name.as_deref() == Some(b"a")), "{names:?}");
    is_unharmed(world, &first, &mut total);
    first.stop();
    // It said goodbye, so whoever has its name now is asked nothing.
    let next = world.start_at("a", &of_second, "http://second").unwrap();
    until("the next has all", || next.queries().groups() == GROUPS);
    is_unharmed(world, &next, &mut total);
    next.stop();
}

#[test]
fn a_second_process_of_a_name_or_on_a_folder_is_refused_and_the_first_unharmed() {
    second_of_a_name_is_refused(&World::on(InProcessBroker::default()));
}

#[test]
fn on_kafka_a_second_process_of_a_name_or_on_a_folder_is_refused_and_the_first_unharmed() {
    let bed = Testbed::builder().kafka().start_blocking().unwrap();
    let settings = KafkaSettings {
        bootstrap: bed.kafka().bootstrap().to_owned(),
        ..KafkaSettings::default()
    };
    second_of_a_name_is_refused(&World::on(KafkaBroker::new(settings)));
}

#[test]
fn of_two_that_start_at_once_under_one_name_exactly_one_does() {
    for _ in 0..20 {
        let world = World::on(InProcessBroker::default());
        let barrier = Barrier::new(2);
        let start = |address: &'static str| {
            barrier.wait();
            world.start("a", memory(), address)
        };
        let (one, two) = std::thread::scope(|scope| {
            let (one, two) = (scope.spawn(|| start("http://one")), scope.spawn(|| start("http://two")));
            (one.join().unwrap(), two.join().unwrap())
        });
        let (engine, error) = match (one, two) {
            (Ok(engine), Err(error)) | (Err(error), Ok(engine)) => (engine, error),
            (one, two) => panic!("{:?} {:?}", one.err(), two.err()),
        };
        assert!(matches!(error, EngineError::NameTaken { .. }), "{error}");
        until("the one has all", || engine.queries().groups() == GROUPS);
        assert_eq!(engine.ended(), None);
        engine.stop();
    }
}

/// A process that was killed, and whose folder is another's now: after a look, the name is free.
#[test]
fn a_name_whose_process_died_without_a_goodbye_is_free_after_a_look() {
    let world = World::on(InProcessBroker::default());
    let first = world.start("a", memory(), "http://first").unwrap();
    until("the first has all", || first.queries().groups() == GROUPS);
    let announced = || {
        let all = world.announcements().into_iter().filter_map(|message| message.value);
        let mut all = all.map(|value| serde_json::from_slice::<serde_json::Value>(&value).unwrap());
        all.find(|said| said["groups"] == serde_json::json!(GROUPS))
    };
    until("it is announced", || announced().is_some());
    let said = announced().unwrap();
    first.stop();
    world.announce("a", &said);
    let next = world.start("a", memory(), "http://next").unwrap();
    until("the next has all", || next.queries().groups() == GROUPS);
    assert_eq!(next.ended(), None);
    next.stop();
}

/// It slept, was taken for dead, and wakes while another has its name: the two must not take turns in fencing each other.
#[test]
fn a_process_whose_name_was_taken_over_ends_and_leaves_the_name_to_the_later() {
    let world = World::on(InProcessBroker::default());
    let engine = world.start("a", memory(), "http://sleeper").unwrap();
    until("it has all", || engine.queries().groups() == GROUPS);
    world.announce(
        "a",
        &serde_json::json!({
            "address": "http://later", "groups": [0, 1], "at_ms": 1, "run": "later", "claim": 1_000_000, "stage": "Runs",
        }),
    );
    until("it ends", || engine.ended().is_some());
    let why = engine.ended().unwrap();
    assert!(why.contains("http://later has taken over the name a"), "{why}");
    until("it serves nothing", || engine.queries().groups().is_empty());
    assert!(!engine.queries().readiness().answers);
    engine.stop();
    let last = world.announcements().pop().and_then(|message| message.value).unwrap();
    let last: serde_json::Value = serde_json::from_slice(&last).unwrap();
    assert_eq!(last["address"], "http://later", "nothing is said under the name after that");
}
