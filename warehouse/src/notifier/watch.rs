//! What became of the files that Snowflake has received: reports are read, failures kept, and what is in no report is asked for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use super::memory::Batch;
use super::settings::NotifierSettings;
use crate::snowflake::snowpipe::Pipes;
use crate::snowflake::{ApiError, FileReport, LoadStatus, PipeName};

/// The most files whose load is waited for; of those beyond, only failures are known.
const AWAITED_MAX: usize = 20_000;
/// The most failures that are kept; older ones are in Snowflake's own history.
const FAILURES_MAX: usize = 1_000;
/// What Snowflake's reports reach back.
const REPORTED: Duration = Duration::from_secs(9 * 60);
/// What its history reaches back.
const HISTORY: Duration = Duration::from_secs(14 * 24 * 3600 - 3600);
/// Parts of a history that are read at once; the next look goes on.
const PARTS_MAX: usize = 50;
/// The least time between two looks at a pipe's history, which Snowflake limits.
const HISTORY_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// A file that is not wholly in its table, and will not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The table of the lake.
    pub table: String,
    /// The path, as the pipe knows it.
    pub path: String,
    /// `LOAD_FAILED` or `PARTIALLY_LOADED`.
    pub status: LoadStatus,
    /// Rows that are in the table.
    pub rows_inserted: u64,
    /// Rows that were read.
    pub rows_parsed: u64,
    /// What was wrong.
    pub reason: String,
    /// When Snowflake received it.
    pub received_at: Option<Timestamp>,
}

/// A file that Snowflake has received, and of which nothing is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    /// When it was written.
    pub written_at: Timestamp,
    /// When it was reported to Snowflake.
    pub reported_at: Timestamp,
}

/// What is known of a pipe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipeState {
    /// Files by their paths.
    pub awaited: BTreeMap<String, Awaited>,
    /// Up to when reports were read.
    pub read_until: Option<Timestamp>,
    /// When the last of the files was reported of which nothing is known and that are not in `awaited`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untracked_at: Option<Timestamp>,
    #[serde(skip)]
    mark: Option<String>,
    #[serde(skip)]
    history_at: Option<Timestamp>,
}

impl PipeState {
    /// Whether every file that Snowflake may still have to load is in `awaited`.
    pub fn tracks_all(&self, now: Timestamp) -> bool {
        self.awaited.len() < AWAITED_MAX && self.untracked_at.is_none_or(|at| at + HISTORY <= now)
    }
}

/// What a report said that was new.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Files that are loaded.
    pub loaded: u64,
    /// Files that failed.
    pub failed: Vec<Failure>,
}

/// The files that Snowflake has received.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    pipes: BTreeMap<PipeName, PipeState>,
    failures: VecDeque<Failure>,
}

impl Watch {
    /// As a restart finds it.
    pub fn new(pipes: BTreeMap<PipeName, PipeState>, failures: Vec<Failure>) -> Self {
        Self {
            pipes,
            failures: failures.into(),
        }
    }

    /// What a restart should find.
    pub fn state(&self) -> (&BTreeMap<PipeName, PipeState>, Vec<Failure>) {
        (&self.pipes, self.failures.iter().cloned().collect())
    }

    /// Snowflake has received these.
    pub fn received(&mut self, batch: &Batch, now: Timestamp) {
        let pipe = self.pipes.entry(batch.pipe.clone()).or_default();
        for (waiting, staged) in batch.files.iter().zip(batch.staged()) {
            if pipe.awaited.len() >= AWAITED_MAX {
                pipe.untracked_at = Some(now);
                break;
            }
            let awaited = Awaited {
                written_at: waiting.written_at,
                reported_at: now,
            };
            pipe.awaited.insert(staged.path, awaited);
        }
    }

