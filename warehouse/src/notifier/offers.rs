//! Where names of files are handed in, by whoever hears of them, and what the notifier shows of itself.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sinks::parquet::layout::FileName;
use tokio::sync::Notify;

use super::metrics::Metrics;

/// Names that wait for the notifier. Beyond it, webhooks are sent again, Kafka waits, and the sinks' files are found by listing.
const OFFERS_MAX: usize = 10_000;

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

    /// What is wrong with the notifier, or else with a source.
    pub(super) fn trouble(&self) -> Option<String> {
        let status = self.0.status.lock();
        status.trouble.clone().or_else(|| status.source_trouble.clone())
    }

    /// How far each table is behind.
    pub(super) fn lag(&self) -> Vec<TableLag> {
        self.0.status.lock().lag.clone()
    }

    /// Waits until a name was handed in since the last wait.
    pub(super) async fn named(&self) {
        self.0.wake.notified().await;
    }
}
