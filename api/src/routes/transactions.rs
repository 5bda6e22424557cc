//! Transactions.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemas::silver::TransactionStatus;
use schemas::{AccountId, TransactionId};
use serde::Deserialize;
use system_of_record::{SystemOfRecordExt, TransactionUpdate};
use utoipa::IntoParams;

use super::rows::{created, expected, one, page, written};
use crate::extract::{Asked, Id, IfMatch, Json, NoParams, Params};
use crate::model::{Transaction, TransactionInput, TransactionReplacement};
use crate::page::{Cursor, Page, limit};
use crate::problem::Problem;
use crate::reads::TransactionFilter;
use crate::state::AppState;

/// Which transactions.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Where the page starts: `next` of the page before.
    cursor: Option<String>,
    /// How many rows, at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// Only those on this account, and transfers to it.
    #[param(value_type = Option<i64>)]
    account_id: Option<AccountId>,
    /// Only those of this status.
    #[param(value_type = Option<crate::model::TransactionStatusCode>, inline)]
    status: Option<TransactionStatus>,
}

/// Transactions, sorted by id, in pages.
#[utoipa::path(
    get,
    path = "/transactions",
    tag = "transactions",
    params(Query),
    responses(
        (status = 200, body = Page<Transaction>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(app): State<AppState>,
    Params(query): Params<Query>,
    asked: Asked,
) -> Result<Answer<Page<Transaction>>, Problem> {
    let limit = limit(query.limit)?;
    let after = query.cursor.as_deref().map(Cursor::parse::<Transaction>).transpose()?;
    let after = after.map(|cursor| cursor.0);
    let filter = TransactionFilter {
        account_id: query.account_id,
        status: query.status,
    };
    page(&app, &asked, limit, after, move |reads, scan| {
        reads.transactions(scan, filter)
    })
    .await
}

/// A transaction.
#[utoipa::path(
    get,
    path = "/transactions/{id}",
    tag = "transactions",
    params(("id" = i64, Path, description = "The transaction's id")),
    responses(
        (status = 200, body = Transaction, headers(("ETag" = String, description = "The row's version"))),
        (status = 304, description = "The row is at the version that `If-None-Match` names"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn read(State(app): State<AppState>, Id(id): Id, _: NoParams, asked: Asked) -> Result<Response, Problem> {
    one::<Transaction>(&app.forwarder, &asked, id, app.reads.transaction(TransactionId(id))).await
}

/// Posts a transaction. A COMPLETED one moves the balances at once.
#[utoipa::path(
    post,
    path = "/transactions",
    tag = "transactions",
    request_body = TransactionInput,
    responses(
        (status = 201, body = Transaction, headers(
            ("Location" = String, description = "Where the transaction is read"),
            ("ETag" = String, description = "The row's version"),
        )),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn create(State(app): State<AppState>, Json(input): Json<TransactionInput>) -> Result<Response, Problem> {
    let row = app.records.insert_transaction(input.into()).await?;
    let version = row.version();
    Ok(created(Transaction::from(row), version))
}

/// Changes a transaction; the balances follow exactly. What the body leaves out stays as it is. A closed account takes no change
/// that moves its money anew: a pending transaction on it can fail, a completed one be reversed or removed.
#[utoipa::path(
    put,
    path = "/transactions/{id}",
    tag = "transactions",
    params(
        ("id" = i64, Path, description = "The transaction's id"),
        ("If-Match" = Option<String>, Header, description = "The version that must be in force"),
    ),
    request_body = TransactionReplacement,
    responses(
        (status = 200, body = Transaction, headers(("ETag" = String, description = "The row's version"))),
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
    body: Result<Json<TransactionReplacement>, Problem>,
) -> Result<Response, Problem> {
    let expected = expected::<Transaction>(condition, id, in_force(&app, TransactionId(id))).await?;
    let Json(input) = body?;
    let row = app
        .records
        .update_transaction(TransactionId(id), TransactionUpdate::from(input), expected)
        .await?;
    let version = row.version();
    Ok(written(Transaction::from(row), version))
}

/// Removes a transaction; the balances follow exactly.
#[utoipa::path(
    delete,
    path = "/transactions/{id}",
    tag = "transactions",
    params(
        ("id" = i64, Path, description = "The transaction's id"),
        ("If-Match" = Option<String>, Header, description = "The version that must be in force"),
    ),
    responses(
        (status = 204, description = "The transaction is gone"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 412, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove(State(app): State<AppState>, Id(id): Id, condition: IfMatch) -> Result<StatusCode, Problem> {
    let expected = expected::<Transaction>(condition, id, in_force(&app, TransactionId(id))).await?;
    app.records.delete_transaction(TransactionId(id), expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn in_force(app: &AppState, id: TransactionId) -> Result<Option<system_of_record::Version>, Problem> {
    Ok(app.records.transaction(id).await?.map(|row| row.version()))
}
