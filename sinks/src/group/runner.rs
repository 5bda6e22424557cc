//! The thread that moves tables to their target.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use broker::Broker;
use clock::{Clock, SystemClock};

use super::handle::{Shared, SinkError, SinkHandle};
use super::partition::{Halt, Listener, Target, Unready};
use super::probe::Probe;
use super::retry::{Retry, in_millis};
use super::session::{Ended, Parts, Session};
use crate::metrics::Metrics;
use crate::{SinkSettings, Table};

/// After how long a session that failed is begun anew; each failure in a row waits twice as long, up to the slow wait.
const FIRST_RENEWAL: Duration = Duration::from_millis(250);

/// A sink, before it runs.
pub struct SinkRunner {
    settings: SinkSettings,
    broker: Arc<dyn Broker>,
    target: Arc<dyn Target>,
    tables: Vec<Arc<dyn Table>>,
    clock: Arc<dyn Clock>,
    probe: Option<Arc<dyn Probe>>,
    listener: Option<Listener>,
}

impl SinkRunner {
    /// A sink that moves these tables from the log to the target.
    pub(crate) fn to(
        target: Arc<dyn Target>,
        settings: SinkSettings,
        broker: Arc<dyn Broker>,
        tables: Vec<Arc<dyn Table>>,
    ) -> Self {
        Self {
            settings,
            broker,
            target,
            tables,
            clock: Arc::new(SystemClock),
            probe: None,
            listener: None,
        }
    }

    /// Takes the time of day from this clock, in place of the machine's.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Calls this for each range that is finished.
    pub fn with_listener(mut self, listener: Listener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Asks this probe at every step, for tests.
    pub fn with_probe(mut self, probe: Arc<dyn Probe>) -> Self {
        self.probe = Some(probe);
        self
    }

    /// Starts the thread. A broker or store that is away is no error: the sink waits for it, and says so as trouble.
    pub fn start(self, metrics: &prometheus::Registry) -> Result<SinkHandle, SinkError> {
        let metrics = Metrics::register(metrics)?;
        let shared = Arc::new(Shared::default());
        let tables = by_topic(self.tables)?;
        tables.values().for_each(|table| metrics.introduce(table.name()));
        let parts = Parts {
            settings: self.settings,
            broker: self.broker,
            target: self.target,
            tables,
            metrics,
            clock: self.clock,
            probe: self.probe,
            listener: self.listener,
            shared: shared.clone(),
        };
        // The store's client is asynchronous; one thread is enough to wait for it.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("sink-store")
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new().name("sink".to_owned()).spawn(move || {
            let result = run(&parts, runtime.handle());
            runtime.shutdown_background();
            result
        })?;
        Ok(SinkHandle::new(shared, thread))
    }
}

fn by_topic(tables: Vec<Arc<dyn Table>>) -> Result<BTreeMap<String, Arc<dyn Table>>, SinkError> {
    let mut by_topic: BTreeMap<String, Arc<dyn Table>> = BTreeMap::new();
    for table in tables {
        if by_topic.values().any(|other| other.name() == table.name()) {
            return Err(SinkError::Tables(table.name().to_owned()));
        }
        if let Some(other) = by_topic.insert(table.topic().to_owned(), table) {
            return Err(SinkError::Tables(other.topic().to_owned()));
        }
    }
    Ok(by_topic)
}

/// Session after session, until the sink is stopped.
fn run(parts: &Parts, runtime: &tokio::runtime::Handle) -> Result<(), SinkError> {
    if !try_target(parts, runtime) {
        // Nothing was begun.
        return Ok(());
    }
    let slow_wait = parts.settings.retry.slow_wait;
    let renewals = ExponentialBuilder::new()
        .with_min_delay(FIRST_RENEWAL.min(slow_wait))
        .with_max_delay(slow_wait)
        .without_max_times();
    let mut waits = renewals.build();
    loop {
        let began = Instant::now();
        let reason = match session(parts, runtime) {
            Ok(ended) => return ended,
            Err(reason) => reason,
        };
        if began.elapsed() > slow_wait {
            waits = renewals.build();
        }
        let wait = in_millis(waits.next().unwrap_or(slow_wait));
        tracing::warn!(reason, ?wait, "the sink joins its group anew");
        parts.shared.status.lock().trouble = Some(format!("the sink joins its group anew: {reason}"));
        if !sleep(parts, wait) {
            return Err(SinkError::Unfinished(reason));
        }
    }
}

/// Waits until the target has shown that it can be relied upon; false if the sink is stopped before. Nothing is written to one that
/// cannot.
fn try_target(parts: &Parts, runtime: &tokio::runtime::Handle) -> bool {
    let settings = &parts.settings.retry;
    let mut retry = Retry::default();
    let trouble = |text: Option<String>| parts.shared.status.lock().trouble = text;
    loop {
        let wait = match runtime.block_on(parts.target.check()) {
            Ok(()) => {
                trouble(None);
                return true;
            }
            Err(Unready::Unfit(reason)) => {
                tracing::error!(reason, "the sink does not start");
                trouble(Some(reason));
                settings.slow_wait
            }
            Err(Unready::Away(error)) => {
                let wait = retry.failed(error.clone(), settings);
                tracing::warn!(error, ?wait, "the sink tries the store again");
                trouble(retry.trouble(settings));
                wait
            }
        };
        if !sleep(parts, wait) {
            return false;
        }
    }
}

/// One session. `Ok` ends the sink; an error is why the next session is needed.
fn session(parts: &Parts, runtime: &tokio::runtime::Handle) -> Result<Result<(), SinkError>, String> {
    let mut session = Session::join(parts, runtime.clone()).map_err(|error| error.to_string())?;
    match session.run() {
        Ok(Ended::Stopped) => {
            session.leave();
            Ok(Ok(()))
        }
        Ok(Ended::OutOfTime(error)) => {
            session.leave();
            Ok(Err(error))
        }
        Err(Halt::Crash) => Ok(Ok(())),
        Err(Halt::Renew(reason)) => {
            session.leave();
            Err(reason)
        }
    }
}

/// Sleeps; false if the sink is stopped meanwhile.
fn sleep(parts: &Parts, wait: Duration) -> bool {
    let until = Instant::now() + wait;
    while Instant::now() < until {
        if parts.shared.stop.load(Ordering::Acquire) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
