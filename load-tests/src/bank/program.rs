//! The bank's topology on Kafka as a process of its own: the engine as `riverbank run` has it, without sinks and HTTP.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use broker::{KafkaBroker, KafkaSettings};
use processors::BankSettings;
use prometheus::TextEncoder;
use topology::clock::SystemClock;
use topology::store::{RocksBackends, RocksSettings};
use topology::{Engine, EngineParts, EngineSettings, Metrics};
use wire::FileRegistry;

use crate::process::{block_signals, ourselves};

/// The command line.
#[derive(Debug, Clone, clap::Args)]
pub struct BankEngine {
    /// Kafka's bootstrap servers.
    #[arg(long)]
    pub brokers: String,
    /// The folder of the schemas.
    #[arg(long)]
    pub registry: PathBuf,
    /// Where state is kept.
    #[arg(long)]
    pub state_dir: PathBuf,
    /// The longest transaction, in milliseconds.
    #[arg(long)]
    pub commit_interval_ms: u64,
    /// Partitions.
    #[arg(long)]
    pub partitions: u32,
    /// Workers.
    #[arg(long)]
    pub threads: usize,
    /// Hand over legs in memory: then they are not in their topic.
    #[arg(long)]
    pub repartition_in_memory: bool,
}

/// For so long it can be frozen while its input is filled, and goes on as if nothing had been.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);

const SOCKET: &str = "metrics.sock";

impl BankEngine {
    /// What starts it.
    pub fn command(&self) -> anyhow::Result<Command> {
        let mut command = ourselves("bank-engine")?;
        command
            .args(["--brokers", &self.brokers])
            .arg("--registry")
            .arg(&self.registry)
            .arg("--state-dir")
            .arg(&self.state_dir)
            .args(["--commit-interval-ms", &self.commit_interval_ms.to_string()])
            .args(["--partitions", &self.partitions.to_string()])
            .args(["--threads", &self.threads.to_string()])
            .args(self.repartition_in_memory.then_some("--repartition-in-memory"));
        Ok(command)
    }

    /// Runs until SIGTERM.
    pub fn run(&self) -> anyhow::Result<()> {
        let stop = block_signals()?;
        let registry = prometheus::Registry::new();
        std::fs::create_dir_all(&self.state_dir)?;
        serve(&self.state_dir.join(SOCKET), registry.clone())?;
        let parts = EngineParts {
            broker: Arc::new(KafkaBroker::new(KafkaSettings {
                bootstrap: self.brokers.clone(),
                ..KafkaSettings::default()
            })),
            backends: Arc::new(RocksBackends::new(self.state_dir.join("stores"), RocksSettings::default())),
            registry: Arc::new(FileRegistry::open(&self.registry)?),
            clock: Arc::new(SystemClock),
            metrics: Metrics::register("riverbank", &registry)?,
        };
        let settings = EngineSettings {
            threads: self.threads,
            partitions: self.partitions,
            commit_interval: Duration::from_millis(self.commit_interval_ms),
            // What went through the repartition topic is copied afterwards.
            repartition_purge_interval: Duration::from_secs(86_400),
            session_timeout: PAUSE_MAX,
            repartition_in_memory: self.repartition_in_memory,
            ..EngineSettings::default()
        };
        let engine = Engine::start(processors::bank(BankSettings::default())?, settings, parts, "127.0.0.1:0")?;
        stop.wait()?;
        engine.stop();
        Ok(())
    }
}

/// Tells the metrics to whoever connects.
fn serve(socket: &Path, registry: prometheus::Registry) -> anyhow::Result<()> {
    if socket.exists() {
        std::fs::remove_file(socket)?;
    }
    let listener = UnixListener::bind(socket).with_context(|| format!("listen on {}", socket.display()))?;
    let tell = move || {
        for mut stream in listener.incoming().flatten() {
            if let Ok(text) = TextEncoder::new().encode_to_string(&registry.gather()) {
                // Who asked and went away need not be answered.
                let _ = stream.write_all(text.as_bytes());
            }
        }
    };
    std::thread::Builder::new().name("metrics".to_owned()).spawn(tell)?;
    Ok(())
}

/// What the engine reports of itself.
pub struct Told(String);

impl Told {
    /// By the engine with this folder.
    pub fn by(state_dir: &Path) -> anyhow::Result<Self> {
        let mut text = String::new();
        UnixStream::connect(state_dir.join(SOCKET))?.read_to_string(&mut text)?;
        Ok(Self(text))
    }

    /// Tasks that run.
    pub fn tasks(&self) -> Option<u32> {
        let line = |line: &str| line.strip_prefix("riverbank_tasks_running ")?.parse().ok();
        self.0.lines().find_map(line)
    }

    /// Records that were processed and committed since the start, by topic.
    pub fn processed(&self) -> BTreeMap<String, f64> {
        let count = |line: &str| {
            let (topic, count) = line
                .strip_prefix("riverbank_processed_records_total{topic=\"")?
                .split_once("\"} ")?;
            Some((topic.to_owned(), count.parse().ok()?))
        };
        self.0.lines().filter_map(count).collect()
    }
}
