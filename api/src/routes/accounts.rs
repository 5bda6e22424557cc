//! Accounts.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use schemas::silver::AccountStatus;
use schemas::{AccountId, CustomerId};
use serde::Deserialize;
use system_of_record::SystemOfRecordExt;
use utoipa::IntoParams;

use super::rows::{created, expected, one, page, written};
use crate::extract::{Asked, Id, IfMatch, Json, NoParams, Params};
use crate::model::{Account, AccountInput, AccountReplacement};
use crate::page::{Cursor, Page, limit};
use crate::problem::Problem;
use crate::reads::AccountFilter;
use crate::state::AppState;

/// Which accounts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Where the page starts: `next` of the page before.
    cursor: Option<String>,
    /// How many rows, at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// Only those of this customer.
    #[param(value_type = Option<i64>)]
    customer_id: Option<CustomerId>,
    /// Only those of this status.
    #[param(value_type = Option<crate::model::AccountStatusCode>, inline)]
    status: Option<AccountStatus>,
}

/// Accounts, sorted by id, in pages.
#[utoipa::path(
    get,
    path = "/accounts",
    tag = "accounts",
    params(Query),
    responses(
        (status = 200, body = Page<Account>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(app): State<AppState>,
    Params(query): Params<Query>,
    asked: Asked,
) -> Result<Answer<Page<Account>>, Problem> {
    let limit = limit(query.limit)?;
    let after = query.cursor.as_deref().map(Cursor::parse::<Account>).transpose()?;
    let after = after.map(|cursor| cursor.0);
    let filter = AccountFilter {
        customer_id: query.customer_id,
        status: query.status,
    };
    page(&app, &asked, limit, after, move |reads, scan| reads.accounts(scan, filter)).await
}

/// An account.
#[utoipa::path(
    get,
    path = "/accounts/{id}",
    tag = "accounts",
    params(("id" = i64, Path, description = "The account's id")),
    responses(
        (status = 200, body = Account, headers(("ETag" = String, description = "The row's version"))),
        (status = 304, description = "The row is at the version that `If-None-Match` names"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn read(State(app): State<AppState>, Id(id): Id, _: NoParams, asked: Asked) -> Result<Response, Problem> {
    one::<Account>(&app.forwarder, &asked, id, app.reads.account(AccountId(id))).await
}

/// Opens an account.
#[utoipa::path(
    post,
    path = "/accounts",
    tag = "accounts",
    request_body = AccountInput,
    responses(
        (status = 201, body = Account, headers(
            ("Location" = String, description = "Where the account is read"),
            ("ETag" = String, description = "The row's version"),
        )),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create(State(app): State<AppState>, Json(input): Json<AccountInput>) -> Result<Response, Problem> {
    let row = app.records.insert_account(input.try_into()?).await?;
    let version = row.version();
    Ok(created(Account::from(row), version))
}

/// Replaces what can change of an account. What the body leaves out stays as it is.
#[utoipa::path(
    put,
    path = "/accounts/{id}",
    tag = "accounts",
    params(
        ("id" = i64, Path, description = "The account's id"),
        ("If-Match" = Option<String>, Header, description = "The version that must be in force"),
    ),
    request_body = AccountReplacement,
    responses(
        (status = 200, body = Account, headers(("ETag" = String, description = "The row's version"))),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 412, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn replace(
    State(app): State<AppState>,
    Id(id): Id,
    condition: IfMatch,
    body: Result<Json<AccountReplacement>, Problem>,
) -> Result<Response, Problem> {
    let expected = expected::<Account>(condition, id, in_force(&app, AccountId(id))).await?;
    let Json(input) = body?;
    let row = app.records.update_account(AccountId(id), input.try_into()?, expected).await?;
    let version = row.version();
    Ok(written(Account::from(row), version))
}

/// Closes an account: INACTIVE, with `closed_at`. The row stays; new transactions on it are refused.
#[utoipa::path(
    delete,
    path = "/accounts/{id}",
    tag = "accounts",
    params(
        ("id" = i64, Path, description = "The account's id"),
        ("If-Match" = Option<String>, Header, description = "The version that must be in force"),
    ),
    responses(
        (status = 200, body = Account, headers(("ETag" = String, description = "The row's version"))),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 412, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn close(State(app): State<AppState>, Id(id): Id, condition: IfMatch) -> Result<Response, Problem> {
    let expected = expected::<Account>(condition, id, in_force(&app, AccountId(id))).await?;
    let row = app.records.close_account(AccountId(id), expected).await?;
    let version = row.version();
    Ok(written(Account::from(row), version))
}

async fn in_force(app: &AppState, id: AccountId) -> Result<Option<system_of_record::Version>, Problem> {
    Ok(app.records.account(id).await?.map(|row| row.version()))
}
