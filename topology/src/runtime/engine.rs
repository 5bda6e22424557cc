//! The engine of one process: prepares topics and schemas, starts the workers, ends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::EngineSettings;
use super::directory::Directory;
use super::lifecycle::EngineState;
use super::prepare::{EngineParts, prepare};
use super::shared::Shared;
use super::supervisor::Supervisor;
use crate::error::EngineError;
use crate::graph::Topology;
use crate::query::Queries;

/// A running engine. Dropping it without [`Engine::stop`] stops it as well, but does not wait.
pub struct Engine {
    shared: Arc<Shared>,
    topology: Arc<Topology>,
    queries: Queries,
    supervisor: Supervisor,
    stop: Arc<AtomicBool>,
    directory: Option<JoinHandle<()>>,
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
        let stop = Arc::new(AtomicBool::new(false));
        let mut engine = Self {
            topology: prepared.topology.clone(),
            queries: Queries::new(shared.clone(), &prepared, address),
            supervisor: Supervisor::new(prepared.clone(), shared.clone(), stop.clone())?,
            stop,
            directory: None,
            shared,
        };
        if let Err(error) = engine.start_threads(prepared.settings.threads.max(1), directory) {
            // Nothing may run on, or hold the folder, that nobody can stop.
            engine.end();
            return Err(error);
        }
        Ok(engine)
    }

    fn start_threads(&mut self, workers: usize, directory: Directory) -> Result<(), EngineError> {
        for _ in 0..workers {
            self.supervisor.add_worker()?;
        }
        self.directory = Some(directory.start(self.stop.clone(), self.supervisor.any_runs())?);
        Ok(())
    }

    /// How it is.
    pub fn state(&self) -> EngineState {
        self.shared.lifecycle.state()
    }

    /// Calls `listener` with each new state and the one before, in order. It is called on the thread that changes the state, which may be an
    /// engine's own, and must neither block nor call what changes the engine.
    pub fn on_state_change(&self, listener: impl Fn(EngineState, EngineState) + Send + Sync + 'static) {
        self.shared.lifecycle.listen(Box::new(listener));
    }

    /// Processes nothing more until [`Engine::resume`], but for what is under way: no record, no punctuator. What is processed is committed. Tasks stay where they are
    /// and are restored, and queries are answered. Each instance pauses for itself.
    pub fn pause(&self) {
        self.shared.paused.store(true, Ordering::Release);
    }

    /// Goes on after [`Engine::pause`].
    pub fn resume(&self) {
        self.shared.paused.store(false, Ordering::Release);
    }

    /// Whether it was told to pause.
    pub fn is_paused(&self) -> bool {
        self.shared.is_paused()
    }

    /// Starts one more worker: a thread of its own, which takes its share of the tasks. Returns its number.
    ///
    /// # Errors
    ///
    /// Where the broker refuses its clients, or the machine the thread; or the engine has ended by itself.
    pub fn add_worker(&self) -> Result<usize, EngineError> {
        self.supervisor.add_worker()
    }

    /// Ends the worker with the highest number, and waits: the others have its tasks at once. Returns its number; `None` where there is
    /// none. An engine without workers answers nothing.
    pub fn remove_worker(&self) -> Option<usize> {
        self.supervisor.remove_worker()
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
        self.supervisor.end();
        if self.directory.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the directory had panicked");
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
