//! What customers have, by currency, and what accounts had, by day.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemas::{AccountId, CustomerId};
use serde::Deserialize;
use system_of_record::Entity;
use utoipa::IntoParams;

use super::gather::gather;
use super::rows::relay;
use crate::extract::{Asked, Id, NoParams, Params};
use crate::model::{AccountDay, All, CustomerPosition, Items, day, day_of};
use crate::page::limit_of_hundred;
use crate::problem::Problem;
use crate::reads::{Days, Located, Reads, Scan};
use crate::state::{App, AppState};

/// What a customer has: one row for each currency, over all accounts, closed ones included. Empty for a customer without accounts.
#[utoipa::path(
    get,
    path = "/customers/{id}/position",
    tag = "customers",
    params(("id" = i64, Path, description = "The customer's id")),
    responses(
        (status = 200, body = All<CustomerPosition>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn of_customer(
    State(app): State<AppState>,
    Id(id): Id,
    _: NoParams,
    asked: Asked,
) -> Result<Json<All<CustomerPosition>>, Problem> {
    let read = move |reads: &dyn Reads, scan: &Scan| reads.positions(CustomerId(id), scan);
    let found = gather(&app, &asked, usize::MAX, |_: i64| String::new(), read).await?;
    if found.rows.is_empty() && !asked.is_forwarded && !exists(&app, id).await? {
        return Err(Problem::not_found(Entity::Customer, id));
    }
    Ok(Json(All { items: found.rows }))
}

/// Whether there is such a customer, here or elsewhere.
async fn exists(app: &App, id: i64) -> Result<bool, Problem> {
    match app.reads.customer(CustomerId(id))? {
        Located::Here(reading) => Ok(reading.value.is_some()),
        Located::Elsewhere(instance) => {
            let reply = app.forwarder.get(&instance, &format!("/customers/{id}"), &[]).await?;
            Ok(reply.status == StatusCode::OK)
        }
    }
}

/// Which days.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// The first day (UTC).
    #[param(value_type = Option<String>, format = Date, example = "2026-01-01")]
    from: Option<String>,
    /// The last day.
    #[param(value_type = Option<String>, format = Date, example = "2026-01-31")]
    to: Option<String>,
    /// Only later days: `next` of the answer before.
    #[param(value_type = Option<String>, format = Date, example = "2026-01-15")]
    after: Option<String>,
    /// How many rows, at most.
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: Option<u16>,
}

impl Query {
    fn days(&self) -> Result<Days, Problem> {
        let day = |text: &Option<String>, name: &str| text.as_deref().map(|text| day_of(text, name)).transpose();
        let (from, to, after) = (day(&self.from, "from")?, day(&self.to, "to")?, day(&self.after, "after")?);
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            return Err(Problem::malformed("the first day comes after the last one").at("from"));
        }
        // `None` is before every day.
        let from = from.max(after.map(|after| after + 1));
        Ok(Days {
            from: from.unwrap_or(i32::MIN),
            to: to.unwrap_or(i32::MAX),
            limit: limit_of_hundred(self.limit)?,
        })
    }
}

/// An account's days, in order: those on which something was posted to it, by the transactions' own time. What comes late for a day changes
/// it, and the opening and closing of all later ones. A day without a row closed as the last one before it did.
#[utoipa::path(
    get,
    path = "/accounts/{id}/daily",
    tag = "accounts",
    params(("id" = i64, Path, description = "The account's id"), Query),
    responses(
        (status = 200, body = Items<AccountDay>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn of_account(
    State(app): State<AppState>,
    Id(id): Id,
    Params(query): Params<Query>,
    asked: Asked,
) -> Result<Response, Problem> {
    let days = query.days()?;
    let reads = app.reads.clone();
    // Many look-ups take a while where the state is on a disk.
    let found = tokio::task::spawn_blocking(move || reads.account_days(AccountId(id), days)).await;
    let reading = match found.map_err(|error| Problem::internal(&error))?? {
        Located::Here(reading) => reading,
        Located::Elsewhere(instance) => return relay(&app.forwarder, &asked, &instance).await,
    };
    let part = reading.value.ok_or_else(|| Problem::not_found(Entity::Account, id))?;
    Ok(Json(Items {
        items: part.rows.iter().map(AccountDay::from).collect(),
        next: part.until.map(day),
    })
    .into_response())
}
