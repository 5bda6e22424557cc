//! Tests of topologies: the engine's own workers, in steps, on an in-process log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker::in_process::{InProcessBroker, Limits};
use broker::{Broker, Outgoing, Polled, Reader, Start, TopicPartition};
use wire::{Codec, MemoryRegistry, Registry, Topic, Wire};

use crate::clock::ManualClock;
use crate::error::EngineError;
use crate::graph::Topology;
use crate::query::Queries;
use crate::record::Record;
use crate::runtime::{EngineParts, EngineSettings, Metrics, Parts, Shared, Worker, prepare, watch_partitions};
use crate::store::{Backends, KeyValue, MemoryBackends, StoreKey, StoreValue, View};

/// Runs a topology step by step: what is sent is processed to the end before the call returns.
pub struct TestDriver {
    broker: InProcessBroker,
    registry: Arc<dyn Registry>,
    parts: Parts,
    shared: Arc<Shared>,
    /// One per thread of the settings; `None` while it is down.
    workers: Vec<Option<Worker>>,
    clock: ManualClock,
    /// The log's own time, in milliseconds. It passes only while the driver waits, so that no worker is taken for dead when a
    /// test moves the wall clock on at once.
    log_time: Arc<AtomicU64>,
    metrics: prometheus::Registry,
    readers: BTreeMap<String, Box<dyn Reader>>,
}

/// Bounds a settling: a topology that feeds itself would never end.
const TURNS_MAX: usize = 100_000;

impl TestDriver {
    /// Starts a topology with two partitions and state in memory.
    pub fn new(topology: Topology) -> Result<Self, EngineError> {
        Self::with(
            topology,
            EngineSettings {
                partitions: 2,
                ..EngineSettings::default()
            },
            Arc::new(MemoryBackends::default()),
        )
    }

    /// Starts a topology with these settings and this state.
    pub fn with(topology: Topology, settings: EngineSettings, backends: Arc<dyn Backends>) -> Result<Self, EngineError> {
        Self::through(topology, settings, backends, |broker| Arc::new(broker))
    }

