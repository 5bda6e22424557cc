//! Snowflake's SQL REST API: one statement a request, and its rows, partition by partition.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::http::{Answer, ApiError, Connection};

/// The longest wait between two looks at a statement that runs, and all of them.
const LOOK_MAX: Duration = Duration::from_secs(5);
const LOOKS: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(200))
    .with_max_delay(LOOK_MAX)
    .without_max_times();

/// What a statement runs with; what is `None` is the user's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Session {
    /// The role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The virtual warehouse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warehouse: Option<String>,
    /// The database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

/// The rows of a statement; every value is text, or NULL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// The columns' names, as Snowflake keeps them.
    pub columns: Vec<String>,
    /// The values.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Rows {
    /// The values of a column, by its name in any case; `None` where there is no such column.
    pub fn column(&self, name: &str) -> Option<Vec<Option<&str>>> {
        let at = self.columns.iter().position(|column| column.eq_ignore_ascii_case(name))?;
        Some(self.rows.iter().map(|row| row.get(at)?.as_deref()).collect())
    }
}

/// The SQL REST API.
#[derive(Debug, Clone)]
pub struct Sql {
    connection: Arc<Connection>,
    session: Session,
    timeout: Duration,
}

#[derive(Serialize)]
struct Submission<'a> {
    statement: &'a str,
    /// Seconds after which Snowflake cancels it.
    timeout: u64,
    #[serde(flatten)]
    session: &'a Session,
    #[serde(skip_serializing_if = "Option::is_none")]
    bindings: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResultSet {
    #[serde(default)]
    statement_handle: String,
    #[serde(default)]
    result_set_meta_data: Option<MetaData>,
    #[serde(default)]
    data: Vec<Vec<Option<String>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetaData {
    #[serde(default)]
    row_type: Vec<ColumnType>,
    #[serde(default)]
    partition_info: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct ColumnType {
    name: String,
}

impl Sql {
    /// As the connection's user; a statement that runs for longer than `timeout` is cancelled.
    pub fn new(connection: Arc<Connection>, session: Session, timeout: Duration) -> Self {
        Self {
            connection,
            session,
            timeout,
        }
    }

    /// The same, in this virtual warehouse.
    pub fn in_warehouse(&self, warehouse: &str) -> Self {
        let mut other = self.clone();
        other.session.warehouse = Some(warehouse.to_owned());
        other
    }

    /// Runs a statement to its end, and returns its rows. The values of `bindings` take the place of its question marks, as text.
    ///
    /// # Errors
    ///
    /// [`ApiError::Refused`] has Snowflake's message where the statement failed. A request whose answer is lost is repeated with the
    /// same id, by which Snowflake knows that it runs already.
    pub async fn run(&self, statement: &str, bindings: &[&str]) -> Result<Rows, ApiError> {
        let what = format!("run \"{}\"", summary(statement));
        let bound: serde_json::Map<String, serde_json::Value> = (1..)
            .zip(bindings)
            .map(|(place, value): (usize, _)| (place.to_string(), serde_json::json!({ "type": "TEXT", "value": value })))
            .collect();
        let submission = Submission {
            statement,
            timeout: self.timeout.as_secs(),
            session: &self.session,
            bindings: (!bound.is_empty()).then_some(bound.into()),
        };
        let path = format!("/api/v2/statements?requestId={}", Uuid::new_v4());
        let path = |attempt| match attempt {
            1 => path.clone(),
            _ => format!("{path}&retry=true"),
        };
        let with_statement = |request: RequestBuilder| request.json(&submission);
        let answer = self.connection.ask(&what, Method::POST, path, with_statement).await?;
        let first = self.ended(&what, answer).await?;
        self.rows(&what, first).await
    }

    /// Waits until the statement has ended.
    async fn ended(&self, what: &str, mut answer: Answer) -> Result<ResultSet, ApiError> {
        let mut waits = LOOKS.build();
        loop {
            let set: ResultSet = answer.json(what)?;
            if answer.status != StatusCode::ACCEPTED {
                return Ok(set);
            }
            tokio::time::sleep(waits.next().unwrap_or(LOOK_MAX)).await;
            answer = self.get(what, &set.statement_handle, None).await?;
        }
    }

    async fn rows(&self, what: &str, first: ResultSet) -> Result<Rows, ApiError> {
        let (columns, partitions) = match first.result_set_meta_data {
            Some(meta) => (
                meta.row_type.into_iter().map(|column| column.name).collect(),
                meta.partition_info.len(),
            ),
            None => (Vec::new(), 0),
        };
        let mut rows = first.data;
        for partition in 1..partitions {
            let answer = self.get(what, &first.statement_handle, Some(partition)).await?;
            let next: ResultSet = answer.json(what)?;
            rows.extend(next.data);
        }
        Ok(Rows { columns, rows })
    }

    async fn get(&self, what: &str, handle: &str, partition: Option<usize>) -> Result<Answer, ApiError> {
        if handle.is_empty() || !handle.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(ApiError::Answer {
                what: what.to_owned(),
                reason: format!("\"{handle}\" is no statement's handle"),
            });
        }
        let path = match partition {
            Some(partition) => format!("/api/v2/statements/{handle}?partition={partition}"),
            None => format!("/api/v2/statements/{handle}"),
        };
        self.connection
            .ask(what, Method::GET, |_| path.clone(), |request| request)
            .await
    }
}

/// The statement's first words.
fn summary(statement: &str) -> String {
    let words: Vec<_> = statement.split_whitespace().take(8).collect();
    words.join(" ")
}
