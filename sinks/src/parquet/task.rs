//! One partition on its way into files.
//!
//! ```text
//!           nothing committed
//!  Asking ──────────────────────► Looking (what has the store?)
//!    │ │      plain offset                 │
//!    │ └────────────────────────────────► Filling ◄────────────────────────────┐
//!    │ intent                              │ full, old, or the sink stops      │
//!    ▼                                     ▼                                   │
//!  Checking (is it there?)              Deciding ── commit the intent          │
//!    │        │ no                         │                                   │
//!    │        ▼                            ▼                                   │
//!    │     Refilling ── [start, end] ──► Writing ── create ──► Finishing ── commit end + 1
//!    └──────────────────────── yes ───────────────────────────────▲
//! ```
//!
//! Every state is left only by success; a fault leaves the state as it is and sets the time of the next attempt. A commit that is
//! fenced goes back to `Asking`: what was read is dropped, and the group says what holds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{BrokerError, Group, Message, Reader, Start, TopicPartition};
use futures::FutureExt;
use tokio::task::JoinHandle;
use wire::Registry;

use super::footer::Identity;
use super::handle::PartitionLag;
use super::layout::FileName;
use super::probe::{Go, Probe, Step};
use super::protocol::{self, Standing};
use super::retry::Retry;
use super::store::{Lake, StoreError};
use super::writer::{FileBytes, FileWriter};
use crate::metrics::Metrics;
use crate::{RowError, SinkSettings, Table};

/// How long a question to the broker may take; the group must be polled in between.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// What a task works with.
pub(super) struct Tools<'a> {
    pub settings: &'a SinkSettings,
    pub registry: &'a Arc<dyn Registry>,
    pub lake: &'a Lake,
    pub runtime: &'a tokio::runtime::Handle,
    pub metrics: &'a Metrics,
    pub probe: Option<&'a dyn Probe>,
    pub group: &'a mut dyn Group,
    pub reader: &'a mut dyn Reader,
    /// The sink is stopping: what is open is written, and nothing new is begun.
    pub stopping: bool,
    /// Memory is used up: nothing more is read into new files.
    pub pressed: bool,
}

/// Why the session ends.
#[derive(Debug)]
pub(super) enum Halt {
    /// A probe said so.
    Crash,
    /// The broker's objects are of no more use, or a table is at fault: begin anew.
    Renew(String),
}

/// Work on the runtime.
type Job<T> = JoinHandle<Result<T, StoreError>>;

enum State {
    Asking,
    Looking(Job<Option<i64>>),
    Filling {
        start: i64,
        writer: Option<Box<FileWriter>>,
    },
    Deciding {
        file: FileName,
        content: FileBytes,
    },
    Checking {
        file: FileName,
        job: Job<Option<Identity>>,
    },
    Refilling {
        file: FileName,
        writer: Box<FileWriter>,
    },
    Writing {
        file: FileName,
        content: FileBytes,
        job: Option<Job<Identity>>,
        since: Instant,
    },
    Finishing {
        file: FileName,
        identity: Identity,
        bytes: u64,
    },
    /// The files are of another log. An operator must act; the sink does not try again.
    Refused(String),
}

/// Whether a step led on, or there is nothing to do for now.
type Stepped = Result<(State, bool), Halt>;

pub(super) struct Task {
    table: Arc<dyn Table>,
    partition: TopicPartition,
    state: State,
    retry: Retry,
    slot: Option<u32>,
    paused: bool,
    inbox: VecDeque<Message>,
    /// Everything before this offset was delivered.
    delivered_to: i64,
    at_end: bool,
    /// The log's first offset and its end, as the broker last said.
    log: Option<(i64, i64)>,
    /// The offset that the group's commit names; `None` before it was asked, or where nothing is committed.
    next: Option<i64>,
    /// The smallest timestamp of what was decided upon and is not finished.
    oldest_ms: Option<i64>,
}

