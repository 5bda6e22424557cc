//! How fast a program works off a full topic, and what it takes for that.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use broker::CleanupPolicy;

use super::engines::{EngineKind, Job, Running};
use crate::kafka::{Kafka, Progress};
use crate::measure;

/// What a drain took, from the end of the warm-up to the last commit.
#[derive(Debug, Clone, Copy)]
pub struct Drained {
    /// Of the process, user and system.
    pub cpu_us_per_record: f64,
    /// Change events.
    pub records_per_s: f64,
    /// From the start on.
    pub memory_mib_max: f64,
}

const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// The topic that a program repartitions through.
fn repartition(kafka: &Kafka, job: &Job) -> anyhow::Result<String> {
    let topics = kafka.topics(&job.application)?;
    topics
        .into_iter()
        .find(|name| name.ends_with("-repartition"))
        .context("there is no repartition topic")
}

/// A program's way through its two topics.
pub struct Way {
    progress: Progress,
    input: (String, Vec<i64>),
    repartition: Option<(String, u32)>,
}

impl Way {
    /// Of this job's program, on what its input holds now.
    pub fn new(kafka: &Kafka, job: &Job) -> anyhow::Result<Self> {
        let progress = Progress::of(kafka, &job.application)?;
        let ends = progress.ends(&job.input, job.partitions)?;
        Ok(Self {
            progress,
            input: (job.input.clone(), ends),
            repartition: None,
        })
    }

    /// Committed offsets: in the input, in the repartition topic.
    fn stand(&mut self, kafka: &Kafka, job: &Job) -> anyhow::Result<(i64, i64)> {
        let read: i64 = self.progress.committed(&self.input.0, job.partitions)?.iter().sum();
        if self.repartition.is_none() && read > 0 {
            let name = repartition(kafka, job)?;
            let partitions = kafka.partitions(&name)?;
            self.repartition = Some((name, partitions));
        }
        let posted = match &self.repartition {
            Some((name, partitions)) => self.progress.committed(name, *partitions)?.iter().sum(),
            None => 0,
        };
        Ok((read, posted))
    }

    /// Whether everything is committed; the end of a partition of the repartition topic may be a transaction's marker.
    fn is_done(&self, read: i64) -> anyhow::Result<bool> {
        if read < self.input.1.iter().sum() {
            return Ok(false);
        }
        let Some((name, partitions)) = &self.repartition else {
            return Ok(false);
        };
        let ends = self.progress.ends(name, *partitions)?;
        let committed = self.progress.committed(name, *partitions)?;
        Ok(ends.iter().zip(committed).all(|(end, committed)| committed >= end - 1))
    }

    /// Waits until all is done.
    pub fn finish(&mut self, kafka: &Kafka, job: &Job, running: &mut Running) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            running.check()?;
            let (read, _) = self.stand(kafka, job)?;
            if self.is_done(read)? {
                return Ok(());
            }
            ensure!(started.elapsed() < PATIENCE, "{} does not get on", job.application);
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// Starts a program on a full topic and ends it when all is done.
pub fn measure(kind: EngineKind, job: &Job, kafka: &Kafka, records: usize, warm_up_percent: usize) -> anyhow::Result<Drained> {
    kafka.create(&job.output(kind), job.partitions, CleanupPolicy::Compact)?;
    let mut way = Way::new(kafka, job)?;
    let held: i64 = way.input.1.iter().sum();
    ensure!(held as usize >= records, "{} holds {held} records, not {records}", job.input);
    let mut running = Running::start(kind, job, kafka)?;
    let launched = Instant::now();
    let mut start = None;
    let (at_end, time, cpu) = loop {
        running.check()?;
        let (read, posted) = way.stand(kafka, job)?;
        if start.is_none() && read >= held * warm_up_percent as i64 / 100 && posted > 0 {
            start = Some((Instant::now(), measure::cpu(running.pid())?, read, posted));
        }
        let (now, cpu) = (Instant::now(), measure::cpu(running.pid())?);
        if way.is_done(read)? {
            break ((read, posted), now, cpu);
        }
        ensure!(launched.elapsed() < PATIENCE, "{} does not get on", job.application);
        std::thread::sleep(LOOK_EVERY);
    };
    let (started, cpu_before, read, posted) = start.context("it was done before it was warm")?;
    // Each half of the work as a share of its topic: what the warm-up had read, it had not booked yet.
    let share = ((at_end.0 - read) as f64 / at_end.0 as f64 + (at_end.1 - posted) as f64 / at_end.1 as f64) / 2.0;
    let worked = held as f64 * share;
    let drained = Drained {
        cpu_us_per_record: (cpu - cpu_before).as_secs_f64() * 1e6 / worked,
        records_per_s: worked / (time - started).as_secs_f64(),
        memory_mib_max: measure::memory_mib_max(running.pid())?,
    };
    running.stop()?;
    Ok(drained)
}
