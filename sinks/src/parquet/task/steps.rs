//! The steps from state to state. Every state is left only by success.

use std::time::Instant;

use broker::{BrokerError, Start};
use futures::FutureExt;

use super::super::draft::{Draft, Refusal};
use super::super::files::{Found, Written};
use super::super::writer::FileBytes;
use super::super::{digest, layout::FileName};
use super::{ASK_TIMEOUT, Doubt, Job, State, Stepped, Task, lost};
use crate::RowError;
use crate::group::protocol::{self, Intent, Place, Standing};
use crate::group::{Go, Halt, Step, Tools};

/// What became of the inbox's first record.
enum Fate {
    /// It is in the file.
    Taken,
    /// It must wait.
    Waits,
    /// It belongs into the next range.
    Refused,
    /// It is none of those that were decided upon.
    Foreign(String),
}

/// What is decided upon, from its first attempt to be written on.
fn to_write(intent: Intent, there: u64, content: Vec<FileBytes>) -> State {
    State::Writing {
        intent,
        there,
        content,
        job: None,
        since: Instant::now(),
    }
}

impl Task {
    pub(super) fn step(&mut self, state: State, tools: &mut Tools<'_>) -> Stepped {
        match state {
            State::Asking if tools.stopping => Ok((State::Asking, false)),
            State::Asking => self.ask(tools),
            State::Refused { until } if Instant::now() < until => Ok((State::Refused { until }, false)),
            State::Refused { .. } => Ok((State::Asking, true)),
            State::Surveying { standing, doubt, job } => self.surveyed(standing, doubt, job, tools),
            State::Accepting(job) => self.accepted(job, tools),
            State::Filling { start, draft } => self.fill(start, draft, tools),
            State::Deciding { intent, content } => self.commit_intent(intent, content, tools),
            State::Yielding(intent) => self.commit_other(intent, tools),
            State::Checking { intent, job } => self.check(intent, job, tools),
            State::Refilling {
                intent,
                there,
                files,
                draft,
            } => self.refill(intent, there, files, draft, tools),
            State::Writing {
                intent,
                there,
                content,
                job,
                since,
            } => self.write(intent, there, content, job, since, tools),
            State::Finishing { intent, rows, bytes } => self.commit_finish(intent, rows, bytes, tools),
        }
    }

    fn ask(&mut self, tools: &mut Tools<'_>) -> Stepped {
        let committed = match tools.group.committed(std::slice::from_ref(&self.partition), ASK_TIMEOUT) {
            Ok(committed) => committed.into_iter().next().flatten(),
            Err(error) => return self.broker_failed(State::Asking, error, tools),
        };
        self.next = committed.as_ref().map(|committed| committed.offset);
        // After the offset: an id that was right before it could be another topic's by now.
        let id = match tools.topics.id(self.table.topic(), Instant::now(), ASK_TIMEOUT) {
            Ok(id) => id,
            Err(error) => return self.broker_failed(State::Asking, error, tools),
        };
        let standing = committed
            .map(|committed| protocol::read(self.table.name(), self.partition.partition, &committed))
            .transpose();
        let standing = match standing {
            Ok(standing) => standing,
            Err(not_ours) => return Ok((self.fault(State::Asking, not_ours.to_string(), tools), false)),
        };
        self.place = Place {
            topic_id: id,
            generation: 1,
            last: None,
        };
        if std::mem::take(&mut self.is_behind) {
            return Ok((self.survey(None, None, tools), true));
        }
        match (standing, self.doubt.take()) {
            (
                Some(Standing::Next {
                    offset,
                    place: Some(place),
                }),
                None,
            ) if place.topic_id == id => self.resume(offset, place, tools),
            (Some(Standing::Decided(intent)), None) if intent.place.topic_id == id => Ok((self.begin_check(intent, tools), true)),
            (standing, doubt) => Ok((self.survey(standing, doubt, tools), true)),
        }
    }

