//! All tables' committers, on a thread of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clock::SystemClock;
use futures::future::join_all;
use object_store::ObjectStore;
use parking_lot::Mutex;
use sinks::{Listener, Table};
use tokio::sync::{Notify, Semaphore, watch};

use crate::access::Access;
use crate::catalog::{Catalog, CatalogError, TableName};
use crate::committer::{Committed, Committer};
use crate::error::CommitError;
use crate::metrics::Metrics;
use crate::next::FindError;
use crate::place::Place;
use crate::settings::IcebergSettings;

/// After so many failures in a row, one that may pass is reported.
const PATIENCE: u32 = 3;

/// How many tables take their turns at the same time: each holds what it has found in memory.
const AT_ONCE: usize = 4;

/// Why the tables could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum IcebergError {
    /// The thread or its runtime could not be made.
    #[error("the Iceberg tables could not be started: {0}")]
    Start(#[from] std::io::Error),
    /// The metrics are registered already.
    #[error("the Iceberg tables' metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// Not everything was committed before the stop's time-out. Nothing is lost: whoever comes next commits it.
    #[error("the Iceberg tables lack finished files, which are committed at the next start: {0}")]
    Unfinished(String),
    /// The thread ended by a defect.
    #[error("the Iceberg tables' thread panicked")]
    Panicked,
}

struct Shared {
    trouble: Mutex<BTreeMap<String, String>>,
    /// By table: files of it may be finished.
    wakes: BTreeMap<String, Notify>,
    stop: watch::Sender<bool>,
}

/// Committers at work. Dropping it without [`IcebergHandle::stop`] leaves them running.
pub struct IcebergHandle {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<(), IcebergError>>,
}

