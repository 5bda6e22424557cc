//! A program's way through its topics, seen from outside: by what its group has committed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::kafka::{Kafka, Progress};
use crate::measure;
use crate::process::Running;

/// How long it may make no progress.
const PATIENCE: Duration = Duration::from_secs(600);
/// Shorter ones would be made of clock ticks.
const MEASURED_MIN: Duration = Duration::from_millis(100);
/// More than so many offsets behind the group's are not barriers and markers alone: nobody reads them one by one.
const TAIL_MAX: i64 = 16;
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What a drain took, from the end of the warm-up to the last commit.
#[derive(Debug, Clone, Copy)]
pub struct Drained {
    /// Of the process, user and system.
    pub cpu_us_per_record: f64,
    /// Records of the inputs.
    pub records_per_s: f64,
    /// From the process's start on.
    pub memory_mib_max: f64,
}

/// Committed offsets, summed over the partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// In the inputs.
    pub read: i64,
    /// In the topics between, or written to the output.
    pub passed: i64,
}

/// A group's way through inputs, which somebody else fills, and the topics between its own stages.
pub struct Way {
    progress: Progress,
    group: String,
    inputs: Vec<(String, Vec<i64>)>,
    between: Vec<String>,
    between_partitions: Vec<u32>,
    output: Option<(String, u32)>,
    before: Stand,
}

impl Way {
    /// To the end of what the inputs hold now, from where the group is. The topics between need not be there yet.
    pub fn new(kafka: &Kafka, group: &str, inputs: &[&str], between: &[&str]) -> anyhow::Result<Self> {
        let progress = Progress::of(kafka, group)?;
        let ends = |topic: &&str| Ok(((*topic).to_owned(), progress.ends(topic, kafka.partitions(topic)?)?));
        let inputs = inputs.iter().map(ends).collect::<anyhow::Result<_>>()?;
        let mut way = Self {
            progress,
            group: group.to_owned(),
            inputs,
            between: between.iter().map(|&topic| topic.to_owned()).collect(),
            between_partitions: Vec::new(),
            output: None,
            before: Stand { read: 0, passed: 0 },
        };
        way.before = way.stand(kafka)?;
        Ok(way)
    }

    /// Tells how far the second half is by what it has written, since not everything passes through the topics between.
    pub fn by_output(mut self, kafka: &Kafka, topic: String) -> anyhow::Result<Self> {
        let partitions = kafka.partitions(&topic)?;
        self.before.passed = self.progress.ends(&topic, partitions)?.iter().sum();
        self.output = Some((topic, partitions));
        Ok(self)
    }

    /// Records that wait in the inputs at first.
    pub fn waiting(&self) -> i64 {
        self.end() - self.before.read
    }

    fn end(&self) -> i64 {
        self.inputs.iter().flat_map(|(_, ends)| ends).sum()
    }

    fn stand(&mut self, kafka: &Kafka) -> anyhow::Result<Stand> {
        let mut stand = Stand { read: 0, passed: 0 };
        for (topic, ends) in &self.inputs {
            stand.read += self.progress.committed(topic, ends.len() as u32)?.iter().sum::<i64>();
        }
        if self.between_partitions.is_empty() && stand.read > 0 {
            let all = kafka.topics("")?;
            if self.between.iter().all(|topic| all.contains(topic)) {
                let partitions = self.between.iter().map(|topic| kafka.partitions(topic));
                self.between_partitions = partitions.collect::<anyhow::Result<_>>()?;
            }
        }
        if let Some((topic, partitions)) = &self.output {
            stand.passed = self.progress.ends(topic, *partitions)?.iter().sum();
            return Ok(stand);
        }
        for (topic, &partitions) in self.between.iter().zip(&self.between_partitions) {
            stand.passed += self.progress.committed(topic, partitions)?.iter().sum::<i64>();
        }
        Ok(stand)
    }

