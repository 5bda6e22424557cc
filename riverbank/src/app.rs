//! The program's commands, put together from the settings.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use iceberg_tables::IcebergHandle;
use system_of_record::{InProcess, Postgres, PostgresSettings, SystemOfRecord};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use topology::clock::SystemClock;

use crate::assembly::{Assembly, listener, sink_settings, source_partitions};
use crate::config::Settings;
use crate::log::Log;
use crate::process::{own_metrics, runtime, until_signal};
use crate::sink_service::SinkService;
use crate::snowpipe::Notifying;
use crate::source::SourceWatch;
use crate::{capture, iceberg, lake};

/// Between two looks at whether the engine has ended by itself.
const END_CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// Between two looks at whether the engine must be started again.
const RESTART_CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// `riverbank run`: the stream processor, the HTTP service and the sinks, until SIGTERM.
pub fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let log = Log::of(&settings)?;
        let records: Arc<dyn SystemOfRecord> = match &settings.postgres.url {
            Some(url) => {
                let connections_max = settings.postgres.connections;
                let limits = PostgresSettings {
                    connections_max,
                    ..PostgresSettings::default()
                };
                Arc::new(Postgres::connect_lazy(url.reveal(), &limits).context("postgres.url")?)
            }
            None => in_process_records(&log).await?,
        };
        let stop = until_signal()?;
        capture::watch(&settings);
        let mut running = Running::start(&settings, &log, records.clone(), own_metrics()?).await?;
        loop {
            tracing::info!(address = %running.address, "riverbank runs");
            let reason = tokio::select! {
                () = stop.cancelled() => None,
                reason = running.must_restart(&log) => Some(reason),
                reason = running.ended() => {
                    running.stop().await?;
                    bail!(reason);
                }
            };
            let Some(reason) = reason else {
                running.stop().await?;
                return Ok(ExitCode::SUCCESS);
            };
            running.stop_for_restart().await?;
            tracing::warn!(reason, "starting again, with the topics as they are now");
            running = loop {
                match Running::start(&settings, &log, records.clone(), own_metrics()?).await {
                    Ok(running) => break running,
                    Err(error) => tracing::error!("cannot start again yet: {error:#}"),
                }
                tokio::select! {
                    () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
                    () = tokio::time::sleep(RESTART_CHECK_INTERVAL) => {}
                }
            };
        }
    })
}

/// `riverbank sink`: the sinks alone, with their metrics and health.
pub fn sink(settings: Settings) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let log = Log::of(&settings)?;
        let stop = until_signal()?;
        let instance = uuid::Uuid::new_v4().simple().to_string();
        let metrics = own_metrics()?;
        let service = SinkService::start(settings.http.listen, &metrics).await?;
        let notifying = Notifying::start(&settings, &log.broker, &metrics).await?;
        let runner = sinks::SinkRunner::new(
            sink_settings(&settings, &instance[..12]),
            log.broker.clone(),
            log.registry.clone(),
            lake::open(&settings)?,
            sinks::tables::all(),
        );
        let iceberg = iceberg::start(&settings, &metrics)?;
        let sink = runner
            .with_listener(listener(notifying.as_ref(), iceberg.as_ref()))
            .start(&metrics)?;
        while !stop.is_cancelled() {
            let of_tables = iceberg.as_ref().and_then(IcebergHandle::trouble);
            let of_snowpipe = notifying.as_ref().and_then(Notifying::trouble);
            if let Some(trouble) = service.report(sink.trouble(), of_tables, of_snowpipe) {
                tracing::warn!(trouble = if trouble.is_empty() { "none" } else { &trouble }, "the sink");
            }
            let _ = tokio::time::timeout(Duration::from_secs(1), stop.cancelled()).await;
        }
        // The last files are in the tables, and reported, before they end.
        let stopped = tokio::task::spawn_blocking(move || {
            let sink = sink.stop();
            let iceberg = iceberg.map(IcebergHandle::stop).transpose();
            sink?;
            iceberg?;
            anyhow::Ok(())
        })
        .await;
        if let Some(notifying) = notifying {
            notifying.stop().await;
        }
        service.stop().await?;
        stopped??;
        Ok(ExitCode::SUCCESS)
    })
}

/// The system of record in this process, which writes its own change log.
pub async fn in_process_records(log: &Log) -> anyhow::Result<Arc<InProcess>> {
    let log = log.clone();
    let start = move || InProcess::start(log.broker, log.registry, Arc::new(SystemClock));
    Ok(Arc::new(tokio::task::spawn_blocking(start).await??))
}

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
    async fn must_restart(&self, log: &Log) -> String {
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
    async fn ended(&self) -> String {
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
    async fn stop_for_restart(self) -> anyhow::Result<()> {
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
