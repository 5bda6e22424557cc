//! The reference work as a program of its own, on Riverbank's engine: what the harness starts beside Kafka Streams.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use broker::{KafkaBroker, KafkaSettings};
use topology::clock::SystemClock;
use topology::store::{RocksBackends, RocksSettings};
use topology::{Engine, EngineParts, EngineSettings, Metrics};
use wire::{MemoryRegistry, Registry, RegistryError};

use super::work::{Variant, topology};
use crate::process::block_signals;

/// The command line; that of the Kafka Streams program has the same names.
#[derive(Debug, Clone, clap::Args)]
pub struct Program {
    /// Kafka's bootstrap servers.
    #[arg(long)]
    pub brokers: String,
    /// The application's id: the group, and the prefix of its topics.
    #[arg(long)]
    pub application_id: String,
    /// The topic of change events.
    #[arg(long)]
    pub input: String,
    /// The compacted topic of balances.
    #[arg(long)]
    pub output: String,
    /// The schema (JSON) that all change events are written with.
    #[arg(long)]
    pub schema_file: PathBuf,
    /// Where state is kept.
    #[arg(long)]
    pub state_dir: PathBuf,
    /// The longest transaction, in milliseconds.
    #[arg(long, default_value_t = 100)]
    pub commit_interval_ms: u64,
    /// Partitions of the input.
    #[arg(long, default_value_t = 4)]
    pub partitions: u32,
    /// Workers.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// How the store's changes are kept.
    #[arg(long, value_enum, default_value = "changelog")]
    pub variant: Variant,
    /// Hand over re-keyed records in memory.
    #[arg(long)]
    pub repartition_in_memory: bool,
}

/// A registry that knows one foreign schema by every id: the input's frames name a registry that is not here.
pub struct OneSchema {
    own: MemoryRegistry,
    foreign: Arc<str>,
}

/// Above every id that a small registry has given out.
const OWN_IDS: u32 = 1 << 24;

impl OneSchema {
    /// Knows this schema.
    pub fn new(foreign: &str) -> Self {
        Self {
            own: MemoryRegistry::default(),
            foreign: foreign.into(),
        }
    }
}

impl Registry for OneSchema {
    fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        self.own.register(subject, schema).map(|id| id + OWN_IDS)
    }

    fn by_id(&self, id: u32) -> Result<Arc<str>, RegistryError> {
        match id.checked_sub(OWN_IDS) {
            Some(own) => self.own.by_id(own),
            None => Ok(self.foreign.clone()),
        }
    }
}

impl Program {
    pub(super) fn broker(&self) -> KafkaBroker {
        KafkaBroker::new(KafkaSettings {
            bootstrap: self.brokers.clone(),
            ..KafkaSettings::default()
        })
    }

    /// Runs until SIGTERM.
    pub fn run(&self) -> anyhow::Result<()> {
        let stop = block_signals()?;
        let schema = std::fs::read_to_string(&self.schema_file).context("reading the schema")?;
        let parts = EngineParts {
            broker: Arc::new(self.broker()),
            backends: Arc::new(RocksBackends::new(&self.state_dir, RocksSettings::default())),
            registry: Arc::new(OneSchema::new(&schema)),
            clock: Arc::new(SystemClock),
            metrics: Metrics::register("riverbank", &prometheus::Registry::new())?,
        };
        let settings = EngineSettings {
            threads: self.threads,
            partitions: self.partitions,
            commit_interval: Duration::from_millis(self.commit_interval_ms),
            repartition_in_memory: self.repartition_in_memory,
            ..EngineSettings::default()
        };
        let topology = topology(&self.application_id, &self.input, &self.output, self.variant)?;
        let engine = Engine::start(topology, settings, parts, "127.0.0.1:0")?;
        stop.wait()?;
        engine.stop();
        Ok(())
    }
}