    /// The failures that are known, the oldest first.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        self.failures.iter()
    }

    /// How many files of a pipe are in no report yet, and when the oldest was written.
    pub fn awaited(&self, pipe: &PipeName) -> (usize, Option<Timestamp>) {
        self.pipes.get(pipe).map_or((0, None), |state| {
            let oldest = state.awaited.values().map(|file| file.written_at).min();
            (state.awaited.len(), oldest)
        })
    }

    /// The pipes that have files in no report.
    pub fn open_pipes(&self) -> Vec<PipeName> {
        let open = self.pipes.iter().filter(|(_, state)| !state.awaited.is_empty());
        open.map(|(pipe, _)| pipe.clone()).collect()
    }

    /// Asks what became of a pipe's files: the report, and the history where the report is not whole, or a file is in none.
    pub async fn ask(
        &mut self,
        pipes: &dyn Pipes,
        table: &str,
        pipe: &PipeName,
        settings: &NotifierSettings,
        now: Timestamp,
    ) -> Result<News, ApiError> {
        let mut news = News::default();
        let mut state = self.pipes.get(pipe).cloned().unwrap_or_default();
        let report = pipes.report(pipe, state.mark.as_deref()).await?;
        let was_away =
            state.mark.is_some() && !report.complete_result || state.read_until.is_some_and(|until| until + REPORTED < now);
        self.take(pipe, table, &report.files, &mut news);
        state.mark = report.next_begin_mark;
        if let Some(from) = self.history_from(pipe, &state, was_away, settings, now) {
            state.history_at = Some(now);
            self.read_history(pipes, table, pipe, from, now, &mut news).await?;
        }
        if let Some(kept) = self.pipes.get_mut(pipe) {
            // What is in no history any more will be in none.
            let is_over = |file: &Awaited| file.written_at + HISTORY <= now;
            let over = kept.awaited.values().filter(|file| is_over(file));
            // Written long before it was reported, a file may still wait in Snowflake.
            kept.untracked_at = over.map(|file| file.reported_at).max().max(kept.untracked_at);
            kept.awaited.retain(|_, file| !is_over(file));
            (kept.mark, kept.history_at, kept.read_until) = (state.mark, state.history_at, Some(now));
        }
        Ok(news)
    }

    /// From when on the history must be read, if it must.
    fn history_from(
        &self,
        pipe: &PipeName,
        state: &PipeState,
        was_away: bool,
        settings: &NotifierSettings,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if state.history_at.is_some_and(|at| at + HISTORY_INTERVAL > now) {
            return None;
        }
        let oldest = now - HISTORY;
        let away = state.read_until.filter(|_| was_away).map(|until| until - REPORTED);
        let awaited = &self.pipes.get(pipe)?.awaited;
        let late = awaited
            .values()
            .filter(|file| file.reported_at + settings.history_after <= now);
        // It may have been received long before: another notifier reported it, or this one whose memory is lost.
        let late = late.map(|file| file.written_at - 1.minute()).min();
        away.into_iter().chain(late).min().map(|from| from.max(oldest))
    }

    async fn read_history(
        &mut self,
        pipes: &dyn Pipes,
        table: &str,
        pipe: &PipeName,
        from: Timestamp,
        now: Timestamp,
        news: &mut News,
    ) -> Result<(), ApiError> {
        let mut from = from;
        for _ in 0..PARTS_MAX {
            let part = pipes.history(pipe, from, now).await?;
            self.take(pipe, table, &part.files, news);
            match part.next(from) {
                Some(next) => from = next,
                None => break,
            }
        }
        Ok(())
    }

    /// Takes in what a report says. It may say the same again.
    fn take(&mut self, pipe: &PipeName, table: &str, files: &[FileReport], news: &mut News) {
        let known: BTreeSet<&str> = self
            .failures
            .iter()
            .filter(|failure| failure.table == table)
            .map(|failure| failure.path.as_str())
            .collect();
        let mut failed = Vec::new();
        for file in files {
            let is_new = || !known.contains(file.path.as_str()) && !failed.iter().any(|f: &Failure| f.path == file.path);
            if file.has_failed() && is_new() {
                failed.push(Failure {
                    table: table.to_owned(),
                    path: file.path.clone(),
                    status: file.status,
                    rows_inserted: file.rows_inserted,
                    rows_parsed: file.rows_parsed,
                    reason: file.reason().to_owned(),
                    received_at: file.time_received,
                });
            }
            let ended = file.has_failed() || file.status == LoadStatus::Loaded;
            let state = self.pipes.entry(pipe.clone()).or_default();
            if ended && state.awaited.remove(&file.path).is_some() && !file.has_failed() {
                news.loaded += 1;
            }
        }
        self.failures.extend(failed.iter().cloned());
        let beyond = self.failures.len().saturating_sub(FAILURES_MAX);
        self.failures.drain(..beyond);
        news.failed.extend(failed);
    }
}
