//! The bank in numbers: by day, and transactions by minute.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use schemas::gold::{self, TransactionMinuteKey};
use schemas::silver::AccountType;
use schemas::{Currency, Money};
use serde::Deserialize;
use topology::Micros;
use utoipa::IntoParams;

use super::gather::gather;
use crate::extract::{Asked, Params};
use crate::model::{All, BankDay, Items, TransactionMinute, day_of, instant, instant_of};
use crate::page::limit_of_hundred;
use crate::problem::Problem;
use crate::reads::{Minutes, Part, ReadError, Reads, Scan, Scattered};
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

/// The bank on a day: one row for each type of account and currency that it had by then, also if nothing happened on the day. A posting that comes
/// late changes what was held on all days from its own on.
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
    let read = move |reads: &dyn Reads, scan: &Scan| {
        let found = reads.bank_days(day, scan)?;
        Ok(Scattered {
            value: Part {
                rows: held_at(day, found.value.rows)?,
                until: None,
            },
            others: found.others,
            missing: found.missing,
        })
    };
    let found = gather(&app, &asked, usize::MAX, |_: i64| String::new(), read).await?;
    Ok(Json(All { items: found.rows }))
}

/// The rows of a day, each with what all days up to it add to what is held.
fn held_at(day: i32, days: Vec<gold::BankDay>) -> Result<Vec<(gold::BankDay, Money)>, ReadError> {
    let mut rows: BTreeMap<(AccountType, Currency), (gold::BankDay, Money)> = BTreeMap::new();
    for row in days {
        let of = (row.account_type, row.currency);
        let (on_day, held) = rows
            .entry(of)
            .or_insert_with(|| (gold::BankDay::empty((day, of.0, of.1)), Money::ZERO));
        let added = held
            .checked_add(row.net_flow)
            .and_then(|held| held.checked_add(row.opened_with));
        *held = added.map_err(|error| ReadError::Failed(format!("what is held in {}: {error}", row.currency)))?;
        if row.day == day {
            *on_day = row;
        }
    }
    Ok(rows.into_values().collect())
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
