//! Requests into types; what does not fit becomes a problem that names the field at fault.

use std::convert::Infallible;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{CONTENT_TYPE, HeaderMap, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use system_of_record::Version;

use crate::forward::{FORWARDED, PARTITIONS};
use crate::problem::Problem;
use crate::state::AppState;

/// A JSON body. 415 without the media type, 400 if it is not JSON, 422 if it is not of this shape.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|rejection| Problem::of_status(rejection.status()))?;
        // A list would be taken for the fields in their order.
        let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
        if first != Some(&b'{') && serde_json::from_slice::<IgnoredAny>(&body).is_ok() {
            let detail = "the body is an object".to_owned();
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail));
        }
        let mut reader = serde_json::Deserializer::from_slice(&body);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| unacceptable(&error, &body))?;
        reader
            .end()
            .map_err(|error| Problem::malformed(format!("the body is not JSON: {error}")))?;
        Ok(Self(value))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut parts = kind.split(';').map(|part| part.trim().to_ascii_lowercase());
    let is_json = parts.next().is_some_and(|kind| kind == "application/json");
    // JSON is UTF-8; whoever says that it is something else sends something else.
    let is_utf_8 = |part: String| match part.strip_prefix("charset=") {
        Some(charset) => charset.trim_matches('"') == "utf-8",
        None => true,
    };
    is_json && parts.all(is_utf_8)
}

fn unacceptable(error: &serde_path_to_error::Error<serde_json::Error>, body: &[u8]) -> Problem {
    let inner = error.inner();
    // A null where one of some words is wanted counts as bad syntax, too.
    if !inner.is_data() && serde_json::from_slice::<IgnoredAny>(body).is_err() {
        return Problem::malformed(format!("the body is not JSON: {inner}"));
    }
    let path = error.path().to_string();
    // Line and column say nothing once the field is named.
    let text = inner.to_string();
    let text = text.split(" at line ").next().unwrap_or_default().to_owned();
    match field(&path, &text) {
        Some(field) => Problem::invalid(field, text),
        None => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", text),
    }
}

/// The field at fault. One that is missing or unknown has no path of its own; its name is in the text.
fn field(path: &str, text: &str) -> Option<String> {
    let quoted = |prefix: &str| text.strip_prefix(prefix)?.split('`').next();
    let named = quoted("missing field `").or_else(|| quoted("unknown field `"));
    match (path, named) {
        ("." | "?", named) => named.map(str::to_owned),
        (path, Some(named)) if path != named => Some(format!("{path}.{named}")),
        (path, _) => Some(path.to_owned()),
    }
}

/// A row's id in the path.
#[derive(Debug, Clone, Copy)]
pub struct Id(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<i64>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id))
            .map_err(|_| Problem::malformed("an id is a whole number").at("id"))
    }
}

/// The query's parameters.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let rejection = match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => return Ok(Self(params)),
            Err(rejection) => rejection,
        };
        let text = rejection.body_text();
        let text = text.split_once(": ").map_or(text.as_str(), |(_, text)| text);
        let (path, reason) = text.split_once(": ").unwrap_or((".", text));
        let problem = Problem::malformed(text);
        Err(match field(path, reason) {
            Some(field) => problem.at(field),
            None => problem,
        })
    }
}

/// No parameters: one that is sent all the same is refused, lest an answer of now be taken for one of then.
#[derive(Debug)]
pub struct NoParams;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl<S: Send + Sync> FromRequestParts<S> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Params(Nothing {}) = Params::from_request_parts(parts, state).await?;
        Ok(Self)
    }
}

/// What a reader sends besides path and query.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Whether another instance sent it: it presented this one's token. A header that anybody could write changes nothing.
    pub is_forwarded: bool,
    /// The partitions that the other instance takes for this one's, of the list that it asks for.
    pub partitions: Vec<u32>,
    /// The path and query, to be asked of another instance.
    pub path_and_query: String,
    if_none_match: Option<HeaderValue>,
}

impl Asked {
    /// Whether the reader has this version already.
    pub fn has(&self, etag: &HeaderValue) -> bool {
        let Some(known) = self.if_none_match.as_ref().and_then(|value| value.to_str().ok()) else {
            return false;
        };
        let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        known.trim() == "*" || known.split(',').any(|tag| weak(tag).as_bytes() == etag.as_bytes())
    }
}

impl FromRequestParts<AppState> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Infallible> {
        let path_and_query = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let header = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let is_forwarded = header(FORWARDED).is_some_and(|presented| app.reads.token().is(presented));
        let partitions = header(PARTITIONS).filter(|_| is_forwarded).unwrap_or_default();
        Ok(Self {
            is_forwarded,
            partitions: partitions
                .split(',')
                .map(|number| number.parse().ok())
                .collect::<Option<_>>()
                .unwrap_or_default(),
            path_and_query: path_and_query.to_owned(),
            if_none_match: parts.headers.get(IF_NONE_MATCH).cloned(),
        })
    }
}

/// The condition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// None was given.
    None,
    /// `*`: there must be a row, at whatever version.
    Any,
    /// One of these versions must be in force.
    OneOf(Vec<Version>),
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut versions = Vec::new();
        let mut is_given = false;
        for value in parts.headers.get_all(IF_MATCH) {
            is_given = true;
            let text = value.to_str().map_err(|_| bad_header(IF_MATCH))?.trim();
            if text == "*" {
                return Ok(Self::Any);
            }
            if text.is_empty() {
                return Err(bad_header(IF_MATCH));
            }
            let mut rest = text;
            while !rest.is_empty() {
                let (tag, behind) = entity_tag(rest).ok_or_else(|| bad_header(IF_MATCH))?;
                versions.extend(version(tag));
                rest = behind.trim_start();
                match rest.strip_prefix(',') {
                    Some(behind) => rest = behind.trim_start(),
                    None if rest.is_empty() => {}
                    None => return Err(bad_header(IF_MATCH)),
                }
            }
        }
        Ok(if is_given { Self::OneOf(versions) } else { Self::None })
    }
}

/// The entity tag at the front, and what comes behind it.
fn entity_tag(text: &str) -> Option<(&str, &str)> {
    let opaque = text.strip_prefix("W/").unwrap_or(text).strip_prefix('"')?;
    let end = opaque.find('"')?;
    let is_tag = opaque[..end].bytes().all(|byte| byte.is_ascii_graphic());
    is_tag.then(|| text.split_at(text.len() - opaque.len() + end + 1))
}

/// The version that an entity tag names; none where it is a tag, but no strong one of ours: then it matches nothing.
fn version(tag: &str) -> Option<Version> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    let is_ours = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(digits, 16).ok().filter(|_| is_ours).map(Version)
}

/// The entity tag of a version.
pub fn etag(version: Version) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{:016x}\"", version.0)).expect("hexadecimal digits are valid in a header")
}

fn bad_header(name: HeaderName) -> Problem {
    Problem::malformed(format!("the header {name} cannot be read")).at(name.as_str())
}
