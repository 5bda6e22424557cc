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
    let report = super::health::readiness(&app).await;
    app.ready.set(i64::from(report.ready));
    for (what, is_able) in report.abilities() {
        app.able.with_label_values(&[what]).set(i64::from(is_able));
    }
    let text = TextEncoder::new().encode_to_string(&app.registry.gather());
    let text = text.map_err(|error| Problem::internal(&error))?;
    Ok(([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}
