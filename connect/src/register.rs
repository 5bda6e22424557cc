//! Registration with Kafka Connect: put the configuration there, wait until the task runs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde::Deserialize;

use crate::ConnectorSettings;
use crate::error::{RegisterError, chain};
use crate::subjects::free_subjects;

/// How long one request to Connect may take; a rebalance of its workers holds requests back for a while.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two looks at the state.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How often a failed task is started again before it counts as broken; between two starts a second passes.
const RESTARTS: u32 = 3;
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// A connector's state, as Connect reports it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ConnectorStatus {
    /// The connector itself.
    pub connector: TaskStatus,
    /// Its tasks; none yet, just after the registration.
    pub tasks: Vec<TaskStatus>,
}

/// A task's state, or the connector's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TaskStatus {
    /// The task's number; the connector itself has none.
    #[serde(default)]
    pub id: Option<u32>,
    /// `RUNNING`, `FAILED`, `PAUSED`, `UNASSIGNED`, `RESTARTING` or `STOPPED`.
    pub state: String,
    /// Why it failed.
    pub trace: Option<String>,
}

impl TaskStatus {
    /// What made it fail: the innermost cause of the trace.
    pub fn cause(&self) -> Option<&str> {
        let trace = self.trace.as_deref()?;
        (self.state == "FAILED").then(|| cause(trace))
    }
}

impl ConnectorStatus {
    /// Whether the connector and at least one task run, and none does not.
    pub fn is_running(&self) -> bool {
        !self.tasks.is_empty() && self.parts().all(|part| part.state == "RUNNING")
    }

    /// The trace of the first part that failed.
    pub fn failure(&self) -> Option<&str> {
        self.parts()
            .find(|part| part.state == "FAILED")
            .map(|part| part.trace.as_deref().unwrap_or("no trace"))
    }

    fn parts(&self) -> impl Iterator<Item = &TaskStatus> {
        std::iter::once(&self.connector).chain(&self.tasks)
    }
}

/// Creates the connector, or brings it to these settings, and waits until its task runs with them. Before that, the registry is
/// told to take whatever schemas the source's tables come to have.
///
/// Safe to repeat: Connect takes the same configuration again without disturbing a running task, and a task that had
/// failed is started again. A worker that is still starting, or busy with a rebalance, is waited for.
pub async fn register(connect_url: &str, settings: &ConnectorSettings, timeout: Duration) -> Result<(), RegisterError> {
    // Connect has the database's password, and may repeat it in what it says.
    let password = &settings.database.password;
    let registered = register_once(connect_url, settings, timeout).await;
    registered.map_err(|error| error.without(password))
}

