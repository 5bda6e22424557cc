//! Accounts' postings, statements, holds, balances of the past, and what a balance is made of.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemas::gold::AccountBalance;
use schemas::{AccountId, TransactionId, state};
use serde::{Deserialize, Serialize};
use system_of_record::Entity;
use topology::Micros;
use utoipa::IntoParams;

use super::gather::gather;
use super::rows::relay;
use crate::extract::{Asked, Id, NoParams, Params};
use crate::model::{
    AsOf, Explanation, Hold, Items, Line, PastBalance, Posting, Postings, Reconciliation, Statement, instant, instant_of,
    microsecond, money, month, month_of, place,
};
use crate::page::{LIMIT_MAX, limit_of_hundred};
use crate::problem::Problem;
use crate::reads::past::{self, PastError, Period};
use crate::reads::{Balanced, Entries, Located, Reading, Reads, Scan};
use crate::routes::Group;
use crate::state::{App, AppState};
use crate::together;

/// Which postings.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PostingsQuery {
    /// Only those with a lower number: `next` of the answer before.
    before: Option<i64>,
    /// How many, at most.
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: Option<u16>,
}

/// An account's postings, the newest first, each with the balance after it.
#[utoipa::path(
    get,
    path = "/accounts/{id}/postings",
    tag = "accounts",
    params(("id" = i64, Path, description = "The account's id"), PostingsQuery),
    responses(
        (status = 200, body = Postings),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn postings(
    State(app): State<AppState>,
    Id(id): Id,
    Params(query): Params<PostingsQuery>,
    asked: Asked,
) -> Result<Response, Problem> {
    let limit = limit_of_hundred(query.limit)? as i64;
    answer(&app, &asked, id, Which::Whole, move |reads, found| {
        let last = found
            .entries
            .balance
            .entry_count
            .min(query.before.unwrap_or(i64::MAX).saturating_sub(1));
        let first = last.saturating_sub(limit - 1).max(1);
        let mut items = if last < 1 {
            Vec::new()
        } else {
            reads.postings(AccountId(id), first, last)?
        };
        items.reverse();
        // Fewer than there are numbers: those before them are not kept.
        let next = items.last().and_then(|posting| posting.entry_number);
        Ok(Postings {
            is_whole: found.is_whole,
            next: next.filter(|_| items.len() as i64 == limit && first > 1),
            items: items.into_iter().map(Posting::from).collect(),
        })
    })
    .await
}

/// Which lines of a statement.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StatementQuery {
    /// Only those with a higher number: `next` of the answer before.
    after: Option<i64>,
    /// How many, at most.
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: Option<u16>,
}