    /// Reads on from an offset, if the log has it.
    pub(super) fn resume(&mut self, offset: i64, place: Place, tools: &mut Tools<'_>) -> Stepped {
        let (first, end) = match tools.reader.bounds(&self.partition, ASK_TIMEOUT) {
            Ok(bounds) => bounds,
            Err(error) => return self.broker_failed(State::Asking, error, tools),
        };
        self.log = Some((first, end));
        self.next = Some(offset);
        if offset > end {
            let generation = place.generation;
            let reason = format!(
                "the lake has this log up to offset {}, but the log ends at {end}: it was cut off (an unclean election, a restored \
                 disk), or the topic was made anew",
                offset - 1
            );
            let standing = Standing::Next {
                offset,
                place: Some(place),
            };
            return Ok((self.survey(Some(standing), Some(Doubt { generation, reason }), tools), true));
        }
        if offset < first {
            return Ok(self.refuse(dropped(offset, first), tools));
        }
        let last = place.last.clone().filter(|_| offset > first);
        self.expected = last.map(|last| (offset - 1, last));
        self.place = place;
        self.refused = None;
        Ok((
            State::Filling {
                start: offset,
                draft: None,
            },
            true,
        ))
    }

    pub(super) fn begin_check(&mut self, intent: Intent, tools: &Tools<'_>) -> State {
        self.place = intent.place.clone();
        let find = self
            .lake
            .clone()
            .find(intent.clone(), self.table.clone(), self.registry.clone());
        let job = tools.runtime.spawn(find);
        State::Checking { intent, job }
    }

    fn fill(&mut self, start: i64, mut draft: Option<Box<Draft>>, tools: &mut Tools<'_>) -> Stepped {
        if self.doubt.is_some() {
            self.restart(tools);
            return Ok((State::Asking, true));
        }
        if tools.stopping {
            self.inbox.clear();
            return match draft {
                Some(draft) if draft.row_count() > 0 => self.decide(start, *draft),
                _ => Ok((State::Filling { start, draft: None }, false)),
            };
        }
        if !self.is_open(start, tools)? {
            return Ok((State::Filling { start, draft }, false));
        }
        while !self.inbox.is_empty() {
            let open = match &mut draft {
                Some(open) => open,
                None => draft.insert(self.new_draft()),
            };
            match self.take_one(open, tools)? {
                Fate::Taken => {}
                Fate::Waits => return Ok((State::Filling { start, draft }, false)),
                Fate::Refused | Fate::Foreign(_) => return self.cut(start, draft),
            }
            if open.is_full(tools.settings) {
                break;
            }
        }
        if self.at_end {
            self.retry.succeeded();
        }
        match draft {
            Some(open) if open.is_full(tools.settings) || open.age() >= tools.settings.age_max => self.decide(start, *open),
            draft => Ok((State::Filling { start, draft }, false)),
        }
    }

    /// Ends the range before a record of another shape, or of one day too many.
    fn cut(&mut self, start: i64, draft: Option<Box<Draft>>) -> Stepped {
        match draft {
            Some(open) if open.row_count() > 0 => {
                let (table, partition) = (self.table.name(), &self.partition);
                tracing::info!(table, %partition, start, "the source's columns have changed, or its days: the files end here");
                self.decide(start, *open)
            }
            _ => Err(Halt::Renew(format!(
                "table {} refuses a file's first record",
                self.table.name()
            ))),
        }
    }

    /// Ends the files in the making; from here on their range is fixed.
    pub(super) fn decide(&mut self, start: i64, mut draft: Draft) -> Stepped {
        let Some(intent) = draft.intent(start, self.place.clone()) else {
            return Ok((State::Filling { start, draft: None }, false));
        };
        self.oldest_ms = draft.oldest_ms();
        self.rows = draft.next_rows();
        let content = draft
            .finish(&intent, intent.files())
            .map_err(|error| Halt::Renew(error.to_string()))?;
        Ok((State::Deciding { intent, content }, true))
    }

    fn commit_intent(&mut self, intent: Intent, content: Vec<FileBytes>, tools: &mut Tools<'_>) -> Stepped {
        match self.is_same_topic(tools) {
            Ok(true) => {}
            Ok(false) => {
                self.restart(tools);
                return Ok((State::Asking, true));
            }
            Err(error) => return self.broker_failed(State::Deciding { intent, content }, error, tools),
        }
        self.probe(Step::Deciding, tools)?;
        match tools.group.commit(&[(self.partition.clone(), protocol::decide(&intent))]) {
            Ok(()) => {
                self.retry.succeeded();
                self.probe(Step::Decided, tools)?;
                Ok((to_write(intent, 0, content), true))
            }
            // Whether it was committed is unknown: the same end stays chosen, and is committed again.
            Err(error) => self.broker_failed(State::Deciding { intent, content }, error, tools),
        }
    }

