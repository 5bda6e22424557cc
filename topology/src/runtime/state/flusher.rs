//! Writes committed layers to the backend, off the worker's path.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, unbounded};
use parking_lot::Mutex;

use super::flush_job::FlushJob;
use crate::error::StoreError;
use crate::runtime::Metrics;
use crate::runtime::task_id::TaskId;

/// Runs the flushes of a worker: on a thread of its own, or when a test's scheduler says so.
pub(crate) struct Flusher {
    way: Way,
    status: Status,
}

enum Way {
    Thread(Sender<(TaskId, FlushJob)>),
    Scheduled(Arc<Scheduled>),
}

/// How the flushes of a worker stand.
#[derive(Clone)]
struct Status {
    /// Tasks with a flush under way: at most one each, which also bounds the queue.
    busy: Arc<Mutex<Vec<TaskId>>>,
    /// Why the flush that is under way is refused, while it is.
    failure: Arc<Mutex<Option<String>>>,
    metrics: Metrics,
}

const RETRY: Duration = Duration::from_millis(500);

impl Flusher {
    pub fn threaded(name: &str, metrics: Metrics) -> std::io::Result<Self> {
        let (queue, jobs) = unbounded::<(TaskId, FlushJob)>();
        let status = Status::new(metrics);
        let theirs = status.clone();
        std::thread::Builder::new().name(format!("{name}-flush")).spawn(move || {
            for (id, job) in jobs {
                // The layer stays readable until it is written, so that a full disk costs memory, not truth.
                while !theirs.attempt(id, &job) {
                    if theirs.is_orphaned() {
                        theirs.give_up(id);
                        break;
                    }
                    std::thread::sleep(RETRY);
                }
            }
        })?;
        Ok(Self {
            way: Way::Thread(queue),
            status,
        })
    }

    /// Flushes wait in `scheduled` until they are run there.
    pub fn scheduled(scheduled: &Arc<Scheduled>) -> Self {
        Self {
            way: Way::Scheduled(scheduled.clone()),
            status: scheduled.status.clone(),
        }
    }

    pub fn is_busy(&self, id: TaskId) -> bool {
        self.status.is_busy(id)
    }

    /// Why state cannot be written now, if it cannot.
    pub fn failure(&self) -> Option<String> {
        self.status.failure.lock().clone()
    }

    pub fn submit(&self, id: TaskId, job: FlushJob) -> Result<(), StoreError> {
        self.status.busy.lock().push(id);
        match &self.way {
            Way::Thread(queue) => queue.send((id, job)).map_err(|_| StoreError::Backend {
                store: "flush".to_owned(),
                reason: "its thread ended".to_owned(),
            }),
            Way::Scheduled(scheduled) => {
                scheduled.push(id, job);
                Ok(())
            }
        }
    }

    /// Waits until a task's flush is done. False: it was not, within the bound.
    pub fn wait(&self, id: TaskId, bound: Duration) -> bool {
        if let Way::Scheduled(scheduled) = &self.way {
            return scheduled.wait(id, bound);
        }
        let end = Instant::now() + bound;
        while self.is_busy(id) {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

impl Status {
    fn new(metrics: Metrics) -> Self {
        Self {
            busy: Arc::default(),
            failure: Arc::default(),
            metrics,
        }
    }

    fn is_busy(&self, id: TaskId) -> bool {
        self.busy.lock().contains(&id)
    }

    /// Whether nobody waits for these flushes any more: the worker is gone.
    fn is_orphaned(&self) -> bool {
        Arc::strong_count(&self.busy) == 1
    }

    /// Runs a flush. False: it is refused, and must be tried again.
    fn attempt(&self, id: TaskId, job: &FlushJob) -> bool {
        let timer = self.metrics.flush_duration.start_timer();
        let outcome = job.run();
        drop(timer);
        if let Err(error) = outcome {
            self.metrics.flush_failures.inc();
            *self.failure.lock() = Some(format!("state of {} cannot be written: {error}", job.name));
            tracing::error!(task = %job.name, %error, "state could not be written; trying again");
            return false;
        }
        self.give_up(id);
        true
    }

    fn give_up(&self, id: TaskId) {
        *self.failure.lock() = None;
        self.busy.lock().retain(|busy| *busy != id);
    }
}

/// A worker's flushes in the hands of a test: each waits, in its place, until it is run, as on a thread that gets no time; but in
/// an order that is the same every time.
pub(crate) struct Scheduled {
    waiting: Mutex<VecDeque<(TaskId, FlushJob)>>,
    status: Status,
    switches: Arc<Switches>,
}

/// What holds for all workers of a test.
#[derive(Default)]
pub(crate) struct Switches {
    /// Flushes wait; else each is run where it is submitted.
    pub holds: AtomicBool,
    /// The disk does not answer: whoever waits for a flush waits in vain.
    pub hangs: AtomicBool,
}

impl Scheduled {
    pub fn new(metrics: Metrics, switches: &Arc<Switches>) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            status: Status::new(metrics),
            switches: switches.clone(),
        })
    }

    fn push(&self, id: TaskId, job: FlushJob) {
        self.waiting.lock().push_back((id, job));
        if !self.switches.holds.load(Ordering::Relaxed) {
            self.run_next();
        }
    }

    /// Runs the flush that has waited longest. False: there is none, or it is refused and waits on.
    pub fn run_next(&self) -> bool {
        if self.switches.hangs.load(Ordering::Relaxed) {
            return false;
        }
        let Some((id, job)) = self.waiting.lock().pop_front() else {
            return false;
        };
        let done = self.status.attempt(id, &job);
        if !done {
            self.waiting.lock().push_front((id, job));
        }
        done
    }

    /// Whether no flush waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    /// Forgets what waits: the process is gone.
    pub fn forget(&self) {
        self.waiting.lock().clear();
    }

    /// As often as a thread would have tried.
    fn wait(&self, id: TaskId, bound: Duration) -> bool {
        for _ in 0..=bound.as_millis() / RETRY.as_millis() {
            while self.status.is_busy(id) && self.run_next() {}
            if !self.status.is_busy(id) {
                return true;
            }
        }
        false
    }
}
