//! Snowpipe's REST API: which files a pipe should load, and what became of them.
//!
//! A path that a pipe has received is ignored for 14 days, **even if its load failed**: so a request whose answer was lost is
//! simply made again, and a repaired file needs a new name. A file loads within minutes; [`Snowpipe::report`] reports the last ten
//! minutes, cheaply, and can repeat itself; [`Snowpipe::history`] reports the last 14 days, and is limited in its rate.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::http::{ApiError, Connection};

/// The most files of a request.
pub const FILES_MAX: usize = 5_000;
/// The longest path, in bytes.
pub const PATH_BYTES_MAX: usize = 1_024;

/// A pipe's full name: `DATABASE.SCHEMA.PIPE`, in the case that Snowflake keeps.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PipeName(String);

impl PipeName {
    /// Takes a full name; an error, as text, if it has not three parts of letters, digits, `_` and `$`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$'))
        };
        match text.split('.').count() == 3 && text.split('.').all(is_part) {
            true => Ok(Self(text.to_ascii_uppercase())),
            false => Err(format!("must be a pipe as DATABASE.SCHEMA.PIPE, not \"{text}\"")),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn path(&self, endpoint: &str) -> String {
        let name = utf8_percent_encode(&self.0, NON_ALPHANUMERIC).to_string();
        // Dots and underscores are plain in a path.
        let name = name.replace("%2E", ".").replace("%5F", "_");
        format!("/v1/data/pipes/{name}/{endpoint}")
    }
}

impl fmt::Display for PipeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file to be loaded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct StagedFile {
    /// Its path, relative to the pipe's stage location.
    pub path: String,
    /// Its size in bytes, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LoadStatus {
    /// Part of it may be in the table, and it is not ended.
    LoadInProgress,
    /// All of it is.
    Loaded,
    /// Nothing is, and nothing will be.
    LoadFailed,
    /// Some rows are, and the others never will be.
    PartiallyLoaded,
    /// One that is not documented.
    #[serde(other)]
    Unknown,
}

/// A file in a report.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileReport {
    /// The path, relative to `stage_location`.
    pub path: String,
    /// The stage's own place.
    #[serde(default)]
    pub stage_location: String,
    /// What became of it.
    pub status: LoadStatus,
    /// Whether its load has ended.
    #[serde(default)]
    pub complete: bool,
    /// When Snowflake received it.
    #[serde(default)]
    pub time_received: Option<Timestamp>,
    /// When its last rows came into the table.
    #[serde(default)]
    pub last_insert_time: Option<Timestamp>,
    /// Rows that are in the table.
    #[serde(default)]
    pub rows_inserted: u64,
    /// Rows that were read.
    #[serde(default)]
    pub rows_parsed: u64,
    /// Rows, or values, that were wrong.
    #[serde(default)]
    pub errors_seen: u64,
    /// What was wrong first.
    #[serde(default)]
    pub first_error: Option<String>,
    /// A fault that is not the file's.
    #[serde(default)]
    pub system_error: Option<String>,
}

impl FileReport {
    /// Whether it is not wholly in the table, and will not be.
    pub fn has_failed(&self) -> bool {
        matches!(self.status, LoadStatus::LoadFailed | LoadStatus::PartiallyLoaded)
    }

    /// What was wrong with it, in words.
    pub fn reason(&self) -> &str {
        let reasons = [&self.first_error, &self.system_error];
        let reason = reasons.into_iter().flatten().find(|reason| !reason.is_empty());
        reason.map_or("Snowflake gives no reason", String::as_str)
    }
}

/// What became of files in the last ten minutes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether nothing is missing between the mark that was given and the first file.
    #[serde(default)]
    pub complete_result: bool,
    /// Where the next report goes on.
    #[serde(default)]
    pub next_begin_mark: Option<String>,
    /// The files.
    #[serde(default)]
    pub files: Vec<FileReport>,
}

/// What became of files in a range of time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// Whether nothing is missing; otherwise `range_end_time` is where to go on.
    #[serde(default)]
    pub complete_result: bool,
    /// The last file's time.
    #[serde(default)]
    pub range_end_time: Option<Timestamp>,
    /// The files.
    #[serde(default)]
    pub files: Vec<FileReport>,
}

impl History {
    /// Where the history goes on that was asked for from `from` on; `None` if this is all of it. More files of one instant than a part
    /// holds do not hold it up.
    pub fn next(&self, from: Timestamp) -> Option<Timestamp> {
        let end = self.range_end_time.filter(|_| !self.complete_result)?;
        Some(if end > from { end } else { from + Duration::from_millis(1) })
    }
}

/// What the notifier asks of Snowflake.
#[async_trait]
pub trait Pipes: Send + Sync + 'static {
    /// Has the pipe load these files: at most [`FILES_MAX`] with paths of at most [`PATH_BYTES_MAX`] bytes. After an error, what was
    /// asked may have been done; to repeat it does no harm.
    async fn insert_files(&self, pipe: &PipeName, files: &[StagedFile]) -> Result<(), ApiError>;
    /// What became of files in the last ten minutes, from a mark of an earlier report on.
    async fn report(&self, pipe: &PipeName, begin_mark: Option<&str>) -> Result<Report, ApiError>;
    /// What became of files that were received from one time up to another.
    async fn history(&self, pipe: &PipeName, from: Timestamp, to: Timestamp) -> Result<History, ApiError>;
}

