//! The engine on a real Kafka: instances share the tasks, come and go, and every record counts once.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::kafka::{KafkaBroker, KafkaSettings};
use broker::{Broker, CleanupPolicy, Outgoing, TopicPartition, TopicSpec};
use testbed::Testbed;
use topology::clock::SystemClock;
use topology::dsl::Builder;
use topology::store::{KeyValue, RocksBackends, RocksSettings};
use topology::*;
use wire::{MemoryRegistry, Registry, Topic};

const AMOUNTS: Topic<i64, i64> = Topic::new("amounts");
const BY_KEY: Topic<i64, i64> = Topic::new("amounts-by-key");
const SUMS: Topic<i64, i64> = Topic::new("sums");
const SUM: KeyValue<i64, i64> = KeyValue::backed_by("sum", SUMS);
const COUNT: KeyValue<i64, i64> = KeyValue::new("count");

/// Every wait ends as soon as what it waits for is there; longer than a restore is silent before it says what it waits for.
const WITHIN: Duration = Duration::from_secs(120);

struct Add;

impl Processor for Add {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = (KeyValue<i64, i64>, KeyValue<i64, i64>);

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        let sum = cx.stores.0.get(&record.key)?.unwrap_or(0) + record.value;
        cx.stores.0.put(record.key, sum);
        let count = cx.stores.1.get(&record.key)?.unwrap_or(0) + 1;
        cx.stores.1.put(record.key, count);
        Ok(())
    }
}

fn sums() -> Topology {
    let builder = Builder::new("sums-app");
    builder
        .stream(AMOUNTS)
        .select_key(|key, _| key % 10)
        .repartition(BY_KEY)
        .process("add", (SUM, COUNT), || Add);
    builder.build().unwrap()
}

struct Bench {
    broker: KafkaBroker,
    registry: Arc<dyn Registry>,
    folder: tempfile::TempDir,
    sent: BTreeMap<i64, (i64, i64)>,
}

impl Bench {
    fn on(bed: &Testbed) -> Self {
        let settings = KafkaSettings {
            bootstrap: bed.kafka().bootstrap().to_owned(),
            ..KafkaSettings::default()
        };
        Self {
            broker: KafkaBroker::new(settings),
            registry: Arc::new(MemoryRegistry::default()),
            folder: tempfile::tempdir().unwrap(),
            sent: BTreeMap::new(),
        }
    }

    fn engine(&self, instance: &str) -> Engine {
        self.engine_with(instance, EngineSettings::default())
    }

    fn engine_with(&self, instance: &str, settings: EngineSettings) -> Engine {
        self.run(sums(), instance, settings)
    }

    fn run(&self, topology: Topology, instance: &str, settings: EngineSettings) -> Engine {
        let parts = EngineParts {
            broker: Arc::new(self.broker.clone()),
            backends: Arc::new(RocksBackends::new(
                self.folder.path().join(instance),
                RocksSettings::default(),
            )),
            registry: self.registry.clone(),
            clock: Arc::new(SystemClock),
            metrics: Metrics::register("test", &prometheus::Registry::new()).unwrap(),
        };
        let settings = EngineSettings {
            instance: instance.to_owned(),
            repartition_purge_interval: Duration::from_millis(500),
            ..settings
        };
        Engine::start(topology, settings, parts, instance).unwrap()
    }

    fn send(&mut self, range: std::ops::Range<i64>) {
        let mut producer = self.broker.producer("test").unwrap();
        let encoded: Vec<([u8; 8], [u8; 8])> = range
            .clone()
            .map(|i| (i.to_be_bytes(), (i * 7 % 1000).to_be_bytes()))
            .collect();
        let records: Vec<Outgoing<'_>> = encoded
            .iter()
            .map(|(key, value)| Outgoing {
                topic: AMOUNTS.name(),
                partition: None,
                key: Some(key),
                value: Some(value),
                timestamp_ms: 1,
                headers: &[],
            })
            .collect();
        producer.send_all(&records).unwrap();
        for i in range {
            let (sum, count) = self.sent.entry(i % 10).or_default();
            *sum += i * 7 % 1000;
            *count += 1;
        }
    }

