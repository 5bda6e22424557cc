//! Live balances.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use schemas::AccountId;
use system_of_record::Entity;

use super::rows::relay;
use crate::extract::{Asked, Id};
use crate::model::Balance;
use crate::problem::Problem;
use crate::reads::{Located, Reading};
use crate::state::AppState;

/// An account's balance, with what it reflects.
#[utoipa::path(
    get,
    path = "/accounts/{id}/balance",
    tag = "accounts",
    params(("id" = i64, Path, description = "The account's id")),
    responses(
        (status = 200, body = Balance),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn read(State(app): State<AppState>, Id(id): Id, asked: Asked) -> Result<Response, Problem> {
    match app.reads.balance(AccountId(id))? {
        Located::Here(Reading { value, committed_at_ms }) => match value {
            Some(value) if !value.is_deleted => {
                let heard_at_us = app.source.as_ref().and_then(|source| source.heard_at_us());
                Ok(Json(Balance::new(
                    Reading { value, committed_at_ms },
                    app.in_commit_order,
                    heard_at_us,
                ))
                .into_response())
            }
            _ => Err(Problem::not_found(Entity::Account, id)),
        },
        Located::Elsewhere(instance) => relay(&app.forwarder, &asked, &instance).await,
    }
}