/// Snowpipe's REST API.
#[derive(Debug, Clone)]
pub struct Snowpipe(Arc<Connection>);

impl Snowpipe {
    /// As the connection's user.
    pub fn new(connection: Arc<Connection>) -> Self {
        Self(connection)
    }

    async fn get<T: serde::de::DeserializeOwned>(
        &self,
        what: &str,
        pipe: &PipeName,
        endpoint: &str,
        query: &[(&str, String)],
    ) -> Result<T, ApiError> {
        let request_id = Uuid::new_v4().to_string();
        let path = address(pipe, endpoint, &request_id, query);
        let answer = self.0.ask(what, Method::GET, |_| path.clone(), |request| request).await?;
        answer.json(what)
    }
}

/// The pipe's endpoint, with these parameters.
fn address(pipe: &PipeName, endpoint: &str, request_id: &str, query: &[(&str, String)]) -> String {
    let mut pairs = url::form_urlencoded::Serializer::new(String::new());
    pairs.append_pair("requestId", request_id);
    pairs.extend_pairs(query);
    format!("{}?{}", pipe.path(endpoint), pairs.finish())
}

/// What has been seen as the body of a success: each of these, in either case.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inserted {
    response_code: Option<String>,
    status: Option<String>,
}

#[async_trait]
impl Pipes for Snowpipe {
    async fn insert_files(&self, pipe: &PipeName, files: &[StagedFile]) -> Result<(), ApiError> {
        let what = format!("load {} files by pipe {pipe}", files.len());
        let refused = |reason: String| ApiError::Refused {
            what: what.clone(),
            reason,
        };
        if files.len() > FILES_MAX {
            return Err(refused(format!("a request has at most {FILES_MAX} files")));
        }
        if let Some(file) = files.iter().find(|file| file.path.len() > PATH_BYTES_MAX) {
            return Err(refused(format!("{}: a path has at most {PATH_BYTES_MAX} bytes", file.path)));
        }
        let body = serde_json::json!({ "files": files });
        let path = address(pipe, "insertFiles", &Uuid::new_v4().to_string(), &[]);
        let with_files = |request: RequestBuilder| request.json(&body);
        let answer = self.0.ask(&what, Method::POST, |_| path.clone(), with_files).await?;
        let inserted: Inserted = answer.json(&what)?;
        let said = [inserted.response_code, inserted.status];
        match said.iter().flatten().any(|code| code.eq_ignore_ascii_case("success")) {
            true => Ok(()),
            false => Err(ApiError::Answer {
                what,
                reason: format!("neither responseCode nor status is SUCCESS: {said:?}"),
            }),
        }
    }

    async fn report(&self, pipe: &PipeName, begin_mark: Option<&str>) -> Result<Report, ApiError> {
        let mark: Vec<_> = begin_mark.iter().map(|mark| ("beginMark", (*mark).to_owned())).collect();
        self.get(&format!("report on pipe {pipe}"), pipe, "insertReport", &mark).await
    }

    async fn history(&self, pipe: &PipeName, from: Timestamp, to: Timestamp) -> Result<History, ApiError> {
        let range = [("startTimeInclusive", from.to_string()), ("endTimeExclusive", to.to_string())];
        let what = format!("report on the history of pipe {pipe}");
        self.get(&what, pipe, "loadHistoryScan", &range).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_has_three_parts() {
        let pipe = PipeName::parse("bank.raw.Bronze_Accounts_pipe").unwrap();
        assert_eq!(pipe.as_str(), "BANK.RAW.BRONZE_ACCOUNTS_PIPE");
        assert_eq!(
            pipe.path("insertFiles"),
            "/v1/data/pipes/BANK.RAW.BRONZE_ACCOUNTS_PIPE/insertFiles"
        );
        for text in ["", "a.b", "a.b.c.d", "a..c", "a.b.c d", "a.b.1c", "a/../b.c.d"] {
            assert!(PipeName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_report_is_read_as_snowflake_writes_it() {
        let report: Report = serde_json::from_str(
            r#"{"pipe":"DB.S.P","completeResult":true,"nextBeginMark":"1_39","files":[
                {"path":"t/a.parquet","stageLocation":"s3compat://lake/","fileSize":57,"timeReceived":"2017-06-21T04:47:41.453Z",
                 "lastInsertTime":"2017-06-21T04:48:28.575Z","rowsInserted":1,"rowsParsed":2,"errorsSeen":1,"errorLimit":1,
                 "complete":true,"status":"PARTIALLY_LOADED","firstError":"a text is no number"},
                {"path":"t/b.parquet","status":"SOMETHING_NEW"}]}"#,
        )
        .unwrap();
        let [first, second] = &report.files[..] else {
            panic!("{report:?}")
        };
        assert!(first.has_failed() && first.reason() == "a text is no number");
        assert_eq!(first.rows_inserted, 1);
        assert_eq!((second.status, second.has_failed()), (LoadStatus::Unknown, false));
        assert_eq!(report.next_begin_mark.as_deref(), Some("1_39"));
    }
}
