//! Prometheus.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus::TextEncoder;

use crate::problem::Problem;
use crate::state::AppState;

/// The program's metrics, in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses((status = 200, content_type = "text/plain", body = String)))]
pub async fn read(State(app): State<AppState>) -> Result<Response, Problem> {
    app.ready.set(i64::from(super::health::readiness(&app).await.ready));
    let text = TextEncoder::new().encode_to_string(&app.registry.gather());
    let text = text.map_err(|error| Problem::internal(&error))?;
    Ok(([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}
