//! Probes, and where the inputs stand.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::source::SourceReport;
use crate::state::AppState;
use crate::trouble::Affects;

/// How long the database is waited for.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the process runs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Liveness {
    /// Always true: a process that does not run does not answer.
    pub alive: bool,
}

/// Whether this instance can do its work.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ReadinessReport {
    /// Whether it can.
    pub ready: bool,
    /// What holds it up, or makes what it answers old.
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

/// Whether this instance can do its work, and if not, why.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "operation",
    responses((status = 200, body = ReadinessReport), (status = 503, body = ReadinessReport))
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

/// Asks every part whether something holds it up.
pub(crate) async fn readiness(app: &AppState) -> ReadinessReport {
    let stores = app.reads.readiness();
    let mut reasons = stores.reasons;
    if !stores.ready && reasons.is_empty() {
        reasons.push("the state stores are not ready".to_owned());
    }
    let troubles = app.troubles.iter().flat_map(|troubles| troubles());
    // An old answer is an answer: a silent source is said, and takes nothing away.
    let (of_the_source, others): (Vec<_>, Vec<_>) = troubles.partition(|trouble| trouble.affects == Affects::Source);
    reasons.extend(others.into_iter().map(|trouble| trouble.reason));
    match tokio::time::timeout(CHECK_TIMEOUT, app.records.check()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => reasons.push(error.to_string()),
        Err(_) => reasons.push(format!("the system of record did not answer within {CHECK_TIMEOUT:?}")),
    }
    let ready = reasons.is_empty();
    reasons.extend(of_the_source.into_iter().map(|trouble| trouble.reason));
    ReadinessReport { ready, reasons }
}

/// How long the source has been silent, and how far this instance is behind its inputs, in records and in time.
#[utoipa::path(get, path = "/lag", tag = "operation", responses((status = 200, body = LagReport)))]
pub async fn lag(State(app): State<AppState>) -> Json<LagReport> {
    let inputs = app.reads.lag().into_iter().map(|input| PartitionLag {
        topic: input.topic,
        partition: input.partition,
        lag_records: input.records,
        oldest_waiting: input
            .oldest_waiting_ms
            .map(|ms| crate::model::instant(ms.saturating_mul(1000))),
    });
    Json(LagReport {
        source: app.source.as_ref().map(|source| source.report()),
        inputs: inputs.collect(),
    })
}
