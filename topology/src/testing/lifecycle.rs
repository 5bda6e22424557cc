//! Workers that end, die, come back and are replaced.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::TestDriver;
use crate::error::EngineError;
use crate::graph::Topology;
use crate::runtime::{EngineParts, Flusher, Parts, Scheduled, StateManager, Worker, prepare};
use crate::store::Backends;

impl TestDriver {
    pub(super) fn start(&mut self) -> Result<(), EngineError> {
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

    pub(super) fn new_worker(&mut self, index: usize) -> Result<Worker, EngineError> {
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

    /// Lets the group take a worker for dead, which may live on and not know.
    pub fn expire_session(&self, worker: usize) {
        let application = self.parts.topology.application();
        let member = format!("{application}-{}-{worker}", self.parts.settings.instance);
        self.broker.expire_member(application, &member);
    }

    /// Whether a worker is up.
    pub fn is_up(&self, worker: usize) -> bool {
        self.workers[worker].is_some()
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
}
