//! How an engine is: what its workers say of themselves, put together, and who listens to that.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parking_lot::Mutex;

use super::at_fault::panic_text;

/// How an engine is, by the names of Kafka Streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum EngineState {
    /// It has no worker.
    #[default]
    Created,
    /// It joins its group, tasks come or go, or are being restored.
    Rebalancing,
    /// All tasks that it has process records. It may have none.
    Running,
    /// It was told to stop.
    PendingShutdown,
    /// It has stopped.
    NotRunning,
    /// All of its workers have panicked or cannot be started, which is tried again; or it has ended by itself.
    Error,
}

/// Is called with the new state, and the one before.
pub(crate) type StateListener = Box<dyn Fn(EngineState, EngineState) + Send + Sync>;

/// How a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkerState {
    /// It waits for its group, or not all of its tasks run.
    Rebalancing,
    Running,
    /// It panicked, or cannot be started.
    Dead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    #[default]
    Open,
    Stopping,
    Stopped,
    Ended,
}

#[derive(Default)]
struct Inner {
    workers: BTreeMap<usize, WorkerState>,
    stage: Stage,
    state: EngineState,
}

#[derive(Default)]
pub(crate) struct Lifecycle {
    inner: Mutex<Inner>,
    /// Held while they are called, so that each hears of all changes in order.
    listeners: Mutex<Vec<StateListener>>,
}

impl Lifecycle {
    pub fn state(&self) -> EngineState {
        self.inner.lock().state
    }

    /// From now on, this one hears of each change.
    pub fn listen(&self, listener: StateListener) {
        self.listeners.lock().push(listener);
    }

    pub fn worker_is(&self, worker: usize, state: WorkerState) {
        self.change(|inner| {
            inner.workers.insert(worker, state);
        });
    }

    /// A worker was taken away.
    pub fn worker_is_gone(&self, worker: usize) {
        self.change(|inner| {
            inner.workers.remove(&worker);
        });
    }

    pub fn is_stopping(&self) {
        self.change(|inner| inner.stage = Stage::Stopping);
    }

    pub fn has_stopped(&self) {
        self.change(|inner| inner.stage = Stage::Stopped);
    }

    /// It ended by itself.
    pub fn has_ended(&self) {
        self.change(|inner| inner.stage = Stage::Ended);
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let listeners = self.listeners.lock();
        let mut inner = self.inner.lock();
        change(&mut inner);
        let now = inner.put_together();
        let before = std::mem::replace(&mut inner.state, now);
        drop(inner);
        if now != before {
            tracing::info!(?before, ?now, "the engine's state changes");
            for listener in listeners.iter() {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| listener(now, before))) {
                    tracing::error!(reason = panic_text(&*panic), "a listener of the engine's state panicked");
                }
            }
        }
    }
}

impl Inner {
    fn put_together(&self) -> EngineState {
        let mut workers = self.workers.values();
        match self.stage {
            Stage::Stopped => EngineState::NotRunning,
            Stage::Stopping => EngineState::PendingShutdown,
            Stage::Ended => EngineState::Error,
            Stage::Open if self.workers.is_empty() => EngineState::Created,
            Stage::Open if workers.clone().all(|state| *state == WorkerState::Dead) => EngineState::Error,
            Stage::Open if workers.all(|state| *state == WorkerState::Running) => EngineState::Running,
            Stage::Open => EngineState::Rebalancing,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_listener_hears_of_each_change_once_and_in_order() {
        let life = Lifecycle::default();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let to = heard.clone();
        life.listen(Box::new(|_, _| {
            panic!("a listener that panics keeps nothing from the others")
        }));
        life.listen(Box::new(move |now, before| to.lock().push((before, now))));
        life.worker_is(0, WorkerState::Rebalancing);
        life.worker_is(1, WorkerState::Rebalancing);
        life.worker_is(0, WorkerState::Running);
        assert_eq!(life.state(), EngineState::Rebalancing, "one of two does not run yet");
        life.worker_is(1, WorkerState::Running);
        life.worker_is(0, WorkerState::Dead);
        life.worker_is(1, WorkerState::Dead);
        life.worker_is(1, WorkerState::Running);
        life.worker_is_gone(0);
        life.is_stopping();
        life.worker_is_gone(1);
        life.has_stopped();
        use EngineState::{Created, Error, NotRunning, PendingShutdown, Rebalancing, Running};
        let states = [
            Created,
            Rebalancing,
            Running,
            Rebalancing,
            Error,
            Rebalancing,
            Running,
            PendingShutdown,
            NotRunning,
        ];
        let expected: Vec<_> = states.windows(2).map(|pair| (pair[0], pair[1])).collect();
        assert_eq!(*heard.lock(), expected);
    }
}
