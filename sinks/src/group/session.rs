//! One membership of the group, from joining to leaving: moves the partitions that the group gives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use broker::{Broker, BrokerError, Group, GroupOptions, Polled, Reader, Rebalance, TopicPartition};
use clock::Clock;

use super::handle::{Shared, SinkError};
use super::partition::{Halt, Listener, Partition, Target, Tools};
use super::probe::Probe;
use super::topics::TopicIds;
use crate::metrics::Metrics;
use crate::{SinkSettings, Table};

/// The longest wait in a pass: a stop, a rebalance and an answer of the store are noticed within.
const PASS: Duration = Duration::from_millis(25);
/// Records of one poll, so that a pass stays short.
const POLL_RECORDS: usize = 1_000;
/// How often the partitions' lags are reported.
const REPORT_EVERY: Duration = Duration::from_millis(250);
/// How often one partition's end is asked of the broker.
const ASK_END_EVERY: Duration = Duration::from_secs(2);

/// What a session works with.
pub(super) struct Parts {
    pub settings: SinkSettings,
    pub broker: Arc<dyn Broker>,
    pub target: Arc<dyn Target>,
    /// The tables, by topic.
    pub tables: BTreeMap<String, Arc<dyn Table>>,
    pub metrics: Metrics,
    pub clock: Arc<dyn Clock>,
    pub probe: Option<Arc<dyn Probe>>,
    pub listener: Option<Listener>,
    pub shared: Arc<Shared>,
}

/// How a session ended by itself.
pub(super) enum Ended {
    /// It was asked to, and did: everything read is written.
    Stopped,
    /// It was asked to, and the time was up.
    OutOfTime(SinkError),
}

pub(super) struct Session<'a> {
    parts: &'a Parts,
    runtime: tokio::runtime::Handle,
    group: Box<dyn Group>,
    reader: Box<dyn Reader>,
    topics: TopicIds,
    tasks: BTreeMap<TopicPartition, Box<dyn Partition>>,
    polled: Polled,
    reported: Instant,
    asked_end: Instant,
    next_end: usize,
    /// The broker's latest fault, while it lasts.
    fault: Option<String>,
}

impl<'a> Session<'a> {
    pub fn join(parts: &'a Parts, runtime: tokio::runtime::Handle) -> Result<Self, BrokerError> {
        let settings = &parts.settings;
        let group = parts.broker.group(GroupOptions {
            group: settings.group.clone(),
            topics: parts.tables.keys().cloned().collect(),
            client_id: settings.client_id.clone(),
            member: None,
            session_timeout: settings.session_timeout,
        })?;
        let reader = parts.broker.reader(&settings.client_id)?;
        let now = Instant::now();
        Ok(Self {
            parts,
            runtime,
            group,
            reader,
            topics: TopicIds::new(parts.broker.clone(), parts.tables.keys().cloned().collect()),
            tasks: BTreeMap::new(),
            polled: Polled::default(),
            reported: now,
            asked_end: now,
            next_end: 0,
            fault: None,
        })
    }

    /// Runs until the sink is stopped or the session is of no more use.
    pub fn run(&mut self) -> Result<Ended, Halt> {
        let mut stop_by: Option<Instant> = None;
        loop {
            let stopping = self.parts.shared.stop.load(Ordering::Acquire);
            self.take_part()?;
            self.read()?;
            self.advance(stopping)?;
            self.report();
            if !stopping {
                continue;
            }
            let by = *stop_by.get_or_insert_with(|| Instant::now() + self.parts.settings.stop_timeout);
            if self.tasks.values().all(|task| task.is_idle()) {
                return Ok(Ended::Stopped);
            }
            if Instant::now() >= by {
                return Ok(Ended::OutOfTime(SinkError::Unfinished(
                    self.trouble().unwrap_or_else(|| "the time was up".to_owned()),
                )));
            }
        }
    }

