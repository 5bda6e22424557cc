//! An account's postings, holds and reconciliation, as the state stores have them, and what is found in them: pages, statements, balances of
//! the past.
//!
//! Postings never change, and each has the balance after it. So whatever commits come between two look-ups, what is up to a number stays.
//!
//! What an account opened with is no posting. Where its row is made anew or corrected, the balance changes without one: from one posting to the
//! next, or since the newest. A row that was made anew says when, by its `created_at`. When one was corrected, nobody says: so that is seen in what is not
//! over yet, and then with the next posting, and what is over stays as it was.

use std::ops::{ControlFlow, RangeInclusive};

use processors::gold::newest;
use processors::stores;
use schemas::gold::{AccountBalance, Reconciliation};
use schemas::silver::Posting;
use schemas::state::Hold;
use schemas::{AccountId, Currency, Money, MoneyError, TransactionId};
use topology::query::{self, Scattered};
use topology::store::{KeyValue, StoreKey, StoreValue};
use topology::{Micros, Queries};

use super::engine::look_up;
use super::{Entries, Journal, Located, Part, ReadError, Reading, Reads as _, Rows, Scan};
use crate::model::instant;

/// Postings that are read at once: the next commit waits meanwhile.
const CHUNK: i64 = 1_000;
/// Postings that are looked through for one answer, at most: about a second.
const LOOKED_AT_MAX: i64 = 500_000;
/// Postings that are looked up one by one for one answer, at most.
const AHEAD_MAX: usize = 10_000;

impl Journal for Queries {
    fn entries(&self, id: AccountId) -> Result<Located<Reading<Option<Entries>>>, ReadError> {
        let terms = match look_up(self, stores::TERMS_ROWS, id)? {
            Located::Here(reading) => reading.value,
            Located::Elsewhere(instance) => return Ok(Located::Elsewhere(instance)),
        };
        let opened_at = terms.map(|terms| terms.value.created_at);
        Ok(match self.balance(id)? {
            Located::Here(Reading { value, committed_at_ms }) => Located::Here(Reading {
                value: value.balance.map(|balance| Entries {
                    frontier: value.frontier,
                    balance,
                    opened_at,
                }),
                committed_at_ms,
            }),
            Located::Elsewhere(instance) => Located::Elsewhere(instance),
        })
    }

    fn postings(&self, id: AccountId, from: i64, to: i64) -> Result<Vec<Posting>, ReadError> {
        // By number: those that are no longer kept count.
        let found = some(self, stores::POSTINGS, id, from..=to.min(from.saturating_add(CHUNK - 1)))?;
        Ok(found.into_iter().map(|(_, posting)| posting).collect())
    }

    fn ahead(&self, id: AccountId, from: i64) -> Result<Vec<(i64, i64)>, ReadError> {
        some(self, stores::POSTINGS_AHEAD, id, from..=i64::MAX)
    }

    fn holds(&self, id: AccountId, from: TransactionId) -> Result<Vec<(TransactionId, Hold)>, ReadError> {
        some(self, stores::HOLDS, id, from..=TransactionId(i64::MAX))
    }

    fn reconciliation(&self, id: AccountId) -> Result<Located<Reading<Option<Reconciliation>>>, ReadError> {
        look_up(self, stores::RECONCILED, id)
    }

    fn different(&self, scan: &Scan) -> Rows<Reconciliation, AccountId> {
        let typed = query::Scan {
            after: scan.after.map(AccountId),
            limit: scan.limit,
            visits_max: scan.visits_max,
            partitions: scan.partitions.clone(),
            ended: scan.ended.clone(),
            ..query::Scan::default()
        };
        let found = self.scan(stores::DIFFERENT, &typed, |_, _| true)?;
        let mut rows = Vec::with_capacity(found.value.entries.len());
        for (id, _) in found.value.entries {
            // One that agrees since is none.
            if let Located::Here(Reading { value: Some(row), .. }) = look_up(self, stores::RECONCILED, id)? {
                rows.push(row);
            }
        }
        Ok(Scattered {
            value: Part {
                rows,
                until: found.value.until,
            },
            others: found.others,
            missing: found.missing,
        })
    }
}

