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
use super::offers::{Offers, Source};

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

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use url::Url;

    use super::*;
    use crate::notifier::metrics::Metrics;

    fn hook(token: &str) -> Hook {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        Hook {
            place: Place::of(&Url::parse("s3://lake").unwrap()).unwrap(),
            token: token.to_owned(),
            offers: Offers::new(metrics),
        }
    }

    async fn post(hook: &Hook, authorization: Option<&'static str>, body: &str) -> StatusCode {
        let mut headers = HeaderMap::new();
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(authorization));
        }
        take(State(hook.clone()), headers, Bytes::from(body.to_owned())).await.0
    }

    const EVENT: &str = r#"{"Records":[{"eventName":"s3:ObjectCreated:Put","s3":{"bucket":{"name":"lake"},
        "object":{"key":"t/day=2023-11-14/p=03/0-9-s1.parquet"}}}]}"#;

    #[tokio::test]
    async fn nothing_is_taken_without_the_token() {
        let hook = hook("secret");
        for wrong in [None, Some(""), Some("Bearer "), Some("Bearer secrets"), Some("Bearer secre")] {
            assert_eq!(post(&hook, wrong, EVENT).await, StatusCode::UNAUTHORIZED, "{wrong:?}");
        }
        assert!(hook.offers.take().0.is_empty());
        assert_eq!(post(&self::hook(""), Some("Bearer "), EVENT).await, StatusCode::UNAUTHORIZED);
        assert_eq!(post(&hook, Some("Bearer secret"), "x").await, StatusCode::BAD_REQUEST);
        assert_eq!(post(&hook, Some("Bearer secret"), EVENT).await, StatusCode::OK);
        assert_eq!(hook.offers.take().0.len(), 1);
    }

    #[tokio::test]
    async fn an_event_without_room_is_to_be_sent_again() {
        let hook = hook("secret");
        let mut answers = Vec::new();
        while answers.last().is_none_or(|last| *last == StatusCode::OK) && answers.len() < 100_000 {
            answers.push(post(&hook, Some("Bearer secret"), EVENT).await);
        }
        assert_eq!(answers.last(), Some(&StatusCode::SERVICE_UNAVAILABLE));
        let (files, overflowed) = hook.offers.take();
        assert_eq!((files.len(), overflowed), (answers.len() - 1, ["t".to_owned()].into()));
        assert_eq!(post(&hook, Some("Bearer secret"), EVENT).await, StatusCode::OK);
    }
}
