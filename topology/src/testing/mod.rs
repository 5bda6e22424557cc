//! Tests of topologies: the engine's own workers, in steps, on an in-process log.

mod client;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker::in_process::{InProcessBroker, Limits};
use broker::{Broker, CleanupPolicy, Outgoing, Polled, Reader, Start, TopicPartition, TopicSettings, TopicSpec};
use wire::{Codec, MemoryRegistry, Registry, Topic, Wire};

pub use client::Client;

#[cfg(feature = "planted")]
pub use crate::planted::plant;

use crate::clock::{ManualClock, Millis};
use crate::error::EngineError;
use crate::graph::Topology;
use crate::query::Queries;
use crate::record::Record;
use crate::runtime::{
    EngineParts, EngineSettings, Flusher, Metrics, Parts, Scheduled, Shared, StateManager, Switches, Worker, clean_up, prepare,
    watch_matching, watch_partitions,
};
use crate::store::{Backends, KeyValue, MemoryBackends, StoreKey, StoreValue, View};

/// Runs a topology step by step: what is sent is processed to the end before the call returns.
pub struct TestDriver {
    broker: InProcessBroker,
    registry: Arc<dyn Registry>,
    parts: Parts,
    shared: Arc<Shared>,
    /// One per thread of the settings; `None` while it is down.
    workers: Vec<Option<Worker>>,
    /// The flushes of each worker, which outlive it while its process runs.
    flushes: Vec<Vec<Arc<Scheduled>>>,
    switches: Arc<Switches>,
    /// Where workers keep their state that do not share the engine's.
    disks: BTreeMap<usize, Arc<dyn Backends>>,
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
    ///
    /// # Errors
    ///
    /// As [`Engine::start`](crate::Engine::start).
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
    ///
    /// # Errors
    ///
    /// As [`Engine::start`](crate::Engine::start).
    pub fn with(topology: Topology, settings: EngineSettings, backends: Arc<dyn Backends>) -> Result<Self, EngineError> {
        Self::through(topology, settings, backends, |broker| Arc::new(broker))
    }

