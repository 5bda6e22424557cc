//! The running whole: engine, sinks and HTTP service on one set of ports.
//!
//! `run` and `demo` differ in what stands behind the ports (Kafka or the log in the process, Postgres or the system of record in
//! memory), and in nothing else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use api::Affects;
use parking_lot::Mutex;
use processors::{BankSettings, SourcePartitions};
use schemas::topics::{CDC_ACCOUNTS, CDC_CUSTOMERS, CDC_TRANSACTION_METADATA, CDC_TRANSACTIONS};
use tokio::runtime::Handle;
use topology::clock::SystemClock;
use topology::store::{Backends, RocksBackends, RocksSettings};
use topology::{Engine, EngineError, EngineParts, EngineSettings, Metrics, Queries};

use crate::config::Settings;
use crate::lake_writers::LakeWriters;
use crate::open::log::Log;
use crate::rejections::Rejections;
use crate::{source_counters, upgrade};

/// How long the broker may take to name a topic's partitions.
const TOPICS_TIMEOUT: Duration = Duration::from_secs(15);

/// Engine and sinks at work.
///
/// Open HTTP connections share it until they are closed, so it can be stopped while it is shared.
pub struct Assembly {
    queries: Queries,
    topology: Arc<topology::Topology>,
    source_partitions: SourcePartitions,
    running: Mutex<Option<Parts>>,
    keeps_tasks: bool,
}

struct Parts {
    engine: Engine,
    lake: LakeWriters,
    rejections: Rejections,
}

impl Assembly {
    /// Starts the engine and the sinks. Blocks while topics and schemas are prepared.
    pub fn start(settings: &Settings, log: &Log, address: &str, metrics: &prometheus::Registry) -> anyhow::Result<Self> {
        let backends = RocksBackends::new(settings.state.dir.join("stores"), RocksSettings::default());
        // Before the first thing that another process on this folder could notice.
        backends.claim().context("state.dir")?;
        let instance = instance(settings)?;
        let parts = EngineParts {
            broker: log.broker.clone(),
            backends: Arc::new(backends),
            registry: log.registry.clone(),
            clock: Arc::new(SystemClock),
            metrics: Metrics::register("riverbank", metrics)?,
        };
        let engine_settings = EngineSettings {
            instance: instance.clone(),
            threads: settings.engine.threads,
            partitions: settings.engine.partitions,
            commit_interval: settings.engine.commit_interval,
            flush_interval: settings.engine.flush_interval,
            ..EngineSettings::default()
        };
        source_counters::register(metrics)?;
        upgrade::check_gold(&*log.broker, settings.engine.gold_from_now_on)?;
        upgrade::take_over(log, &SystemClock)?;
        let source_partitions = source_partitions(log)?;
        let bank = BankSettings {
            partitions: source_partitions,
            hold_expiry: settings.bank.holds_expire_after(),
            postings_kept: Some(settings.bank.postings_kept).filter(|kept| !kept.is_zero()),
        };
        let engine = Engine::start(processors::bank(bank)?, engine_settings, parts, address);
        let engine = match engine {
            Err(error @ EngineError::NameTaken { .. }) => {
                let file = settings.state.dir.join("instance");
                return Err(error).context(format!(
                    "is state.dir a copy? Then delete {} for another name, which is made at the start",
                    file.display()
                ));
            }
            engine => engine?,
        };
        let lake = Handle::current().block_on(LakeWriters::start(settings, log, &instance, metrics))?;
        let rejections = Rejections::follow(log, metrics)?;
        Ok(Self {
            queries: engine.queries(),
            topology: engine.topology(),
            source_partitions,
            keeps_tasks: settings.engine.stop_keeps_tasks,
            running: Mutex::new(Some(Parts {
                engine,
                lake,
                rejections,
            })),
        })
    }

    /// Answers from committed state.
    pub fn queries(&self) -> Queries {
        self.queries.clone()
    }

    /// The topology that runs.
    pub fn topology(&self) -> Arc<topology::Topology> {
        self.topology.clone()
    }

    /// What the sinks, the Iceberg tables and what reports files to the warehouse complain of.
    pub fn lake_troubles(&self) -> Vec<api::Trouble> {
        let running = self.running.lock();
        let of = |parts: &Parts| {
            [Affects::Lake, Affects::Iceberg, Affects::Snowpipe]
                .into_iter()
                .zip(parts.lake.troubles())
        };
        let all = running.as_ref().into_iter().flat_map(of);
        all.filter_map(|(affects, reason)| Some(api::Trouble::new(affects, reason?)))
            .collect()
    }

    /// How many partitions the source's topics had at the start.
    pub fn source_partitions(&self) -> SourcePartitions {
        self.source_partitions
    }

    /// Why the engine must be started again to go on, if it must.
    pub fn must_restart(&self) -> Option<String> {
        self.running.lock().as_ref().and_then(|parts| parts.engine.must_restart())
    }

    /// Why the engine has ended by itself, if it has.
    pub fn ended(&self) -> Option<String> {
        self.running.lock().as_ref().and_then(|parts| parts.engine.ended())
    }

    /// Ends cleanly: the engine commits, writes its state and hands its tasks over to the other instances, unless the settings have it
    /// keep them; then the sinks write what is open. A second call does nothing.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.end(self.keeps_tasks)
    }

    /// The same, where a start follows at once: the tasks are kept for it.
    pub fn stop_for_restart(&self) -> anyhow::Result<()> {
        self.end(true)
    }

    fn end(&self, keeps_tasks: bool) -> anyhow::Result<()> {
        let Some(parts) = self.running.lock().take() else {
            return Ok(());
        };
        if keeps_tasks {
            parts.engine.stop_for_restart();
        } else {
            parts.engine.stop();
        }
        drop(parts.rejections);
        parts.lake.stop()
    }
}

/// How many partitions the source's topics have; one, where a topic is not there yet.
pub fn source_partitions(log: &Log) -> anyhow::Result<SourcePartitions> {
    let count = |topic: &str| -> anyhow::Result<u32> { Ok(log.broker.partitions(topic, TOPICS_TIMEOUT)?.unwrap_or(1)) };
    let of = |topic: &str| -> anyhow::Result<u32> {
        let count = count(topic)?;
        if count > 1 {
            tracing::warn!(
                topic,
                partitions = count,
                "the topic has several partitions: rows are brought together by their ids, but not into the order of the commits"
            );
        }
        Ok(count)
    };
    Ok(SourcePartitions {
        customers: of(CDC_CUSTOMERS.name())?,
        accounts: of(CDC_ACCOUNTS.name())?,
        transactions: of(CDC_TRANSACTIONS.name())?,
        metadata: count(CDC_TRANSACTION_METADATA.name())?,
    })
}

/// This instance's name: made once and kept with its state, so that a restart is recognised.
fn instance(settings: &Settings) -> anyhow::Result<String> {
    let path = settings.state.dir.join("instance");
    std::fs::create_dir_all(&settings.state.dir).with_context(|| format!("state.dir {}", settings.state.dir.display()))?;
    match std::fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        _ => {
            let name = uuid::Uuid::new_v4().simple().to_string()[..12].to_owned();
            std::fs::write(&path, &name).with_context(|| format!("state.dir: write {}", path.display()))?;
            Ok(name)
        }
    }
}