    /// Whether everything is committed.
    fn is_done(&self, read: i64) -> anyhow::Result<bool> {
        let markers: i64 = self.inputs.iter().map(|(_, ends)| ends.len() as i64 * TAIL_MAX).sum();
        if read < self.end() - markers || self.between_partitions.len() < self.between.len() {
            return Ok(false);
        }
        for (topic, ends) in &self.inputs {
            // Whether they were written in transactions is not known.
            if !self.is_read(topic, ends, 0)? {
                return Ok(false);
            }
        }
        for (topic, &partitions) in self.between.iter().zip(&self.between_partitions) {
            if !self.is_read(topic, &self.progress.ends(topic, partitions)?, 1)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a topic's records are committed up to these ends of its partitions, of which so many offsets are markers for certain. A partition may end with a transaction's marker, or with several: a
    /// worker's transactions take turns between two ids, and the marker of one may come after the records of the next. The engine's
    /// barriers may lie there, too, when it has gone over to memory.
    fn is_read(&self, topic: &str, ends: &[i64], certain: i64) -> anyhow::Result<bool> {
        let committed = self.progress.committed(topic, ends.len() as u32)?;
        for (partition, (end, committed)) in (0..).zip(ends.iter().zip(committed)) {
            let markers = end - committed;
            if markers > TAIL_MAX || markers > certain && self.progress.holds_records(topic, partition, committed)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks again and again until all is done.
    pub fn follow(
        &mut self,
        kafka: &Kafka,
        running: &mut Running,
        mut look: impl FnMut(Stand, u32) -> anyhow::Result<()>,
    ) -> anyhow::Result<Stand> {
        let (mut last, mut since) = (self.before, Instant::now());
        loop {
            running.check()?;
            let stand = self.stand(kafka)?;
            look(stand, running.pid())?;
            if self.is_done(stand.read)? {
                return Ok(stand);
            }
            if stand != last {
                (last, since) = (stand, Instant::now());
            }
            ensure!(since.elapsed() < PATIENCE, "{} makes no progress", self.group);
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until all is done.
    pub fn finish(&mut self, kafka: &Kafka, running: &mut Running) -> anyhow::Result<()> {
        self.follow(kafka, running, |_, _| Ok(())).map(drop)
    }

    /// Measures a program that has just been started, from so much of the inputs on: before, it warms up.
    pub fn measure(&mut self, kafka: &Kafka, running: &mut Running, warm_up_percent: usize) -> anyhow::Result<Drained> {
        let (before, waiting) = (self.before, self.waiting());
        let warm = before.read + waiting * warm_up_percent as i64 / 100;
        let mut window = Window::default();
        let needs_passed = !self.between.is_empty();
        let end = self.follow(kafka, running, |stand, pid| {
            let is_warm = stand.read >= warm && (stand.passed > before.passed || !needs_passed);
            window.look(pid, is_warm.then_some(stand))
        })?;
        let (start, time, cpu) = window.taken()?;
        // Each half of the work as a share of its topics: what the warm-up had read, it had not passed on yet.
        let share = |end: i64, start: i64, before: i64| match end - before {
            0 => None,
            all => Some((end - start) as f64 / all as f64),
        };
        let shares = [
            share(end.read, start.read, before.read),
            share(end.passed, start.passed, before.passed),
        ];
        let shares: Vec<f64> = shares.into_iter().flatten().collect();
        let worked = waiting as f64 * shares.iter().sum::<f64>() / shares.len() as f64;
        ensure!(
            worked > 0.0 && time >= MEASURED_MIN,
            "{} was done too soon after it was warm to measure it: give it more records",
            self.group
        );
        Ok(Drained {
            cpu_us_per_record: cpu.as_secs_f64() * 1e6 / worked,
            records_per_s: worked / time.as_secs_f64(),
            memory_mib_max: measure::memory_mib_max(running.pid())?,
        })
    }
}

/// Time and CPU time of a process, from the first look at which it was warm to the last.
pub struct Window<S> {
    first: Option<(Instant, Duration, S)>,
    last: Option<(Instant, Duration)>,
}

impl<S> Default for Window<S> {
    fn default() -> Self {
        Self { first: None, last: None }
    }
}

impl<S> Window<S> {
    /// Looks at the process; where it stands, once it is warm.
    pub fn look(&mut self, pid: u32, warm: Option<S>) -> anyhow::Result<()> {
        let (now, cpu) = (Instant::now(), measure::cpu(pid)?);
        self.last = Some((now, cpu));
        if let (None, Some(stand)) = (&self.first, warm) {
            self.first = Some((now, cpu, stand));
        }
        Ok(())
    }

    /// Where it stood when it was warm, and the time and CPU time that it took from there.
    pub fn taken(self) -> anyhow::Result<(S, Duration, Duration)> {
        let (since, cpu_before, stand) = self.first.context("it was done before it was warm: give it more records")?;
        let (until, cpu) = self.last.context("nobody looked")?;
        Ok((stand, until - since, cpu - cpu_before))
    }
}
