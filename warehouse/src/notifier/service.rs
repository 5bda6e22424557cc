//! A notifier that runs, from outside.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use object_store::path::Path;
use parking_lot::Mutex;
use sinks::parquet::layout::FileName;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::lake::Lake;
use super::metrics::Metrics;
use super::settings::NotifierSettings;
use super::worker::Worker;
use crate::snowflake::snowpipe::Pipes;

/// Names that wait for the notifier. Beyond it, webhooks are sent again, Kafka waits, and the sinks' files are found by listing.
const OFFERS_MAX: usize = 10_000;
/// The longest time between two turns.
const TICK: Duration = Duration::from_secs(1);
/// The time between two turns while names arrive: a few share a look and a batch.
const GATHER: Duration = Duration::from_millis(20);
/// The wait before the ledger is read again.
const OPEN_WAIT: Duration = Duration::from_secs(5);

/// Who names a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The sink in this process has committed it.
    Sink,
    /// A bucket event by HTTP.
    Webhook,
    /// A bucket event from Kafka.
    Kafka,
}

impl Source {
    fn label(self) -> &'static str {
        match self {
            Self::Sink => "sink",
            Self::Webhook => "webhook",
            Self::Kafka => "kafka",
        }
    }
}

/// How far a table is behind.
#[derive(Debug, Clone, PartialEq)]
pub struct TableLag {
    /// The table.
    pub table: String,
    /// Files that wait until Snowflake has received their names.
    pub waiting: usize,
    /// Files that it has received and not yet reported on.
    pub awaited: usize,
    /// The age of the oldest file that is not known to be loaded; zero where there is none.
    pub age: Duration,
}

#[derive(Debug)]
struct Shared {
    names: Mutex<Names>,
    wake: Notify,
    status: Mutex<Status>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Names {
    files: VecDeque<FileName>,
    /// Tables of which a name had no room.
    overflowed: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Status {
    trouble: Option<String>,
    source_trouble: Option<String>,
    lag: Vec<TableLag>,
}

/// Where names of files are handed in. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Offers(Arc<Shared>);

impl Offers {
    /// With room for some thousand names.
    pub fn new(metrics: Metrics) -> Self {
        Self(Arc::new(Shared {
            names: Mutex::default(),
            wake: Notify::new(),
            status: Mutex::default(),
            metrics,
        }))
    }

    /// Names a file that may be new. False if there is no room: then a later listing finds it, or it is named again.
    pub fn offer(&self, source: Source, file: FileName) -> bool {
        {
            let mut names = self.0.names.lock();
            if names.files.len() >= OFFERS_MAX {
                names.overflowed.insert(file.table);
                return false;
            }
            names.files.push_back(file);
        }
        self.0.metrics.events.with_label_values(&[source.label()]).inc();
        self.0.wake.notify_one();
        true
    }

    /// What is wrong with a source of events, for the operator.
    pub(super) fn set_source_trouble(&self, trouble: Option<String>) {
        self.0.status.lock().source_trouble = trouble;
    }

    /// Takes the names, and the tables of which some had no room.
    pub(super) fn take(&self) -> (VecDeque<FileName>, BTreeSet<String>) {
        let mut names = self.0.names.lock();
        (std::mem::take(&mut names.files), std::mem::take(&mut names.overflowed))
    }

    pub(super) fn show(&self, trouble: Option<String>, lag: Vec<TableLag>) {
        let mut status = self.0.status.lock();
        (status.trouble, status.lag) = (trouble, lag);
    }
}

/// Why a notifier could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The metrics are registered already: give each notifier a registry of its own.
    #[error("the notifier's metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A notifier, before it runs.
pub struct Notifier {
    settings: NotifierSettings,
    lake: Arc<dyn Lake>,
    pipes: Arc<dyn Pipes>,
    ledger: Path,
    offers: Offers,
    metrics: Metrics,
}

impl Notifier {
    /// A notifier of the lake's files; what a restart should find is written to `ledger` in the lake.
    pub fn new(
        settings: NotifierSettings,
        lake: Arc<dyn Lake>,
        pipes: Arc<dyn Pipes>,
        ledger: Path,
        metrics: &prometheus::Registry,
    ) -> Result<Self, StartError> {
        let metrics = Metrics::register(metrics)?;
        Ok(Self {
            settings,
            lake,
            pipes,
            ledger,
            offers: Offers::new(metrics.clone()),
            metrics,
        })
    }

    /// Where names of files are handed in, before and while it runs.
    pub fn offers(&self) -> Offers {
        self.offers.clone()
    }

    /// Starts the work, in the runtime that this is called in. A store or a Snowflake that is away is no error: it is waited for, and
    /// reported as trouble.
    pub fn start(self) -> NotifierHandle {
        let (stop, stopped) = watch::channel(false);
        let offers = self.offers.clone();
        let task = tokio::spawn(run(self, stopped));
        NotifierHandle { offers, stop, task }
    }
}

async fn run(notifier: Notifier, mut stopped: watch::Receiver<bool>) {
    let Notifier {
        settings,
        lake,
        pipes,
        ledger,
        offers,
        metrics,
    } = notifier;
    let mut worker = loop {
        let opened = Worker::open(
            settings.clone(),
            lake.clone(),
            pipes.clone(),
            ledger.clone(),
            offers.clone(),
            metrics.clone(),
        );
        match opened.await {
            Ok(worker) => break worker,
            Err(error) => {
                tracing::warn!(%error, "the Snowpipe notifier cannot read where it stood, and tries again");
                offers.show(
                    Some(format!("the Snowpipe notifier cannot read where it stood: {error}")),
                    Vec::new(),
                );
            }
        }
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(OPEN_WAIT) => {}
        }
    };
    loop {
        let has_more = worker.turn(Timestamp::now()).await;
        let pause = if has_more { Duration::ZERO } else { TICK };
        tokio::select! {
            _ = stopped.changed() => break,
            () = offers.0.wake.notified() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(pause) => {}
        }
    }
    // What is named already is reported at once, without waiting for others to share its request.
    let last = Timestamp::now() + settings.batch_wait;
    while worker.turn(last).await && worker.trouble(last).is_none() {}
    worker.turn(last).await;
    worker.write_ledger(last).await;
}

/// A running notifier. It ends when this is dropped; [`NotifierHandle::stop`] waits for the end.
#[derive(Debug)]
pub struct NotifierHandle {
    offers: Offers,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl NotifierHandle {
    /// What is wrong, for the operator and for readiness; `None` while all is well.
    pub fn trouble(&self) -> Option<String> {
        if self.task.is_finished() {
            return Some("the Snowpipe notifier has ended".to_owned());
        }
        let status = self.offers.0.status.lock();
        status.trouble.clone().or_else(|| status.source_trouble.clone())
    }

    /// How far each table is behind.
    pub fn lag(&self) -> Vec<TableLag> {
        self.offers.0.status.lock().lag.clone()
    }

    /// Where names of files are handed in.
    pub fn offers(&self) -> Offers {
        self.offers.clone()
    }

    /// Ends the turn that is at work, and writes where it stands. What was not reported yet is found by the next start.
    pub async fn stop(self) {
        // An error says that it has ended already.
        let _ = self.stop.send(true);
        if self.task.await.is_err() {
            tracing::error!("the Snowpipe notifier ended in a panic");
        }
    }
}
