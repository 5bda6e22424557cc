//! Tests of topologies: the engine's own workers, in steps, on an in-process log.

mod client;
mod lifecycle;
mod records;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker::in_process::{InProcessBroker, Limits};
use broker::{Broker, Reader};
use wire::{MemoryRegistry, Registry};

pub use client::Client;

#[cfg(feature = "planted")]
pub use crate::planted::plant;

use crate::clock::{ManualClock, Millis};
use crate::error::EngineError;
use crate::graph::Topology;
use crate::query::Queries;
use crate::runtime::{
    EngineParts, EngineSettings, Metrics, Parts, Scheduled, Shared, Switches, Worker, clean_up, prepare, watch_matching,
    watch_partitions,
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

    /// Moves the wall clock on without processing yet.
    pub fn pass_time(&mut self, by: Duration) {
        self.clock.advance(by);
    }

    /// Moves the wall clock on, which may call punctuators and flush state.
    pub fn advance_wall_clock(&mut self, by: Duration) {
        self.clock.advance(by);
        self.settle();
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
