//! What the routes share.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntGauge, IntGaugeVec, Opts, Registry};
use system_of_record::SystemOfRecord;

use crate::HttpSettings;
use crate::forward::Forwarder;
use crate::lists::Lists;
use crate::reads::Reads;
use crate::source::SourceWatch;
use crate::trouble::Troubles;

/// The running topology, as `/topology` shows it.
#[derive(Debug, Clone, Default)]
pub struct TopologyDescription {
    /// For people.
    pub text: String,
    /// For programs.
    pub json: serde_json::Value,
}

/// What the service is made of.
pub struct Parts {
    /// The state stores.
    pub reads: Arc<dyn Reads>,
    /// The database.
    pub records: Arc<dyn SystemOfRecord>,
    /// Where the program's metrics are registered; the service adds its own.
    pub registry: Registry,
    /// The running topology.
    pub topology: TopologyDescription,
    /// Other parts, asked by the readiness probe what holds them up.
    pub troubles: Vec<Troubles>,
    /// Whether balances follow the order of the source's commits; else each is right when all of its changes have come.
    pub in_commit_order: bool,
    /// The watch over the source; `None` where the system of record writes the log itself.
    pub source: Option<Arc<dyn SourceWatch>>,
}

/// Why the service could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Its metrics are registered already.
    #[error("the HTTP metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
    /// The client that asks other instances cannot be made.
    #[error("the client for other instances cannot be made")]
    Client(#[from] reqwest::Error),
}

/// The parts, as the handlers have them.
pub(crate) struct App {
    pub reads: Arc<dyn Reads>,
    pub records: Arc<dyn SystemOfRecord>,
    pub registry: Registry,
    pub topology: TopologyDescription,
    pub troubles: Vec<Troubles>,
    pub in_commit_order: bool,
    pub source: Option<Arc<dyn SourceWatch>>,
    pub forwarder: Forwarder,
    pub together_timeout: Duration,
    pub lists: Lists,
    pub durations: HistogramVec,
    pub ready: IntGauge,
    pub able: IntGaugeVec,
}

/// The state of the router.
pub(crate) type AppState = Arc<App>;

impl App {
    pub(crate) fn new(parts: Parts, settings: &HttpSettings) -> Result<AppState, ApiError> {
        let options = HistogramOpts::new("http_request_duration_seconds", "Time to answer a request.")
            .buckets(prometheus::exponential_buckets(0.000_25, 2.0, 16)?);
        let durations = HistogramVec::new(options, &["method", "route", "status"])?;
        parts.registry.register(Box::new(durations.clone()))?;
        let ready = IntGauge::new(
            "riverbank_ready",
            "Whether this instance answers reads, asked at each scrape.",
        )?;
        parts.registry.register(Box::new(ready.clone()))?;
        let options = Opts::new(
            "riverbank_able",
            "Whether this instance can do this as it should, asked at each scrape.",
        );
        let able = IntGaugeVec::new(options, &["what"])?;
        parts.registry.register(Box::new(able.clone()))?;
        Ok(Arc::new(Self {
            reads: parts.reads,
            records: parts.records,
            registry: parts.registry,
            topology: parts.topology,
            troubles: parts.troubles,
            in_commit_order: parts.in_commit_order,
            source: parts.source,
            forwarder: Forwarder::new(settings.forward_timeout)?,
            together_timeout: settings.together_timeout,
            lists: Lists::new(settings),
            durations,
            ready,
            able,
        }))
    }
}