impl Task {
    pub fn new(table: Arc<dyn Table>, partition: TopicPartition) -> Self {
        Self {
            table,
            partition,
            state: State::Asking,
            retry: Retry::default(),
            slot: None,
            paused: false,
            inbox: VecDeque::new(),
            delivered_to: 0,
            at_end: false,
            log: None,
            next: None,
            oldest_ms: None,
        }
    }

    pub fn table(&self) -> &Arc<dyn Table> {
        &self.table
    }

    pub fn slot(&self) -> Option<u32> {
        self.slot
    }

    /// Takes a record that the reader delivered.
    pub fn deliver(&mut self, message: Message) {
        self.delivered_to = self.delivered_to.max(message.offset + 1);
        self.at_end = false;
        self.inbox.push_back(message);
    }

    /// The reader is at the end: everything before `next` was delivered.
    pub fn reached_end(&mut self, next: i64) {
        self.delivered_to = self.delivered_to.max(next);
        self.at_end = true;
    }

    /// The reader cannot go on with this partition.
    pub fn unreadable(&mut self, error: &BrokerError, tools: &mut Tools<'_>) {
        self.restart(tools);
        self.failed(lost(error), tools);
    }

    /// Moves on as far as that goes without waiting.
    pub fn advance(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        loop {
            if !self.retry.is_due() {
                break;
            }
            let state = std::mem::replace(&mut self.state, State::Asking);
            let (state, led_on) = self.step(state, tools)?;
            self.state = state;
            if !led_on {
                break;
            }
        }
        self.pause_or_resume(tools)
    }

    /// Gives the partition up: what is open is dropped, and read again by its next owner.
    pub fn abandon(&mut self, reader: Option<&mut dyn Reader>) {
        match std::mem::replace(&mut self.state, State::Asking) {
            State::Looking(job) => job.abort(),
            State::Checking { job, .. } => job.abort(),
            State::Writing { job: Some(job), .. } => job.abort(),
            _ => {}
        }
        if let (Some(slot), Some(reader)) = (self.slot.take(), reader) {
            // The slot's reader may be of no more use; then it is dropped as a whole.
            let _ = reader.unassign(slot);
        }
        self.inbox.clear();
    }

    /// Whether there is nothing that a stop should wait for.
    pub fn is_idle(&self) -> bool {
        matches!(
            self.state,
            State::Asking | State::Looking(_) | State::Refused(_) | State::Filling { writer: None, .. }
        )
    }

    /// Bytes in memory.
    pub fn memory_bytes(&self) -> u64 {
        let inbox: usize = self
            .inbox
            .iter()
            .map(|m| m.key.as_ref().map_or(0, |k| k.len()) + m.value.as_ref().map_or(0, |v| v.len()))
            .sum();
        let state = match &self.state {
            State::Filling {
                writer: Some(writer), ..
            } => writer.memory_bytes(),
            State::Refilling { writer, .. } => writer.memory_bytes(),
            State::Deciding { content, .. } | State::Writing { content, .. } => content.bytes.len() as u64,
            _ => 0,
        };
        inbox as u64 + state
    }

    /// Bytes in memory that ending the open file would set free.
    pub fn sealable_bytes(&self) -> u64 {
        match &self.state {
            State::Filling {
                writer: Some(writer), ..
            } if writer.row_count() > 0 => writer.memory_bytes(),
            _ => 0,
        }
    }

    /// Ends the open file before it is full.
    pub fn seal(&mut self) -> Result<(), Halt> {
        if let State::Filling {
            start,
            writer: Some(writer),
        } = std::mem::replace(&mut self.state, State::Asking)
        {
            self.state = self.decide(start, *writer)?.0;
        }
        Ok(())
    }

    pub fn trouble(&self, settings: &SinkSettings) -> Option<String> {
        let trouble = match &self.state {
            State::Refused(reason) => reason.clone(),
            _ => self.retry.trouble(&settings.retry)?,
        };
        Some(format!("table {}, {}: {trouble}", self.table.name(), self.partition))
    }

