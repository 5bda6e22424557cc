//! Errors as RFC 9457 problem details: a stable type for programs, a sentence for people, the field at fault, no internals.

use std::borrow::Cow;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use system_of_record::{Entity, SystemOfRecordError};
use utoipa::ToSchema;

use crate::reads::ReadError;

/// What comes before a problem's name in its type.
pub const TYPE_PREFIX: &str = "urn:riverbank:problem:";

/// The media type.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not answered as asked (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Which problem: stable, for programs.
    #[serde(rename = "type")]
    #[schema(example = "urn:riverbank:problem:overdrawn")]
    pub kind: Cow<'static, str>,
    /// The status code's words.
    #[schema(example = "Conflict")]
    pub title: Cow<'static, str>,
    /// The HTTP status code.
    #[schema(example = 409)]
    pub status: u16,
    /// What is wrong this time, for people.
    #[schema(example = "the balance of an account would fall below zero")]
    pub detail: String,
    /// The field of the body, or the parameter, that is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "amount")]
    pub field: Option<String>,
    /// After how many seconds trying again makes sense; sent as `Retry-After`.
    #[serde(skip)]
    pub retry_after_s: Option<u32>,
}

/// The type of the problem of this name.
pub fn type_of(name: &str) -> String {
    format!("{TYPE_PREFIX}{name}")
}

impl Problem {
    /// A problem of this status and name.
    pub fn new(status: StatusCode, name: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: type_of(name).into(),
            title: status.canonical_reason().unwrap_or("Error").into(),
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
            retry_after_s: None,
        }
    }

    /// Names the field at fault.
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The row is not there (or not yet: a write is read once it has come through).
    pub fn not_found(entity: Entity, id: i64) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", format!("there is no {entity} {id}"))
    }

    /// The request cannot be understood.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// The value of a field is not acceptable.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail).at(field)
    }

    /// The state that the answer needs is currently unavailable.
    pub fn not_ready(detail: impl Into<String>) -> Self {
        Self::unavailable("not-ready", detail)
    }

    /// Something of a name is away for the moment.
    pub fn unavailable(name: &str, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, name, detail);
        problem.retry_after_s = Some(1);
        problem
    }

    /// A fault of the service. The reason goes to the log, not to the caller.
    pub fn internal(reason: &dyn std::fmt::Display) -> Self {
        tracing::error!(%reason, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the service failed; the log has the reason",
        )
    }

    /// The problem that a bare status code stands for: what the router and its layers answer by themselves.
    pub fn of_status(status: StatusCode) -> Self {
        let (name, detail) = match status {
            StatusCode::NOT_FOUND => ("no-such-route", "there is nothing at this path"),
            StatusCode::METHOD_NOT_ALLOWED => ("method-not-allowed", "the path does not take this method"),
            StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "the body is too large"),
            StatusCode::GATEWAY_TIMEOUT => (
                "timeout",
                "the request took too long; whether a write is in force is not known: read before you try again",
            ),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ("media-type", "the body must be application/json"),
            status if status.is_server_error() => ("internal", "the service failed; the log has the reason"),
            _ => ("malformed", "the request cannot be understood"),
        };
        Self::new(status, name, detail)
    }

    /// The status code.
    pub fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status_code(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotReady(reason) => Self::not_ready(reason),
            ReadError::Failed(reason) => Self::internal(&reason),
        }
    }
}

impl From<SystemOfRecordError> for Problem {
    fn from(error: SystemOfRecordError) -> Self {
        match error {
            SystemOfRecordError::NotFound { entity, id } => Self::not_found(entity, id),
            SystemOfRecordError::VersionMismatch { .. } => {
                Self::new(StatusCode::PRECONDITION_FAILED, "version-mismatch", error.to_string())
            }
            SystemOfRecordError::Refused { rule } => {
                let status = if rule.is_conflict() {
                    StatusCode::CONFLICT
                } else {
                    StatusCode::UNPROCESSABLE_ENTITY
                };
                let problem = Self::new(status, rule.name(), rule.to_string());
                match rule.field() {
                    Some(field) => problem.at(field),
                    None => problem,
                }
            }
            SystemOfRecordError::Invalid { field, reason } => Self::invalid(field, reason),
            SystemOfRecordError::Unavailable(reason) => {
                tracing::warn!(%reason, "a write found the system of record unavailable");
                Self::unavailable(
                    "system-of-record-unavailable",
                    "the bank's database is away; nothing was written",
                )
            }
            SystemOfRecordError::Busy(busy) => Self::unavailable("busy", format!("{busy}; nothing was written")),
            SystemOfRecordError::OutcomeUnknown(reason) => {
                tracing::warn!(%reason, "the outcome of a write is not known");
                Self::new(
                    StatusCode::GATEWAY_TIMEOUT,
                    "outcome-unknown",
                    "the connection to the bank's database broke; whether the write is in force is not known: read before \
                     you try again",
                )
            }
            SystemOfRecordError::Internal(reason) => Self::internal(&reason),
        }
    }
}

/// Gives every error answer that is not a problem yet (the router's own, its layers') the shape of one, keeping its headers.
pub async fn dress(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    if !is_error || kind.starts_with(PROBLEM_JSON.as_bytes()) || kind.starts_with(b"application/json") {
        return response;
    }
    let (parts, _) = response.into_parts();
    let mut dressed = Problem::of_status(status).into_response();
    for (name, value) in &parts.headers {
        if !dressed.headers().contains_key(name) && name != axum::http::header::CONTENT_LENGTH {
            dressed.headers_mut().append(name, value.clone());
        }
    }
    dressed
}
