//! A notifier that runs, from outside.

use std::sync::Arc;
use std::time::Duration;

use clock::{Clock, SystemClock};
use object_store::path::Path;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::lake::Lake;
use super::metrics::Metrics;
use super::offers::{Offers, TableLag};
use super::settings::NotifierSettings;
use super::worker::Worker;
use crate::snowflake::snowpipe::Pipes;

/// The longest time between two turns.
const TICK: Duration = Duration::from_secs(1);
/// The time between two turns while names arrive: a few share a look and a batch.
const GATHER: Duration = Duration::from_millis(20);
/// The wait before the ledger is read again.
const OPEN_WAIT: Duration = Duration::from_secs(5);

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
        let has_more = worker.turn(SystemClock.now()).await;
        let pause = if has_more { Duration::ZERO } else { TICK };
        tokio::select! {
            _ = stopped.changed() => break,
            () = offers.named() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(pause) => {}
        }
    }
    // What is named already is reported at once, without waiting for others to share its request.
    let last = SystemClock.now() + settings.batch_wait;
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
        self.offers.trouble()
    }

    /// How far each table is behind.
    pub fn lag(&self) -> Vec<TableLag> {
        self.offers.lag()
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