    /// Asks the log's end, where only the broker knows it.
    pub fn refresh_end(&mut self, reader: &mut dyn Reader) {
        if self.is_exact() {
            return;
        }
        if let Ok(bounds) = reader.bounds(&self.partition, ASK_TIMEOUT) {
            self.log = Some(bounds);
        }
    }

    pub fn lag(&self, now_ms: i64) -> PartitionLag {
        let (in_hand, oldest_ms) = match &self.state {
            State::Filling {
                writer: Some(writer), ..
            }
            | State::Refilling { writer, .. } => (writer.row_count(), writer.oldest_ms()),
            State::Deciding { content, .. } | State::Writing { content, .. } => (content.identity.rows, self.oldest_ms),
            State::Finishing { identity, .. } => (identity.rows, self.oldest_ms),
            _ => (0, None),
        };
        let in_hand = in_hand + self.inbox.len() as u64;
        // Where nothing is committed, and the files were not asked yet, all of the log is behind.
        let behind = self
            .log
            .map_or(0, |(first, end)| end.saturating_sub(self.next.unwrap_or(first)).max(0) as u64);
        let oldest_ms = oldest_ms.or_else(|| self.inbox.front().map(|message| message.timestamp_ms));
        PartitionLag {
            table: self.table.name().to_owned(),
            partition: self.partition.clone(),
            records: if self.is_exact() { in_hand } else { in_hand.max(behind) },
            age: oldest_ms.map_or(Duration::ZERO, |oldest| {
                Duration::from_millis(now_ms.saturating_sub(oldest).max(0) as u64)
            }),
            at_end: self.is_exact(),
        }
    }

    /// Whether what is in hand is all that the log has.
    fn is_exact(&self) -> bool {
        self.at_end && self.slot.is_some() && !self.paused
    }

    fn step(&mut self, state: State, tools: &mut Tools<'_>) -> Stepped {
        match state {
            State::Asking if tools.stopping => Ok((State::Asking, false)),
            State::Asking => self.ask(tools),
            State::Refused(reason) => Ok((State::Refused(reason), false)),
            State::Looking(job) => self.look(job, tools),
            State::Filling { start, writer } => self.fill(start, writer, tools),
            State::Deciding { file, content } => self.commit_intent(file, content, tools),
            State::Checking { file, job } => self.check(file, job, tools),
            State::Refilling { file, writer } => self.refill(file, writer, tools),
            State::Writing {
                file,
                content,
                job,
                since,
            } => self.write(file, content, job, since, tools),
            State::Finishing { file, identity, bytes } => self.commit_finish(file, identity, bytes, tools),
        }
    }

    fn ask(&mut self, tools: &mut Tools<'_>) -> Stepped {
        let committed = match tools.group.committed(std::slice::from_ref(&self.partition), ASK_TIMEOUT) {
            Ok(committed) => committed.into_iter().next().flatten(),
            Err(error) => return self.broker_failed(State::Asking, error, tools),
        };
        self.next = committed.as_ref().map(|committed| committed.offset);
        let standing = committed
            .map(|committed| protocol::read(self.table.name(), self.partition.partition, &committed))
            .transpose();
        match standing {
            Ok(None) => {
                let lake = tools
                    .lake
                    .clone()
                    .last_offset(self.table.name().to_owned(), self.partition.partition);
                Ok((State::Looking(tools.runtime.spawn(lake)), true))
            }
            Ok(Some(Standing::Next(start))) => Ok((State::Filling { start, writer: None }, true)),
            Ok(Some(Standing::Decided(file))) => Ok((self.begin_check(file, tools), true)),
            Err(not_ours) => Ok((self.fault(State::Asking, not_ours.to_string(), tools), false)),
        }
    }

    fn begin_check(&self, file: FileName, tools: &Tools<'_>) -> State {
        let job = tools.runtime.spawn(tools.lake.clone().find(file.clone()));
        State::Checking { file, job }
    }

