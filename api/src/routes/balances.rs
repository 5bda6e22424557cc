//! Live balances.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use schemas::AccountId;
use serde::Serialize;
use system_of_record::Entity;
use url::form_urlencoded;
use utoipa::{IntoParams, ToSchema};

use super::journal::{PastQuery, past};
use super::rows::relay;
use crate::extract::{Asked, Id, Params};
use crate::model::{Balance, Balances, PastBalance};
use crate::problem::Problem;
use crate::reads::{Located, Reading};
use crate::state::AppState;
use crate::together;

/// A balance: now, or of the past.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is the document's")]
pub enum BalanceAnswer {
    /// As it is.
    Now(Balance),
    /// As it was.
    Past(PastBalance),
}

/// An account's balance, with what it reflects: what one transaction of the source does to it is shown whole or not at all. Or, with `effective_at` or `recorded_at`, what was booked then.
#[utoipa::path(
    get,
    path = "/accounts/{id}/balance",
    tag = "accounts",
    params(("id" = i64, Path, description = "The account's id"), PastQuery),
    responses(
        (status = 200, body = BalanceAnswer),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn read(
    State(app): State<AppState>,
    Id(id): Id,
    Params(query): Params<PastQuery>,
    asked: Asked,
) -> Result<Response, Problem> {
    if !query.is_now() {
        return past(&app, &asked, id, &query).await;
    }
    match app.reads.balance(AccountId(id))? {
        Located::Here(Reading { value, committed_at_ms }) => match together::settled(&*app.reads, value)? {
            (Some(value), is_whole) if !value.is_deleted => {
                let heard_at_us = app.source.as_ref().and_then(|source| source.heard_at_us());
                let value = (value, is_whole);
                let reading = Reading { value, committed_at_ms };
                Ok(Json(Balance::new(reading, app.in_commit_order, heard_at_us)).into_response())
            }
            _ => Err(Problem::not_found(Entity::Account, id)),
        },
        Located::Elsewhere(instance) => relay(&app.forwarder, &asked, &instance).await,
    }
}

/// How many accounts one answer has, at most.
const ACCOUNTS_MAX: usize = 100;

/// Which accounts.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "it is the document's; a parameter that is given several times is read by hand"
)]
pub struct Query {
    /// An account's id; given once for each account, at most 100 times.
    #[param(example = json!([1, 2]))]
    account_id: Vec<i64>,
}

/// Several accounts' balances as they were together: what all of the source's transactions up to one of them have made, and none after it.
/// Money that is on its way from one account to another is in neither both of them nor none.
#[utoipa::path(
    get,
    path = "/balances",
    tag = "accounts",
    params(Query),
    responses(
        (status = 200, body = Balances),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn together(State(app): State<AppState>, RawQuery(query): RawQuery, asked: Asked) -> Result<Response, Problem> {
    let query = query.as_deref().unwrap_or_default();
    if asked.is_forwarded {
        let (query, commit_number) = together::of_another(query)?;
        return Ok(Json(together::here(&app, account_ids(query)?, commit_number).await?).into_response());
    }
    let ids = account_ids(query)?;
    together::read(&app, &ids)
        .await
        .map(|balances| Json(balances).into_response())
}

fn account_ids(query: &str) -> Result<Vec<AccountId>, Problem> {
    let refused = |detail: &str| Problem::malformed(detail).at("account_id");
    let mut ids = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != "account_id" {
            return Err(Problem::malformed(format!("unknown field `{name}`, expected `account_id`")).at(name));
        }
        let id = AccountId(value.parse().map_err(|_| refused("an id is a whole number"))?);
        if !ids.contains(&id) {
            ids.push(id);
        }
        if ids.len() > ACCOUNTS_MAX {
            return Err(refused("one answer has at most 100 accounts"));
        }
    }
    match ids.is_empty() {
        true => Err(refused("account_id names the accounts, once for each")),
        false => Ok(ids),
    }
}
