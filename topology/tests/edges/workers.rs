//! Workers: one that panics is replaced, one whose disk is slow stands still in time, and all that is wrong is listed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use broker::in_process::InProcessBroker;
use broker::{Broker, Outgoing};
use topology::clock::SystemClock;
use topology::*;
use wire::MemoryRegistry;

use crate::support::*;

const WITHIN: Duration = Duration::from_secs(30);

#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < WITHIN, "{what}: not within {WITHIN:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn send(broker: &InProcessBroker, key: i64) {
    let (key, value) = (key.to_be_bytes(), 1i64.to_be_bytes());
    let record = Outgoing {
        topic: INPUT.name(),
        partition: None,
        key: Some(&key[..]),
        value: Some(&value[..]),
        timestamp_ms: 1_000,
        headers: &[],
    };
    broker.producer("test").unwrap().send_all(&[record]).unwrap();
}

#[test]
fn a_worker_that_panics_is_replaced_and_serves_nothing_meanwhile() {
    let broker = InProcessBroker::default();
    let log = Log::waiting();
    let metrics = prometheus::Registry::new();
    let parts = EngineParts {
        broker: Arc::new(OnLog(broker.clone(), log.clone())),
        backends: Arc::new(Disk::default()),
        registry: Arc::new(MemoryRegistry::default()),
        clock: Arc::new(SystemClock),
        metrics: Metrics::register("test", &metrics).unwrap(),
    };
    let engine = Engine::start(sums(), one_partition(), parts, "http://here").unwrap();
    let queries = engine.queries();
    eventually("it is ready", || queries.readiness().ready);
    (0..5).for_each(|key| send(&broker, key));
    let count = || queries.get(TOTAL, &4).ok().and_then(|answer| answer.value);
    eventually("it counts", || count() == Some(1));
    // Where nobody expects it: in the client of the log.
    let panicked = Arc::new(AtomicBool::new(false));
    let once = panicked.clone();
    set(&log.commit, move |_| {
        assert!(once.swap(true, Ordering::Relaxed), "a fault of the client");
        None
    });
    send(&broker, 4);
    eventually("it has panicked", || panicked.load(Ordering::Relaxed));
    eventually("it is gone", || queries.get(TOTAL, &4).is_err());
    assert!(!queries.readiness().ready);
    eventually("another has its place", || count() == Some(2) && queries.readiness().ready);
    engine.stop();
}

#[test]
fn a_disk_that_takes_nothing_stops_its_task_before_memory_ends() {
    let settings = EngineSettings {
        unflushed_keys_max: 100,
        flush_interval: Duration::from_millis(1),
        ..one_partition()
    };
    let broker = InProcessBroker::default();
    let disk = Disk::default();
    let is_full = Arc::new(AtomicBool::new(false));
    let full = is_full.clone();
    *disk.faults.write.lock() = Some(Box::new(move |_| full.load(Ordering::Relaxed)));
    let metrics = prometheus::Registry::new();
    let parts = EngineParts {
        broker: Arc::new(broker.clone()),
        backends: Arc::new(disk),
        registry: Arc::new(MemoryRegistry::default()),
        clock: Arc::new(SystemClock),
        metrics: Metrics::register("test", &metrics).unwrap(),
    };
    let engine = Engine::start(sums(), settings, parts, "http://here").unwrap();
    let queries = engine.queries();
    eventually("it is ready", || queries.readiness().ready);
    is_full.store(true, Ordering::Relaxed);
    let listed = || {
        queries
            .readiness()
            .reasons
            .join("; ")
            .contains("processes nothing more before its state is written")
    };
    let mut sent = 0;
    let started = Instant::now();
    while !listed() {
        assert!(
            started.elapsed() < WITHIN,
            "{:?} after {sent}; {:?} {:?}",
            queries.readiness(),
            queries.lag(),
            queries.get(TOTAL, &(sent - 100)).map(|a| a.value)
        );
        send(&broker, sent);
        sent += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    // What is committed answers; what comes now waits in the log.
    assert!(queries.get(TOTAL, &0).unwrap().value.is_some());
    assert!(queries.readiness().answers);
    send(&broker, -1);
    is_full.store(false, Ordering::Relaxed);
    eventually("it goes on", || {
        queries.readiness().ready && queries.get(TOTAL, &-1).unwrap().value.is_some()
    });
    for key in 0..sent {
        assert_eq!(queries.get(TOTAL, &key).unwrap().value, Some(1), "key {key}");
    }
    engine.stop();
}

#[test]
fn what_holds_up_each_task_is_listed() {
    let settings = EngineSettings {
        partitions: 3,
        ..EngineSettings::default()
    };
    let mut world = World::new(sums(), settings);
    world.queue_ones(0..30);
    let mut reader = world.driver.broker().reader("test").unwrap();
    world.driver.settle();
    world.driver.take_down(0, true);
    world.queue_ones(30..60);
    for partition in 0..2 {
        let input = broker::TopicPartition::new(INPUT.name(), partition);
        let (_, end) = reader.bounds(&input, Duration::ZERO).unwrap();
        world.driver.broker().delete_records(&[(input, end)], Duration::ZERO).unwrap();
    }
    world.driver.revive(0).unwrap();
    world.driver.turns(0, 30);
    let trouble = world.trouble();
    assert!(
        trouble.contains("input-0") && trouble.contains("input-1") && !trouble.contains("input-2"),
        "{trouble}"
    );
}