    /// Nothing is committed: a new group, or one whose offsets have expired. The files tell which.
    fn look(&mut self, mut job: Job<Option<i64>>, tools: &mut Tools<'_>) -> Stepped {
        let last = match ended(&mut job) {
            None => return Ok((State::Looking(job), false)),
            Some(Ok(last)) => last,
            Some(Err(error)) => return Ok((self.fault(State::Asking, error, tools), false)),
        };
        let (first, end) = match tools.reader.bounds(&self.partition, ASK_TIMEOUT) {
            Ok(bounds) => bounds,
            Err(error) => return self.broker_failed(State::Asking, error, tools),
        };
        self.log = Some((first, end));
        let start = last.map_or(first, |last| last + 1);
        self.next = Some(start);
        if start > end {
            // Not tried again: once the new log is as long as the old one was, its records would be taken for written.
            let reason = format!(
                "the store has files up to offset {}, but the log ends at {end}: the topic was made anew. Its records need another \
                 place than these files",
                start - 1
            );
            tracing::error!(table = self.table.name(), partition = %self.partition, reason, "the partition is not written");
            return Ok((State::Refused(reason), false));
        }
        Ok((State::Filling { start, writer: None }, true))
    }

    fn fill(&mut self, start: i64, mut writer: Option<Box<FileWriter>>, tools: &mut Tools<'_>) -> Stepped {
        if tools.stopping {
            self.inbox.clear();
            return match writer {
                Some(writer) if writer.row_count() > 0 => self.decide(start, *writer),
                _ => Ok((State::Filling { start, writer: None }, false)),
            };
        }
        if !self.is_open(start, tools)? {
            return Ok((State::Filling { start, writer }, false));
        }
        while !self.inbox.is_empty() {
            let open = match &mut writer {
                Some(open) => open,
                None => writer.insert(self.new_writer(tools)?),
            };
            if !self.take_one(open, tools)? {
                return Ok((State::Filling { start, writer }, false));
            }
            if open.is_full(tools.settings) {
                break;
            }
        }
        if self.at_end {
            self.retry.succeeded();
        }
        match writer {
            Some(open) if open.is_full(tools.settings) || open.age() >= tools.settings.age_max => self.decide(start, *open),
            writer => Ok((State::Filling { start, writer }, false)),
        }
    }

    /// Ends the file in the making; from here on its range is fixed.
    fn decide(&mut self, start: i64, writer: FileWriter) -> Stepped {
        let Some(file) = writer.name(self.partition.partition, start) else {
            return Ok((State::Filling { start, writer: None }, false));
        };
        self.oldest_ms = writer.oldest_ms();
        let content = writer.finish(&file).map_err(|error| Halt::Renew(error.to_string()))?;
        Ok((State::Deciding { file, content }, true))
    }

    fn commit_intent(&mut self, file: FileName, content: FileBytes, tools: &mut Tools<'_>) -> Stepped {
        self.probe(Step::Deciding, tools)?;
        match tools.group.commit(&[(self.partition.clone(), protocol::decide(&file))]) {
            Ok(()) => {
                self.retry.succeeded();
                self.probe(Step::Decided, tools)?;
                Ok((
                    State::Writing {
                        file,
                        content,
                        job: None,
                        since: Instant::now(),
                    },
                    true,
                ))
            }
            // Whether it was committed is unknown: the same end stays chosen, and is committed again.
            Err(error) => self.broker_failed(State::Deciding { file, content }, error, tools),
        }
    }

    fn check(&mut self, file: FileName, mut job: Job<Option<Identity>>, tools: &mut Tools<'_>) -> Stepped {
        match ended(&mut job) {
            None => Ok((State::Checking { file, job }, false)),
            Some(Ok(Some(identity))) => Ok((
                State::Finishing {
                    file,
                    identity,
                    bytes: 0,
                },
                true,
            )),
            Some(Ok(None)) => {
                let writer = self.new_writer(tools)?;
                Ok((State::Refilling { file, writer }, true))
            }
            Some(Err(reason)) => {
                self.failed(reason, tools);
                Ok((State::Asking, false))
            }
        }
    }