/// What a store has of an account, from one place to another, in order: some of it at once.
fn some<P: Clone, V>(
    queries: &Queries,
    store: KeyValue<(AccountId, P), V>,
    id: AccountId,
    places: RangeInclusive<P>,
) -> Result<Vec<(P, V)>, ReadError>
where
    (AccountId, P): StoreKey,
    V: StoreValue,
{
    let (from, to) = places.into_inner();
    let found = queries.read(store, &id, |view| {
        let mut found = Vec::new();
        view.scan((id, from)..=(id, to), |(_, place), value| {
            found.push((place, value));
            match (found.len() as i64) < CHUNK {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        Ok(found)
    });
    Ok(found?.value)
}

/// Why there is no answer about the past.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// The stores gave none.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is before the postings that are kept.
    #[error("postings are not kept from so long ago")]
    Forgotten,
    /// It is before the account was opened.
    #[error("the account was opened at {}", instant(*.0))]
    NotOpened(Micros),
    /// Too many postings have been recorded since.
    #[error(
        "the account has had more than {LOOKED_AT_MAX} postings since then, or more than {AHEAD_MAX} that were known ahead of their time; its days \
         (/daily) say what it had at their ends"
    )]
    TooMany,
    /// The account changes faster than it is read.
    #[error("the account changes faster than it is read: ask again")]
    GoneOn,
    /// A sum is too large to be exact.
    #[error(transparent)]
    Sum(#[from] MoneyError),
}

/// What an account had at an instant, as it was known then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The number of its newest posting; 0: it had none.
    pub number: i64,
    /// What was booked.
    pub booked: Money,
    /// The account's currency; it may change while the account has no transactions.
    pub currency: Currency,
    /// When its newest posting was recorded.
    recorded_at: Option<i64>,
}

/// The postings of a period, and the balances around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// What the account had before, with the number before the first posting.
    pub opening: Known,
    /// What it had at the end, with the last one's number.
    pub closing: Known,
}

/// The postings that were recorded from an instant on and before another, in microseconds since the epoch.
///
/// # Errors
///
/// They are not kept from so long ago, or the stores gave no answer.
pub fn recorded(reads: &dyn Journal, of: &Entries, from: i64, to: i64) -> Result<Period, PastError> {
    is_opened(of, to - 1)?;
    Ok(Period {
        opening: known_at(reads, of, from - 1)?,
        closing: known_at(reads, of, to - 1)?,
    })
}

/// What an account had at an instant, as it was known then, in microseconds since the epoch.
fn known_at(reads: &dyn Journal, of: &Entries, at: i64) -> Result<Known, PastError> {
    let balance = &of.balance;
    let known = before(reads, balance, balance.entry_count, |recorded_at| recorded_at <= at)?;
    let made_anew = of.opened_at.filter(|opened_at| known.recorded_at < Some(*opened_at));
    if known.number == balance.entry_count {
        // Nothing was posted since, so it is the balance as it is: but for what was changed without a posting.
        let is_open = of.frontier.is_none_or(|frontier| frontier.source_ts <= at);
        let is_now = made_anew.map_or(is_open, |opened_at| opened_at <= at);
        return Ok(if is_now { now(balance) } else { known });
    }
    match made_anew {
        Some(opened_at) if known.number > 0 && opened_at <= at => {
            let next = known.number + 1;
            let next = reads
                .postings(balance.account_id, next, next)?
                .pop()
                .ok_or(PastError::Forgotten)?;
            let (booked, currency) = before_it(&next)?;
            Ok(Known {
                booked,
                currency,
                ..known
            })
        }
        _ => Ok(known),
    }
}

/// What an account had before a posting.
fn before_it(posting: &Posting) -> Result<(Money, Currency), PastError> {
    let after = posting.balance_after.ok_or(PastError::Forgotten)?;
    Ok((after.checked_sub(posting.amount)?, posting.currency))
}

fn now(balance: &AccountBalance) -> Known {
    Known {
        number: balance.entry_count,
        booked: balance.booked,
        currency: balance.currency,
        recorded_at: balance.last_entry_at,
    }
}

fn is_opened(of: &Entries, at: i64) -> Result<(), PastError> {
    match of.opened_at {
        Some(opened_at) if at < opened_at => Err(PastError::NotOpened(Micros(opened_at))),
        _ => Ok(()),
    }
}

/// The newest of an account's first postings that was recorded in time, and what the account had with it.
fn before(
    reads: &dyn Journal,
    balance: &AccountBalance,
    entries: i64,
    in_time: impl Fn(i64) -> bool,
) -> Result<Known, PastError> {
    let id = balance.account_id;
    let get = |number| Ok::<_, ReadError>(reads.postings(id, number, number)?.pop());
    let found = newest(entries, get, |posting| posting.recorded_at.is_some_and(&in_time))?;
    match found {
        Some(posting) => Ok(Known {
            number: posting.entry_number.unwrap_or_default(),
            booked: posting.balance_after.ok_or(PastError::Forgotten)?,
            currency: posting.currency,
            recorded_at: posting.recorded_at,
        }),
        None if balance.entry_count == 0 => Ok(now(balance)),
        // What it had before its first posting, which has to be kept for that to be known.
        None => {
            let first = get(1)?.ok_or(PastError::Forgotten)?;
            let (booked, currency) = before_it(&first)?;
            Ok(Known {
                number: 0,
                booked,
                currency,
                recorded_at: None,
            })
        }
    }
}

/// A booked balance of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// What was booked, and how many of the account's postings were known.
    pub known: Known,
    /// How many of these are of a later time than the one asked for, and not in it.
    pub later: i64,
}

