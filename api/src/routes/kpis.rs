//! The bank in numbers: by day, and transactions by minute.

use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use schemas::gold::TransactionMinuteKey;
use serde::Deserialize;
use topology::Micros;
use utoipa::IntoParams;

use super::gather::gather;
use crate::extract::{Asked, Params};
use crate::model::{All, BankDay, Items, TransactionMinute, day_of, instant, instant_of};
use crate::page::limit_of_hundred;
use crate::problem::Problem;
use crate::reads::{Minutes, Reads, Scan};
use crate::state::AppState;

/// The longest period that is asked for at once.
const PERIOD_MAX: SignedDuration = SignedDuration::from_hours(31 * 24);

/// Which day.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DayQuery {
    /// The day (UTC).
    #[param(format = Date, example = "2026-01-31")]
    day: String,
}

/// The bank on a day: one row for each type of account and currency that has any. Empty for a day on which nothing happened.
#[utoipa::path(
    get,
    path = "/kpis/daily",
    tag = "kpis",
    params(DayQuery),
    responses(
        (status = 200, body = All<BankDay>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn daily(
    State(app): State<AppState>,
    Params(query): Params<DayQuery>,
    asked: Asked,
) -> Result<Json<All<BankDay>>, Problem> {
    let day = day_of(&query.day, "day")?;
    let read = move |reads: &dyn Reads, scan: &Scan| reads.bank_day(day, scan);
    let found = gather(&app, &asked, usize::MAX, |_: i64| String::new(), read).await?;
    Ok(Json(All { items: found.rows }))
}

/// Which minutes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MinutesQuery {
    /// Minutes that begin at this instant (RFC 3339) or later.
    #[param(format = DateTime, example = "2026-01-31T09:00:00Z")]
    from: String,
    /// Minutes that begin before this instant; at most 31 days after `from`.
    #[param(format = DateTime, example = "2026-01-31T10:00:00Z")]
    to: String,
    /// Only rows behind this one: `next` of the answer before.
    #[param(example = "2026-01-31T09:30:00Z,DEPOSIT,COMPLETED,EUR")]
    after: Option<String>,
    /// How many rows, at most.
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: Option<u16>,
}

impl MinutesQuery {
    fn minutes(&self) -> Result<Minutes, Problem> {
        let (from, to) = (instant_of(&self.from, "from")?, instant_of(&self.to, "to")?);
        if from > to {
            return Err(Problem::malformed("from is after to").at("from"));
        }
        if to.duration_since(from) > PERIOD_MAX {
            return Err(Problem::malformed("there are more than 31 days between from and to").at("to"));
        }
        // The first microsecond that is not before it.
        let micros = |at: Timestamp| -((-at.as_nanosecond()).div_euclid(1_000)) as i64;
        Ok(Minutes {
            from: micros(from),
            to: micros(to),
            after: self.after.as_deref().map(key_of).transpose()?,
        })
    }
}

/// The key of a row, as `next` has it.
fn key_of(text: &str) -> Result<TransactionMinuteKey, Problem> {
    let mut parts = text.split(',');
    let mut part = || parts.next().unwrap_or_default();
    let minute = part().parse::<Timestamp>().ok().map(Timestamp::as_microsecond);
    let (txn_type, status, currency) = (part().parse().ok(), part().parse().ok(), part().parse().ok());
    let key = minute
        .zip(txn_type)
        .zip(status.zip(currency))
        .map(|((minute, txn_type), (status, currency))| (minute, txn_type, status, currency))
        .filter(|key| place(*key) == text);
    key.ok_or_else(|| Problem::malformed("this is no next that this list gave").at("after"))
}

fn place((minute, txn_type, status, currency): TransactionMinuteKey) -> String {
    format!("{},{txn_type},{status},{currency}", instant(Micros(minute)))
}

/// Transactions by minute, type, status and currency, in this order: by their own time, `created_at`. A minute without a transaction has no
/// row.
#[utoipa::path(
    get,
    path = "/kpis/minutes",
    tag = "kpis",
    params(MinutesQuery),
    responses(
        (status = 200, body = Items<TransactionMinute>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn minutes(
    State(app): State<AppState>,
    Params(query): Params<MinutesQuery>,
    asked: Asked,
) -> Result<Json<Items<TransactionMinute>>, Problem> {
    let limit = limit_of_hundred(query.limit)?;
    let minutes = query.minutes()?;
    let read = move |reads: &dyn Reads, scan: &Scan| reads.minutes(&minutes, scan);
    let found = gather(&app, &asked, limit, place, read).await?;
    Ok(Json(Items {
        items: found.rows,
        next: found.until,
    }))
}