    fn refill(&mut self, file: FileName, mut writer: Box<FileWriter>, tools: &mut Tools<'_>) -> Stepped {
        if !self.is_open(file.start, tools)? {
            return Ok((State::Refilling { file, writer }, false));
        }
        while self.inbox.front().is_some_and(|message| message.offset <= file.end) {
            if !self.take_one(&mut writer, tools)? {
                return Ok((State::Refilling { file, writer }, false));
            }
        }
        // The last record may be gone by compaction, so it is not waited for: being past it is enough.
        if self.delivered_to <= file.end {
            return Ok((State::Refilling { file, writer }, false));
        }
        self.oldest_ms = writer.oldest_ms();
        let content = writer.finish(&file).map_err(|error| Halt::Renew(error.to_string()))?;
        Ok((
            State::Writing {
                file,
                content,
                job: None,
                since: Instant::now(),
            },
            true,
        ))
    }

    fn write(
        &mut self,
        file: FileName,
        content: FileBytes,
        job: Option<Job<Identity>>,
        since: Instant,
        tools: &mut Tools<'_>,
    ) -> Stepped {
        let Some(mut job) = job else {
            let put = tools
                .lake
                .clone()
                .create(file.clone(), content.clone(), self.table.is_compacted());
            let job = Some(tools.runtime.spawn(put));
            return Ok((
                State::Writing {
                    file,
                    content,
                    job,
                    since,
                },
                true,
            ));
        };
        match ended(&mut job) {
            None => Ok((
                State::Writing {
                    file,
                    content,
                    job: Some(job),
                    since,
                },
                false,
            )),
            Some(Ok(identity)) => {
                self.retry.succeeded();
                tools
                    .metrics
                    .write_seconds
                    .with_label_values(&[self.table.name()])
                    .observe(since.elapsed().as_secs_f64());
                self.count_undecodable(&file, content.undecodable, tools);
                self.probe(Step::Written, tools)?;
                Ok((
                    State::Finishing {
                        file,
                        identity,
                        bytes: content.bytes.len() as u64,
                    },
                    true,
                ))
            }
            Some(Err(reason)) => Ok((
                self.fault(
                    State::Writing {
                        file,
                        content,
                        job: None,
                        since,
                    },
                    reason,
                    tools,
                ),
                false,
            )),
        }
    }

    /// Such records are in the lake, with their bytes; but somebody should look at them.
    fn count_undecodable(&self, file: &FileName, rows: u64, tools: &Tools<'_>) {
        if rows > 0 {
            tracing::warn!(%file, rows, "records that cannot be read are kept as raw bytes");
            tools.metrics.undecodable.with_label_values(&[self.table.name()]).inc_by(rows);
        }
    }

    fn commit_finish(&mut self, file: FileName, identity: Identity, bytes: u64, tools: &mut Tools<'_>) -> Stepped {
        if let Err(error) = tools.group.commit(&[(self.partition.clone(), protocol::finish(&file))]) {
            return self.broker_failed(State::Finishing { file, identity, bytes }, error, tools);
        }
        self.retry.succeeded();
        self.oldest_ms = None;
        self.next = Some(file.end + 1);
        let label = &[self.table.name()];
        tools.metrics.files.with_label_values(label).inc();
        tools.metrics.rows.with_label_values(label).inc_by(identity.rows);
        tools.metrics.bytes.with_label_values(label).inc_by(bytes);
        tracing::debug!(%file, rows = identity.rows, bytes, "a file is finished");
        self.probe(Step::Finished, tools)?;
        Ok((
            State::Filling {
                start: file.end + 1,
                writer: None,
            },
            true,
        ))
    }

    /// Makes sure that the partition is read, from `start` if it is not read yet.
    fn is_open(&mut self, start: i64, tools: &mut Tools<'_>) -> Result<bool, Halt> {
        if self.slot.is_some() {
            return Ok(true);
        }
        match tools.reader.assign(&self.partition, Start::At(start)) {
            Ok(slot) => {
                (self.slot, self.paused, self.delivered_to, self.at_end) = (Some(slot), false, start, false);
                Ok(true)
            }
            Err(error @ (BrokerError::Unavailable(_) | BrokerError::OffsetOutOfRange { .. } | BrokerError::Topic { .. })) => {
                self.failed(lost(&error), tools);
                Ok(false)
            }
            Err(error) => Err(Halt::Renew(error.to_string())),
        }
    }

