//! What the three kinds of rows have in common: look-ups that may need other instances, and answers with entity tags.

use axum::Json;
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::future::join_all;

use crate::extract::{Asked, IfMatch, etag};
use crate::forward::{Forwarder, Reply};
use crate::page::{Listed, Page, merge};
use crate::problem::Problem;
use crate::reads::{ReadError, Scattered};
use crate::system_of_record::{Entity, Version};

/// A kind of row, as clients see it.
pub trait Resource: Listed {
    /// Its kind.
    const ENTITY: Entity;
    /// The row as the state stores have it.
    type Stored;
    /// The row for clients, and which version it is.
    fn of(row: &Self::Stored) -> (Self, Version);
}

/// Answers with a row, wherever it is.
pub(super) async fn one<R: Resource>(
    forwarder: &Forwarder,
    asked: &Asked,
    id: i64,
    here: Result<Scattered<Option<R::Stored>>, ReadError>,
) -> Result<Response, Problem> {
    let here = here?;
    if let Some(row) = &here.value {
        let (row, version) = R::of(row);
        return Ok(unless_known(asked, etag(version), Json(row)));
    }
    if asked.is_forwarded {
        return Err(Problem::not_found(R::ENTITY, id));
    }
    let mut is_complete = here.missing.is_empty();
    for reply in ask_all(forwarder, asked, &here.others).await {
        match reply {
            Ok(reply) if reply.status == StatusCode::OK => return Ok(relay(asked, reply)),
            Ok(reply) if reply.status == StatusCode::NOT_FOUND => {}
            _ => is_complete = false,
        }
    }
    // "There is none" must be known, not guessed.
    Err(if is_complete {
        Problem::not_found(R::ENTITY, id)
    } else {
        incomplete()
    })
}

/// Answers with a page of a list, put together from all instances. `here` holds one row more than the page if there are more.
pub(super) async fn page<R: Resource>(
    forwarder: &Forwarder,
    asked: &Asked,
    limit: usize,
    here: Result<Scattered<Vec<R::Stored>>, ReadError>,
) -> Result<Json<Page<R>>, Problem> {
    let here = here?;
    let has_more = here.value.len() > limit;
    let rows = here.value.iter().take(limit).map(|row| R::of(row).0).collect();
    let mut parts = vec![(rows, has_more)];
    if !asked.is_forwarded {
        if !here.missing.is_empty() {
            return Err(incomplete());
        }
        for reply in ask_all(forwarder, asked, &here.others).await {
            let reply = reply?;
            if reply.status != StatusCode::OK {
                return Err(incomplete());
            }
            let page: Page<R> = serde_json::from_slice(&reply.body).map_err(|error| Problem::internal(&error))?;
            parts.push((page.items, page.next.is_some()));
        }
    }
    Ok(Json(merge(parts, limit)))
}

async fn ask_all(forwarder: &Forwarder, asked: &Asked, others: &[String]) -> Vec<Result<Reply, Problem>> {
    join_all(others.iter().map(|base| forwarder.get(base, &asked.path_and_query))).await
}

fn incomplete() -> Problem {
    Problem::not_ready("a part of the data is being restored or is moving to another instance")
}

fn relay(asked: &Asked, reply: Reply) -> Response {
    match reply.etag().cloned() {
        Some(tag) => unless_known(asked, tag, reply),
        None => reply.into_response(),
    }
}

fn unless_known(asked: &Asked, tag: HeaderValue, row: impl IntoResponse) -> Response {
    let mut response = if asked.has(&tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        row.into_response()
    };
    response.headers_mut().insert(ETAG, tag);
    response
}

/// Answers a write with the row as it is now.
pub(super) fn written<R: Resource>(row: R, version: Version) -> Response {
    ([(ETAG, etag(version))], Json(row)).into_response()
}

/// Answers a write that made a row.
pub(super) fn created<R: Resource>(row: R, version: Version) -> Response {
    let location = [(LOCATION, format!("/{}/{}", R::LIST, row.id()))];
    (StatusCode::CREATED, location, written(row, version)).into_response()
}

/// The version that a write expects. Where the client names several, the one of them that is in force.
pub(super) async fn expected<R: Resource>(
    condition: IfMatch,
    id: i64,
    in_force: impl Future<Output = Result<Option<Version>, Problem>>,
) -> Result<Option<Version>, Problem> {
    let versions = match condition {
        IfMatch::Any => return Ok(None),
        IfMatch::OneOf(versions) => versions,
    };
    if let [only] = versions.as_slice() {
        return Ok(Some(*only));
    }
    let current = in_force.await?.ok_or_else(|| Problem::not_found(R::ENTITY, id))?;
    if versions.contains(&current) {
        return Ok(Some(current));
    }
    let entity = R::ENTITY;
    Err(crate::system_of_record::SystemOfRecordError::VersionMismatch { entity, id }.into())
}
