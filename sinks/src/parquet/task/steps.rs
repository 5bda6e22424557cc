//! The steps from state to state. Every state is left only by success.

use std::time::Instant;

use broker::{BrokerError, Start};
use futures::FutureExt;

use super::super::footer::Identity;
use super::super::layout::FileName;
use super::super::probe::{Go, Step};
use super::super::protocol::{self, Standing};
use super::super::writer::{FileBytes, FileWriter};
use super::{ASK_TIMEOUT, Halt, Job, State, Stepped, Task, Tools, lost};
use crate::RowError;

/// What became of the inbox's first record.
enum Fate {
    /// It is in the file.
    Taken,
    /// It must wait.
    Waits,
    /// It has another shape than the file.
    Refused,
}

/// What is decided upon, from its first attempt to be written on.
fn to_write(file: FileName, content: FileBytes) -> State {
    State::Writing {
        file,
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
                None => writer.insert(self.new_writer(tools)),
            };
            match self.take_one(open, tools)? {
                Fate::Taken => {}
                Fate::Waits => return Ok((State::Filling { start, writer }, false)),
                Fate::Refused => return self.cut(start, writer),
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

    /// Ends the file before a record of another shape.
    fn cut(&mut self, start: i64, writer: Option<Box<FileWriter>>) -> Stepped {
        match writer {
            Some(open) if open.row_count() > 0 => {
                let (table, partition) = (self.table.name(), &self.partition);
                tracing::info!(table, %partition, start, "the source's columns have changed: the file ends here");
                self.decide(start, *open)
            }
            _ => Err(Halt::Renew(format!(
                "table {} refuses a file's first record",
                self.table.name()
            ))),
        }
    }

    /// Ends the file in the making; from here on its range is fixed.
    pub(super) fn decide(&mut self, start: i64, writer: FileWriter) -> Stepped {
        let Some(file) = writer.name(self.partition.partition, start) else {
            return Ok((State::Filling { start, writer: None }, false));
        };
        self.oldest_ms = writer.oldest_ms();
        self.rows = writer.next_rows();
        let content = writer.finish(&file).map_err(|error| Halt::Renew(error.to_string()))?;
        Ok((State::Deciding { file, content }, true))
    }

    fn commit_intent(&mut self, file: FileName, content: FileBytes, tools: &mut Tools<'_>) -> Stepped {
        self.probe(Step::Deciding, tools)?;
        match tools.group.commit(&[(self.partition.clone(), protocol::decide(&file))]) {
            Ok(()) => {
                self.retry.succeeded();
                self.probe(Step::Decided, tools)?;
                Ok((to_write(file, content), true))
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
                let writer = self.new_writer(tools);
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
            match self.take_one(&mut writer, tools)? {
                Fate::Taken => {}
                Fate::Waits => return Ok((State::Refilling { file, writer }, false)),
                Fate::Refused => {
                    let wider = writer.wider();
                    let again = wider.ok_or_else(|| Halt::Renew(format!("table {} has one shape only", self.table.name())))?;
                    self.restart(tools);
                    let writer = Box::new(again);
                    return Ok((State::Refilling { file, writer }, true));
                }
            }
        }
        // The last record may be gone by compaction, so it is not waited for: being past it is enough.
        if self.delivered_to <= file.end {
            return Ok((State::Refilling { file, writer }, false));
        }
        self.oldest_ms = writer.oldest_ms();
        self.rows = writer.next_rows();
        let content = writer.finish(&file).map_err(|error| Halt::Renew(error.to_string()))?;
        Ok((to_write(file, content), true))
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

    /// Moves a record from the inbox into the file.
    fn take_one(&mut self, writer: &mut FileWriter, tools: &Tools<'_>) -> Result<Fate, Halt> {
        let Some(message) = self.inbox.front() else {
            return Ok(Fate::Waits);
        };
        match writer.push(self.partition.partition, message) {
            Ok(()) => {
                self.inbox.pop_front();
                if self.retry.reason().is_some() {
                    self.retry.succeeded();
                }
                Ok(Fate::Taken)
            }
            Err(RowError::Unavailable(reason)) => {
                self.failed(reason, tools);
                Ok(Fate::Waits)
            }
            Err(RowError::Shape) => Ok(Fate::Refused),
            Err(error @ RowError::Table(_)) => Err(Halt::Renew(error.to_string())),
        }
    }

    fn new_writer(&mut self, tools: &Tools<'_>) -> Box<FileWriter> {
        let rows = self.rows.take().unwrap_or_else(|| self.table.rows(tools.registry.clone()));
        Box::new(FileWriter::new(self.table.clone(), rows))
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