    /// As [`TestDriver::with`]; the engine reaches the log through what `wrap` makes of it, such as something that injects faults.
    ///
    /// # Errors
    ///
    /// As [`Engine::start`](crate::Engine::start).
    pub fn through(
        topology: Topology,
        settings: EngineSettings,
        backends: Arc<dyn Backends>,
        wrap: impl FnOnce(InProcessBroker) -> Arc<dyn Broker>,
    ) -> Result<Self, EngineError> {
        let clock = ManualClock::at(Millis(1_700_000_000_000));
        let log_time = Arc::new(AtomicU64::new(0));
        let log_clock = log_time.clone();
        let log_clock = move || Duration::from_millis(log_clock.load(Ordering::SeqCst));
        let broker = InProcessBroker::with(Limits::default(), Arc::new(log_clock));
        let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::default());
        let told = prometheus::Registry::new();
        let metrics = Metrics::register("test", &told)?;
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
            flushes: Vec::new(),
            switches: Arc::default(),
            disks: BTreeMap::new(),
            clock,
            log_time,
            metrics: told,
            readers: BTreeMap::new(),
        };
        driver.start()?;
        Ok(driver)
    }

    fn start(&mut self) -> Result<(), EngineError> {
        self.parts.plan = self.shared.plans.newest(&self.parts.plan);
        self.shared = Arc::default();
        let threads = self.parts.settings.threads;
        self.workers = std::iter::repeat_with(|| None).take(threads).collect();
        // What an earlier process has not written, nobody writes.
        self.flushes.drain(..).flatten().for_each(|flushes| flushes.forget());
        self.flushes.resize_with(threads, Vec::new);
        (0..threads).try_for_each(|worker| self.revive(worker))?;
        self.settle();
        Ok(())
    }

    fn new_worker(&mut self, index: usize) -> Result<Worker, EngineError> {
        let mut parts = self.parts.clone();
        if let Some(disk) = self.disks.get(&index) {
            parts.backends = disk.clone();
        }
        let flushes = Scheduled::new(parts.metrics.clone(), &self.switches);
        let state = StateManager::stepped(&parts, index)?;
        let worker = Worker::new(index, parts, self.shared.clone(), state, Flusher::scheduled(&flushes))?;
        self.flushes[index].retain(|earlier| !earlier.is_empty());
        self.flushes[index].push(flushes);
        Ok(worker)
    }

    /// From its next start on, a worker keeps its state here, as one of another instance would.
    pub fn give_disk(&mut self, worker: usize, disk: Arc<dyn Backends>) {
        self.disks.insert(worker, disk);
    }

    /// Whether flushes wait until [`TestDriver::run_flush`], [`TestDriver::settle`] or a worker that waits for them; else each is
    /// written at once.
    pub fn hold_flushes(&mut self, holds: bool) {
        self.switches.holds.store(holds, Ordering::Relaxed);
    }

    /// Whether the disk does not answer: flushes wait, and whoever waits for one gives up.
    pub fn hang_flushes(&mut self, hangs: bool) {
        self.switches.hangs.store(hangs, Ordering::Relaxed);
    }

    /// Runs the flush of a worker that has waited longest. Returns whether one was written.
    pub fn run_flush(&mut self, worker: usize) -> bool {
        let waiting = self.flushes[worker].iter().find(|flushes| !flushes.is_empty());
        let Some(flushes) = waiting else { return false };
        let is_written = flushes.run_next();
        // A worker that is gone has nobody who would try again.
        let is_orphan =
            !self.flushes[worker].last().is_some_and(|last| Arc::ptr_eq(last, flushes)) || self.workers[worker].is_none();
        if !is_written && is_orphan && !self.switches.hangs.load(Ordering::Relaxed) {
            flushes.forget();
        }
        is_written
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

    /// Whether a worker is up.
    pub fn is_up(&self, worker: usize) -> bool {
        self.workers[worker].is_some()
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

    /// Processes and commits until nothing moves. While a fault is waited out, or a transaction that a worker left open, time
    /// passes.
    pub fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..TURNS_MAX {
            let mut moved = false;
            for worker in self.workers.iter_mut().flatten() {
                moved |= worker.turn(Duration::ZERO);
            }
            if !moved {
                for worker in 0..self.workers.len() {
                    moved |= self.run_flush(worker);
                }
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
        for _ in 0..count {
            if !self.switches.holds.load(Ordering::Relaxed) {
                while self.run_flush(worker) {}
            }
            if let Some(worker) = &mut self.workers[worker] {
                worker.turn(Duration::ZERO);
            }
        }
    }

    /// Ends one worker, cleanly or as `kill -9` would; the others take over its tasks, until [`TestDriver::revive`].
    pub fn take_down(&mut self, worker: usize, cleanly: bool) {
        if !cleanly {
            // Its process is gone, and with it what it shared, and what an earlier worker of it had still to write.
            self.flushes[worker].drain(..).for_each(|flushes| flushes.forget());
        }
        match self.workers[worker].take() {
            Some(down) if cleanly => down.close(),
            Some(down) => down.abandon(),
            None => {}
        }
        self.shared.trouble.lock().remove(&worker);
        self.expire_session(worker);
    }

    /// Whether a worker has tasks, rightly or not.
    pub fn has_tasks(&self, worker: usize) -> bool {
        self.workers[worker].as_ref().is_some_and(Worker::has_tasks)
    }

    /// Starts a worker that was taken down.
    ///
    /// # Errors
    ///
    /// Its threads or its readers cannot be made.
    pub fn revive(&mut self, worker: usize) -> Result<(), EngineError> {
        if self.workers[worker].is_none() {
            // One that could not leave the group, or came no further than that, is dead by now.
            self.expire_session(worker);
            self.workers[worker] = Some(self.new_worker(worker)?);
        }
        Ok(())
    }

    /// As [`crate::Engine::pause`] and [`crate::Engine::resume`].
    pub fn pause(&mut self, pauses: bool) {
        self.shared.paused.store(pauses, Ordering::Release);
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
    ///
    /// # Errors
    ///
    /// As [`TestDriver::revive`].
    pub fn crash(&mut self) -> Result<(), EngineError> {
        self.workers.clear();
        self.start()
    }

    /// Ends the workers cleanly, and starts others.
    ///
    /// # Errors
    ///
    /// As [`TestDriver::revive`].
    pub fn restart(&mut self) -> Result<(), EngineError> {
        self.workers.drain(..).flatten().for_each(Worker::close);
        self.start()
    }

    /// Ends the workers cleanly, and starts a topology on the same log and state as a new process would.
    ///
    /// # Errors
    ///
    /// As [`TestDriver::with`].
    pub fn deploy(&mut self, topology: Topology) -> Result<(), EngineError> {
        self.prepare(topology)?;
        self.start()
    }

    /// The same, but the workers are started one by one, by [`TestDriver::revive`]: for what does not come to rest.
    ///
    /// # Errors
    ///
    /// As [`TestDriver::with`].
    pub fn prepare(&mut self, topology: Topology) -> Result<(), EngineError> {
        self.workers.iter_mut().filter_map(Option::take).for_each(Worker::close);
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
        self.shared.plans.forget();
        self.parts = prepare(topology, (*settings).clone(), parts)?;
        Ok(())
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
    ///
    /// # Errors
    ///
    /// The log cannot be asked.
    pub fn watch_partitions(&mut self) -> Result<Vec<String>, EngineError> {
        watch_partitions(&self.parts, &self.shared)?;
        self.settle();
        Ok(self.shared.must_restart())
    }

    /// Looks for topics that match the patterns of sources, as an engine does every few seconds. They are read from the next turn on.
    ///
    /// # Errors
    ///
    /// The log cannot be asked.
    pub fn watch_topics(&mut self) -> Result<(), EngineError> {
        watch_matching(&self.parts, &self.shared)
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

    /// Removes state that is too old, as an engine does every hour. Returns how many tasks had some.
    ///
    /// # Errors
    ///
    /// The state cannot be read or removed.
    pub fn clean_up(&self) -> Result<usize, EngineError> {
        Ok(clean_up(&self.parts, &self.shared)?)
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
