//! One partition on its way into files.
//!
//! ```text
//!            nothing, or of no known log
//!  Asking ──────────────────────► Surveying (what has the store?) ──► Accepting (the topic's id, once)
//!    │ │      offset and place           │      └─ another topic, or a log cut off ──► Refused
//!    │ └────────────────────────────► Filling ◄────────────────────────────────┐
//!    │ intent                             │ full, old, or the sink stops        │
//!    ▼                                    ▼                                     │
//!  Checking (what is there?)          Deciding ── commit the intent             │
//!    │        │ not all                   │                                     │
//!    │        ▼                           ▼                                     │
//!    │     Refilling ── [start, end] ─► Writing ── create ──► Finishing ── commit end + 1
//!    └──────────────────────── all ──────────────────────────────▲
//! ```
//!
//! Every state is left only by success; a fault leaves the state as it is and sets the time of the next attempt. A commit that is
//! fenced goes back to `Asking`: what was read is dropped, and the group says what holds. So does `Refused` after a while: an
//! operator may have decided meanwhile.
//!
//! A record of another shape ends the files that are filled, and goes into the next ones. A range that was decided upon cannot end
//! earlier: refilled, it begins again with a shape that the record has, too.
//!
//! **Is it still the same log?** The topic's id is asked after the last record of a range was read and before the range is decided
//! upon; and where reading begins behind what is written, the last record that was written is read again and compared.

mod standing;
mod steps;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{BrokerError, Message, Reader, TopicPartition};
use clock::Millis;
use tokio::task::JoinHandle;
use wire::Registry;

use super::digest;
use super::draft::Draft;
use super::files::{Found, Written};
use super::layout::FileName;
use super::store::{Lake, StoreError};
use super::survey::Survey;
use super::writer::FileBytes;
use crate::group::protocol::{Intent, Place, Standing};
use crate::group::{Halt, Partition, PartitionLag, Retry, Tools};
use crate::{Rows, SinkSettings, Table};

/// How long a question to the broker may take; the group must be polled in between.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// Work on the runtime.
type Job<T> = JoinHandle<Result<T, StoreError>>;

enum State {
    Asking,
    Surveying {
        standing: Option<Standing>,
        doubt: Option<Doubt>,
        job: Job<Survey>,
    },
    Accepting(Job<bool>),
    Filling {
        start: i64,
        draft: Option<Box<Draft>>,
    },
    Deciding {
        intent: Intent,
        content: Vec<FileBytes>,
    },
    /// From the same start, something else was decided before: that is committed, too.
    Yielding(Intent),
    Checking {
        intent: Intent,
        job: Job<Vec<Found>>,
    },
    Refilling {
        intent: Intent,
        /// What is there already.
        there: u64,
        /// What is not.
        files: Vec<FileName>,
        draft: Box<Draft>,
    },
    Writing {
        intent: Intent,
        there: u64,
        content: Vec<FileBytes>,
        job: Option<Job<Written>>,
        since: Instant,
    },
    Finishing {
        intent: Intent,
        rows: u64,
        bytes: u64,
    },
    /// An operator must act; until then nothing is written.
    Refused {
        until: Instant,
    },
}

/// The log is not the one that the lake has, though the topic is.
struct Doubt {
    /// The generation that cannot go on.
    generation: u32,
    /// Why.
    reason: String,
}

/// Whether a step led on, or there is nothing to do for now.
type Stepped = Result<(State, bool), Halt>;

pub(super) struct Task {
    table: Arc<dyn Table>,
    partition: TopicPartition,
    lake: Lake,
    registry: Arc<dyn Registry>,
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
    /// The log that is read.
    place: Place,
    /// The last record that is written, which is read again before the next ones: its offset and digest.
    expected: Option<(i64, String)>,
    doubt: Option<Doubt>,
    /// Why nothing is written.
    refused: Option<String>,
    /// When the last record was delivered.
    read_at: Instant,
    /// Others have gone on: the store says where, and not the group.
    is_behind: bool,
}

impl Task {
    pub fn new(table: Arc<dyn Table>, partition: TopicPartition, lake: Lake, registry: Arc<dyn Registry>) -> Self {
        Self {
            table,
            partition,
            lake,
            registry,
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
            place: Place::default(),
            expected: None,
            doubt: None,
            refused: None,
            read_at: Instant::now(),
            is_behind: false,
        }
    }
}

