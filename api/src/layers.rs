//! What every request goes through: a request id, a log line and a measure of time; limits of body and time; a panic becomes a 500;
//! each error is a problem; headers that keep browsers from doing what they should not.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::Response;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::classify::ServerErrorsFailureClass;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

use crate::problem::{self, Problem};
use crate::state::{App, AppState};
use crate::{ApiError, HttpSettings, Parts, routes};

/// The pages of `/docs` need no more.
const CONTENT_POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The whole service.
pub fn router(parts: Parts, settings: &HttpSettings) -> Result<Router, ApiError> {
    let app = App::new(parts, settings)?;
    let headers = ServiceBuilder::new()
        .layer(header(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(X_FRAME_OPTIONS, "DENY"))
        .layer(header(REFERRER_POLICY, "no-referrer"))
        .layer(header(CONTENT_SECURITY_POLICY, CONTENT_POLICY))
        // A balance that a cache gives is an old one.
        .layer(header(CACHE_CONTROL, "private, no-cache"));
    let trace = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(TraceLayer::new_for_http().make_span_with(span).on_failure(failed))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID));
    // From the innermost to the outermost.
    Ok(routes::all()
        .fallback(async || Problem::of_status(StatusCode::NOT_FOUND))
        .with_state(app.clone())
        .layer(DefaultBodyLimit::max(settings.body_bytes_max))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            settings.request_timeout,
        ))
        .layer(CatchPanicLayer::new())
        .layer(map_response(problem::dress))
        .layer(headers)
        .layer(from_fn_with_state(app, measure))
        .layer(trace))
}

fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// "Not now" is an answer, and probes ask for it all the time; everything else of this class is a fault.
fn failed(class: ServerErrorsFailureClass, latency: Duration, _: &tracing::Span) {
    match class {
        ServerErrorsFailureClass::StatusCode(StatusCode::SERVICE_UNAVAILABLE) => tracing::debug!(?latency, "not available"),
        class => tracing::error!(%class, ?latency, "the request failed"),
    }
}

/// Paths hold ids, and queries may hold more: the log has the route alone.
fn span(request: &Request) -> tracing::Span {
    let id = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default();
    tracing::info_span!("request", method = %request.method(), route = route(request), request_id = id)
}

fn route(request: &Request) -> &str {
    request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
}

async fn measure(State(app): State<AppState>, request: Request, next: Next) -> Response {
    // Anybody can send a method of any name; a label has few values.
    let method = match *request.method() {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let route = route(&request).to_owned();
    let started = Instant::now();
    let response = next.run(request).await;
    let elapsed = started.elapsed().as_secs_f64();
    app.durations
        .with_label_values(&[method, &route, response.status().as_str()])
        .observe(elapsed);
    response
}