    /// Leaves the group at once. What was not written is read again by the partitions' next owners.
    pub fn leave(mut self) {
        self.drop_tasks();
        if let Err(error) = self.group.leave() {
            tracing::warn!(%error, "the sink could not leave its group, which will notice by its session's time-out");
        }
    }

    fn drop_tasks(&mut self) {
        for (partition, mut task) in std::mem::take(&mut self.tasks) {
            task.abandon(Some(self.reader.as_mut()));
            self.parts.metrics.forget(task.table().name(), partition.partition);
        }
    }

    /// One look at the group's life.
    fn take_part(&mut self) -> Result<(), Halt> {
        // While something is read, the reader does the waiting.
        let wait = if self.is_reading() { Duration::ZERO } else { PASS };
        let step = match self.group.poll(wait) {
            Ok(step) => step,
            Err(BrokerError::Unavailable(reason)) => {
                self.fault = Some(reason);
                std::thread::sleep(PASS);
                return Ok(());
            }
            Err(error) => return Err(Halt::Renew(error.to_string())),
        };
        self.fault = None;
        let Some(step) = step else { return Ok(()) };
        if let Rebalance::Revoked(gone) | Rebalance::Lost(gone) = &step {
            tracing::info!(?gone, "partitions go to another sink");
            gone.iter().for_each(|partition| self.release(partition));
        }
        self.group.complete(&step).map_err(|error| Halt::Renew(error.to_string()))?;
        if let Rebalance::Assigned(new) = &step {
            tracing::info!(?new, "partitions assigned");
            for partition in new {
                self.accept(partition)?;
            }
        }
        Ok(())
    }

    fn accept(&mut self, partition: &TopicPartition) -> Result<(), Halt> {
        let table: &Arc<dyn Table> = self.parts.tables.get(&*partition.topic).ok_or_else(|| {
            Halt::Renew(format!(
                "the group gave {partition}, which is in no table: do other programs use the group?"
            ))
        })?;
        let task = self.parts.target.partition(table.clone(), partition.clone());
        self.tasks.insert(partition.clone(), task);
        Ok(())
    }

    fn release(&mut self, partition: &TopicPartition) {
        if let Some(mut task) = self.tasks.remove(partition) {
            task.abandon(Some(self.reader.as_mut()));
            self.parts.metrics.forget(task.table().name(), partition.partition);
        }
    }

    fn is_reading(&self) -> bool {
        self.tasks.values().any(|task| task.slot().is_some())
    }

    /// Fetches records and hands them to their partitions.
    fn read(&mut self) -> Result<(), Halt> {
        if !self.is_reading() {
            return Ok(());
        }
        let polled = self.reader.poll(POLL_RECORDS, PASS, &mut self.polled);
        let mut by_slot: Vec<Option<&mut Box<dyn Partition>>> = Vec::new();
        for task in self.tasks.values_mut() {
            if let Some(slot) = task.slot().map(|slot| slot as usize) {
                by_slot.resize_with(by_slot.len().max(slot + 1), || None);
                by_slot[slot] = Some(task);
            }
        }
        let mut of_slot = |slot: u32, act: &mut dyn FnMut(&mut dyn Partition)| {
            if let Some(Some(task)) = by_slot.get_mut(slot as usize) {
                act(task.as_mut());
            }
        };
        for message in self.polled.messages.drain(..) {
            let mut message = Some(message);
            let slot = message.as_ref().map_or(u32::MAX, |message| message.slot);
            of_slot(slot, &mut |task| {
                if let Some(message) = message.take() {
                    task.deliver(message);
                }
            });
        }
        for (slot, next) in self.polled.ends.drain(..) {
            of_slot(slot, &mut |task| task.reached_end(next));
        }
        match polled {
            Ok(()) => Ok(()),
            Err(error @ BrokerError::OffsetOutOfRange { .. }) => self.unreadable(error),
            Err(BrokerError::Unavailable(reason)) => {
                self.fault = Some(reason);
                Ok(())
            }
            Err(error) => Err(Halt::Renew(error.to_string())),
        }
    }