impl IcebergHandle {
    /// Commits the files of these tables, which are in the lake of this URL.
    pub fn start(
        settings: IcebergSettings,
        store: Arc<dyn ObjectStore>,
        url: &str,
        tables: Vec<Arc<dyn Table>>,
        registry: &prometheus::Registry,
    ) -> Result<Self, IcebergError> {
        let metrics = Metrics::register(registry)?;
        tables.iter().for_each(|table| metrics.introduce(table.name()));
        let wakes = tables.iter().map(|table| (table.name().to_owned(), Notify::new()));
        let shared = Arc::new(Shared {
            trouble: Mutex::default(),
            wakes: wakes.collect(),
            stop: watch::Sender::new(false),
        });
        let work = Work {
            settings,
            store,
            place: Place::new(url),
            metrics,
            shared: shared.clone(),
            turns: Semaphore::new(AT_ONCE),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("iceberg".to_owned());
        let thread = thread.spawn(move || runtime.block_on(work.run(tables)))?;
        Ok(Self { shared, thread })
    }

    /// What a sink of this process is to call for each range that it has finished: the table then takes it in at once, unless its last
    /// snapshot is younger than the settings' `interval`.
    pub fn listener(&self) -> Listener {
        let shared = self.shared.clone();
        Arc::new(move |intent| {
            if let Some(wake) = shared.wakes.get(&intent.table) {
                wake.notify_one();
            }
        })
    }

    /// What is wrong, for the operator and for readiness; `None` while all is well.
    pub fn trouble(&self) -> Option<String> {
        if self.thread.is_finished() {
            return Some("the Iceberg tables' thread has ended".to_owned());
        }
        let trouble = self.shared.trouble.lock();
        let all: Vec<_> = trouble.iter().map(|(table, reason)| format!("{table}: {reason}")).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Commits what is finished, and ends, at most after the settings' `stop_timeout`. To be stopped after the sink, whose last files are
    /// then in the tables.
    pub fn stop(self) -> Result<(), IcebergError> {
        self.shared.stop.send_replace(true);
        self.thread.join().unwrap_or(Err(IcebergError::Panicked))
    }
}

struct Work {
    settings: IcebergSettings,
    store: Arc<dyn ObjectStore>,
    place: Place,
    metrics: Metrics,
    shared: Arc<Shared>,
    turns: Semaphore,
}

/// A committer, and how it fares.
struct Running {
    committer: Committer,
    failures: u32,
    /// When the table was last known to have everything.
    whole_at: Instant,
    /// When it is its turn.
    due: Instant,
    /// A finished file brings its turn forward, but not before this.
    held_until: Instant,
    /// Whether it has done what was to be done before the stop.
    ended: bool,
}

impl Work {
    async fn run(self, tables: Vec<Arc<dyn Table>>) -> Result<(), IcebergError> {
        let mut stop = self.shared.stop.subscribe();
        let Some(catalog) = self.open(&mut stop).await else {
            return Err(IcebergError::Unfinished("the catalog was not reached".to_owned()));
        };
        let mut all: Vec<Running> = tables.into_iter().map(|table| self.begin(table, &catalog)).collect();
        // Side by side: a table whose files or whose catalog do not answer holds up no other.
        let follow = join_all(all.iter_mut().map(|running| self.follow(running)));
        let out_of_time = async {
            let _ = stop.wait_for(|stops| *stops).await;
            tokio::time::sleep(self.settings.stop_timeout).await;
        };
        tokio::select! {
            _ = follow => {}
            () = out_of_time => {}
        }
        let unfinished = all.iter().filter(|running| running.failures > 0 || !running.ended);
        let unfinished: Vec<_> = unfinished.map(|running| running.committer.table()).collect();
        match unfinished.is_empty() {
            true => Ok(()),
            false => Err(IcebergError::Unfinished(unfinished.join(", "))),
        }
    }

    /// A table's turns, until the stop and what is finished by then.
    async fn follow(&self, running: &mut Running) {
        let mut stop = self.shared.stop.subscribe();
        let wakes = &self.shared.wakes;
        let woken = async |table: &str| match wakes.get(table) {
            Some(wake) => wake.notified().await,
            None => std::future::pending().await,
        };
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stops| *stops) => break,
                () = tokio::time::sleep_until(running.due.into()) => {
                    self.turn(running).await;
                }
                () = woken(running.committer.table()) => running.due = running.due.min(running.held_until.max(Instant::now())),
            }
        }
        // The sink has stopped before: its last files are finished.
        while self.turn(running).await {}
        running.ended = true;
    }

    fn begin(&self, table: Arc<dyn Table>, catalog: &Arc<dyn Catalog>) -> Running {
        let name = TableName::of(table.name(), self.settings.namespace.as_deref());
        let committer = Committer::new(
            table,
            Access {
                name,
                catalog: catalog.clone(),
                store: self.store.clone(),
                place: self.place.clone(),
                clock: Arc::new(SystemClock),
            },
        );
        let committer = match self.settings.skip_gaps {
            true => committer.with_gaps_skipped(),
            false => committer,
        };
        Running {
            committer,
            failures: 0,
            whole_at: Instant::now(),
            due: Instant::now(),
            held_until: Instant::now(),
            ended: false,
        }
    }

    /// Opens the catalog, however long that takes; `None` if it is to stop before.
    async fn open(&self, stop: &mut watch::Receiver<bool>) -> Option<Arc<dyn Catalog>> {
        loop {
            let opened = self.settings.open_catalog(self.store.clone(), self.place.clone()).await;
            match opened {
                Ok(catalog) => {
                    self.shared.trouble.lock().remove("catalog");
                    return Some(catalog);
                }
                Err(error) => {
                    tracing::warn!(%error, "the catalog of the Iceberg tables cannot be opened");
                    self.shared.trouble.lock().insert("catalog".to_owned(), error.to_string());
                }
            }
            if *stop.borrow() {
                return None;
            }
            let _ = tokio::time::timeout(self.settings.interval, stop.wait_for(|stops| *stops)).await;
        }
    }

    /// A table's turn. Returns whether another one is due at once.
    async fn turn(&self, running: &mut Running) -> bool {
        let table = running.committer.table().to_owned();
        let label = &[table.as_str()];
        let permit = self.turns.acquire().await;
        let turn = tokio::time::timeout(self.settings.turn_timeout, running.committer.turn()).await;
        drop(permit);
        let is_idle = matches!(turn, Ok(Ok(Committed { snapshot: false, .. })));
        let (again, wait) = match turn {
            Ok(Ok(committed)) => {
                self.succeeded(running, committed);
                // What was written meanwhile is looked for at the next turn.
                (
                    committed.snapshot,
                    if committed.more {
                        Duration::ZERO
                    } else {
                        self.settings.interval
                    },
                )
            }
            Ok(Err(CommitError::Catalog(CatalogError::Conflict(reason)))) => {
                tracing::debug!(table, reason, "another writer was faster");
                self.metrics.conflicts.with_label_values(label).inc();
                running.failures += 1;
                (running.failures < PATIENCE, self.settings.interval)
            }
            Ok(Err(error)) => {
                self.failed(running, &error.to_string(), is_transient(&error));
                let wait = if is_transient(&error) {
                    self.settings.interval
                } else {
                    self.settings.slow_interval
                };
                (false, wait)
            }
            Err(_) => {
                self.failed(running, "the store or the catalog does not answer", true);
                (false, self.settings.interval)
            }
        };
        let behind = match running.failures {
            0 => 0.0,
            _ => running.whole_at.elapsed().as_secs_f64(),
        };
        self.metrics.lag_seconds.with_label_values(label).set(behind);
        let now = Instant::now();
        running.due = now + wait;
        running.held_until = match is_idle {
            true => now,
            false => now + self.settings.interval,
        };
        again
    }

    fn succeeded(&self, running: &mut Running, committed: Committed) {
        let table = running.committer.table();
        let label = &[table];
        running.failures = 0;
        self.shared.trouble.lock().remove(table);
        if committed.snapshot {
            let Committed { files, rows, .. } = committed;
            tracing::debug!(table, files, rows, "a snapshot is committed");
            self.metrics.snapshots.with_label_values(label).inc();
            self.metrics.files.with_label_values(label).inc_by(files);
            self.metrics.rows.with_label_values(label).inc_by(rows);
        }
        if let Some(watermark) = running.committer.watermark() {
            self.metrics.watermark.with_label_values(label).set(watermark);
        }
        if !committed.more {
            running.whole_at = Instant::now();
        }
    }

    fn failed(&self, running: &mut Running, reason: &str, is_transient: bool) {
        let table = running.committer.table();
        self.metrics.failures.with_label_values(&[table]).inc();
        running.failures += 1;
        if running.failures >= PATIENCE || !is_transient {
            let before = self.shared.trouble.lock().insert(table.to_owned(), reason.to_owned());
            if before.as_deref() != Some(reason) {
                tracing::error!(table, reason, "the Iceberg table does not follow");
            }
        }
    }
}

/// Whether it may pass without an operator.
fn is_transient(error: &CommitError) -> bool {
    match error {
        CommitError::Catalog(_) | CommitError::Store(_) => true,
        CommitError::Find(error) => matches!(error, FindError::Store(_) | FindError::Lake(_)),
        CommitError::Column(_)
        | CommitError::Progress(_)
        | CommitError::Manifest(..)
        | CommitError::NoTable(_)
        | CommitError::Footer(..)
        | CommitError::Elsewhere(_)
        | CommitError::Gone(_) => false,
    }
}