/// An account's statement of a month: what it had when the month began, what was posted in it, what it had at its end. The statement of
/// a month that is over does not change: what comes late for it is in a later one. It is over for the account once a transaction of the bank is known
/// that was committed behind it. One that has not begun has what there is.
#[utoipa::path(
    get,
    path = "/accounts/{id}/statements/{month}",
    tag = "accounts",
    params(
        ("id" = i64, Path, description = "The account's id"),
        ("month" = String, Path, description = "The month (UTC)", example = "2026-01"),
        StatementQuery,
    ),
    responses(
        (status = 200, body = Statement),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn statement(
    State(app): State<AppState>,
    Path((id, text)): Path<(String, String)>,
    Params(query): Params<StatementQuery>,
    asked: Asked,
) -> Result<Response, Problem> {
    let id: i64 = id.parse().map_err(|_| Problem::malformed("id is a whole number").at("id"))?;
    let (from, to) = month_of(&text)?;
    let limit = limit_of_hundred(query.limit)? as i64;
    answer(&app, &asked, id, Which::Whole, move |reads, found| {
        let Period { opening, closing } = past::recorded(reads, &found.entries, from.0, to.0)?;
        let first = opening.number.max(query.after.unwrap_or(0)).saturating_add(1);
        let last = closing.number.min(first.saturating_add(limit - 1));
        let rows = if first > last {
            Vec::new()
        } else {
            reads.postings(AccountId(id), first, last)?
        };
        // What the account had after a posting of the month, or before the first.
        let after = |number| match number == opening.number {
            true => Ok(opening.booked),
            false => {
                let posting = reads.postings(AccountId(id), number, number)?.pop();
                posting.and_then(|posting| posting.balance_after).ok_or(PastError::Forgotten)
            }
        };
        let mut items = Vec::with_capacity(rows.len());
        let mut before = if rows.is_empty() { opening.booked } else { after(first - 1)? };
        for posting in rows {
            let opening_change = past::opening_change(before, &posting)?;
            before = posting.balance_after.ok_or(PastError::Forgotten)?;
            items.push(Line {
                corrects: posting.effective_at.filter(|at| *at < from.0).map(|at| month(Micros(at))),
                opening_change: opening_change.map(|amount| money(amount, posting.currency)),
                posting: posting.into(),
            });
        }
        let since = past::changed(after(closing.number)?, closing.booked)?;
        let is_closed = past::is_final(reads, &found.entries, closing.number, to)?;
        Ok(Statement {
            account_id: AccountId(id),
            month: month(from),
            currency: closing.currency,
            opening: money(opening.booked, opening.currency),
            opening_currency: Some(opening.currency).filter(|currency| *currency != closing.currency),
            closing: money(closing.booked, closing.currency),
            opening_change: since.map(|amount| money(amount, closing.currency)),
            entries: closing.number - opening.number,
            is_closed,
            is_whole: found.is_whole,
            items,
            next: (last < closing.number).then_some(last),
        })
    })
    .await
}

/// What pending transactions hold of an account.
#[utoipa::path(
    get,
    path = "/accounts/{id}/holds",
    tag = "accounts",
    params(("id" = i64, Path, description = "The account's id")),
    responses(
        (status = 200, body = crate::model::All<Hold>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn holds(State(app): State<AppState>, Id(id): Id, _: NoParams, asked: Asked) -> Result<Response, Problem> {
    answer(&app, &asked, id, Which::Newest, move |reads, found| {
        Ok(crate::model::All {
            items: holds_of(reads, &found.entries.balance)?,
        })
    })
    .await
}

fn holds_of(reads: &dyn Reads, balance: &AccountBalance) -> Result<Vec<Hold>, PastError> {
    let (mut holds, mut next) = (Vec::new(), Some(i64::MIN));
    while let Some(from) = next {
        let some = reads.holds(balance.account_id, TransactionId(from))?;
        next = some.last().and_then(|(last, _)| last.0.checked_add(1));
        let hold = |(transaction, hold): &(TransactionId, state::Hold)| Hold::new(*transaction, hold, balance.currency);
        holds.extend(some.iter().map(hold));
    }
    Ok(holds)
}

/// What an account's balance is made of: what it began with, all postings added up, each hold, and the positions in the source's log
/// that they come from.
#[utoipa::path(
    get,
    path = "/accounts/{id}/balance/explain",
    tag = "accounts",
    params(("id" = i64, Path, description = "The account's id")),
    responses(
        (status = 200, body = Explanation),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn explain(State(app): State<AppState>, Id(id): Id, _: NoParams, asked: Asked) -> Result<Response, Problem> {
    // Holds are known as they are only.
    answer(&app, &asked, id, Which::Newest, move |reads, found| {
        let balance = &found.entries.balance;
        let holds = holds_of(reads, balance)?;
        match reads.entries(balance.account_id)? {
            Located::Here(Reading { value: Some(now), .. }) if now.balance == *balance => {}
            // They are of another commit than the balance.
            _ => return Err(PastError::GoneOn),
        }
        let sums = past::sums(reads, balance)?;
        let posted = sums.brought_forward.checked_add(sums.credits)?.checked_sub(sums.debits)?;
        let amount = |amount| money(amount, balance.currency);
        let opening_change = past::changed(posted, balance.booked)?.map(amount);
        let (first, last) = sums.ends.unzip();
        Ok(Explanation {
            account_id: balance.account_id,
            currency: balance.currency,
            brought_forward: amount(sums.brought_forward),
            credits: amount(sums.credits),
            debits: amount(sums.debits),
            entries: sums.entries,
            reversals: sums.reversals,
            booked: amount(balance.booked),
            opening_change,
            holds,
            pending: amount(balance.pending),
            available: amount(balance.available),
            first: first.map(Posting::from),
            last: last.map(Posting::from),
            is_whole: found.is_whole,
            as_of: found.as_of.clone(),
        })
    })
    .await
}

/// An instant of the past, on either axis of time.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PastQuery {
    /// What was true at this instant (RFC 3339), by the transactions' own time. With it or `recorded_at`, the answer is a `PastBalance`.
    #[param(value_type = Option<String>, format = DateTime, example = "2026-01-31T09:30:00Z")]
    effective_at: Option<String>,
    /// As it was known at this instant: by when the source committed it.
    #[param(value_type = Option<String>, format = DateTime, example = "2026-01-31T09:30:00Z")]
    recorded_at: Option<String>,
}

impl PastQuery {
    /// Whether the balance as it is now is asked for.
    pub fn is_now(&self) -> bool {
        self.effective_at.is_none() && self.recorded_at.is_none()
    }
}

/// The balance of the past.
pub(super) async fn past(app: &App, asked: &Asked, id: i64, query: &PastQuery) -> Result<Response, Problem> {
    let at = |text: &Option<String>, field| {
        text.as_deref()
            .map(|text| instant_of(text, field).map(microsecond))
            .transpose()
    };
    let (effective_at, recorded_at) = (
        at(&query.effective_at, "effective_at")?,
        at(&query.recorded_at, "recorded_at")?,
    );
    answer(app, asked, id, Which::Whole, move |reads, found| {
        let balance = &found.entries.balance;
        let past = past::past(reads, &found.entries, effective_at, recorded_at)?;
        let is_final = |Micros(at)| past::is_final(reads, &found.entries, past.known.number, Micros(at.saturating_add(1)));
        Ok(PastBalance {
            account_id: balance.account_id,
            currency: past.known.currency,
            booked: money(past.known.booked, past.known.currency),
            effective_at: effective_at.map(instant),
            recorded_at: recorded_at.map(instant),
            known: past.known.number,
            later: past.later,
            is_final: recorded_at.map_or(Ok(false), is_final)?,
            is_whole: found.is_whole,
            as_of: found.as_of.clone(),
        })
    })
    .await
}

/// An account's balance beside the one that the source keeps, as of the same commit. 404 where the source keeps none.
#[utoipa::path(
    get,
    path = "/accounts/{id}/reconciliation",
    tag = "accounts",
    params(("id" = i64, Path, description = "The account's id")),
    responses(
        (status = 200, body = Reconciliation),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn reconciliation(State(app): State<AppState>, Id(id): Id, _: NoParams, asked: Asked) -> Result<Response, Problem> {
    match app.reads.reconciliation(AccountId(id))? {
        Located::Here(Reading { value: Some(row), .. }) => Ok(Json(Reconciliation::of(&row)).into_response()),
        Located::Here(_) => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "not-found",
            format!("there is no account {id} whose balance the source keeps as well"),
        )),
        Located::Elsewhere(instance) => relay(&app.forwarder, &asked, &instance).await,
    }
}

/// Which accounts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DifferencesQuery {
    /// Only accounts behind this one: `next` of the answer before.
    after: Option<String>,
}

/// The accounts whose balance differs from the one that the source keeps, as of the same commit. None is as it should be.
#[utoipa::path(
    get,
    path = "/reconciliation",
    tag = "accounts",
    params(DifferencesQuery),
    responses(
        (status = 200, body = Items<Reconciliation>),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn differences(
    State(app): State<AppState>,
    Params(query): Params<DifferencesQuery>,
    asked: Asked,
) -> Result<Json<Items<Reconciliation>>, Problem> {
    let refused = |_| Problem::malformed("this is no place that the list gave").at("after");
    let after = query
        .after
        .map(|text| u64::from_str_radix(&text, 16).map_err(refused))
        .transpose()?;
    let after = after.map(|place| (place ^ (1 << 63)).cast_signed());
    let read = move |reads: &dyn Reads, scan: &Scan| {
        let scan = Scan { after, ..scan.clone() };
        reads.different(&scan)
    };
    let found = gather(&app, &asked, usize::from(LIMIT_MAX), place, read).await?;
    Ok(Json(Items {
        items: found.rows,
        next: found.until,
    }))
}

/// So often an account is read that has gone on meanwhile.
const READS_MAX: usize = 10;

/// Which balance an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// With the source's transactions whole, as far as that is known.
    Whole,
    /// As it is, with what has come of one that is open.
    Newest,
}

/// What an answer is about.
struct Found {
    entries: Entries,
    /// Whether the source's transactions are whole in it.
    is_whole: bool,
    as_of: AsOf,
}

/// An answer about an account that is here, read where it may take a while; else what the instance says that has it. As many at once as lists.
async fn answer<T: Serialize + Send + 'static>(
    app: &App,
    asked: &Asked,
    id: i64,
    which: Which,
    read: impl Fn(&dyn Reads, &Found) -> Result<T, PastError> + Send + 'static,
) -> Result<Response, Problem> {
    let heard_at_us = app.source.as_ref().and_then(|source| source.heard_at_us());
    let in_commit_order = app.in_commit_order;
    let reads = Arc::clone(&app.reads);
    // Of one that goes away the reading goes on, and with it the permit.
    let permit = app.lists.permit_of_account().await;
    let once = move || -> Result<_, PastError> {
        let reading = match reads.entries(AccountId(id))? {
            Located::Here(reading) => reading,
            Located::Elsewhere(instance) => return Ok(Located::Elsewhere(instance)),
        };
        let Some(mut entries) = reading.value else {
            return Ok(Located::Here(None));
        };
        let newest = Balanced {
            frontier: entries.frontier,
            balance: Some(entries.balance.clone()),
            is_awaited: false,
        };
        let (settled, mut is_whole) = together::settled(&*reads, newest)?;
        let settled = settled.unwrap_or_else(|| entries.balance.clone());
        match which {
            Which::Whole => entries.balance = settled,
            Which::Newest => is_whole &= settled == entries.balance,
        }
        if which == Which::Newest {
            past::is_there(&*reads, &entries)?;
        }
        let as_of = AsOf::new(&entries.balance, reading.committed_at_ms, in_commit_order, heard_at_us);
        let found = Found {
            entries,
            is_whole,
            as_of,
        };
        read(&*reads, &found).map(|answer| Located::Here(Some(answer)))
    };
    let found = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let mut found = once();
        for _ in 1..READS_MAX {
            match found {
                Err(PastError::GoneOn) => found = once(),
                _ => break,
            }
        }
        found
    })
    .await;
    match found.map_err(|error| Problem::internal(&error))? {
        Ok(Located::Here(Some(answer))) => Ok(Json(answer).into_response()),
        Ok(Located::Here(None)) => Err(Problem::not_found(Entity::Account, id)),
        Ok(Located::Elsewhere(instance)) => relay(&app.forwarder, asked, &instance).await,
        Err(PastError::Read(error)) => Err(error.into()),
        Err(PastError::Forgotten) => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "not-found",
            format!("the postings of account {id} are not kept from so long ago"),
        )),
        Err(error @ (PastError::NotYet(_) | PastError::Gone(_))) => {
            Err(Problem::new(StatusCode::NOT_FOUND, "not-found", error.to_string()))
        }
        Err(error @ (PastError::TooMany | PastError::TwoCurrencies(_))) => {
            Err(Problem::invalid("effective_at", error.to_string()))
        }
        Err(error @ PastError::GoneOn) => Err(Problem::unavailable("busy", error.to_string())),
        Err(error @ PastError::Sum(_)) => Err(Problem::internal(&error)),
    }
}
