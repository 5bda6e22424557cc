//! A fresh cluster for the bank, its topics filled as wanted, and a measured drain on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use broker::CleanupPolicy;
use processors::APPLICATION;
use testbed::Testbed;

use super::program::{BankEngine, processed};
use super::source::{Records, TOPICS};
use crate::kafka::Kafka;
use crate::process::Running;
use crate::way::{Way, Window};
use crate::{measure, records};

/// A Kafka with empty change topics, and a state folder.
pub struct Site {
    kafka: Kafka,
    engine: BankEngine,
    log: PathBuf,
    _folder: tempfile::TempDir,
    _bed: Testbed,
}

/// What a drain took.
#[derive(Debug, Clone)]
pub struct Drain {
    /// CPU time of a record of the inputs, with all that follows from it.
    pub cpu_us_per_input: f64,
    /// Records of the inputs.
    pub inputs_per_s: f64,
    /// From the process's start on.
    pub memory_mib_max: f64,
    /// Records that were processed, by topic.
    pub processed: BTreeMap<String, f64>,
}

impl Drain {
    /// Records of a topic.
    pub fn of(&self, topic: &str) -> f64 {
        self.processed.get(topic).copied().unwrap_or(0.0)
    }
}

impl Site {
    /// A new one. The schemas are shared, so that records can be taken from one site to another.
    pub fn new(registry: &Path, partitions: u32, threads: usize, commit_interval_ms: u64) -> anyhow::Result<Self> {
        let bed = Testbed::builder().kafka().start_blocking().context("starting Kafka")?;
        let folder = tempfile::tempdir()?;
        let kafka = Kafka::at(bed.kafka().bootstrap());
        for topic in TOPICS {
            kafka.create(topic, partitions, CleanupPolicy::Delete(None))?;
        }
        let engine = BankEngine {
            brokers: kafka.brokers.clone(),
            registry: registry.to_owned(),
            state_dir: folder.path().join("state"),
            commit_interval_ms,
            partitions,
            threads,
        };
        Ok(Self {
            kafka,
            engine,
            log: folder.path().join("engine.log"),
            _folder: folder,
            _bed: bed,
        })
    }

    /// Fills topics, drains them and what follows from them in a process of its own, and measures that.
    pub fn drain(&self, inputs: &[(&str, &Records)], between: &[&str], warm_up_percent: usize) -> anyhow::Result<Drain> {
        for (topic, held) in inputs {
            records::write(&self.kafka.broker(), topic, held)?;
        }
        let topics: Vec<&str> = inputs.iter().map(|(topic, _)| *topic).collect();
        let mut way = Way::new(&self.kafka, APPLICATION, &topics, between)?;
        let (start, waiting) = (way.start(), way.waiting());
        let warm = start.read + waiting * warm_up_percent as i64 / 100;
        let mut running = Running::start(self.engine.command()?, self.log.clone())?;
        let mut window = Window::default();
        way.follow(&self.kafka, &mut running, |stand, pid| {
            let is_first = stand.read >= warm && !window.is_open();
            let counts = is_first.then(|| self.processed()).transpose()?;
            window.look(pid, counts)
        })?;
        let all = self.processed()?;
        let (before, time, cpu) = window.taken()?;
        let sum = |counts: &BTreeMap<String, f64>| counts.values().sum::<f64>();
        // What the warm-up had read, it had not taken all the way: records of all topics count alike.
        let given: f64 = topics.iter().map(|topic| all.get(*topic).copied().unwrap_or(0.0)).sum();
        let worked = given * (1.0 - sum(&before) / sum(&all));
        let drain = Drain {
            cpu_us_per_input: cpu.as_secs_f64() * 1e6 / worked,
            inputs_per_s: worked / time.as_secs_f64(),
            memory_mib_max: measure::memory_mib_max(running.pid())?,
            processed: all,
        };
        running.stop()?;
        Ok(drain)
    }

    fn processed(&self) -> anyhow::Result<BTreeMap<String, f64>> {
        Ok(processed(&self.engine.state_dir)?.into_iter().collect())
    }

    /// What a topic holds.
    pub fn records(&self, topic: &str) -> anyhow::Result<Records> {
        records::read(&self.kafka.broker(), topic)
    }
}
