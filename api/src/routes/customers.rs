//! Customers.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemas::CustomerId;
use serde::Deserialize;
use system_of_record::SystemOfRecordExt;
use utoipa::IntoParams;

use super::rows::{created, expected, one, page, written};
use crate::extract::{Asked, Id, IfMatch, Json, NoParams, Params};
use crate::model::{Customer, CustomerInput};
use crate::page::{Cursor, Page, limit};
use crate::problem::Problem;
use crate::state::AppState;

/// Which customers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// Where the page starts: `next` of the page before.
    cursor: Option<String>,
    /// How many rows, at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
}

/// Customers, sorted by id, in pages.
#[utoipa::path(
    get,
    path = "/customers",
    tag = "customers",
    params(Query),
    responses(
        (status = 200, body = Page<Customer>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(
    State(app): State<AppState>,
    Params(query): Params<Query>,
    asked: Asked,
) -> Result<Answer<Page<Customer>>, Problem> {
    let limit = limit(query.limit)?;
    let after = query.cursor.as_deref().map(Cursor::parse::<Customer>).transpose()?;
    let after = after.map(|cursor| cursor.0);
    page(&app, &asked, limit, after, |reads, scan| reads.customers(scan)).await
}

/// A customer.
#[utoipa::path(
    get,
    path = "/customers/{id}",
    tag = "customers",
    params(("id" = i64, Path, description = "The customer's id")),
    responses(
        (status = 200, body = Customer, headers(("ETag" = String, description = "The row's version"))),
        (status = 304, description = "The row is at the version that `If-None-Match` names"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn read(State(app): State<AppState>, Id(id): Id, _: NoParams, asked: Asked) -> Result<Response, Problem> {
    one::<Customer>(&app.forwarder, &asked, id, app.reads.customer(CustomerId(id))).await
}

/// Adds a customer.
#[utoipa::path(
    post,
    path = "/customers",
    tag = "customers",
    request_body = CustomerInput,
    responses(
        (status = 201, body = Customer, headers(
            ("Location" = String, description = "Where the customer is read"),
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
pub async fn create(State(app): State<AppState>, Json(input): Json<CustomerInput>) -> Result<Response, Problem> {
    let row = app.records.insert_customer(input.into()).await?;
    let version = row.version();
    Ok(created(Customer::from(row), version))
}

/// Replaces a customer's columns.
#[utoipa::path(
    put,
    path = "/customers/{id}",
    tag = "customers",
    params(
        ("id" = i64, Path, description = "The customer's id"),
        ("If-Match" = Option<String>, Header, description = "The version that must be in force"),
    ),
    request_body = CustomerInput,
    responses(
        (status = 200, body = Customer, headers(("ETag" = String, description = "The row's version"))),
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
    body: Result<Json<CustomerInput>, Problem>,
) -> Result<Response, Problem> {
    let expected = expected::<Customer>(condition, id, in_force(&app, CustomerId(id))).await?;
    let Json(input) = body?;
    let row = app.records.update_customer(CustomerId(id), input.into(), expected).await?;
    let version = row.version();
    Ok(written(Customer::from(row), version))
}

/// Removes a customer who has no accounts.
#[utoipa::path(
    delete,
    path = "/customers/{id}",
    tag = "customers",
    params(
        ("id" = i64, Path, description = "The customer's id"),
        ("If-Match" = Option<String>, Header, description = "The version that must be in force"),
    ),
    responses(
        (status = 204, description = "The customer is gone"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 412, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn remove(State(app): State<AppState>, Id(id): Id, condition: IfMatch) -> Result<StatusCode, Problem> {
    let expected = expected::<Customer>(condition, id, in_force(&app, CustomerId(id))).await?;
    app.records.delete_customer(CustomerId(id), expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn in_force(app: &AppState, id: CustomerId) -> Result<Option<system_of_record::Version>, Problem> {
    Ok(app.records.customer(id).await?.map(|row| row.version()))
}