    /// As [`TestDriver::with`]; the engine reaches the log through what `wrap` makes of it, such as something that injects faults.
    pub fn through(
        topology: Topology,
        settings: EngineSettings,
        backends: Arc<dyn Backends>,
        wrap: impl FnOnce(InProcessBroker) -> Arc<dyn Broker>,
    ) -> Result<Self, EngineError> {
        let clock = ManualClock::at(1_700_000_000_000);
        let log_time = Arc::new(AtomicU64::new(0));
        let log_clock = log_time.clone();
        let log_clock = move || Duration::from_millis(log_clock.load(Ordering::SeqCst));
        let broker = InProcessBroker::with(Limits::default(), Arc::new(log_clock));
        let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::default());
        let told = prometheus::Registry::new();
        let metrics = Metrics::register("test", &told).map_err(|e| EngineError::Topology(e.to_string()))?;
        let parts = EngineParts {
            broker: wrap(broker.clone()),
            backends,
            registry: registry.clone(),
            clock: Arc::new(clock.clone()),
            metrics,
        };
        // The log answers at once, and what it waits for comes only with turns and time that the driver gives.
        let settings = EngineSettings {
            broker_timeout: Duration::ZERO,
            ..settings
        };
        let parts = prepare(topology, settings, parts)?;
        let mut driver = Self {
            broker,
            registry,
            parts,
            shared: Arc::default(),
            workers: Vec::new(),
            clock,
            log_time,
            metrics: told,
            readers: BTreeMap::new(),
        };
        driver.start()?;
        Ok(driver)
    }

    fn start(&mut self) -> Result<(), EngineError> {
        self.shared = Arc::default();
        self.workers.clear();
        for index in 0..self.parts.settings.threads {
            self.workers.push(Some(self.new_worker(index)?));
        }
        self.settle();
        Ok(())
    }

    fn new_worker(&self, index: usize) -> Result<Worker, EngineError> {
        let flusher = crate::runtime::Flusher::in_place(self.parts.metrics.clone());
        Worker::new(index, self.parts.clone(), self.shared.clone(), flusher)
    }

    /// Lets the group take a worker for dead, which may live on and not know.
    pub fn expire_session(&self, worker: usize) {
        let application = self.parts.topology.application();
        let member = format!("{application}-{}-{worker}", self.parts.settings.instance);
        self.broker.expire_member(application, &member);
    }

    /// The wall clock, for processors that take their time.
    pub fn clock(&self) -> ManualClock {
        self.clock.clone()
    }

    /// The log beneath, for what the driver has no word for.
    pub fn broker(&self) -> &InProcessBroker {
        &self.broker
    }

    /// Puts another registry beneath, which counts from the next [`TestDriver::deploy`] on.
    pub fn set_registry(&mut self, registry: Arc<dyn Registry>) {
        self.registry = registry.clone();
        self.parts.registry = registry;
    }

    /// The registry beneath.
    pub fn registry(&self) -> Arc<dyn Registry> {
        self.registry.clone()
    }

    /// Sends a record at an event time (milliseconds since the epoch) and processes it; `None` is a tombstone.
    pub fn send<K: Wire, V: Wire>(&mut self, topic: Topic<K, V>, at_ms: i64, key: &K, value: Option<&V>) {
        self.queue(topic, at_ms, key, value);
        self.settle();
    }

    /// Sends a record without processing it yet.
    pub fn queue<K: Wire, V: Wire>(&mut self, topic: Topic<K, V>, at_ms: i64, key: &K, value: Option<&V>) {
        let register = |subject: &str| subject.to_owned();
        let (mut key_bytes, mut value_bytes) = (Vec::new(), Vec::new());
        let key_codec =
            Codec::register::<K>(self.registry.clone(), &register(&topic.key_subject())).expect("the key's schema is accepted");
        key.encode(&key_codec, &mut key_bytes).expect("the key is encoded");
        if let Some(value) = value {
            let codec =
                Codec::register::<V>(self.registry.clone(), &topic.value_subject()).expect("the value's schema is accepted");
            value.encode(&codec, &mut value_bytes).expect("the value is encoded");
        }
        self.queue_bytes(topic.name(), at_ms, Some(&key_bytes), value.is_some().then_some(&value_bytes));
    }

    /// Sends bytes as they are, without processing them yet.
    pub fn queue_bytes(&mut self, topic: &str, at_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.queue_record(Outgoing {
            topic,
            partition: None,
            key,
            value,
            timestamp_ms: at_ms,
            headers: &[],
        });
    }

    /// Sends a record as it is, headers and all, without processing it yet.
    pub fn queue_record(&mut self, record: Outgoing<'_>) {
        let mut producer = self.broker.producer("test").expect("the log is in this process");
        producer.send_all(&[record]).expect("the log is in this process");
    }

    /// Sends bytes as they are, and processes them.
    pub fn send_bytes(&mut self, topic: &str, at_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.queue_bytes(topic, at_ms, key, value);
        self.settle();
    }

    /// Processes and commits until nothing moves. While a fault is waited out, or a transaction that a worker left open, time
    /// passes.
    pub fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..TURNS_MAX {
            let mut moved = false;
            for worker in self.workers.iter_mut().flatten() {
                moved |= worker.turn(Duration::ZERO);
            }
            // One quiet turn may only mean that a fault is being waited out, or that a commit has just fed another task.
            quiet = if moved { 0 } else { quiet + 1 };
            if quiet >= 3 {
                let trouble = self.shared.trouble.lock().clone();
                if trouble.is_empty() && self.broker.open_transactions() == 0 {
                    return;
                }
                self.wait_a_second();
            }
        }
        panic!("the topology does not come to rest: {:?}", self.shared.trouble.lock());
    }

    fn wait_a_second(&mut self) {
        self.clock.advance(Duration::from_secs(1));
        self.log_time.fetch_add(1_000, Ordering::SeqCst);
        self.broker.tick();
    }

    /// Runs turns of one worker without waiting for rest: for faults in the middle of the work.
    pub fn turns(&mut self, worker: usize, count: usize) {
        if let Some(worker) = &mut self.workers[worker] {
            for _ in 0..count {
                worker.turn(Duration::ZERO);
            }
        }
    }

    /// Ends one worker, cleanly or as `kill -9` would; the others take over its tasks, until [`TestDriver::revive`].
    pub fn take_down(&mut self, worker: usize, cleanly: bool) {
        match self.workers[worker].take() {
            Some(down) if cleanly => down.close(),
            // Its process would be gone, and with it what it shared.
            Some(down) => down.abandon(),
            None => {}
        }
        self.shared.trouble.lock().remove(&worker);
        self.expire_session(worker);
    }

    /// Whether a worker has tasks, rightly or not.
    pub fn has_tasks(&self, worker: usize) -> bool {
        self.workers[worker].as_ref().is_some_and(|worker| !worker.tasks.is_empty())
    }

    /// Starts a worker that was taken down.
    pub fn revive(&mut self, worker: usize) -> Result<(), EngineError> {
        if self.workers[worker].is_none() {
            self.workers[worker] = Some(self.new_worker(worker)?);
        }
        Ok(())
    }

    /// Moves the wall clock on without processing yet.
    pub fn pass_time(&mut self, by: Duration) {
        self.clock.advance(by);
    }

    /// Moves the wall clock on, which may call punctuators and flush state.
    pub fn advance_wall_clock(&mut self, by: Duration) {
        self.clock.advance(by);
        self.settle();
    }

    /// Ends the workers as `kill -9` would, and starts others on the same log and state.
    pub fn crash(&mut self) -> Result<(), EngineError> {
        self.workers.clear();
        (0..self.parts.settings.threads).for_each(|worker| self.expire_session(worker));
        self.start()
    }

    /// Ends the workers cleanly, and starts others.
    pub fn restart(&mut self) -> Result<(), EngineError> {
        self.workers.drain(..).flatten().for_each(Worker::close);
        self.start()
    }

    /// Ends the workers cleanly, and starts a topology on the same log and state as a new process would.
    pub fn deploy(&mut self, topology: Topology) -> Result<(), EngineError> {
        self.workers.drain(..).flatten().for_each(Worker::close);
        // The topology may give its members other names, and those that were named before keep their places for a session.
        (0..self.parts.settings.threads).for_each(|worker| self.expire_session(worker));
        let Parts {
            broker,
            backends,
            registry,
            clock,
            metrics,
            settings,
            ..
        } = self.parts.clone();
        let parts = EngineParts {
            broker,
            backends,
            registry,
            clock,
            metrics,
        };
        self.parts = prepare(topology, (*settings).clone(), parts)?;
        self.start()
    }

    /// The records that came to a topic since the last call, by partition and offset.
    pub fn drain<K: Wire, V: Wire>(&mut self, topic: Topic<K, V>) -> Vec<Record<K, Option<V>>> {
        let codec = Codec::reader(self.registry.clone());
        self.drain_bytes(topic.name())
            .into_iter()
            .map(|message| {
                let key = K::decode(message.key.as_deref().unwrap_or_default(), &codec).expect("the key is decoded");
                let value = message
                    .value
                    .map(|bytes| V::decode(&bytes, &codec).expect("the value is decoded"));
                Record::new(key, value, message.timestamp_ms)
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

    /// The committed content of a store, all partitions, in key order.
    pub fn view<K: StoreKey + Ord, V: StoreValue>(&self, store: KeyValue<K, V>) -> Vec<(K, V)> {
        let mut all = Vec::new();
        let served: BTreeMap<_, _> = self
            .shared
            .served
            .read()
            .iter()
            .map(|(at, served)| (*at, served.clone()))
            .collect();
        for ((name, _), served) in served {
            if name == store.name() {
                let view: &View<K, V> = served.view.downcast_ref().expect("a store has the types of its definition");
                all.extend(view.to_vec().expect("the store can be read"));
            }
        }
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// Counts the inputs' partitions as an engine does every few seconds, and processes. Returns why a restart is needed, if one is.
    pub fn watch_partitions(&mut self) -> Result<Vec<String>, EngineError> {
        watch_partitions(&self.parts, &self.shared)?;
        self.settle();
        Ok(self.shared.must_restart())
    }

    /// The engine's metrics, prefixed `test_`.
    pub fn metrics(&self) -> &prometheus::Registry {
        &self.metrics
    }

    /// The engine's own queries, on this driver.
    pub fn queries(&self) -> Queries {
        Queries::new(self.shared.clone(), &self.parts, "test")
    }
}