/// What was booked at an instant, by the transactions' own time, as far as it was known at another: `None` is now.
///
/// # Errors
///
/// Postings are not kept from so long ago, or the stores gave no answer.
pub fn past(
    reads: &dyn Journal,
    of: &Entries,
    effective_at: Option<Micros>,
    recorded_at: Option<Micros>,
) -> Result<Past, PastError> {
    let balance = &of.balance;
    for Micros(at) in [effective_at, recorded_at].into_iter().flatten() {
        is_opened(of, at)?;
    }
    let known = match recorded_at {
        Some(Micros(until)) => known_at(reads, of, until)?,
        None => now(balance),
    };
    let mut past = Past { known, later: 0 };
    let Some(Micros(effective_at)) = effective_at else {
        return Ok(past);
    };
    let known = known.number;
    // What was recorded up to then is of then or before, but for what was known ahead of its time.
    let by_then = before(reads, balance, known, |at| at <= effective_at)?.number;
    if known - by_then > LOOKED_AT_MAX {
        return Err(PastError::TooMany);
    }
    let is_later = |posting: &Posting| posting.effective_at.unwrap_or(posting.booked_at) > effective_at;
    let mut later = Vec::new();
    let mut next = by_then + 1;
    while next <= known {
        let postings = reads.postings(balance.account_id, next, known)?;
        next += CHUNK;
        later.extend(postings.into_iter().filter(is_later).map(|posting| posting.amount));
    }
    let of_later = |(number, at): &(i64, i64)| *number <= by_then && *at > effective_at;
    let (mut ahead, mut next, mut looked_at) = (Vec::new(), 0, 0);
    loop {
        let some = reads.ahead(balance.account_id, next)?;
        let Some((last, _)) = some.last().filter(|_| next <= by_then) else {
            break;
        };
        next = last.saturating_add(1);
        looked_at += some.len() as i64;
        ahead.extend(some.iter().filter(|entry| of_later(entry)).map(|(number, _)| *number));
        if looked_at > LOOKED_AT_MAX || ahead.len() > AHEAD_MAX {
            return Err(PastError::TooMany);
        }
    }
    for number in ahead {
        let found = reads.postings(balance.account_id, number, number)?.pop();
        later.extend(found.map(|posting| posting.amount));
    }
    past.later = later.len() as i64;
    for amount in later {
        past.known.booked = past.known.booked.checked_sub(amount)?;
    }
    Ok(past)
}

/// By how much what an account opened with was changed while no posting was recorded, if it was: from a balance to the one that the next posting
/// goes on from.
///
/// # Errors
///
/// A sum is too large to be exact.
pub fn opening_change(before: Money, next: &Posting) -> Result<Option<Money>, PastError> {
    Ok(changed(before, before_it(next)?.0)?)
}

/// The same from a balance to a later one.
///
/// # Errors
///
/// The difference is too large to be exact.
pub fn changed(from: Money, to: Money) -> Result<Option<Money>, MoneyError> {
    Ok(Some(to.checked_sub(from)?).filter(|difference| *difference != Money::ZERO))
}

/// What an account's postings add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// The first one that is added up, and the last one.
    pub ends: Option<(Posting, Posting)>,
    /// What the account had before the first one of these.
    pub brought_forward: Money,
    /// Sum of those above zero.
    pub credits: Money,
    /// Sum of those below zero, without the sign.
    pub debits: Money,
    /// How many there are.
    pub entries: i64,
    /// How many take back another one.
    pub reversals: i64,
}

/// Adds up the postings that make a balance: the newest, where there are very many, and where the account's currency has changed, those in
/// the one that it has.
///
/// # Errors
///
/// The stores gave no answer.
pub fn sums(reads: &dyn Journal, balance: &AccountBalance) -> Result<Sums, PastError> {
    let none = Sums {
        ends: None,
        brought_forward: balance.booked,
        credits: Money::ZERO,
        debits: Money::ZERO,
        entries: 0,
        reversals: 0,
    };
    let mut sums = none.clone();
    let mut next = (balance.entry_count - LOOKED_AT_MAX).max(0) + 1;
    while next <= balance.entry_count {
        let postings = reads.postings(balance.account_id, next, balance.entry_count)?;
        next += CHUNK;
        for posting in postings {
            if posting.currency != balance.currency {
                sums = none.clone();
                continue;
            }
            sums.entries += 1;
            sums.reversals += i64::from(posting.reverses.is_some());
            if posting.amount < Money::ZERO {
                sums.debits = sums.debits.checked_sub(posting.amount)?;
            } else {
                sums.credits = sums.credits.checked_add(posting.amount)?;
            }
            let first = match sums.ends.take() {
                Some((first, _)) => first,
                None => {
                    sums.brought_forward = posting.balance_after.unwrap_or_default().checked_sub(posting.amount)?;
                    posting.clone()
                }
            };
            sums.ends = Some((first, posting));
        }
    }
    Ok(sums)
}
