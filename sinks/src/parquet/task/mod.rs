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
//!
//! A record of another shape ends the file that is filled, and goes into the next one. A file that was decided upon cannot end
//! earlier: refilled, it begins again with a shape that the record has, too.

mod steps;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{BrokerError, Group, Message, Reader, TopicPartition};
use tokio::task::JoinHandle;
use wire::Registry;

use super::footer::Identity;
use super::handle::PartitionLag;
use super::layout::FileName;
use super::probe::Probe;
use super::retry::Retry;
use super::store::{Lake, StoreError};
use super::writer::{FileBytes, FileWriter};
use crate::metrics::Metrics;
use crate::{Rows, SinkSettings, Table};

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
    /// What the file before the next one knew of shapes.
    rows: Option<Box<dyn Rows>>,
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
            rows: None,
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

    fn failed(&mut self, reason: String, tools: &Tools<'_>) {
        tools.metrics.failures.with_label_values(&[self.table.name()]).inc();
        let wait = self.retry.failed(reason, &tools.settings.retry);
        let reason = self.retry.reason().unwrap_or_default();
        tracing::warn!(table = self.table.name(), partition = %self.partition, ?wait, reason, "the sink tries again");
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
