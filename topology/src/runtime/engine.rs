//! The engine of one process: prepares topics and schemas, starts the workers, ends them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::EngineSettings;
use super::at_fault::panic_text;
use super::directory::Directory;
use super::flusher::Flusher;
use super::prepare::{EngineParts, prepare};
use super::shared::Shared;
use super::worker::{Parts, Worker};
use crate::error::EngineError;
use crate::graph::Topology;
use crate::query::Queries;

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
    ///
    /// Fails, and leaves the other alone, where another process works with the same state folder ([`EngineError::Store`]) or runs
    /// under the same name ([`EngineError::NameTaken`]). Whether one that said no goodbye still runs takes some seconds to know,
    /// unless its state folder is this one: then it is dead.
    pub fn start(topology: Topology, settings: EngineSettings, parts: EngineParts, address: &str) -> Result<Self, EngineError> {
        // Before anything that another process could notice.
        let folder = parts.backends.claim()?;
        let prepared = prepare(topology, settings, parts)?;
        let shared: Arc<Shared> = Arc::default();
        let directory = Directory::join(prepared.clone(), shared.clone(), address.to_owned(), folder)?;
        let mut engine = Self {
            topology: prepared.topology.clone(),
            queries: Queries::new(shared.clone(), &prepared, address),
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
            shared,
        };
        if let Err(error) = engine.start_threads(&prepared, directory) {
            // Nothing may run on, or hold the folder, that nobody can stop.
            engine.end();
            return Err(error);
        }
        Ok(engine)
    }

    fn start_threads(&mut self, prepared: &Parts, directory: Directory) -> Result<(), EngineError> {
        let alive = Arc::new(());
        for index in 0..prepared.settings.threads.max(1) {
            let worker = start_worker(index, prepared, &self.shared)?;
            let (parts, shared, stop, alive) = (prepared.clone(), self.shared.clone(), self.stop.clone(), alive.clone());
            let run = move || {
                supervise(worker, &parts, &shared, &stop);
                drop(alive);
            };
            let name = format!("{}-worker-{index}", prepared.topology.application());
            let spawned = std::thread::Builder::new().name(name).spawn(run);
            self.threads.push(spawned.map_err(EngineError::thread)?);
        }
        self.threads.push(directory.start(self.stop.clone(), alive)?);
        Ok(())
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
        self.shared.troubles()
    }

    /// Why this engine should be stopped and started anew: an input has other partitions than at the start. It stands still there,
    /// and answers queries on. `None` while all is well.
    pub fn must_restart(&self) -> Option<String> {
        let reasons = self.shared.must_restart();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// Why this engine has ended by itself: a later process took over its name while this one gave no sign of life. It answers
    /// nothing more, and must be stopped. `None` while all is well.
    pub fn ended(&self) -> Option<String> {
        self.shared.ended.lock().clone()
    }

    /// Commits, writes the state, leaves the group, and waits for all of it. The others have its tasks at once. Where there are no
    /// others, it is as [`Engine::stop_for_restart`]: Kafka would let the first member of an empty group wait (3 s by default).
    pub fn stop(self) {
        if self.shared.others.read().is_empty() {
            self.shared.returns.store(true, Ordering::Release);
        }
        self.end();
    }

    /// The same, but keeps the membership: nobody else has its tasks until the session is over
    /// ([`EngineSettings::session_timeout`]), and an engine of the same instance that starts sooner has them back at once, with
    /// their state at hand.
    pub fn stop_for_restart(self) {
        self.shared.returns.store(true, Ordering::Release);
        self.end();
    }

    fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker had panicked");
            }
        }
    }
}

/// How long it takes before a worker that panicked is replaced.
const REPLACE_AFTER: Duration = Duration::from_secs(1);

fn start_worker(index: usize, parts: &Parts, shared: &Arc<Shared>) -> Result<Worker, EngineError> {
    let name = format!("{}-worker-{index}", parts.topology.application());
    let flusher = Flusher::threaded(&name, parts.metrics.clone()).map_err(EngineError::thread)?;
    Worker::new(index, parts.clone(), shared.clone(), flusher)
}

/// Runs a worker until the engine stops. One that panics outside of a processor, where nobody expects it, is dropped as if it had been
/// killed, so that nothing of it is served on, and another takes its place.
fn supervise(worker: Worker, parts: &Parts, shared: &Arc<Shared>, stop: &AtomicBool) {
    let index = worker.index;
    let mut next = Ok(worker);
    while !stop.load(Ordering::Relaxed) {
        match next {
            Ok(mut worker) => {
                shared.trouble.lock().remove(&index);
                let turns = AssertUnwindSafe(|| {
                    while !stop.load(Ordering::Relaxed) {
                        worker.turn(Duration::from_millis(50));
                    }
                });
                let Err(panic) = catch_unwind(turns) else {
                    worker.close();
                    return;
                };
                let reason = format!("worker {index} panicked and is replaced: {}", panic_text(&*panic));
                tracing::error!("{reason}");
                parts.metrics.worker_panics.inc();
                shared.trouble.lock().insert(index, vec![reason]);
                worker.abandon();
                drop(worker);
            }
            Err(error) => {
                tracing::warn!(worker = index, %error, "a worker cannot be started; trying again");
                let reason = format!("worker {index} cannot be started: {error}");
                shared.trouble.lock().insert(index, vec![reason]);
            }
        }
        std::thread::sleep(REPLACE_AFTER);
        next = start_worker(index, parts, shared);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
