//! What every scenario of the reference work needs: a Kafka, a folder, the schema of the change events.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use testbed::Testbed;

use super::engines::{EngineKind, Job};
use super::input;
use super::work::BACKED_OUTPUT;
use crate::kafka::Kafka;

/// Dropping it ends the Kafka, if that was started for it, and deletes the folder.
pub struct Bench {
    /// The cluster.
    pub kafka: Kafka,
    folder: tempfile::TempDir,
    schema_file: PathBuf,
    /// Behind every application's id.
    run: String,
    bed: Option<Testbed>,
}

impl Bench {
    /// With a Kafka of its own.
    pub fn new() -> anyhow::Result<Self> {
        let bed = Testbed::builder().kafka().start_blocking().context("starting Kafka")?;
        let folder = tempfile::tempdir()?;
        let schema_file = folder.path().join("schema.json");
        std::fs::write(&schema_file, input::SCHEMA)?;
        Ok(Self {
            kafka: Kafka::at(bed.kafka().bootstrap()),
            folder,
            schema_file,
            run: String::new(),
            bed: Some(bed),
        })
    }

    /// With a Kafka that runs, and the schema of what is there. Groups outlive a run, and so do the topics of one that failed:
    /// every run has names of its own.
    pub fn at(brokers: &str, schema_file: &Path) -> anyhow::Result<Self> {
        let kafka = Kafka::at(brokers);
        if kafka.topics(BACKED_OUTPUT)?.iter().any(|name| name == BACKED_OUTPUT) {
            kafka.delete(&[BACKED_OUTPUT.to_owned()])?;
        }
        Ok(Self {
            kafka,
            folder: tempfile::tempdir()?,
            schema_file: schema_file.to_owned(),
            run: format!("-{}", input::now_ms()),
            bed: None,
        })
    }

    /// The folder of the servers' data, if they were started for this.
    pub fn servers(&self) -> Option<&Path> {
        self.bed.as_ref().map(Testbed::folder)
    }

    /// A job of this name.
    pub fn job(&self, kind: EngineKind, name: &str, input: &str, partitions: u32, commit_interval_ms: u64) -> Job {
        Job {
            application: format!("{}-{name}{}", kind.name().replace('_', "-"), self.run),
            input: input.to_owned(),
            partitions,
            schema_file: self.schema_file.clone(),
            commit_interval_ms,
            folder: self.folder.path().to_owned(),
        }
    }

    /// Deletes what a job has left, apart from its input.
    pub fn clean(&self, kind: EngineKind, job: &Job) -> anyhow::Result<()> {
        let mut topics = self.kafka.topics(&job.application)?;
        if !topics.contains(&job.output(kind)) {
            topics.push(job.output(kind));
        }
        topics.retain(|name| *name != job.input);
        self.kafka.delete(&topics)?;
        let state = job.state();
        if state.exists() {
            std::fs::remove_dir_all(state)?;
        }
        Ok(())
    }
}
