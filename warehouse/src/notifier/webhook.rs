//! Bucket events by HTTP: `POST /snowpipe/events` with a shared token, which MinIO sends as `Authorization: Bearer …`.
//!
//! An event is answered with 200 when its files are noted, and with 503 when there is no room, so that MinIO sends it again.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

use super::events::{Place, files};
use super::service::{Offers, Source};

/// The largest event; MinIO and S3 send one object an event.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// Where the events go.
#[derive(Clone)]
struct Hook {
    place: Place,
    token: String,
    offers: Offers,
}

/// The route. `token` is the one that the sender was given; it is never empty.
pub fn router(place: Place, token: String, offers: Offers) -> Router {
    Router::new()
        .route("/snowpipe/events", post(take).head(|| async { StatusCode::OK }))
        .layer(DefaultBodyLimit::max(EVENT_BYTES_MAX))
        .with_state(Hook { place, token, offers })
}

async fn take(State(hook): State<Hook>, headers: HeaderMap, body: Bytes) -> (StatusCode, &'static str) {
    let given = headers.get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    let given = given.strip_prefix(b"Bearer ").unwrap_or(given);
    if hook.token.is_empty() || verify_slices_are_equal(given, hook.token.as_bytes()).is_err() {
        return (StatusCode::UNAUTHORIZED, "the token is not the one of snowpipe.webhook_token");
    }
    let files = match files(&body, &hook.place) {
        Ok(files) => files,
        Err(error) => {
            tracing::warn!(%error, "a webhook's event is passed over");
            return (StatusCode::BAD_REQUEST, "it is no bucket event");
        }
    };
    match files.into_iter().all(|file| hook.offers.offer(Source::Webhook, file)) {
        true => (StatusCode::OK, ""),
        false => (StatusCode::SERVICE_UNAVAILABLE, "too many events wait: send it again"),
    }
}
