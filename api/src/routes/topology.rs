//! The running topology.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, VARY};
use axum::response::{IntoResponse, Response};

use crate::state::AppState;

/// The topology: every source, processor, store and sink. Text, or JSON where `Accept` asks for it.
#[utoipa::path(
    get,
    path = "/topology",
    tag = "operation",
    responses((status = 200, content(
        (String = "text/plain"),
        (serde_json::Value = "application/json"),
    )))
)]
pub async fn read(State(app): State<AppState>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let vary = [(VARY, ACCEPT.as_str())];
    if accept.contains("application/json") {
        (vary, Json(app.topology.json.clone())).into_response()
    } else {
        (vary, app.topology.text.clone()).into_response()
    }
}
