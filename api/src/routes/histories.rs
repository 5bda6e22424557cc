//! Histories: what customers and accounts were, and when.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemas::gold::{Validity, Versioned};
use schemas::{AccountId, CustomerId};
use serde::{Deserialize, Serialize};
use system_of_record::Entity;
use topology::Micros;
use utoipa::IntoParams;

use super::rows::relay;
use crate::extract::{Asked, Id, Params};
use crate::model::{AccountVersion, CustomerVersion, History, instant, instant_of, microsecond};
use crate::page::{LIMIT_DEFAULT, limit};
use crate::problem::Problem;
use crate::reads::{Located, Part, ReadError, Reading, Versions};
use crate::state::{App, AppState};

/// Which versions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Only the version that was in force at this instant (RFC 3339): the one with `valid_from` at or before it and `valid_to` after
    /// it. 404 where there was none yet. It cannot be combined with `after` and `limit`.
    #[param(value_type = Option<String>, format = DateTime, example = "2026-01-31T09:30:00Z")]
    effective_at: Option<String>,
    /// As it was known at this instant (RFC 3339): without what the source committed after it. A version is in force from its commit on, so this
    /// only leaves out what came later; the newest one left is the current one.
    #[param(value_type = Option<String>, format = DateTime, example = "2026-01-31T09:30:00Z")]
    recorded_at: Option<String>,
    /// Only versions with a higher number: `next` of the answer before.
    after: Option<i64>,
    /// How many versions, at most; never more than 100 in one answer.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
}

impl Query {
    fn versions(&self) -> Result<Versions, Problem> {
        let Some(text) = &self.effective_at else {
            return Ok(Versions::After {
                version: self.after.unwrap_or(0),
                // They are looked up while no commit of their partition can go on.
                limit: limit(self.limit)?.min(usize::from(LIMIT_DEFAULT)),
            });
        };
        let refused = |detail: &str| Problem::malformed(detail).at("effective_at");
        if self.after.is_some() || self.limit.is_some() {
            return Err(refused(
                "effective_at asks for one version: after and limit do not go with it",
            ));
        }
        // Versions begin with a microsecond.
        let at = microsecond(instant_of(text, "effective_at")?);
        Ok(Versions::InForce(self.known_at()?.map_or(at, |known_at| at.min(known_at))))
    }

    fn known_at(&self) -> Result<Option<Micros>, Problem> {
        let at = self.recorded_at.as_deref().map(|text| instant_of(text, "recorded_at"));
        Ok(at.transpose()?.map(microsecond))
    }
}

/// A customer's versions, oldest first: what was in force when, deletions included. One for every transaction of the source that
/// changed a name or the e-mail address.
#[utoipa::path(
    get,
    path = "/customers/{id}/history",
    tag = "customers",
    params(("id" = i64, Path, description = "The customer's id"), Query),
    responses(
        (status = 200, body = History<CustomerVersion>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn customer(
    State(app): State<AppState>,
    Id(id): Id,
    Params(query): Params<Query>,
    asked: Asked,
) -> Result<Response, Problem> {
    let reads = app.reads.clone();
    let read = move |which| reads.customer_history(CustomerId(id), which);
    answer::<_, CustomerVersion>(&app, &asked, (Entity::Customer, id), &query, read).await
}

/// An account's versions, oldest first: what was in force when, deletions included. One for every transaction of the source that
/// changed its customer, type, currency or status; balances make none.
#[utoipa::path(
    get,
    path = "/accounts/{id}/history",
    tag = "accounts",
    params(("id" = i64, Path, description = "The account's id"), Query),
    responses(
        (status = 200, body = History<AccountVersion>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn account(
    State(app): State<AppState>,
    Id(id): Id,
    Params(query): Params<Query>,
    asked: Asked,
) -> Result<Response, Problem> {
    let reads = app.reads.clone();
    let read = move |which| reads.account_history(AccountId(id), which);
    answer::<_, AccountVersion>(&app, &asked, (Entity::Account, id), &query, read).await
}

async fn answer<V: Versioned + Send + 'static, M: From<V> + Serialize>(
    app: &App,
    asked: &Asked,
    (entity, id): (Entity, i64),
    query: &Query,
    read: impl Fn(Versions) -> Result<Located<Reading<Part<V>>>, ReadError> + Clone + Send + 'static,
) -> Result<Response, Problem> {
    let which = query.versions()?;
    let read = |which| off_the_runtime(read.clone(), which);
    let mut found = match read(which).await? {
        Located::Here(reading) => reading.value,
        Located::Elsewhere(instance) => return relay(&app.forwarder, asked, &instance).await,
    };
    let known_at = query.known_at()?;
    if let Some(at) = known_at {
        as_known(&mut found, at);
    }
    if found.rows.is_empty() {
        // A page behind the last version is empty, and no error.
        let first = match read(Versions::After { version: 0, limit: 1 }).await? {
            Located::Here(reading) => reading.value.rows.into_iter().next(),
            Located::Elsewhere(_) => return Err(Problem::not_ready("the data is moving to another instance")),
        };
        let Some(first) = first else {
            return Err(Problem::not_found(entity, id));
        };
        let began = first.validity().valid_from;
        match (which, known_at) {
            (_, Some(at)) if at < began => return Err(not_yet(entity, id, at, began).at("recorded_at")),
            (Versions::InForce(at), _) => return Err(not_yet(entity, id, at, began)),
            _ => {}
        }
    }
    Ok(Json(History {
        versions: found.rows.into_iter().map(M::from).collect(),
        next: found.until,
    })
    .into_response())
}

/// Leaves out what came later.
fn as_known<V: Versioned>(found: &mut Part<V>, at: Micros) {
    let rows = found.rows.len();
    found.rows.retain(|version| version.validity().valid_from <= at);
    if found.rows.len() < rows {
        found.until = None;
    }
    let versions = std::mem::take(&mut found.rows).into_iter();
    let known = versions.map(|version| match version.validity() {
        validity if validity.valid_to.is_some_and(|to| to > at) => version.with_validity(Validity {
            valid_to: None,
            ..validity
        }),
        _ => version,
    });
    found.rows = known.collect();
}

/// Many look-ups take a while where the state is on a disk.
async fn off_the_runtime<V: Send + 'static>(
    read: impl Fn(Versions) -> Result<Located<Reading<Part<V>>>, ReadError> + Send + 'static,
    which: Versions,
) -> Result<Located<Reading<Part<V>>>, Problem> {
    let found = tokio::task::spawn_blocking(move || read(which)).await;
    Ok(found.map_err(|error| Problem::internal(&error))??)
}

/// The row came later.
fn not_yet(entity: Entity, id: i64, at: Micros, began: Micros) -> Problem {
    let (at, began) = (instant(at), instant(began));
    let detail = format!("no version of {entity} {id} was in force at {at}: its history begins at {began}");
    Problem::new(StatusCode::NOT_FOUND, "not-found", detail).at("effective_at")
}
