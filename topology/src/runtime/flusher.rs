//! Writes committed layers to the backend, off the worker's path.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, unbounded};
use parking_lot::Mutex;

use super::Metrics;
use super::task::{FlushJob, TaskId};
use crate::error::StoreError;

/// Runs flushes on a thread of its own, or in place where the order must be the same every time.
pub(crate) struct Flusher {
    queue: Option<Sender<(TaskId, FlushJob)>>,
    /// Tasks with a flush under way: at most one each, which also bounds the queue.
    busy: Arc<Mutex<Vec<TaskId>>>,
    /// Why the flush that is under way is refused, while it is.
    failure: Arc<Mutex<Option<String>>>,
    metrics: Metrics,
}

const RETRY: Duration = Duration::from_millis(500);

impl Flusher {
    pub fn in_place(metrics: Metrics) -> Self {
        Self {
            queue: None,
            busy: Arc::default(),
            failure: Arc::default(),
            metrics,
        }
    }

    pub fn threaded(name: &str, metrics: Metrics) -> std::io::Result<Self> {
        let (queue, jobs) = unbounded::<(TaskId, FlushJob)>();
        let busy: Arc<Mutex<Vec<TaskId>>> = Arc::default();
        let failure: Arc<Mutex<Option<String>>> = Arc::default();
        let (done, trouble, measured) = (busy.clone(), failure.clone(), metrics.clone());
        std::thread::Builder::new().name(format!("{name}-flush")).spawn(move || {
            for (id, job) in jobs {
                // The layer stays readable until it is written, so that a full disk costs memory, not truth.
                while let Err(error) = run(&job, &measured) {
                    measured.flush_failures.inc();
                    *trouble.lock() = Some(format!("state of {} cannot be written: {error}", job.name));
                    tracing::error!(task = %job.name, %error, "state could not be written; trying again");
                    if Arc::strong_count(&done) == 1 {
                        break;
                    }
                    std::thread::sleep(RETRY);
                }
                *trouble.lock() = None;
                done.lock().retain(|busy| *busy != id);
            }
        })?;
        Ok(Self {
            queue: Some(queue),
            busy,
            failure,
            metrics,
        })
    }

    pub fn is_busy(&self, id: TaskId) -> bool {
        self.busy.lock().contains(&id)
    }

    /// Why state cannot be written now, if it cannot.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    pub fn submit(&self, id: TaskId, job: FlushJob) -> Result<(), StoreError> {
        match &self.queue {
            Some(queue) => {
                self.busy.lock().push(id);
                queue.send((id, job)).map_err(|_| StoreError::Backend {
                    store: "flush".to_owned(),
                    reason: "its thread ended".to_owned(),
                })
            }
            None => run(&job, &self.metrics),
        }
    }

    /// Waits until a task's flush is done. False: it was not, within the bound.
    pub fn wait(&self, id: TaskId, bound: Duration) -> bool {
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

fn run(job: &FlushJob, metrics: &Metrics) -> Result<(), StoreError> {
    let _timer = metrics.flush_duration.start_timer();
    job.run()
}
