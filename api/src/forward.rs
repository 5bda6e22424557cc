//! One hop to the instance that has a key.
//!
//! A forwarded request carries [`FORWARDED`] and is answered from what its receiver has, never forwarded again: two instances
//! with different views of who owns what cannot send a request in circles.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};

use crate::problem::Problem;

/// Says that a request comes from another instance.
pub const FORWARDED: HeaderName = HeaderName::from_static("riverbank-forwarded");

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

    /// Asks the instance at `base` for the same path and query.
    pub async fn get(&self, base: &str, path_and_query: &str) -> Result<Reply, Problem> {
        let url = format!("{}{path_and_query}", base.trim_end_matches('/'));
        let away = |reason: String| {
            tracing::warn!(%base, %reason, "another instance did not answer");
            Problem::not_ready("the instance that has the data did not answer")
        };
        match tokio::time::timeout(self.timeout, self.ask(&url)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(reason)) => Err(away(reason)),
            Err(_) => Err(away(format!("no answer within {:?}", self.timeout))),
        }
    }

    async fn ask(&self, url: &str) -> Result<Reply, String> {
        let request = self.client.get(url).header(FORWARDED, "1");
        let mut answer = request.send().await.map_err(|error| error.to_string())?;
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| error.to_string())? {
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
