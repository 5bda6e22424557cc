//! The state of a process: one manager owns its databases and their folders.
//!
//! It opens them, restores them from their changelogs on threads of its own, knows for how long one may be carried on from, writes
//! what workers have committed, and removes what has become too old.

mod begun;
mod clean_up;
mod flush_job;
mod flusher;
mod replay;
mod restore;

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker::{Start, TopicPartition};
use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};
use parking_lot::Mutex;

pub(crate) use begun::BegunInputs;
pub(crate) use clean_up::clean_up;
pub(crate) use flush_job::FlushJob;
pub(crate) use flusher::{Flusher, Scheduled, Switches};
pub(crate) use replay::{Outcome, Replay, Sink};
pub(crate) use restore::Restore;

use super::at_fault::panic_text;
use super::parts::Parts;
use super::task_id::TaskId;
use crate::error::{EngineError, StoreError};
use crate::store::Backend;
use replay::{Job, Replayer};

/// How long a thread waits for records before it looks for other work.
const POLL: Duration = Duration::from_millis(20);

/// The state of one process.
pub(crate) struct StateManager {
    parts: Parts,
    way: Way,
    /// Of each thread: the fault that holds it up.
    troubles: Vec<Arc<Mutex<Option<String>>>>,
}

enum Way {
    /// Threads of its own, each with the number of its jobs.
    Threads(Vec<(Sender<Job>, Arc<AtomicUsize>)>),
    /// A test gives it its turns.
    Steps(Mutex<Replayer>),
}

impl StateManager {
    /// With as many threads of its own as the settings have workers. They end with it.
    pub fn threaded(parts: &Parts) -> Result<Arc<Self>, EngineError> {
        let mut troubles = Vec::new();
        let mut threads = Vec::new();
        for index in 0..parts.settings.threads.max(1) {
            let name = format!("{}-restore-{index}", parts.topology.application());
            let replayer = Replayer::new(parts, index)?;
            troubles.push(replayer.trouble());
            let (queue, jobs) = unbounded();
            let load = Arc::new(AtomicUsize::new(0));
            let theirs = load.clone();
            let thread = std::thread::Builder::new().name(name);
            thread
                .spawn(move || work(replayer, &jobs, &theirs))
                .map_err(EngineError::thread)?;
            threads.push((queue, load));
        }
        Ok(Arc::new(Self {
            parts: parts.clone(),
            way: Way::Threads(threads),
            troubles,
        }))
    }

    /// Without a thread: it works where [`StateManager::step`] is called, in an order that is the same every time.
    pub fn stepped(parts: &Parts, index: usize) -> Result<Arc<Self>, EngineError> {
        let replayer = Replayer::new(parts, index)?;
        Ok(Arc::new(Self {
            parts: parts.clone(),
            troubles: vec![replayer.trouble()],
            way: Way::Steps(Mutex::new(replayer)),
        }))
    }

    /// Works for a moment where it has no threads of its own. Returns whether anything moved.
    pub fn step(&self) -> bool {
        match &self.way {
            Way::Threads(_) => false,
            Way::Steps(replayer) => replayer.lock().turn(Duration::ZERO),
        }
    }

    /// Reads these partitions to their ends, into a sink.
    pub fn replay<S: Sink>(&self, places: Vec<(TopicPartition, Start)>, sink: S) -> Replay<S> {
        let (replay, job) = replay::replay(places, sink, self.parts.clock.now_ms());
        match &self.way {
            Way::Steps(replayer) => replayer.lock().add(job),
            Way::Threads(threads) => {
                let least = threads.iter().min_by_key(|(_, load)| load.load(Ordering::Relaxed));
                if let Some((queue, load)) = least {
                    load.fetch_add(1, Ordering::Relaxed);
                    if let Err(lost) = queue.send(job) {
                        let ended = std::io::Error::other("its thread has ended");
                        lost.0.fail(EngineError::thread(ended));
                    }
                }
            }
        }
        replay
    }

    /// Why changelogs cannot be read now, if they cannot.
    pub fn trouble(&self) -> Option<String> {
        self.troubles.iter().find_map(|trouble| trouble.lock().clone())
    }

    /// Opens the databases of these tasks, side by side: what a killed process wrote last is replayed here, which takes most of a restart.
    /// `None` for a task without stores.
    pub fn open(&self, ids: &[TaskId]) -> Vec<Result<Option<Arc<dyn Backend>>, StoreError>> {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let share = ids.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            let open = |ids: &[TaskId]| ids.iter().map(|&id| self.open_one(id)).collect::<Vec<_>>();
            let shares: Vec<_> = ids.chunks(share).map(|ids| scope.spawn(move || open(ids))).collect();
            let opened = shares.into_iter().map(|share| share.join().expect("no backend panics"));
            opened.flatten().collect()
        })
    }

    fn open_one(&self, id: TaskId) -> Result<Option<Arc<dyn Backend>>, StoreError> {
        let topology = &self.parts.topology;
        let stores = topology.subs[id.sub].stores.iter();
        let families: Vec<&str> = stores.map(|&store| topology.stores[store].name).collect();
        if families.is_empty() {
            return Ok(None);
        }
        self.parts.backends.open(&id.name(topology), &families).map(Some)
    }

    /// Removes state that cannot be carried on from.
    pub fn wipe(&self, id: TaskId) -> Result<(), StoreError> {
        self.parts.backends.wipe(&id.name(&self.parts.topology))?;
        self.parts.metrics.wipes.inc();
        Ok(())
    }
}

/// A thread of the manager: until there is no manager any more.
fn work(mut replayer: Replayer, jobs: &Receiver<Job>, load: &AtomicUsize) {
    loop {
        if replayer.is_idle() {
            match jobs.recv() {
                Ok(job) => replayer.add(job),
                Err(_) => return,
            }
        }
        loop {
            match jobs.try_recv() {
                Ok(job) => replayer.add(job),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        match catch_unwind(AssertUnwindSafe(|| replayer.turn(POLL))) {
            Ok(true) => {}
            // Nothing came within the time, or a fault is waited out.
            Ok(false) => replayer.rest(),
            Err(panic) => replayer.has_panicked(&panic_text(&*panic)),
        }
        load.store(jobs.len() + replayer.jobs(), Ordering::Relaxed);
    }
}
