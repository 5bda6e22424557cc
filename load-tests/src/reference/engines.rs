//! The programs that do the reference work, and how one is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::work::{BACKED_OUTPUT, Variant};
use crate::kafka::Kafka;
use crate::process::{Running, ourselves};
use crate::way::Way;

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum EngineKind {
    /// This project's engine, through the repartition topic as all others.
    Riverbank,
    /// The same, with re-keyed records handed over in memory: what the engine does unless it is told otherwise.
    RiverbankInMemory,
    /// The same, with the output as the store's changelog.
    RiverbankBacked,
    /// Kafka Streams, record cache off.
    KafkaStreams,
    /// Kafka Streams, record cache on: it emits the last update of each key in each commit.
    KafkaStreamsCached,
    /// Kafka Streams, record cache off, with transactional state stores: state outlives an unclean stop, as this engine's does.
    KafkaStreamsTransactional,
    /// The loop without an engine.
    BareLoop,
    /// The Kafka client alone, with as many records and none of the work.
    ClientOnly,
}

/// What the record cache of [`EngineKind::KafkaStreamsCached`] holds, in bytes: Kafka Streams' own default.
const CACHE_BYTES: u64 = 10 << 20;

impl EngineKind {
    /// Its name in keys of the report.
    pub const fn name(self) -> &'static str {
        match self {
            EngineKind::Riverbank => "riverbank",
            EngineKind::RiverbankInMemory => "riverbank_in_memory",
            EngineKind::RiverbankBacked => "riverbank_backed",
            EngineKind::KafkaStreams => "kafka_streams",
            EngineKind::KafkaStreamsCached => "kafka_streams_cached",
            EngineKind::KafkaStreamsTransactional => "kafka_streams_transactional",
            EngineKind::BareLoop => "bare_loop",
            EngineKind::ClientOnly => "client_only",
        }
    }

    /// Whether it writes every update to the output.
    pub const fn writes_every_update(self) -> bool {
        !matches!(self, EngineKind::RiverbankBacked | EngineKind::KafkaStreamsCached) && self.does_the_work()
    }

    /// Whether its output is that of the reference work.
    pub const fn does_the_work(self) -> bool {
        !matches!(self, EngineKind::ClientOnly)
    }
}

/// What every program is given.
#[derive(Debug, Clone)]
pub struct Job {
    /// The application's id.
    pub application: String,
    /// The topic of change events.
    pub input: String,
    /// Its partitions.
    pub partitions: u32,
    /// The schema of the change events.
    pub schema_file: PathBuf,
    /// The longest transaction, in milliseconds.
    pub commit_interval_ms: u64,
    /// Where state and logs are kept.
    pub folder: PathBuf,
}

impl Job {
    /// The topic of balances.
    pub fn output(&self, kind: EngineKind) -> String {
        match kind {
            EngineKind::RiverbankBacked => BACKED_OUTPUT.to_owned(),
            _ => format!("{}-balances", self.application),
        }
    }

    /// The topic that every program repartitions through.
    pub fn repartition(&self) -> String {
        format!("{}-postings-repartition", self.application)
    }

    /// The folder of its state.
    pub fn state(&self) -> PathBuf {
        self.folder.join(&self.application)
    }

    /// A program's way to the end of what the input holds now.
    pub fn way(&self, kind: EngineKind, kafka: &Kafka) -> anyhow::Result<Way> {
        let through = |between: &[&str]| Way::new(kafka, &self.application, &[&self.input], between);
        match kind {
            EngineKind::RiverbankInMemory => through(&[&self.repartition()])?.by_output(kafka, self.output(kind)),
            EngineKind::ClientOnly => through(&[]),
            _ => through(&[&self.repartition()]),
        }
    }
}

/// Starts a program on its job.
pub fn start(kind: EngineKind, job: &Job, kafka: &Kafka) -> anyhow::Result<Running> {
    let mut command = match kind {
        EngineKind::KafkaStreams => kafka_streams(0, false)?,
        EngineKind::KafkaStreamsCached => kafka_streams(CACHE_BYTES, false)?,
        EngineKind::KafkaStreamsTransactional => kafka_streams(0, true)?,
        EngineKind::Riverbank | EngineKind::RiverbankInMemory | EngineKind::RiverbankBacked => ourselves("engine")?,
        EngineKind::BareLoop => ourselves("bare-loop")?,
        EngineKind::ClientOnly => ourselves("client-only")?,
    };
    if kind == EngineKind::RiverbankBacked {
        command.args(["--variant", clap_name(Variant::Backed)]);
    }
    if kind == EngineKind::RiverbankInMemory {
        command.arg("--repartition-in-memory");
    }
    command
        .args(["--brokers", &kafka.brokers])
        .args(["--application-id", &job.application])
        .args(["--input", &job.input])
        .args(["--output", &job.output(kind)])
        .arg("--schema-file")
        .arg(&job.schema_file)
        .arg("--state-dir")
        .arg(job.state())
        .args(["--commit-interval-ms", &job.commit_interval_ms.to_string()])
        .args(["--partitions", &job.partitions.to_string()]);
    Running::start(command, job.folder.join(format!("{}.log", job.application)))
}

fn clap_name(variant: Variant) -> &'static str {
    match variant {
        Variant::Changelog => "changelog",
        Variant::Backed => "backed",
    }
}

/// The folder that `tools/install.sh` fills.
fn installed() -> anyhow::Result<PathBuf> {
    let cache = match std::env::var_os("RIVERBANK_CACHE") {
        Some(cache) => PathBuf::from(cache),
        None => Path::new(&std::env::var_os("HOME").context("HOME is not set")?).join(".cache/riverbank"),
    };
    Ok(cache.join("opt"))
}

fn kafka_streams(cache_bytes: u64, transactional_stores: bool) -> anyhow::Result<Command> {
    let opt = installed()?;
    let jars = opt.join("kafka-streams-peer/lib");
    ensure!(
        jars.is_dir(),
        "{} is missing: run `tools/install.sh bench`, as `make bench` does",
        jars.display()
    );
    let java = std::fs::read_dir(&opt)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("java-"))
        })
        .map(|path| path.join("bin/java"))
        .find(|java| java.exists())
        .unwrap_or_else(|| PathBuf::from("java"));
    let mut command = Command::new(java);
    command
        .args(["-Xmx512m", "--enable-native-access=ALL-UNNAMED", "-cp"])
        .arg(jars.join("*"))
        .arg("riverbank.peer.Main")
        .args(["--threads", "1", "--cache-bytes", &cache_bytes.to_string()])
        .args(["--transactional-stores", if transactional_stores { "1" } else { "0" }]);
    Ok(command)
}