    /// One partition cannot be read on; the others can.
    fn unreadable(&mut self, error: BrokerError) -> Result<(), Halt> {
        let BrokerError::OffsetOutOfRange { partition, .. } = &error else {
            return Err(Halt::Renew(error.to_string()));
        };
        let partition = partition.clone();
        self.with_tools(false, false, |tasks, tools| {
            if let Some(task) = tasks.get_mut(&partition) {
                task.unreadable(&error, tools);
            }
            Ok(())
        })
    }

    fn advance(&mut self, stopping: bool) -> Result<(), Halt> {
        let budget = self.parts.settings.memory_bytes_max;
        let memory = self.memory_bytes();
        self.parts.metrics.memory_bytes.set(i64::try_from(memory).unwrap_or(i64::MAX));
        let pressed = memory > budget;
        if pressed && let Some(largest) = self.tasks.values_mut().max_by_key(|task| task.sealable_bytes()) {
            largest.seal()?;
        }
        self.with_tools(stopping, pressed, |tasks, tools| {
            tasks.values_mut().try_for_each(|task| task.advance(tools))
        })
    }

    fn memory_bytes(&self) -> u64 {
        self.tasks.values().map(|task| task.memory_bytes()).sum()
    }

    fn with_tools<R>(
        &mut self,
        stopping: bool,
        pressed: bool,
        act: impl FnOnce(&mut BTreeMap<TopicPartition, Box<dyn Partition>>, &mut Tools<'_>) -> R,
    ) -> R {
        let parts = self.parts;
        let mut tools = Tools {
            settings: &parts.settings,
            runtime: &self.runtime,
            metrics: &parts.metrics,
            clock: parts.clock.as_ref(),
            probe: parts.probe.as_deref(),
            listener: parts.listener.as_deref(),
            topics: &mut self.topics,
            group: self.group.as_mut(),
            reader: self.reader.as_mut(),
            stopping,
            pressed,
        };
        act(&mut self.tasks, &mut tools)
    }

    /// Reports to the handle and the metrics how things stand.
    fn report(&mut self) {
        if self.reported.elapsed() < REPORT_EVERY {
            return;
        }
        self.reported = Instant::now();
        self.refresh_one_end();
        let now_ms = self.parts.clock.now_ms();
        let lag: Vec<_> = self.tasks.values().map(|task| task.lag(now_ms)).collect();
        for lag in &lag {
            let partition = lag.partition.partition.to_string();
            let labels = &[lag.table.as_str(), partition.as_str()];
            let metrics = &self.parts.metrics;
            metrics
                .lag_records
                .with_label_values(labels)
                .set(i64::try_from(lag.records).unwrap_or(i64::MAX));
            metrics.lag_seconds.with_label_values(labels).set(lag.age.as_secs_f64());
        }
        let trouble = self.trouble();
        let mut status = self.parts.shared.status.lock();
        status.lag = lag;
        status.trouble = trouble;
    }

    /// One partition at a time, so that a slow broker never holds up a pass for long.
    fn refresh_one_end(&mut self) {
        if self.tasks.is_empty() || self.asked_end.elapsed() < ASK_END_EVERY / self.tasks.len() as u32 {
            return;
        }
        self.asked_end = Instant::now();
        self.next_end = (self.next_end + 1) % self.tasks.len();
        if let Some(task) = self.tasks.values_mut().nth(self.next_end) {
            task.refresh_end(self.reader.as_mut());
        }
    }

    fn trouble(&self) -> Option<String> {
        let broker = self.fault.clone().or_else(|| self.reader.trouble());
        let tasks = self.tasks.values().filter_map(|task| task.trouble(&self.parts.settings));
        let all: Vec<String> = broker.into_iter().chain(tasks).collect();
        match all.as_slice() {
            [] => None,
            [only] => Some(only.clone()),
            [first, rest @ ..] => Some(format!("{first} (and {} more)", rest.len())),
        }
    }
}
