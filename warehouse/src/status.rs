//! What Snowflake and the lake say of the pipes, for `riverbank warehouse status`.

use jiff::Timestamp;
use object_store::path::Path;
use serde::Deserialize;

use crate::notifier::lake::{Lake, LakeError};
use crate::notifier::ledger::Ledger;
use crate::notifier::stream::Stream;
use crate::snowflake::snowpipe::Pipes;
use crate::snowflake::{ApiError, FileReport, PipeName, Sql};

/// Parts of a history that are read.
const PARTS_MAX: usize = 100;

/// What `SYSTEM$PIPE_STATUS` says, as far as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PipeStatus {
    /// `RUNNING`, `PAUSED`, or why it does not run.
    pub execution_state: String,
    /// Files that wait in it.
    pub pending_file_count: u64,
    /// When it received the last file.
    pub last_ingested_timestamp: Option<String>,
    /// What is wrong with it.
    pub error: Option<String>,
    /// What is wrong with one of its channels.
    pub channel_error_message: Option<String>,
}

/// Asks a pipe's state.
pub async fn pipe(sql: &Sql, pipe: &PipeName) -> Result<PipeStatus, ApiError> {
    let statement = format!("SELECT SYSTEM$PIPE_STATUS('{pipe}')");
    let rows = sql.run(&statement, &[]).await?;
    let text = rows.rows.first().and_then(|row| row.first()?.as_deref());
    let status = text.map(serde_json::from_str).transpose();
    let wrong = |reason: String| ApiError::Answer {
        what: format!("say the state of pipe {pipe}"),
        reason,
    };
    status
        .map_err(|error| wrong(error.to_string()))?
        .ok_or_else(|| wrong("there is no row".to_owned()))
}

/// The files that a pipe has not loaded, or in part, of those received since a time.
pub async fn failures(pipes: &dyn Pipes, pipe: &PipeName, since: Timestamp, now: Timestamp) -> Result<Vec<FileReport>, ApiError> {
    let (mut failed, mut from) = (Vec::new(), since);
    for _ in 0..PARTS_MAX {
        let part = pipes.history(pipe, from, now).await?;
        let next = part.next(from);
        failed.extend(part.files.into_iter().filter(FileReport::has_failed));
        match next {
            Some(next) => from = next,
            None => break,
        }
    }
    // The end of a part may be the start of the next.
    failed.sort_by(|a, b| a.path.cmp(&b.path));
    failed.dedup_by(|a, b| a.path == b.path);
    Ok(failed)
}

/// How far the notifier is with a table, by what it has noted and by the sinks' last intents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Files of the partitions' newest ranges that Snowflake has not received, as far as is noted.
    pub not_received: Vec<String>,
    /// Files that it has received and not reported on, at the last note.
    pub not_reported: usize,
    /// When the oldest of those was written.
    pub oldest: Option<Timestamp>,
}

/// Reads what the notifier has noted of a table. A note is up to half a minute old.
pub async fn progress(lake: &dyn Lake, ledger: &Path, table: &str, pipe: &PipeName) -> Result<Progress, LakeError> {
    let ledger = Ledger::load(lake, ledger).await?;
    let received = ledger.received();
    let mut not_received = Vec::new();
    for file in lake.newest(table).await? {
        let is_received = received
            .get(&Stream::of(&file))
            .is_some_and(|received| received.offsets.covers(file.start, file.end));
        // An intent's file may not be written yet.
        if !is_received && lake.look(&file).await?.is_some() {
            not_received.push(file.to_string());
        }
    }
    let awaited = ledger.pipes.get(pipe).map(|state| &state.awaited);
    Ok(Progress {
        not_received,
        not_reported: awaited.map_or(0, |awaited| awaited.len()),
        oldest: awaited.and_then(|awaited| awaited.values().map(|file| file.written_at).min()),
    })
}