    /// Whether everything that was read is of the topic which it was begun with.
    fn is_same_topic(&self, tools: &mut Tools<'_>) -> Result<bool, BrokerError> {
        if self.place.topic_id.is_none() {
            return Ok(true);
        }
        match tools.topics.id(self.table.topic(), self.read_at, ASK_TIMEOUT) {
            Ok(id) => Ok(id == self.place.topic_id),
            Err(BrokerError::Topic { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Another decision about the same start stands in the store, and holds.
    fn commit_other(&mut self, intent: Intent, tools: &mut Tools<'_>) -> Stepped {
        match tools.group.commit(&[(self.partition.clone(), protocol::decide(&intent))]) {
            Ok(()) => Ok((self.begin_check(intent, tools), true)),
            Err(error) => self.broker_failed(State::Yielding(intent), error, tools),
        }
    }

    fn check(&mut self, intent: Intent, mut job: Job<Vec<Found>>, tools: &mut Tools<'_>) -> Stepped {
        let found = match ended(&mut job) {
            None => return Ok((State::Checking { intent, job }, false)),
            Some(Ok(found)) => found,
            Some(Err(reason)) => return Ok((self.fault(State::Asking, reason, tools), false)),
        };
        let there = found.iter().filter_map(|(_, identity)| Some(identity.as_ref()?.rows)).sum();
        let files: Vec<_> = found
            .into_iter()
            .filter_map(|(file, identity)| identity.is_none().then_some(file))
            .collect();
        if files.is_empty() {
            self.refused = None;
            let (rows, bytes) = (there, 0);
            return Ok((State::Finishing { intent, rows, bytes }, true));
        }
        let (first, end) = match tools.reader.bounds(&self.partition, ASK_TIMEOUT) {
            Ok(bounds) => bounds,
            Err(error) => return self.broker_failed(State::Asking, error, tools),
        };
        self.log = Some((first, end));
        if intent.end >= end {
            let generation = intent.place.generation;
            let reason = format!(
                "offsets {} to {} were decided upon and are not all in files, but the log ends at {end}: it was cut off (an unclean \
                 election, a restored disk), or the topic was made anew",
                intent.start, intent.end
            );
            let doubt = Doubt { generation, reason };
            return Ok((self.survey(Some(Standing::Decided(intent)), Some(doubt), tools), true));
        }
        if intent.start < first {
            let reason = format!(
                "offsets {} to {} were decided upon and are not all in files: {}",
                intent.start,
                intent.end,
                dropped(intent.start, first)
            );
            return Ok(self.refuse(reason, tools));
        }
        self.refused = None;
        let draft = Box::new(self.new_draft().again(&intent));
        Ok((
            State::Refilling {
                intent,
                there,
                files,
                draft,
            },
            true,
        ))
    }

    fn refill(
        &mut self,
        intent: Intent,
        there: u64,
        files: Vec<FileName>,
        mut draft: Box<Draft>,
        tools: &mut Tools<'_>,
    ) -> Stepped {
        let again = |intent, files, draft| State::Refilling {
            intent,
            there,
            files,
            draft,
        };
        if !self.is_open(intent.start, tools)? {
            return Ok((again(intent, files, draft), false));
        }
        while self.inbox.front().is_some_and(|message| message.offset <= intent.end) {
            match self.take_one(&mut draft, tools)? {
                Fate::Taken => {}
                Fate::Waits => return Ok((again(intent, files, draft), false)),
                Fate::Foreign(reason) => return Ok((self.doubted(reason, tools), true)),
                Fate::Refused => {
                    let wider = draft.wider();
                    let wider = wider.ok_or_else(|| Halt::Renew(format!("table {} has one shape only", self.table.name())))?;
                    self.restart(tools);
                    return Ok((again(intent, files, Box::new(wider)), true));
                }
            }
        }
        // The last record may be gone by compaction, so it is not waited for: being past it is enough.
        if self.delivered_to <= intent.end {
            return Ok((again(intent, files, draft), false));
        }
        if let Some(reason) = differs(&intent, &draft, self.table.is_compacted()) {
            return Ok((self.doubted(reason, tools), true));
        }
        match self.is_same_topic(tools) {
            Ok(true) => {}
            Ok(false) => {
                self.restart(tools);
                return Ok((State::Asking, true));
            }
            Err(error) => return self.broker_failed(again(intent, files, draft), error, tools),
        }
        self.oldest_ms = draft.oldest_ms();
        self.rows = draft.next_rows();
        let content = draft.finish(&intent, files).map_err(|error| Halt::Renew(error.to_string()))?;
        Ok((to_write(intent, there, content), true))
    }

    /// The log is another one than it was: the group and the store are asked what holds.
    fn doubted(&mut self, reason: String, tools: &mut Tools<'_>) -> State {
        self.restart(tools);
        let generation = self.place.generation;
        self.doubt = Some(Doubt { generation, reason });
        State::Asking
    }

    fn write(
        &mut self,
        intent: Intent,
        there: u64,
        content: Vec<FileBytes>,
        job: Option<Job<Written>>,
        since: Instant,
        tools: &mut Tools<'_>,
    ) -> Stepped {
        let again = |intent, content, job| State::Writing {
            intent,
            there,
            content,
            job,
            since,
        };
        let Some(mut job) = job else {
            let compacted = self.table.is_compacted();
            let write = self.lake.clone().write(intent.clone(), content.clone(), compacted);
            let job = Some(tools.runtime.spawn(write));
            return Ok((again(intent, content, job), true));
        };
        match ended(&mut job) {
            None => Ok((again(intent, content, Some(job)), false)),
            Some(Ok(Written::All { rows })) => {
                self.retry.succeeded();
                tools
                    .metrics
                    .write_seconds
                    .with_label_values(&[self.table.name()])
                    .observe(since.elapsed().as_secs_f64());
                content.iter().for_each(|file| self.count_undecodable(file, tools));
                self.probe(Step::Written, tools)?;
                let bytes = content.iter().map(|file| file.bytes.len() as u64).sum();
                let rows = there + rows;
                Ok((State::Finishing { intent, rows, bytes }, true))
            }
            Some(Ok(Written::Other(other))) => {
                tracing::warn!(?intent, ?other, "the store has another decision, which holds");
                self.restart(tools);
                Ok((State::Yielding(other), true))
            }
            Some(Ok(Written::Behind)) => {
                tracing::warn!(?intent, "another group has written this and is farther on");
                self.restart(tools);
                self.is_behind = true;
                Ok((State::Asking, true))
            }
            Some(Ok(Written::Superseded)) => {
                self.restart(tools);
                let reason = "another version of the program writes these rows with another shape".to_owned();
                Ok((self.fault(State::Asking, reason, tools), false))
            }
            Some(Err(reason)) => Ok((self.fault(again(intent, content, None), reason, tools), false)),
        }
    }

    /// Such records are in the lake, with their bytes; but somebody should look at them.
    fn count_undecodable(&self, content: &FileBytes, tools: &Tools<'_>) {
        let (file, rows) = (&content.file, content.undecodable);
        if rows > 0 {
            tracing::warn!(%file, rows, "records that cannot be read are kept as raw bytes");
            tools.metrics.undecodable.with_label_values(&[self.table.name()]).inc_by(rows);
        }
    }

    fn commit_finish(&mut self, intent: Intent, rows: u64, bytes: u64, tools: &mut Tools<'_>) -> Stepped {
        if let Err(error) = tools.group.commit(&[(self.partition.clone(), protocol::finish(&intent))]) {
            return self.broker_failed(State::Finishing { intent, rows, bytes }, error, tools);
        }
        self.retry.succeeded();
        self.oldest_ms = None;
        self.next = Some(intent.end + 1);
        let files = intent.files();
        let label = &[self.table.name()];
        tools.metrics.files.with_label_values(label).inc_by(files.len() as u64);
        tools.metrics.rows.with_label_values(label).inc_by(rows);
        tools.metrics.bytes.with_label_values(label).inc_by(bytes);
        let partition = self.partition.partition;
        tools
            .metrics
            .finished(self.table.name(), partition, intent.end + 1, tools.clock.now_ms());
        tracing::debug!(?intent, rows, bytes, "files are finished");
        if let Some(listener) = tools.listener {
            listener(&intent);
        }
        self.probe(Step::Finished, tools)?;
        let start = intent.end + 1;
        if self.slot.is_none() {
            // Nothing was read for it: what is read next must go on where it ends.
            return self.resume(start, intent.place, tools);
        }
        self.place = intent.place;
        Ok((State::Filling { start, draft: None }, true))
    }

    /// Makes sure that the partition is read, from `start` if it is not read yet.
    fn is_open(&mut self, start: i64, tools: &mut Tools<'_>) -> Result<bool, Halt> {
        if self.slot.is_some() {
            return Ok(true);
        }
        let from = self.expected.as_ref().map_or(start, |(offset, _)| *offset);
        match tools.reader.assign(&self.partition, Start::At(from)) {
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

    /// Moves a record from the inbox into the file.
    fn take_one(&mut self, draft: &mut Draft, tools: &Tools<'_>) -> Result<Fate, Halt> {
        let Some(message) = self.inbox.front() else {
            return Ok(Fate::Waits);
        };
        let offset = message.offset;
        let Err(refusal) = draft.push(message) else {
            if let Some(message) = self.inbox.pop_front() {
                draft.keep(message);
            }
            if self.retry.reason().is_some() {
                self.retry.succeeded();
            }
            return Ok(Fate::Taken);
        };
        match refusal {
            Refusal::Next => Ok(Fate::Refused),
            Refusal::Day(day) => Ok(Fate::Foreign(format!(
                "offset {offset} is of {day}, of which the range that was decided upon had no record: it is another log"
            ))),
            Refusal::Row(RowError::Unavailable(reason)) => {
                self.failed(reason, tools);
                Ok(Fate::Waits)
            }
            Refusal::Row(RowError::Shape) => Ok(Fate::Refused),
            Refusal::Row(error @ RowError::Table(_)) => Err(Halt::Renew(error.to_string())),
        }
    }

    fn new_draft(&mut self) -> Box<Draft> {
        Box::new(Draft::new(
            self.table.clone(),
            self.registry.clone(),
            self.partition.partition,
            self.place.generation,
            self.rows.take(),
        ))
    }

    pub(super) fn broker_failed(&mut self, state: State, error: BrokerError, tools: &mut Tools<'_>) -> Stepped {
        match error {
            BrokerError::Fenced(_) => {
                self.restart(tools);
                Ok((self.fault(State::Asking, error.to_string(), tools), false))
            }
            BrokerError::Fatal(_) | BrokerError::Refused(_) => Err(Halt::Renew(error.to_string())),
            error => Ok((self.fault(state, lost(&error), tools), false)),
        }
    }

    pub(super) fn fault(&mut self, state: State, reason: String, tools: &Tools<'_>) -> State {
        self.failed(reason, tools);
        state
    }

    /// Writes nothing, and says why, until an operator has acted.
    pub(super) fn refuse(&mut self, reason: String, tools: &mut Tools<'_>) -> (State, bool) {
        self.restart(tools);
        let reason = format!("{reason} (docs/runbooks/lake.md)");
        if self.refused.as_ref() != Some(&reason) {
            tracing::error!(table = self.table.name(), partition = %self.partition, reason, "nothing is written");
        }
        self.refused = Some(reason);
        let until = Instant::now() + tools.settings.retry.slow_wait;
        (State::Refused { until }, false)
    }

    fn probe(&self, step: Step, tools: &Tools<'_>) -> Result<(), Halt> {
        match tools.probe.map(|probe| probe.at(step, &self.partition)) {
            Some(Go::Crash) => Err(Halt::Crash),
            _ => Ok(()),
        }
    }
}

/// What is to be said of records that retention was faster with.
fn dropped(offset: i64, first: i64) -> String {
    format!(
        "the log has dropped offsets {offset} to {}, which are in no file; to go on without them, set the group's offset to {first}",
        first - 1
    )
}

/// How what the log gives now differs from what was decided upon, if it does. A compacted log may lack records.
fn differs(intent: &Intent, draft: &Draft, compacted: bool) -> Option<String> {
    let reason = || {
        format!(
            "offsets {} to {} of the log are other records than those that were decided upon: the log was cut off and has grown again",
            intent.start, intent.end
        )
    };
    let last = draft.last().filter(|last| last.offset == intent.end);
    let other = match (last, &intent.place.last) {
        (Some(last), Some(decided)) => digest::of_record(last) != *decided,
        (None, _) => !compacted,
        _ => false,
    };
    let days = |intent: &Intent| match &intent.days {
        protocol::Days::Split(days) => Some(days.clone()),
        protocol::Days::Whole(_) => None,
    };
    let now = draft.intent(intent.start, intent.place.clone()).and_then(|now| days(&now));
    let others = !compacted && days(intent).is_some_and(|decided| now != Some(decided));
    (other || others).then(reason)
}

/// What a job came to, if it has ended; an error as text.
pub(super) fn ended<T>(job: &mut Job<T>) -> Option<Result<T, String>> {
    match job.now_or_never()? {
        Ok(Ok(done)) => Some(Ok(done)),
        Ok(Err(error)) => Some(Err(error.to_string())),
        Err(join) => Some(Err(format!("the work ended early: {join}"))),
    }
}
