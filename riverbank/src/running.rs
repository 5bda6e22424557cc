//! Engine, sinks and HTTP service at work, as `run` and `demo` have them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use system_of_record::SystemOfRecord;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::assembly::{Assembly, source_partitions};
use crate::config::Settings;
use crate::open::log::Log;
use crate::source::SourceWatch;

/// Between two looks at whether the engine has ended by itself.
const END_CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// Between two looks at whether the engine must be started again.
pub(crate) const RESTART_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// Engine, sinks and HTTP service at work.
pub struct Running {
    /// Where the service listens.
    pub address: std::net::SocketAddr,
    assembly: Arc<Assembly>,
    http: tokio::task::JoinHandle<std::io::Result<()>>,
    drain: CancellationToken,
    source: Option<SourceWatch>,
}

impl Running {
    /// Listens first, so that a port that is taken is known at once, then starts the rest.
    pub async fn start(
        settings: &Settings,
        log: &Log,
        records: Arc<dyn SystemOfRecord>,
        metrics: prometheus::Registry,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(settings.http.listen)
            .await
            .with_context(|| format!("http.listen {}", settings.http.listen))?;
        let address = listener.local_addr()?;
        if settings.http.insecure_no_auth {
            tracing::warn!(%address, "http.insecure_no_auth: whoever reaches this address reads and writes everything");
        }
        let advertised = settings
            .http
            .advertised_url(address)
            .as_str()
            .trim_end_matches('/')
            .to_owned();
        let assembly = {
            let (settings, log, metrics) = (settings.clone(), log.clone(), metrics.clone());
            tokio::task::spawn_blocking(move || Assembly::start(&settings, &log, &advertised, &metrics)).await??
        };
        let assembly = Arc::new(assembly);
        let topology = assembly.topology();
        // In this process, the system of record writes the log itself: there is no way that could break.
        let source = match &settings.kafka.brokers {
            Some(_) => Some(SourceWatch::start(settings, log, &metrics)?),
            None => None,
        };
        let seen = source.as_ref().map(SourceWatch::watched);
        let of_the_source = seen.clone();
        let watched = assembly.clone();
        let parts = api::Parts {
            reads: Arc::new(assembly.queries()),
            records,
            registry: metrics,
            topology: api::TopologyDescription {
                text: topology.to_string(),
                json: serde_json::json!({ "dot": topology.to_dot() }),
            },
            troubles: vec![Arc::new(move || {
                let mut troubles = watched.lake_troubles();
                troubles.extend(of_the_source.iter().flat_map(|source| source.troubles()));
                troubles
            })],
            in_commit_order: assembly.source_partitions().in_commit_order(),
            source: seen.map(|seen| seen as Arc<dyn api::SourceWatch>),
        };
        let http_settings = api::HttpSettings::default();
        let router = api::router(parts, &http_settings)?;
        let drain = CancellationToken::new();
        let http = tokio::spawn(api::serve(
            listener,
            router,
            http_settings.drain_timeout,
            drain.clone().cancelled_owned(),
        ));
        Ok(Self {
            address,
            assembly,
            http,
            drain,
            source,
        })
    }

    /// The engine's committed state.
    pub fn queries(&self) -> topology::Queries {
        self.assembly.queries()
    }

    /// Waits until the engine cannot go on as it was started, and could if it were started again: partitions were added to a topic
    /// of the source. (Of any other input a start would refuse them; what is there answers on, and readiness says why it stands.)
    pub async fn must_restart(&self, log: &Log) -> String {
        loop {
            tokio::time::sleep(RESTART_CHECK_INTERVAL).await;
            let Some(reason) = self.assembly.must_restart() else {
                continue;
            };
            let log = log.clone();
            let now = tokio::task::spawn_blocking(move || source_partitions(&log)).await;
            match now {
                Ok(Ok(now)) if now != self.assembly.source_partitions() => return reason,
                Ok(Err(error)) => tracing::warn!("the source's topics cannot be looked at: {error:#}"),
                _ => {}
            }
        }
    }

    /// Waits until the engine has ended by itself, and says why.
    pub async fn ended(&self) -> String {
        loop {
            if let Some(reason) = self.assembly.ended() {
                return reason;
            }
            tokio::time::sleep(END_CHECK_INTERVAL).await;
        }
    }

    /// Ends cleanly: answers what is open, commits, writes the state and the last files.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.end(Assembly::stop).await
    }

    /// The same, where a start follows at once: what this instance works on is kept for it.
    pub async fn stop_for_restart(self) -> anyhow::Result<()> {
        self.end(Assembly::stop_for_restart).await
    }

    async fn end(self, stop: fn(&Assembly) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.drain.cancel();
        self.http.await??;
        let (source, assembly) = (self.source, self.assembly);
        // Until the engine has stopped nobody answers for its accounts, and the source's look-ups may wait for others.
        let looks = tokio::task::spawn_blocking(move || drop(source));
        let stopped = tokio::task::spawn_blocking(move || stop(&assembly)).await?;
        looks.await?;
        stopped
    }
}