    /// Moves a record from the inbox into the file; false if that must wait.
    fn take_one(&mut self, writer: &mut FileWriter, tools: &Tools<'_>) -> Result<bool, Halt> {
        let Some(message) = self.inbox.front() else { return Ok(false) };
        match writer.push(self.partition.partition, message) {
            Ok(()) => {
                self.inbox.pop_front();
                if self.retry.reason().is_some() {
                    self.retry.succeeded();
                }
                Ok(true)
            }
            Err(RowError::Unavailable(reason)) => {
                self.failed(reason, tools);
                Ok(false)
            }
            Err(error @ RowError::Table(_)) => Err(Halt::Renew(error.to_string())),
        }
    }

    fn new_writer(&self, tools: &Tools<'_>) -> Result<Box<FileWriter>, Halt> {
        let writer = FileWriter::new(self.table.clone(), tools.registry.clone());
        writer.map(Box::new).map_err(|error| Halt::Renew(error.to_string()))
    }

    /// Lets the log wait while records cannot be taken.
    fn pause_or_resume(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
        let Some(slot) = self.slot else { return Ok(()) };
        let takes = match self.state {
            State::Filling { .. } => !tools.pressed && !tools.stopping,
            State::Refilling { .. } => true,
            _ => false,
        };
        let pause = !takes || !self.inbox.is_empty();
        if pause != self.paused {
            let changed = if pause {
                tools.reader.pause(slot)
            } else {
                tools.reader.resume(slot)
            };
            changed.map_err(|error| Halt::Renew(error.to_string()))?;
            self.paused = pause;
        }
        Ok(())
    }

    /// Drops everything and asks the group anew.
    fn restart(&mut self, tools: &mut Tools<'_>) {
        self.abandon(Some(tools.reader));
        self.at_end = false;
        self.oldest_ms = None;
    }

    fn broker_failed(&mut self, state: State, error: BrokerError, tools: &mut Tools<'_>) -> Stepped {
        match error {
            BrokerError::Fenced(_) => {
                self.restart(tools);
                Ok((self.fault(State::Asking, error.to_string(), tools), false))
            }
            BrokerError::Fatal(_) | BrokerError::Refused(_) => Err(Halt::Renew(error.to_string())),
            error => Ok((self.fault(state, lost(&error), tools), false)),
        }
    }

    fn fault(&mut self, state: State, reason: String, tools: &Tools<'_>) -> State {
        self.failed(reason, tools);
        state
    }

    fn failed(&mut self, reason: String, tools: &Tools<'_>) {
        tools.metrics.failures.with_label_values(&[self.table.name()]).inc();
        let wait = self.retry.failed(reason, &tools.settings.retry);
        let reason = self.retry.reason().unwrap_or_default();
        tracing::warn!(table = self.table.name(), partition = %self.partition, ?wait, reason, "the sink tries again");
    }

    fn probe(&self, step: Step, tools: &Tools<'_>) -> Result<(), Halt> {
        match tools.probe.map(|probe| probe.at(step, &self.partition)) {
            Some(Go::Crash) => Err(Halt::Crash),
            _ => Ok(()),
        }
    }
}

/// What a job came to, if it has ended; an error as text.
fn ended<T>(job: &mut Job<T>) -> Option<Result<T, String>> {
    match job.now_or_never()? {
        Ok(Ok(done)) => Some(Ok(done)),
        Ok(Err(error)) => Some(Err(error.to_string())),
        Err(join) => Some(Err(format!("the work ended early: {join}"))),
    }
}

/// A fault in words that say what is at stake.
fn lost(error: &BrokerError) -> String {
    match error {
        BrokerError::OffsetOutOfRange { .. } => format!(
            "{error}: the log has dropped records that are in no file, or the topic was made anew; to go on without them, commit \
             another offset for the group"
        ),
        error => error.to_string(),
    }
}
