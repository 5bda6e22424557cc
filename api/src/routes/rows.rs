//! What the three kinds of rows have in common: look-ups that may need other instances, and answers with entity tags.

use axum::Json;
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::future::join_all;
use system_of_record::{Entity, SystemOfRecordError, Version};

use crate::extract::{Asked, IfMatch, etag};
use crate::forward::{Forwarder, PARTITIONS, Reply};
use crate::page::{Cursor, Listed, Page, merge};
use crate::problem::Problem;
use crate::reads::{Instance, Located, Part, ReadError, Reading, Reads, Rows, Scan, Scattered};
use crate::state::App;

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
    here: Result<Located<Reading<Option<R::Stored>>>, ReadError>,
) -> Result<Response, Problem> {
    match here? {
        Located::Here(reading) => {
            let row = reading.value.ok_or_else(|| Problem::not_found(R::ENTITY, id))?;
            let (row, version) = R::of(&row);
            Ok(unless_known(asked, etag(version), Json(row)))
        }
        Located::Elsewhere(instance) => relay(forwarder, asked, &instance).await,
    }
}

/// Answers with what the instance says that has the key.
pub(super) async fn relay(forwarder: &Forwarder, asked: &Asked, instance: &Instance) -> Result<Response, Problem> {
    // Whoever forwarded it took this instance for the owner, which it no longer is, or not yet.
    if asked.is_forwarded {
        return Err(moving());
    }
    let reply = forwarder.get(instance, &asked.path_and_query, &[]).await?;
    Ok(match reply.etag().cloned() {
        Some(tag) if reply.status == StatusCode::OK => unless_known(asked, tag, reply),
        _ => reply.into_response(),
    })
}

/// Answers with a page of a list, put together from all instances: of the whole list, or not at all.
pub(super) async fn page<R: Resource>(
    app: &App,
    asked: &Asked,
    limit: usize,
    after: Option<i64>,
    read: impl FnOnce(&dyn Reads, &Scan) -> Rows<R::Stored> + Send + 'static,
) -> Result<Json<Page<R>>, Problem> {
    if asked.is_forwarded && asked.partitions.is_empty() {
        return Err(Problem::malformed("a forwarded request for a list names its partitions").at(PARTITIONS.as_str()));
    }
    let partitions = asked.is_forwarded.then(|| asked.partitions.clone());
    let for_clients = move |reads: &dyn Reads, scan: &Scan| {
        let found = read(reads, scan)?;
        Ok(Scattered {
            value: Part {
                rows: found.value.rows.iter().map(|row| R::of(row).0).collect(),
                until: found.value.until,
            },
            others: found.others,
            missing: found.missing,
        })
    };
    let here = app
        .lists
        .read(app.reads.clone(), (after, limit), partitions, for_clients)
        .await?;
    if !here.missing.is_empty() || (asked.is_forwarded && !here.others.is_empty()) {
        return Err(moving());
    }
    let mut parts = vec![(here.value.rows, here.value.until)];
    let others = here.others.iter();
    let asked = others.map(|(instance, partitions)| app.forwarder.get(instance, &asked.path_and_query, partitions));
    for reply in join_all(asked).await {
        parts.push(part_of(&reply?)?);
    }
    Ok(Json(merge(parts, limit)))
}

/// A part of a list, as another instance gave it.
fn part_of<R: Resource>(reply: &Reply) -> Result<(Vec<R>, Option<i64>), Problem> {
    let page: Page<R> = serde_json::from_slice(&reply.body).map_err(|error| no_page(&error))?;
    let until = page.next.as_deref().map(Cursor::parse::<R>).transpose();
    let until = until.map_err(|problem| no_page(&problem.detail))?;
    Ok((page.items, until.map(|cursor| cursor.0)))
}

fn no_page(reason: &dyn std::fmt::Display) -> Problem {
    tracing::warn!(%reason, "another instance did not answer with a page of the list");
    Problem::not_ready("the instance that has the data did not answer")
}

pub(super) fn moving() -> Problem {
    Problem::not_ready("a part of the data is being restored or is moving to another instance")
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

/// The version that a write expects. Where the client names several, the one of them that is in force. Looked at before the body is: a
/// condition that fails says that the body does not matter.
pub(super) async fn expected<R: Resource>(
    condition: IfMatch,
    id: i64,
    in_force: impl Future<Output = Result<Option<Version>, Problem>>,
) -> Result<Option<Version>, Problem> {
    let entity = R::ENTITY;
    let versions = match condition {
        IfMatch::None => return Ok(None),
        IfMatch::Any => {
            in_force.await?.ok_or_else(|| absent(entity, id))?;
            return Ok(None);
        }
        IfMatch::OneOf(versions) => versions,
    };
    if let [only] = versions.as_slice() {
        return Ok(Some(*only));
    }
    let current = in_force.await?.ok_or_else(|| Problem::not_found(entity, id))?;
    if versions.contains(&current) {
        return Ok(Some(current));
    }
    Err(SystemOfRecordError::VersionMismatch { entity, id }.into())
}

/// `If-Match: *` asks for a row, at whatever version.
fn absent(entity: Entity, id: i64) -> Problem {
    let detail = format!("If-Match asks for a row that is there, and there is no {entity} {id}");
    Problem::new(StatusCode::PRECONDITION_FAILED, "version-mismatch", detail)
}