async fn register_once(connect_url: &str, settings: &ConnectorSettings, timeout: Duration) -> Result<(), RegisterError> {
    let worker = Worker::new(connect_url, &settings.name)?;
    let config = settings.config();
    let started = Instant::now();
    let mut seen = "nothing".to_owned();
    let (mut is_free, mut accepted) = (false, false);
    let mut restarts = 0;
    while started.elapsed() < timeout {
        if !is_free {
            match free_subjects(&worker.client, settings).await? {
                Ok(()) => is_free = true,
                Err(reason) => seen = reason,
            }
        } else if !accepted {
            match worker.put(&config).await? {
                Answer::Ok(()) => accepted = true,
                Answer::NotNow(reason) => seen = reason,
            }
        } else {
            match worker.state(&config).await? {
                Answer::Ok(status) if status.is_running() => return Ok(()),
                Answer::Ok(status) => match status.failure() {
                    Some(trace) if restarts == RESTARTS => return Err(worker.failed(trace)),
                    Some(trace) => {
                        seen = trace.to_owned();
                        restarts += 1;
                        tokio::time::sleep(RESTART_PAUSE).await;
                        worker.restart().await?;
                    }
                    None => seen = format!("{status:?}"),
                },
                Answer::NotNow(reason) => seen = reason,
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Err(RegisterError::NotRunning {
        name: settings.name.clone(),
        waited: started.elapsed(),
        seen,
    })
}

/// The state of a connector; `None` where Connect does not know it (yet).
pub async fn status(connect_url: &str, name: &str) -> Result<Option<ConnectorStatus>, RegisterError> {
    match Worker::new(connect_url, name)?.status().await? {
        Answer::Ok(status) => Ok(Some(status)),
        Answer::NotNow(_) => Ok(None),
    }
}

/// Starts what has failed again: for whoever watches over a connector whose database was away for too long.
pub async fn restart_failed(connect_url: &str, name: &str) -> Result<(), RegisterError> {
    Worker::new(connect_url, name)?.restart().await.map(|_| ())
}

/// An answer, or the reason why there is none yet.
enum Answer<T> {
    Ok(T),
    NotNow(String),
}

/// A client whose requests may take so long.
pub(crate) fn client(timeout: Duration) -> Result<Client, RegisterError> {
    let built = Client::builder().timeout(timeout).build();
    built.map_err(|error| RegisterError::Unavailable {
        reason: error.to_string(),
    })
}

struct Worker {
    client: Client,
    base: String,
    name: String,
}

impl Worker {
    fn new(connect_url: &str, name: &str) -> Result<Self, RegisterError> {
        Ok(Self {
            client: client(REQUEST_TIMEOUT)?,
            base: format!("{}/connectors/{name}", connect_url.trim_end_matches('/')),
            name: name.to_owned(),
        })
    }

    async fn put(&self, config: &BTreeMap<String, String>) -> Result<Answer<()>, RegisterError> {
        let request = self.client.put(format!("{}/config", self.base)).json(config);
        Ok(match self.ask(request).await? {
            Answer::Ok(_) => Answer::Ok(()),
            Answer::NotNow(reason) => Answer::NotNow(reason),
        })
    }

    /// The status, once the task has these settings: just after a change, Connect still reports the old task.
    async fn state(&self, config: &BTreeMap<String, String>) -> Result<Answer<ConnectorStatus>, RegisterError> {
        let tasks: Vec<Task> = match self.get("/tasks").await? {
            Answer::Ok(tasks) => tasks,
            Answer::NotNow(reason) => return Ok(Answer::NotNow(reason)),
        };
        if let Some(key) = tasks.iter().find_map(|task| task.differs(config)) {
            return Ok(Answer::NotNow(format!("the task still has another {key}")));
        }
        self.status().await
    }

    async fn status(&self) -> Result<Answer<ConnectorStatus>, RegisterError> {
        self.get("/status").await
    }

    async fn restart(&self) -> Result<Answer<String>, RegisterError> {
        let url = format!("{}/restart?includeTasks=true&onlyFailed=true", self.base);
        self.ask(self.client.post(url)).await
    }

    fn failed(&self, trace: &str) -> RegisterError {
        RegisterError::Failed {
            name: self.name.clone(),
            trace: trace.to_owned(),
        }
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<Answer<T>, RegisterError> {
        match self.ask(self.client.get(format!("{}{path}", self.base))).await? {
            Answer::Ok(body) => serde_json::from_str(&body)
                .map(Answer::Ok)
                .map_err(|error| RegisterError::Unavailable {
                    reason: format!("{path} answered something else than expected ({error}): {body}"),
                }),
            Answer::NotNow(reason) => Ok(Answer::NotNow(reason)),
        }
    }

    /// 400 and 422 are the caller's mistake; 404 (not known yet), 409 (rebalance), 5xx and no answer may pass.
    async fn ask(&self, request: reqwest::RequestBuilder) -> Result<Answer<String>, RegisterError> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Ok(Answer::NotNow(chain(&error))),
        };
        let status = response.status();
        let body = match response.text().await {
            Ok(body) => body,
            Err(error) => return Ok(Answer::NotNow(chain(&error))),
        };
        match status {
            status if status.is_success() => Ok(Answer::Ok(body)),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Err(RegisterError::Refused { reason: message(&body) }),
            status => Ok(Answer::NotNow(format!("{status}: {}", message(&body)))),
        }
    }
}

#[derive(Deserialize)]
struct Task {
    config: BTreeMap<String, Option<String>>,
}

impl Task {
    /// The first setting that the task has not.
    fn differs<'c>(&self, config: &'c BTreeMap<String, String>) -> Option<&'c str> {
        config
            .iter()
            .find(|(key, value)| self.config.get(*key).and_then(Option::as_ref) != Some(value))
            .map(|(key, _)| key.as_str())
    }
}

/// The last cause in a Java trace: what really happened.
pub(crate) fn cause(trace: &str) -> &str {
    let last = trace.lines().rev().find(|line| line.starts_with("Caused by: "));
    last.or_else(|| trace.lines().next())
        .unwrap_or("unknown")
        .trim_start_matches("Caused by: ")
}

/// Connect's error message, or the body as it is.
fn message(body: &str) -> String {
    #[derive(Deserialize)]
    struct Problem {
        message: String,
    }
    serde_json::from_str::<Problem>(body).map_or_else(|_| body.trim().to_owned(), |problem| problem.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_cause_is_named() {
        let trace = "a.Outer: wrapped\n\tat x\nCaused by: b.Middle: why\n\tat y\nCaused by: c.Inner: Connection refused\n\tat z";
        assert_eq!(cause(trace), "c.Inner: Connection refused");
        assert_eq!(cause("a.Only: one\n\tat x"), "a.Only: one");
    }
}
