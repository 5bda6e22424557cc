//! A whole sink, from Kafka to committed files, seen from outside.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use testbed::Minio;

use super::memory::{Held, Taken};
use crate::kafka::{Kafka, Progress};
use crate::measure;
use crate::process::{Running, ourselves};

const PATIENCE: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Of what ends in full files: before, the group is joined and the store is asked what it has.
const WARM_UP_PERCENT: i64 = 30;

/// Where files go.
pub enum Place<'a> {
    Folder,
    Minio(&'a Minio, &'a str),
}

impl Place<'_> {
    pub fn name(&self) -> &'static str {
        match self {
            Place::Folder => "file",
            Place::Minio(..) => "minio",
        }
    }
}

/// What is drained.
pub struct Setting<'a> {
    pub kafka: &'a Kafka,
    pub registry: &'a Path,
    pub held: &'a [Held],
    pub rows_max: u64,
    /// A name of its own for each run.
    pub run: String,
}

/// A topic of one partition: what follows on its last record, and on the last one of its last full file.
struct Topic {
    name: String,
    end: i64,
    full: i64,
}

impl Setting<'_> {
    /// Starts a sink and waits until all is committed. The rate is of what went into full files, after a warm-up: the last file of each
    /// table waits for its age. The CPU is that of the whole run.
    pub fn drain(&self, place: &Place<'_>) -> anyhow::Result<Taken> {
        let folder = tempfile::tempdir()?;
        let lake = folder.path().join("lake");
        let mut command = ourselves("sink-program")?;
        let names: Vec<&str> = self.held.iter().map(Held::name).collect();
        command
            .args(["--brokers", &self.kafka.brokers])
            .arg("--registry")
            .arg(self.registry)
            .args(["--group", &self.run, "--tables", &names.join(",")])
            .args(["--rows-max", &self.rows_max.to_string()]);
        match place {
            Place::Folder => command.args(["--lake", &format!("file://{}", lake.display())]),
            Place::Minio(minio, bucket) => command
                .args(["--lake", &format!("s3://{bucket}/{}", self.run)])
                .args(["--endpoint", minio.endpoint()])
                .env("S3_ACCESS_KEY", minio.access_key())
                .env("S3_SECRET_KEY", minio.secret_key()),
        };
        let progress = Progress::of(self.kafka, &self.run)?;
        let mut running = Running::start(command, folder.path().join("sink.log"))?;
        let taken = self.follow(&progress, &self.topics(), &mut running)?;
        running.stop()?;
        Ok(taken)
    }

    fn topics(&self) -> Vec<Topic> {
        let rows_max = self.rows_max as usize;
        let topic = |held: &Held| Topic {
            name: held.topic().to_owned(),
            end: held.offset_after(held.rows()),
            full: held.offset_after(held.rows() / rows_max * rows_max),
        };
        self.held.iter().map(topic).collect()
    }

    fn follow(&self, progress: &Progress, topics: &[Topic], running: &mut Running) -> anyhow::Result<Taken> {
        let committed = || -> anyhow::Result<Vec<i64>> {
            let of = |topic: &Topic| Ok(progress.committed(&topic.name, 1)?.first().copied().unwrap_or(0));
            topics.iter().map(of).collect()
        };
        let full: i64 = topics.iter().map(|topic| topic.full).sum();
        let (started, mut warm, mut all_full) = (Instant::now(), None, None);
        loop {
            running.check()?;
            let (now, stand) = (Instant::now(), committed()?);
            let in_full: i64 = topics.iter().zip(&stand).map(|(topic, at)| topic.full.min(*at)).sum();
            if warm.is_none() && in_full * 100 >= full * WARM_UP_PERCENT {
                warm = Some((now, in_full));
            }
            if all_full.is_none() && in_full == full {
                all_full = Some((now, in_full));
            }
            if topics.iter().zip(&stand).all(|(topic, at)| *at >= topic.end) {
                break;
            }
            ensure!(started.elapsed() < PATIENCE, "{} does not get on", self.run);
            std::thread::sleep(LOOK_EVERY);
        }
        let (from, to) = (warm.context("it was never warm")?, all_full.context("no file was full")?);
        ensure!(
            to.1 > from.1,
            "{} was done too soon: give it more records, or smaller files",
            self.run
        );
        Ok(Taken {
            rows: self.held.iter().map(|held| held.rows() as u64).sum(),
            log_bytes: self.held.iter().map(Held::log_bytes).sum(),
            file_bytes: None,
            cpu: measure::cpu(running.pid())?,
            time: to.0 - from.0,
            timed_rows: (to.1 - from.1) as u64,
            memory_mib_max: Some(measure::memory_mib_max(running.pid())?),
        })
    }
}
