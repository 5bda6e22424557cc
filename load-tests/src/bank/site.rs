//! A fresh cluster for the bank, its topics filled as wanted, and a measured drain on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use broker::CleanupPolicy;
use processors::{APPLICATION, BankSettings};
use schemas::topics::SILVER_ACCOUNTS;
use testbed::Testbed;

use super::program::{BankEngine, PAUSE_MAX, Told};
use super::settings::Bank;
use super::source::{ENDS, Records, TOPICS};
use crate::kafka::Kafka;
use crate::process::Running;
use crate::way::{Way, Window};
use crate::{measure, records};

/// How long the engine may take to start, and to tidy up.
const PATIENCE: Duration = Duration::from_secs(60);
/// In so long, a process that does nothing uses less than a twentieth of it.
const TIDY: Duration = Duration::from_secs(2);

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
    pub fn new(registry: &Path, settings: &Bank) -> anyhow::Result<Self> {
        let bed = Testbed::builder().kafka().start_blocking().context("starting Kafka")?;
        let folder = tempfile::tempdir()?;
        let kafka = Kafka::at(bed.kafka().bootstrap());
        for topic in TOPICS.into_iter().chain([ENDS]) {
            kafka.create(topic, 1, CleanupPolicy::Delete(None))?;
        }
        let engine = BankEngine {
            brokers: kafka.brokers.clone(),
            registry: registry.to_owned(),
            state_dir: folder.path().join("state"),
            commit_interval_ms: settings.life.commit_interval_ms,
            partitions: settings.life.partitions,
            threads: settings.life.threads,
            repartition_in_memory: settings.repartition_in_memory,
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
    pub fn drain(&self, inputs: &[(&str, &Records)]) -> anyhow::Result<Drain> {
        let topics: Vec<&str> = inputs.iter().map(|(topic, _)| *topic).collect();
        let mut running = self.ready()?;
        let drain = self.measured(&mut running, &topics, || {
            let write = |(topic, held): &(&str, &Records)| records::write(&self.kafka.broker(), topic, held);
            inputs.iter().try_for_each(write)
        })?;
        running.stop()?;
        Ok(drain)
    }

    /// Fills topics while a process that has nothing to do is frozen, and measures what they take it, from the first record to the
    /// last commit.
    pub fn measured(
        &self,
        running: &mut Running,
        topics: &[&str],
        fill: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Drain> {
        let before = self.told()?.processed();
        let paused = Instant::now();
        running.pause()?;
        fill()?;
        let mut way = self.way(topics)?;
        let mut window = Window::default();
        window.look(running.pid(), Some(()))?;
        ensure!(paused.elapsed() < PAUSE_MAX, "so many records take too long to write");
        running.resume()?;
        way.follow(&self.kafka, running, |_, pid| window.look(pid, None))?;
        let ((), time, cpu) = window.taken()?;
        let mut processed = self.told()?.processed();
        for (topic, count) in before {
            processed.entry(topic).and_modify(|all| *all -= count);
        }
        let given = of_source(topics, &processed);
        ensure!(given > 0.0, "nothing of {topics:?} was processed");
        Ok(Drain {
            cpu_us_per_input: cpu.as_secs_f64() * 1e6 / given,
            inputs_per_s: given / time.as_secs_f64(),
            memory_mib_max: measure::memory_mib_max(running.pid())?,
            processed,
        })
    }

    /// Waits until a process has done what there is, and has no more to tidy up. Returns its CPU time of each source event since its start,
    /// in microseconds.
    pub fn finished(&self, running: &mut Running, topics: &[&str]) -> anyhow::Result<f64> {
        self.way(topics)?.finish(&self.kafka, running)?;
        let mut cpu = measure::cpu(running.pid())?;
        let since = Instant::now();
        loop {
            std::thread::sleep(TIDY);
            let now = measure::cpu(running.pid())?;
            if now - cpu < TIDY / 20 || since.elapsed() > PATIENCE {
                let processed = self.told()?.processed();
                // An event that cannot be read is put aside, and nothing follows from it.
                ensure!(
                    processed.get(SILVER_ACCOUNTS.name()) > Some(&0.0),
                    "no account was accepted: {processed:?}"
                );
                return Ok(now.as_secs_f64() * 1e6 / of_source(topics, &processed));
            }
            cpu = now;
        }
    }

    /// The way of what was written to these topics.
    fn way(&self, topics: &[&str]) -> anyhow::Result<Way> {
        let stages = stages()?.into_iter().flatten();
        let between: Vec<String> = stages.filter(|topic| self.is_between(topic, topics)).collect();
        let between: Vec<&str> = between.iter().map(String::as_str).collect();
        Way::new(&self.kafka, APPLICATION, topics, &between)
    }

    /// A process all of whose tasks run.
    pub fn ready(&self) -> anyhow::Result<Running> {
        // Those that read the source have one task each.
        let stages = stages()?;
        let tasks = stages
            .iter()
            .map(|inputs| match inputs.iter().any(|topic| is_of_source(topic)) {
                true => 1,
                false => self.engine.partitions,
            });
        let tasks: u32 = tasks.sum();
        let mut running = Running::start(self.engine.command()?, self.log.clone())?;
        let started = Instant::now();
        // The socket comes first, then the tasks.
        while self.told().ok().and_then(|told| told.tasks()) != Some(tasks) {
            running.check()?;
            ensure!(started.elapsed() < PATIENCE, "the engine's tasks do not run");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(running)
    }

    /// What its state takes on disk, in MiB.
    pub fn state_mib(&self) -> f64 {
        measure::disk_mib(&self.engine.state_dir)
    }

    /// Its cluster.
    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// Whether records come there on their way. What is handed over in memory does not.
    fn is_between(&self, topic: &str, given: &[&str]) -> bool {
        let is_in_memory = self.engine.repartition_in_memory && topic.starts_with(APPLICATION);
        !(is_of_source(topic) || given.contains(&topic) || is_in_memory)
    }

    fn told(&self) -> anyhow::Result<Told> {
        Told::by(&self.engine.state_dir)
    }

    /// What a topic holds.
    pub fn records(&self, topic: &str) -> anyhow::Result<Records> {
        records::read(&self.kafka.broker(), topic)
    }
}

/// The topics that each sub-topology of the bank reads, as its description has them.
fn stages() -> anyhow::Result<Vec<Vec<String>>> {
    let mut stages: Vec<Vec<String>> = Vec::new();
    for line in processors::bank(BankSettings::default())?.to_string().lines() {
        let topic = line.split_once("(topics: [").and_then(|(_, rest)| rest.split_once(']'));
        match (line.contains("Sub-topology:"), topic, stages.last_mut()) {
            (true, ..) => stages.push(Vec::new()),
            (false, Some((topic, _)), Some(stage)) => stage.push(topic.to_owned()),
            _ => {}
        }
    }
    Ok(stages)
}

/// How many records of the source were processed that are events.
fn of_source(topics: &[&str], processed: &BTreeMap<String, f64>) -> f64 {
    let events = topics.iter().filter(|topic| **topic != ENDS);
    events.filter_map(|topic| processed.get(*topic)).sum()
}

fn is_of_source(topic: &str) -> bool {
    TOPICS.contains(&topic) || topic == ENDS
}
