//! The programs that do the reference work, and how one is started, watched and ended.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::work::{BACKED_OUTPUT, Variant};
use crate::kafka::Kafka;

/// Who does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum EngineKind {
    /// This project's engine.
    Riverbank,
    /// The same, with the output as the store's changelog.
    RiverbankBacked,
    /// Kafka Streams, record cache off.
    KafkaStreams,
    /// Kafka Streams, record cache on: it emits the last update of each key in each commit.
    KafkaStreamsCached,
    /// The loop without an engine.
    BareLoop,
}

/// What the record cache of [`EngineKind::KafkaStreamsCached`] holds, in bytes: Kafka Streams' own default.
const CACHE_BYTES: u64 = 10 << 20;

impl EngineKind {
    /// Its name in keys of the report.
    pub const fn name(self) -> &'static str {
        match self {
            EngineKind::Riverbank => "riverbank",
            EngineKind::RiverbankBacked => "riverbank_backed",
            EngineKind::KafkaStreams => "kafka_streams",
            EngineKind::KafkaStreamsCached => "kafka_streams_cached",
            EngineKind::BareLoop => "bare_loop",
        }
    }

    /// Whether it writes every update to the output.
    pub const fn writes_every_update(self) -> bool {
        matches!(self, EngineKind::Riverbank | EngineKind::KafkaStreams | EngineKind::BareLoop)
    }
}

/// What every program is told.
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
}

/// A program at work. Dropping it kills it.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it.
    pub fn start(kind: EngineKind, job: &Job, kafka: &Kafka) -> anyhow::Result<Self> {
        let log = job.folder.join(format!("{}.log", job.application));
        let file = std::fs::File::options().create(true).append(true).open(&log)?;
        let mut command = match kind {
            EngineKind::KafkaStreams => kafka_streams(0)?,
            EngineKind::KafkaStreamsCached => kafka_streams(CACHE_BYTES)?,
            EngineKind::Riverbank | EngineKind::RiverbankBacked => ourselves("engine")?,
            EngineKind::BareLoop => ourselves("bare-loop")?,
        };
        if kind == EngineKind::RiverbankBacked {
            command.args(["--variant", clap_name(Variant::Backed)]);
        }
        command
            .args(["--brokers", &kafka.brokers])
            .args(["--application-id", &job.application])
            .args(["--input", &job.input])
            .args(["--output", &job.output(kind)])
            .arg("--schema-file")
            .arg(&job.schema_file)
            .arg("--state-dir")
            .arg(job.folder.join(&job.application))
            .args(["--commit-interval-ms", &job.commit_interval_ms.to_string()])
            .args(["--partitions", &job.partitions.to_string()])
            .stdout(file.try_clone()?)
            .stderr(file)
            .stdin(Stdio::null());
        let child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        Ok(Self { child, log })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error with the end of its log, if it has ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}: {}", self.log.display(), self.tail()),
        }
    }

    fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Kills it, as a power cut would.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it by SIGTERM.
    pub fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM)?;
        let until = Instant::now() + Duration::from_secs(40);
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "{status} at the end: {}", self.tail());
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("it does not end: {}", self.tail())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already after a stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn clap_name(variant: Variant) -> &'static str {
    match variant {
        Variant::Changelog => "changelog",
        Variant::Backed => "backed",
    }
}

fn ourselves(subcommand: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(subcommand);
    Ok(command)
}

/// The folder that `tools/install.sh` fills.
fn installed() -> anyhow::Result<PathBuf> {
    let cache = match std::env::var_os("RIVERBANK_CACHE") {
        Some(cache) => PathBuf::from(cache),
        None => Path::new(&std::env::var_os("HOME").context("HOME is not set")?).join(".cache/riverbank"),
    };
    Ok(cache.join("opt"))
}

fn kafka_streams(cache_bytes: u64) -> anyhow::Result<Command> {
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
        .args(["--threads", "1", "--cache-bytes", &cache_bytes.to_string()]);
    Ok(command)
}
