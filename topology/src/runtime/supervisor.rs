//! The supervisor of a process: workers come, go, and are replaced; all of them pause and go on; somebody may listen to how they are.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::at_fault::panic_text;
use super::lifecycle::WorkerState;
use super::parts::Parts;
use super::shared::Shared;
use super::state::{Flusher, StateManager};
use super::worker::Worker;
use crate::error::EngineError;

/// How long it takes before a worker that panicked is replaced.
const REPLACE_AFTER: Duration = Duration::from_secs(1);

struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// The workers of a process.
pub(crate) struct Supervisor {
    parts: Parts,
    shared: Arc<Shared>,
    state: Arc<StateManager>,
    workers: Mutex<BTreeMap<usize, Running>>,
    /// Ends all workers, whoever sets it.
    stop: Arc<AtomicBool>,
    /// How many workers run.
    running: Arc<AtomicUsize>,
    /// One worker comes or goes at a time: a number is free when its worker has ended.
    changes: Mutex<()>,
}

/// Counts a worker for as long as it runs.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(running: &Arc<AtomicUsize>) -> Self {
        running.fetch_add(1, Ordering::AcqRel);
        Self(running.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Supervisor {
    /// Without a worker yet. All end when `stop` is set.
    pub fn new(parts: Parts, shared: Arc<Shared>, stop: Arc<AtomicBool>) -> Result<Self, EngineError> {
        Ok(Self {
            state: StateManager::threaded(&parts)?,
            parts,
            shared,
            workers: Mutex::default(),
            stop,
            running: Arc::default(),
            changes: Mutex::default(),
        })
    }

    /// Tells whether any worker still runs, however this ends.
    pub fn any_runs(&self) -> impl Fn() -> bool + Send + 'static {
        let running = self.running.clone();
        move || running.load(Ordering::Acquire) > 0
    }

    /// Starts one more worker. Returns its number.
    pub fn add_worker(&self) -> Result<usize, EngineError> {
        let _one_at_a_time = self.changes.lock();
        if self.stop.load(Ordering::Relaxed) {
            return Err(EngineError::Ended);
        }
        let mut workers = self.workers.lock();
        let index = (0..).find(|index| !workers.contains_key(index)).unwrap_or_default();
        let worker = make_worker(index, &self.parts, &self.shared, &self.state)?;
        self.shared.lifecycle.worker_is(index, WorkerState::Rebalancing);
        let stop = Arc::new(AtomicBool::new(false));
        let supervised = Supervised {
            index,
            parts: self.parts.clone(),
            shared: self.shared.clone(),
            state: self.state.clone(),
            stop: stop.clone(),
            stop_all: self.stop.clone(),
        };
        let counted = Counted::new(&self.running);
        let run = move || {
            supervised.run(worker);
            drop(counted);
        };
        let name = worker_name(&self.parts, index);
        let spawned = std::thread::Builder::new().name(name).spawn(run);
        let thread = spawned.map_err(|error| {
            self.shared.lifecycle.worker_is_gone(index);
            EngineError::thread(error)
        })?;
        workers.insert(index, Running { stop, thread });
        Ok(index)
    }

    /// Ends the worker that was added last: it commits, writes its state, and leaves its tasks to the others. Waits for that. Returns its
    /// number; `None`: there is none.
    pub fn remove_worker(&self) -> Option<usize> {
        let _one_at_a_time = self.changes.lock();
        let (index, running) = self.workers.lock().pop_last()?;
        end(vec![running]);
        self.shared.lifecycle.worker_is_gone(index);
        self.shared.trouble.lock().remove(&index);
        Some(index)
    }

    /// Ends all workers: each commits, writes its state and leaves the group, unless it is back soon. Waits for that.
    pub fn end(&self) {
        let _one_at_a_time = self.changes.lock();
        self.shared.lifecycle.is_stopping();
        self.stop.store(true, Ordering::Relaxed);
        let workers = std::mem::take(&mut *self.workers.lock());
        end(workers.into_values().collect());
        self.shared.lifecycle.has_stopped();
    }
}

fn end(workers: Vec<Running>) {
    for running in &workers {
        running.stop.store(true, Ordering::Relaxed);
    }
    for running in workers {
        if running.thread.join().is_err() {
            tracing::error!("a worker had panicked");
        }
    }
}

fn worker_name(parts: &Parts, index: usize) -> String {
    format!("{}-worker-{index}", parts.topology.application())
}

fn make_worker(index: usize, parts: &Parts, shared: &Arc<Shared>, state: &Arc<StateManager>) -> Result<Worker, EngineError> {
    let flusher = Flusher::threaded(&worker_name(parts, index), parts.metrics.clone()).map_err(EngineError::thread)?;
    Worker::new(index, parts.clone(), shared.clone(), state.clone(), flusher)
}

/// A worker's thread.
struct Supervised {
    index: usize,
    parts: Parts,
    shared: Arc<Shared>,
    state: Arc<StateManager>,
    stop: Arc<AtomicBool>,
    stop_all: Arc<AtomicBool>,
}

impl Supervised {
    fn is_dead(&self, reason: String) {
        self.shared.trouble.lock().insert(self.index, vec![reason]);
        self.shared.lifecycle.worker_is(self.index, WorkerState::Dead);
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.stop_all.load(Ordering::Relaxed)
    }

    /// Runs a worker until it is to stop. One that panics outside of a processor, where nobody expects it, is dropped as if it had been
    /// killed, so that nothing of it is served on, and another takes its place.
    fn run(&self, worker: Worker) {
        let index = self.index;
        let mut next = Ok(worker);
        while !self.stops() {
            match next {
                Ok(mut worker) => {
                    self.shared.trouble.lock().remove(&index);
                    let mut told = None;
                    let turns = AssertUnwindSafe(|| {
                        while !self.stops() {
                            worker.turn(Duration::from_millis(50));
                            let state = worker.state();
                            if told.replace(state) != Some(state) {
                                self.shared.lifecycle.worker_is(index, state);
                            }
                        }
                    });
                    let Err(panic) = catch_unwind(turns) else {
                        worker.close();
                        return;
                    };
                    let reason = format!("worker {index} panicked and is replaced: {}", panic_text(&*panic));
                    tracing::error!("{reason}");
                    self.parts.metrics.worker_panics.inc();
                    worker.abandon();
                    drop(worker);
                    self.is_dead(reason);
                }
                Err(error) => {
                    tracing::warn!(worker = index, %error, "a worker cannot be started; trying again");
                    let reason = format!("worker {index} cannot be started: {error}");
                    self.is_dead(reason);
                }
            }
            std::thread::sleep(REPLACE_AFTER);
            next = make_worker(index, &self.parts, &self.shared, &self.state);
        }
    }
}
