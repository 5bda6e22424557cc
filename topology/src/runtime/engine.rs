//! The engine of one process: prepares topics and schemas, starts the workers, ends them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use broker::{Broker, CleanupPolicy, TopicSpec};
use wire::Registry;

use super::directory::Directory;
use super::flusher::Flusher;
use super::shared::Shared;
use super::worker::{Parts, Worker};
use super::{EngineSettings, Metrics};
use crate::clock::Clock;
use crate::error::EngineError;
use crate::graph::{TopicUse, Topology};
use crate::query::Queries;
use crate::store::{Backends, MemoryBackends, StoreContext};

/// The ports that an engine stands on.
#[derive(Clone)]
pub struct EngineParts {
    /// The log.
    pub broker: Arc<dyn Broker>,
    /// Where state is kept.
    pub backends: Arc<dyn Backends>,
    /// Where schemas are kept.
    pub registry: Arc<dyn Registry>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What it tells of itself.
    pub metrics: Metrics,
}

/// A running engine. Dropping it without [`Engine::stop`] stops it as well, but does not wait.
pub struct Engine {
    shared: Arc<Shared>,
    topology: Arc<Topology>,
    queries: Queries,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Checks and creates topics and schemas, then starts the workers. `address` is where other instances reach this one's
    /// queries; it is announced to them.
    pub fn start(topology: Topology, settings: EngineSettings, parts: EngineParts, address: &str) -> Result<Self, EngineError> {
        let prepared = prepare(topology, settings, parts)?;
        let shared: Arc<Shared> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let topology = prepared.topology.clone();
        let queries = Queries::new(shared.clone(), &prepared, address);
        let mut threads = Vec::new();
        for index in 0..prepared.settings.threads.max(1) {
            let name = format!("{}-worker-{index}", topology.application());
            let flusher = Flusher::threaded(&name, prepared.metrics.clone()).map_err(|e| EngineError::Topology(e.to_string()))?;
            let mut worker = Worker::new(index, prepared.clone(), shared.clone(), flusher)?;
            let stop = stop.clone();
            let run = move || {
                while !stop.load(Ordering::Relaxed) {
                    worker.turn(Duration::from_millis(50));
                }
                worker.close();
            };
            threads.push(
                std::thread::Builder::new()
                    .name(name)
                    .spawn(run)
                    .map_err(|e| EngineError::Topology(e.to_string()))?,
            );
        }
        threads.push(Directory::start(prepared, shared.clone(), address.to_owned(), stop.clone())?);
        Ok(Self {
            shared,
            topology,
            queries,
            stop,
            threads,
        })
    }

    /// Answers from committed state.
    pub fn queries(&self) -> Queries {
        self.queries.clone()
    }

    /// The topology that runs.
    pub fn topology(&self) -> Arc<Topology> {
        self.topology.clone()
    }

    /// Why it does not get on, by worker; empty while all is well.
    pub fn trouble(&self) -> Vec<String> {
        self.shared.trouble.lock().values().cloned().collect()
    }

    /// Commits, writes the state, leaves the group, and waits for all of it.
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker had panicked");
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Creates and checks all that must be there before the first record.
pub(crate) fn prepare(topology: Topology, settings: EngineSettings, parts: EngineParts) -> Result<Parts, EngineError> {
    let timeout = settings.broker_timeout;
    let spec = |name: &str, partitions: u32, cleanup: CleanupPolicy| TopicSpec {
        name: name.to_owned(),
        partitions,
        accept_existing: false,
        cleanup,
    };
    let mut specs = Vec::new();
    for (topic, usage) in &topology.topics {
        specs.push(match usage {
            TopicUse::Foreign => TopicSpec {
                accept_existing: true,
                ..spec(topic, settings.partitions, CleanupPolicy::Delete(None))
            },
            TopicUse::Own(cleanup) => spec(topic, settings.partitions, *cleanup),
            TopicUse::Repartition => spec(topic, settings.partitions, CleanupPolicy::Delete(None)),
        });
    }
    specs.push(TopicSpec {
        accept_existing: true,
        ..spec(
            &topology.dead_letter_topic(),
            settings.partitions,
            CleanupPolicy::Delete(None),
        )
    });
    specs.push(spec(&topology.instances_topic(), 1, CleanupPolicy::Compact));
    parts.broker.ensure_topics(&specs, timeout)?;

    let mut sub_partitions = Vec::new();
    for sub in &topology.subs {
        let mut counts = BTreeMap::new();
        for &(topic, _) in &sub.sources {
            let count = parts.broker.partitions(topic, timeout)?;
            counts.insert(
                topic,
                count.ok_or_else(|| EngineError::Topology(format!("topic {topic} is not there")))?,
            );
        }
        let first = counts.values().next().copied().unwrap_or(0);
        if counts.values().any(|count| *count != first) {
            let name = &sub.name;
            return Err(EngineError::Topology(format!(
                "the inputs of {name} must have equally many partitions, but have {counts:?}"
            )));
        }
        sub_partitions.push(first);
    }
    let most = sub_partitions.iter().copied().max().unwrap_or(0).max(settings.partitions);
    let mut specs = vec![spec(&topology.tasks_topic(), most, CleanupPolicy::Delete(None))];
    for (sub, partitions) in topology.subs.iter().zip(&sub_partitions) {
        for &store in &sub.stores {
            specs.push(spec(
                &topology.stores[store].changelog_topic(topology.application()),
                *partitions,
                CleanupPolicy::Compact,
            ));
        }
    }
    parts.broker.ensure_topics(&specs, timeout)?;

    // Once for nothing: registers every schema and refuses what is not compatible.
    for node in &topology.nodes {
        (node.make)(&parts.registry)?;
    }
    let nowhere = MemoryBackends::default().open("prepare", &[])?;
    for store in &topology.stores {
        let changelog_topic = store.changelog_topic(topology.application());
        (store.make)(&StoreContext {
            backend: nowhere.clone(),
            family: 0,
            registry: &parts.registry,
            changelog_topic,
        })?;
    }
    let EngineParts {
        broker,
        backends,
        registry,
        clock,
        metrics,
    } = parts;
    Ok(Parts {
        topology: Arc::new(topology),
        broker,
        backends,
        registry,
        clock,
        metrics,
        settings: Arc::new(settings),
        sub_partitions: Arc::new(sub_partitions),
    })
}

impl Parts {
    /// Partitions of each store.
    pub(crate) fn store_partitions(&self) -> HashMap<&'static str, u32> {
        let subs = self.topology.subs.iter().zip(self.sub_partitions.iter());
        subs.flat_map(|(sub, count)| sub.stores.iter().map(|&s| (self.topology.stores[s].name, *count)))
            .collect()
    }
}