    /// Waits until the engines together answer with what was sent.
    #[track_caller]
    fn check(&self, engines: &[&Engine]) {
        let end = Instant::now() + WITHIN;
        loop {
            let (mut got, mut twice) = (BTreeMap::new(), false);
            for engine in engines {
                let queries = engine.queries();
                let sums = queries.page(SUM, None, 100, |_, _| true).unwrap().value;
                let counts: BTreeMap<i64, i64> = queries
                    .page(COUNT, None, 100, |_, _| true)
                    .unwrap()
                    .value
                    .into_iter()
                    .collect();
                for (key, sum) in sums {
                    twice |= got.insert(key, (sum, counts.get(&key).copied().unwrap_or(0))).is_some();
                }
            }
            if got == self.sent && !twice {
                return;
            }
            if Instant::now() > end {
                let trouble: Vec<_> = engines
                    .iter()
                    .map(|e| (e.trouble(), e.queries().readiness(), e.queries().lag()))
                    .collect();
                panic!("expected {:?}\n     got {got:?}\n{trouble:?}", self.sent);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn instances_share_the_work_and_count_each_record_once() {
    let bed = Testbed::builder().kafka().start_blocking().unwrap();
    let mut bench = Bench::on(&bed);

    // Instances need not agree on the way of what they re-key.
    let through_topics = EngineSettings {
        repartition_in_memory: false,
        ..EngineSettings::default()
    };
    let one = bench.engine_with("one", through_topics);
    bench.send(0..10_000);
    bench.check(&[&one]);

    // What is done goes from the repartition topic, and only that.
    let mut reader = bench.broker.reader("test").unwrap();
    let mut is_purged = |partition| {
        let place = TopicPartition::new(BY_KEY.name(), partition);
        let (start, end) = reader.bounds(&place, Duration::from_secs(5)).unwrap();
        // A worker's transactions take turns between two ids: the marker of one may come after the records of the next.
        start > 0 && end - start <= 2
    };
    let end = Instant::now() + WITHIN;
    while !(0..4).all(&mut is_purged) {
        assert!(Instant::now() < end, "the repartition topic keeps what is done");
        std::thread::sleep(Duration::from_millis(50));
    }

    // A second instance takes over half, while records come.
    let two = bench.engine("two");
    let end = Instant::now() + WITHIN;
    let mut next = 10_000;
    while two.queries().groups().is_empty() || one.queries().groups().len() + two.queries().groups().len() < 4 {
        let (had, has) = (one.queries().groups(), two.queries().groups());
        assert!(Instant::now() < end, "the second instance got no tasks: {had:?} {has:?}");
        bench.send(next..next + 100);
        next += 100;
        std::thread::sleep(Duration::from_millis(20));
    }
    bench.check(&[&one, &two]);

    // Either says where a key is.
    let elsewhere = |engine: &Engine| {
        (0..10)
            .filter(|key| matches!(engine.queries().get(SUM, key), Err(QueryError::Elsewhere { .. })))
            .count()
    };
    let here = |engine: &Engine| (0..10).filter(|key| engine.queries().get(SUM, key).is_ok()).count();
    let end = Instant::now() + WITHIN;
    while elsewhere(&one) + elsewhere(&two) < 10 {
        assert!(Instant::now() < end, "the instances do not know of each other");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(here(&one) + here(&two), 10);

    // One goes, the other takes everything.
    one.stop();
    bench.send(next..next + 5000);
    bench.check(&[&two]);

    // The broker goes and comes back. In good order: killed, one that is alone may forget the markers of the last transaction for good.
    testbed::block_on(async {
        bed.kafka().stop().unwrap();
        bed.kafka().start().await.unwrap();
    });
    bench.send(next + 5000..next + 6000);
    bench.check(&[&two]);

    // State is carried on, not made anew.
    two.stop();
    let two = bench.engine("two");
    bench.send(next + 6000..next + 6001);
    bench.check(&[&two]);
    two.stop();
}

/// Waits until an instance serves as many task groups as this.
#[track_caller]
fn until_it_serves(engine: &Engine, count: usize) -> Vec<u32> {
    let end = Instant::now() + WITHIN;
    loop {
        let groups = engine.queries().groups();
        if groups.len() == count {
            return groups;
        }
        assert!(Instant::now() < end, "{groups:?}: {:?}", engine.trouble());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A session that is longer than the test may take: nothing here waits for its end.
#[test]
fn who_stops_for_good_hands_over_at_once_and_who_is_back_soon_has_its_tasks_back() {
    let bed = Testbed::builder().kafka().start_blocking().unwrap();
    let mut bench = Bench::on(&bed);
    let settings = EngineSettings {
        session_timeout: Duration::from_secs(300),
        ..EngineSettings::default()
    };
    let one = bench.engine_with("one", settings.clone());
    let two = bench.engine_with("two", settings.clone());
    bench.send(0..1_000);
    bench.check(&[&one, &two]);
    let of_one = until_it_serves(&one, 2);
    let of_two = until_it_serves(&two, 2);

    one.stop_for_restart();
    let one = bench.engine_with("one", settings);
    assert_eq!(until_it_serves(&one, 2), of_one);
    assert_eq!(two.queries().groups(), of_two, "nothing moved meanwhile");
    bench.send(1_000..2_000);
    bench.check(&[&one, &two]);

    one.stop();
    assert_eq!(until_it_serves(&two, 4), [0, 1, 2, 3]);
    bench.send(2_000..3_000);
    bench.check(&[&two]);
    two.stop();
}

#[test]
fn partitions_added_to_an_input_are_noticed_and_read_after_a_restart() {
    let bed = Testbed::builder().kafka().start_blocking().unwrap();
    let mut bench = Bench::on(&bed);
    let engine = bench.engine("one");
    bench.send(0..1_000);
    bench.check(&[&engine]);
    assert_eq!(engine.must_restart(), None);

    bench
        .broker
        .add_partitions(AMOUNTS.name(), 7, Duration::from_secs(20))
        .unwrap();
    let end = Instant::now() + WITHIN;
    let why = loop {
        if let Some(why) = engine.must_restart() {
            break why;
        }
        assert!(Instant::now() < end, "nobody noticed");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(why.contains("amounts has 7 partitions, and had 4"), "{why}");
    assert!(!engine.queries().readiness().ready);

    // A producer that is made now knows all of them; the restart is sooner than the session's end.
    bench.send(1_000..3_000);
    engine.stop();
    let engine = bench.engine("one");
    bench.check(&[&engine]);
    assert_eq!(engine.queries().groups(), (0..7).collect::<Vec<u32>>());
    assert_eq!(engine.must_restart(), None);
    engine.stop();

    // On the same Kafka.
    topics_that_match_are_read_by_all_instances_when_they_come(&bench);
}

const ORDERS: TopicPattern<i64, i64> = TopicPattern::new("orders", "orders-[a-z]+");
const TOTAL: KeyValue<i64, i64> = KeyValue::new("total");

/// Adds up by key.
struct Total;

impl Processor for Total {
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

fn topics_that_match_are_read_by_all_instances_when_they_come(bench: &Bench) {
    let totals = |instance: &str| {
        let builder = Builder::new("totals-app");
        builder.stream_matching(ORDERS).process("total", TOTAL, || Total);
        // A name of its own: the folder of another application is another's.
        bench.run(
            builder.build().unwrap(),
            &format!("totals-{instance}"),
            EngineSettings::default(),
        )
    };
    let (one, two) = (totals("one"), totals("two"));
    let engines = [&one, &two];
    let mut sent: BTreeMap<i64, i64> = BTreeMap::new();
    for (round, of) in ["a", "b", "c"].into_iter().enumerate() {
        let topic = format!("orders-{of}");
        let spec = TopicSpec {
            name: topic.clone(),
            partitions: 4,
            accept_existing: true,
            cleanup: CleanupPolicy::Delete(None),
            settings: broker::TopicSettings::default(),
        };
        bench.broker.ensure_topics(&[spec], Duration::from_secs(20)).unwrap();
        let mut producer = bench.broker.producer("orders").unwrap();
        for key in 0..100_i64 {
            let (key_bytes, value) = (key.to_be_bytes(), (key + 1).to_be_bytes());
            let record = Outgoing {
                topic: &topic,
                partition: None,
                key: Some(&key_bytes),
                value: Some(&value),
                timestamp_ms: 1,
                headers: &[],
            };
            producer.send_all(&[record]).unwrap();
            *sent.entry(key).or_default() += key + 1;
        }
        let end = Instant::now() + WITHIN;
        loop {
            let mut got: BTreeMap<i64, i64> = BTreeMap::new();
            for engine in engines {
                got.extend(engine.queries().page(TOTAL, None, 1_000, |_, _| true).unwrap().value);
            }
            let mut read: Vec<(String, u32)> = Vec::new();
            for engine in engines {
                read.extend(engine.queries().lag().into_iter().map(|input| (input.topic, input.partition)));
            }
            if got == sent && read.len() == 4 * (round + 1) {
                break;
            }
            let trouble: Vec<_> = engines.iter().map(|engine| engine.trouble()).collect();
            assert!(Instant::now() < end, "{read:?} {got:?} {trouble:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert!(engines.iter().all(|engine| engine.queries().groups().len() == 2));
    one.stop();
    two.stop();
}

/// While the broker is away, the member's session ends on both sides; what librdkafka says then may fence itself.
#[test]
fn an_outage_longer_than_the_session_is_got_over() {
    let bed = Testbed::builder().kafka().start_blocking().unwrap();
    let mut bench = Bench::on(&bed);
    let session_timeout = Duration::from_secs(1);
    let engine = bench.engine_with(
        "one",
        EngineSettings {
            session_timeout,
            ..EngineSettings::default()
        },
    );
    for round in 0..2 {
        bench.send(round * 1_000..(round + 1) * 1_000);
        bench.check(&[&engine]);
        testbed::block_on(async {
            // In good order, as above.
            bed.kafka().stop().unwrap();
            tokio::time::sleep(session_timeout).await;
            bed.kafka().start().await.unwrap();
        });
    }
    bench.send(2_000..3_000);
    bench.check(&[&engine]);
    engine.stop();
}
