//! Probes, and where the inputs stand.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use system_of_record::SystemOfRecordError;
use utoipa::ToSchema;

use crate::source::SourceReport;
use crate::state::AppState;
use crate::trouble::{Affects, Trouble};

/// How long the database is waited for: less than a probe waits, since reads do not need it.
const CHECK_TIMEOUT: Duration = Duration::from_millis(500);

/// Whether the process runs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Liveness {
    /// Always true: a process that does not run does not answer.
    pub alive: bool,
}

/// What this instance can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadinessReport {
    /// Whether it answers: the same as `reads`, and what decides on the status.
    pub ready: bool,
    /// Whether it answers from its state stores.
    pub reads: bool,
    /// Whether it processes changes as they come, and keeps its state, so that answers stay fresh.
    pub processing: bool,
    /// Whether it takes writes.
    pub writes: bool,
    /// Whether Parquet files are written as they should be.
    pub lake: bool,
    /// Whether the Iceberg tables have what is written, as they should; true as well where there are none.
    pub iceberg: bool,
    /// Whether files are reported to Snowpipe as they should be; true as well where nobody asked for that.
    pub snowpipe: bool,
    /// Whether the source is heard.
    pub source: bool,
    /// Why something is not as it should be; empty while all is well.
    pub reasons: Vec<String>,
}

/// How old answers are: what is known of the source, and where the inputs stand.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LagReport {
    /// The source and the way from it; null where the system of record is in this process.
    #[schema(required)]
    pub source: Option<SourceReport>,
    /// The input partitions of this instance.
    pub inputs: Vec<PartitionLag>,
}

/// Where an input partition of this instance stands.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PartitionLag {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Records that wait.
    pub lag_records: i64,
    /// Event time of the oldest record that waits; null where none does.
    #[schema(required, format = DateTime)]
    pub oldest_waiting: Option<String>,
}

/// Whether the process runs.
#[utoipa::path(get, path = "/health/live", tag = "operation", responses((status = 200, body = Liveness)))]
pub async fn live() -> Json<Liveness> {
    Json(Liveness { alive: true })
}

/// What this instance can do. While the database, the registry or the object store is away, or a disk is full, it still answers
/// reads: the status stays 200, and the body says what it cannot do, and why.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "operation",
    responses(
        (status = 200, description = "It answers reads", body = ReadinessReport),
        (status = 503, description = "It does not: its state is being restored, say", body = ReadinessReport),
    )
)]
pub async fn ready(State(app): State<AppState>) -> (StatusCode, Json<ReadinessReport>) {
    let report = readiness(&app).await;
    let status = if report.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(report))
}

/// Asks every part what troubles it.
pub(crate) async fn readiness(app: &AppState) -> ReadinessReport {
    let stores = app.reads.readiness();
    let affects = if stores.answers { Affects::Processing } else { Affects::Reads };
    let mut troubles: Vec<Trouble> = stores
        .reasons
        .into_iter()
        .map(|reason| Trouble::new(affects, reason))
        .collect();
    if !stores.ready && troubles.is_empty() {
        troubles.push(Trouble::new(affects, "the state stores are not ready"));
    }
    for part in &app.troubles {
        troubles.extend(part());
    }
    match tokio::time::timeout(CHECK_TIMEOUT, app.records.check()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            // Whoever asks need not know where the database is.
            tracing::warn!(%error, "the system of record is in trouble");
            let reason = match error {
                SystemOfRecordError::Unavailable(_) => "the bank's database is away or overloaded",
                _ => "the bank's database is not as it should be; the log has the reason",
            };
            troubles.push(Trouble::new(Affects::Writes, reason));
        }
        Err(_) => {
            let reason = format!("the bank's database did not answer within {CHECK_TIMEOUT:?}");
            troubles.push(Trouble::new(Affects::Writes, reason));
        }
    }
    ReadinessReport::of(&troubles)
}

impl ReadinessReport {
    fn of(troubles: &[Trouble]) -> Self {
        let can = |what| troubles.iter().all(|trouble| trouble.affects != what);
        Self {
            ready: can(Affects::Reads),
            reads: can(Affects::Reads),
            processing: can(Affects::Reads) && can(Affects::Processing),
            writes: can(Affects::Writes),
            lake: can(Affects::Lake),
            iceberg: can(Affects::Iceberg),
            snowpipe: can(Affects::Snowpipe),
            source: can(Affects::Source),
            reasons: troubles.iter().map(|trouble| trouble.reason.clone()).collect(),
        }
    }

    /// By name: what it can do.
    pub(crate) fn abilities(&self) -> [(&'static str, bool); 7] {
        [
            ("reads", self.reads),
            ("processing", self.processing),
            ("writes", self.writes),
            ("lake", self.lake),
            ("iceberg", self.iceberg),
            ("snowpipe", self.snowpipe),
            ("source", self.source),
        ]
    }
}

/// How long the source has been silent, and how far this instance is behind its inputs, in records and in time.
#[utoipa::path(get, path = "/lag", tag = "operation", responses((status = 200, body = LagReport)))]
pub async fn lag(State(app): State<AppState>) -> Json<LagReport> {
    let inputs = app.reads.lag().into_iter().map(|input| PartitionLag {
        topic: input.topic,
        partition: input.partition,
        lag_records: input.records,
        oldest_waiting: input.oldest_waiting_ms.map(|at_ms| crate::model::instant(at_ms.to_micros())),
    });
    Json(LagReport {
        source: app.source.as_ref().map(|source| source.report()),
        inputs: inputs.collect(),
    })
}