impl Partition for Task {
    fn table(&self) -> &Arc<dyn Table> {
        &self.table
    }

    fn slot(&self) -> Option<u32> {
        self.slot
    }

    fn deliver(&mut self, message: Message) {
        self.read_at = Instant::now();
        self.delivered_to = self.delivered_to.max(message.offset + 1);
        self.at_end = false;
        if let Some((offset, last)) = self.expected.take()
            && message.offset <= offset
        {
            if digest::of_record(&message) != last {
                let reason = format!(
                    "offset {offset} of the log is another record than the one in the lake: the log was cut off and has grown again"
                );
                let generation = self.place.generation;
                self.doubt = Some(Doubt { generation, reason });
            }
            return;
        }
        self.inbox.push_back(message);
    }

    fn reached_end(&mut self, next: i64) {
        self.delivered_to = self.delivered_to.max(next);
        self.at_end = true;
    }

    fn unreadable(&mut self, error: &BrokerError, tools: &mut Tools<'_>) {
        self.restart(tools);
        self.failed(lost(error), tools);
    }

    fn advance(&mut self, tools: &mut Tools<'_>) -> Result<(), Halt> {
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

    fn abandon(&mut self, reader: Option<&mut dyn Reader>) {
        match std::mem::replace(&mut self.state, State::Asking) {
            State::Surveying { job, .. } => job.abort(),
            State::Accepting(job) => job.abort(),
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

    fn is_idle(&self) -> bool {
        matches!(
            self.state,
            State::Asking
                | State::Surveying { .. }
                | State::Accepting(_)
                | State::Refused { .. }
                | State::Filling { draft: None, .. }
        )
    }

    fn memory_bytes(&self) -> u64 {
        let inbox: usize = self
            .inbox
            .iter()
            .map(|m| m.key.as_ref().map_or(0, |k| k.len()) + m.value.as_ref().map_or(0, |v| v.len()))
            .sum();
        let state = match &self.state {
            State::Filling { draft: Some(draft), .. } | State::Refilling { draft, .. } => draft.memory_bytes(),
            State::Deciding { content, .. } | State::Writing { content, .. } => {
                content.iter().map(|file| file.bytes.len() as u64).sum()
            }
            _ => 0,
        };
        inbox as u64 + state
    }

    fn sealable_bytes(&self) -> u64 {
        match &self.state {
            State::Filling { draft: Some(draft), .. } if draft.row_count() > 0 => draft.memory_bytes(),
            _ => 0,
        }
    }

    fn seal(&mut self) -> Result<(), Halt> {
        if let State::Filling {
            start,
            draft: Some(draft),
        } = std::mem::replace(&mut self.state, State::Asking)
        {
            self.state = self.decide(start, *draft)?.0;
        }
        Ok(())
    }

    fn trouble(&self, settings: &SinkSettings) -> Option<String> {
        let trouble = match &self.refused {
            Some(reason) => reason.clone(),
            None => self.retry.trouble(&settings.retry)?,
        };
        Some(format!("table {}, {}: {trouble}", self.table.name(), self.partition))
    }

    fn refresh_end(&mut self, reader: &mut dyn Reader) {
        if self.is_exact() {
            return;
        }
        if let Ok(bounds) = reader.bounds(&self.partition, ASK_TIMEOUT) {
            self.log = Some(bounds);
        }
    }

    fn lag(&self, now_ms: Millis) -> PartitionLag {
        let (in_hand, oldest_ms) = match &self.state {
            State::Filling { draft: Some(draft), .. } | State::Refilling { draft, .. } => (draft.row_count(), draft.oldest_ms()),
            State::Deciding { content, .. } | State::Writing { content, .. } => {
                (content.iter().map(|file| file.identity.rows).sum(), self.oldest_ms)
            }
            State::Finishing { rows, .. } => (*rows, self.oldest_ms),
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
            age: oldest_ms.map_or(Duration::ZERO, |oldest| now_ms.since(Millis(oldest))),
            at_end: self.is_exact(),
        }
    }
}

impl Task {
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
        self.expected = None;
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
        BrokerError::OffsetOutOfRange { .. } => {
            format!("{error}: the log has dropped records that are in no file, or has lost its end")
        }
        error => error.to_string(),
    }
}
