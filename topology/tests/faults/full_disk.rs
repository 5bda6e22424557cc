//! A disk that is full for a while: answers stay, the trouble is told all the time, and everything is written afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use broker::in_process::InProcessBroker;
use broker::{Broker, Outgoing};
use topology::clock::SystemClock;
use topology::store::{Backend, Backends, Batch, Entries, MemoryBackends, Stored};
use topology::*;
use wire::MemoryRegistry;

use super::{INPUT, TOTAL, sums};

const WITHIN: Duration = Duration::from_secs(20);

/// State that takes no writes while this is set.
struct Full(Arc<MemoryBackends>, Arc<AtomicBool>);

struct FullTask(Arc<dyn Backend>, Arc<AtomicBool>);

impl Backends for Full {
    fn open(&self, task: &str, families: &[&str]) -> Result<Arc<dyn Backend>, StoreError> {
        Ok(Arc::new(FullTask(self.0.open(task, families)?, self.1.clone())))
    }
    fn wipe(&self, task: &str) -> Result<(), StoreError> {
        self.0.wipe(task)
    }
    fn tasks(&self) -> Result<Vec<String>, StoreError> {
        self.0.tasks()
    }
}

impl Backend for FullTask {
    fn get(&self, family: u16, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(family, key)
    }
    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        if self.1.load(Ordering::Relaxed) {
            return Err(StoreError::Backend {
                store: "total".to_owned(),
                reason: "no space left on device".to_owned(),
            });
        }
        self.0.write(batch)
    }
    fn range(&self, family: u16, from: &[u8], to: Option<&[u8]>) -> Entries<'_> {
        self.0.range(family, from, to)
    }
    fn stored(&self) -> Result<Option<Stored>, StoreError> {
        self.0.stored()
    }
    fn size_bytes(&self, family: u16) -> u64 {
        self.0.size_bytes(family)
    }
}

#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < WITHIN, "{what}: not within {WITHIN:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_full_disk_is_told_until_there_is_room_and_costs_no_answer() {
    let (memory, is_full) = (Arc::new(MemoryBackends::default()), Arc::new(AtomicBool::new(false)));
    let broker = InProcessBroker::default();
    let metrics = prometheus::Registry::new();
    let parts = EngineParts {
        broker: Arc::new(broker.clone()),
        backends: Arc::new(Full(memory, is_full.clone())),
        registry: Arc::new(MemoryRegistry::default()),
        clock: Arc::new(SystemClock),
        metrics: Metrics::register("test", &metrics).unwrap(),
    };
    let settings = EngineSettings {
        partitions: 1,
        threads: 1,
        flush_interval: Duration::from_millis(20),
        ..EngineSettings::default()
    };
    let engine = Engine::start(sums(), settings, parts, "http://here").unwrap();
    let queries = engine.queries();
    eventually("it is ready", || queries.readiness().ready);

    let send = |value: i64| {
        let (key, value) = (0_i64.to_be_bytes(), value.to_be_bytes());
        let record = Outgoing {
            topic: INPUT.name(),
            partition: Some(0),
            key: Some(&key[..]),
            value: Some(&value[..]),
            timestamp_ms: 1_000,
            headers: &[],
        };
        broker.producer("test").unwrap().send_all(&[record]).unwrap();
    };
    let total = || queries.get(TOTAL, &0).ok().and_then(|answer| answer.value);
    let failures = || {
        let families = metrics.gather();
        let family = families.iter().find(|family| family.name() == "test_flush_failures_total");
        family.map_or(0.0, |family| family.get_metric()[0].get_counter().get_value())
    };
    assert_eq!(failures(), 0.0);
    is_full.store(true, Ordering::Relaxed);
    send(5);
    eventually("it is counted", || failures() >= 1.0);
    let is_told = || {
        let reasons = queries.readiness().reasons;
        reasons.iter().any(|reason| reason.contains("no space left on device"))
    };
    eventually("it is told", is_told);
    // Not now and then, but as long as it lasts, and while records go on.
    let started = Instant::now();
    let mut sent = 5;
    while started.elapsed() < Duration::from_millis(600) {
        send(1);
        sent += 1;
        std::thread::sleep(Duration::from_millis(20));
        assert!(is_told(), "{:?}", queries.readiness());
        let readiness = queries.readiness();
        assert!(readiness.answers && !readiness.ready, "{readiness:?}");
    }
    eventually("answers go on", || total() == Some(sent));
    is_full.store(false, Ordering::Relaxed);
    eventually("it is over", || queries.readiness().ready);
    assert_eq!(total(), Some(sent));
    engine.stop();
}
