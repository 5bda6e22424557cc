//! One hop to the instance that has a key.
//!
//! A forwarded request carries [`FORWARDED`] and is answered from what its receiver has, never forwarded again: two instances
//! with different views of who owns what cannot send a request in circles. The header holds the token that the receiver made at
//! its start and announced to the other instances; without it the request is any client's. A list names the partitions that it
//! asks for ([`PARTITIONS`]), and its receiver answers for all of them or not at all.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};

use crate::problem::{self, Problem};
use crate::reads::Instance;

/// Shows that a request comes from another instance: the receiver's token.
pub const FORWARDED: HeaderName = HeaderName::from_static("riverbank-forwarded");
/// The partitions of a list that a forwarded request asks for, divided by commas.
pub const PARTITIONS: HeaderName = HeaderName::from_static("riverbank-partitions");

/// The largest answer that is taken from another instance: many times a full page.
const REPLY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Asks other instances.
#[derive(Debug, Clone)]
pub struct Forwarder {
    client: reqwest::Client,
    timeout: Duration,
}

/// What another instance answered.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
    content_type: Option<HeaderValue>,
    etag: Option<HeaderValue>,
}

impl Forwarder {
    /// Waits this long for an answer.
    pub fn new(timeout: Duration) -> Result<Self, reqwest::Error> {
        // Never through a proxy, and never to where an answer points.
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        let client = client
            .connect_timeout(timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self { client, timeout })
    }

    /// Asks another instance for the same path and query, of these partitions where it is a list.
    ///
    /// The reply is a row, a page, or that there is no such row. Anything else says nothing of the data: it becomes a 503.
    pub async fn get(&self, instance: &Instance, path_and_query: &str, partitions: &[u32]) -> Result<Reply, Problem> {
        let base = instance.address.trim_end_matches('/');
        let away = |reason: String| {
            tracing::warn!(%base, %reason, "another instance did not answer");
            Problem::not_ready("the instance that has the data did not answer")
        };
        let asked = self.ask(format!("{base}{path_and_query}"), instance, partitions);
        match tokio::time::timeout(self.timeout, asked).await {
            Ok(Ok(reply)) if reply.status == StatusCode::OK || reply.says_not_found() => Ok(reply),
            Ok(Ok(reply)) if reply.status == StatusCode::SERVICE_UNAVAILABLE => Err(Problem::not_ready(
                "the data is being restored or is moving to another instance",
            )),
            Ok(Ok(reply)) => Err(away(format!("it answered {}", reply.status))),
            Ok(Err(reason)) => Err(away(reason)),
            Err(_) => Err(away(format!("no answer within {:?}", self.timeout))),
        }
    }

    async fn ask(&self, url: String, instance: &Instance, partitions: &[u32]) -> Result<Reply, String> {
        let mut token = HeaderValue::from_str(instance.token.reveal()).map_err(|_| "its token is none".to_owned())?;
        token.set_sensitive(true);
        let mut request = self.client.get(url).header(FORWARDED, token);
        if !partitions.is_empty() {
            let numbers: Vec<String> = partitions.iter().map(ToString::to_string).collect();
            request = request.header(PARTITIONS, numbers.join(","));
        }
        // The query may name what the log must not hold.
        let reason = |error: reqwest::Error| error.without_url().to_string();
        let mut answer = request.send().await.map_err(reason)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(reason)? {
            if body.len() + chunk.len() > REPLY_BYTES_MAX {
                return Err(format!("the answer has more than {REPLY_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply {
            status: answer.status(),
            body: body.freeze(),
            content_type: answer.headers().get(CONTENT_TYPE).cloned(),
            etag: answer.headers().get(ETAG).cloned(),
        })
    }
}

impl Reply {
    /// The row's version, as the other instance tells it.
    pub fn etag(&self) -> Option<&HeaderValue> {
        self.etag.as_ref()
    }

    /// Whether the instance says that there is no such row, and not just that there is nothing at this path.
    fn says_not_found(&self) -> bool {
        let said = || serde_json::from_slice::<Problem>(&self.body);
        self.status == StatusCode::NOT_FOUND && said().is_ok_and(|said| said.kind == problem::type_of("not-found"))
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut response = (self.status, Body::from(self.body)).into_response();
        let headers = response.headers_mut();
        headers.remove(CONTENT_TYPE);
        headers.extend(self.content_type.map(|value| (CONTENT_TYPE, value)));
        headers.extend(self.etag.map(|value| (ETAG, value)));
        response
    }
}
