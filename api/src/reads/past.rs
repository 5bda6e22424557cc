//! What is found in an account's postings: statements, balances of the past, and what a balance is made of.
//!
//! Postings never change, and each has the balance after it. So whatever commits come between two look-ups, what is up to a number stays.
//!
//! What an account opened with is no posting. Where its row is made anew or corrected, the balance changes without one; when that was, and behind
//! which posting, is kept beside them ([`Opening`]).

use std::collections::BTreeMap;

use processors::gold::newest;
use schemas::gold::AccountBalance;
use schemas::silver::Posting;
use schemas::state::Opening;
use schemas::{Currency, Money, MoneyError};
use topology::Micros;

use super::journal::CHUNK;
use super::openings::Openings;
use super::{Entries, Journal, ReadError};
use crate::model::instant;

/// Postings that are looked through for one answer, at most: about a second.
const LOOKED_AT_MAX: i64 = 500_000;
/// Postings that are looked up one by one for one answer, at most.
const AHEAD_MAX: usize = 10_000;

/// Why there is no answer about the past.
#[derive(Debug, thiserror::Error)]
pub enum PastError {
    /// The stores gave none.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is before the postings that are kept.
    #[error("postings are not kept from so long ago")]
    Forgotten,
    /// It is before the account's row was made, or a snapshot first showed it.
    #[error("the account is known from {} on", instant(*.0))]
    NotYet(Micros),
    /// The account was deleted before.
    #[error("the account was deleted at {}; its history, its postings and what it had before are there", instant(*.0))]
    Gone(Micros),
    /// Its currency changed, and transactions of one currency are of a time at which it had the other.
    #[error(
        "at that time the account was in {0}, and has postings of then in another currency, which were recorded later: no amount says both. Its postings \
         (/postings) say each with its currency, and with recorded_at of then it is as it was known"
    )]
    TwoCurrencies(Currency),
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
}

/// The postings of a period, and the balances around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// What the account had before, with the number before the first posting.
    pub opening: Known,
    /// What it had at the end, with the last one's number.
    pub closing: Known,
}

/// Whether the account was there before an instant, and not deleted before another: in microseconds since the epoch.
fn was_there(openings: &Openings, of: &Entries, from: i64, to: i64) -> Result<(), PastError> {
    match (openings.first(), openings.then(to - 1)) {
        (Some(first), None) => Err(PastError::NotYet(Micros(first.at))),
        (_, Some(then)) if then.is_deleted && then.at < from => Err(PastError::Gone(Micros(then.at))),
        (Some(first), Some(_)) if first.at != Opening::UNKNOWN => Ok(()),
        // It was deleted when that was not kept yet.
        (None, _) if of.balance.is_deleted => Err(PastError::Gone(Micros(of.balance.source_ts))),
        _ => is_since(of.opened_at, to - 1),
    }
}

/// Whether the account is there now.
///
/// # Errors
///
/// It was deleted, or the stores gave no answer.
pub fn is_there(reads: &dyn Journal, of: &Entries) -> Result<(), PastError> {
    if !of.balance.is_deleted {
        return Ok(());
    }
    let openings = Openings::read(reads, of.balance.account_id)?;
    let at = openings.then(i64::MAX).map_or(of.balance.source_ts, |newest| newest.at);
    Err(PastError::Gone(Micros(at)))
}

fn is_since(since: Option<i64>, at: i64) -> Result<(), PastError> {
    match since {
        Some(since) if at < since => Err(PastError::NotYet(Micros(since))),
        _ => Ok(()),
    }
}

/// The postings that were recorded from an instant on and before another, in microseconds since the epoch.
///
/// # Errors
///
/// They are not kept from so long ago, or the stores gave no answer.
pub fn recorded(reads: &dyn Journal, of: &Entries, from: i64, to: i64) -> Result<Period, PastError> {
    let openings = Openings::read(reads, of.balance.account_id)?;
    was_there(&openings, of, from, to)?;
    Ok(Period {
        opening: known_at(reads, of, &openings, from - 1)?,
        closing: known_at(reads, of, &openings, to - 1)?,
    })
}

/// What an account had at an instant, as it was known then, in microseconds since the epoch.
fn known_at(reads: &dyn Journal, of: &Entries, openings: &Openings, at: i64) -> Result<Known, PastError> {
    let balance = &of.balance;
    let known = before(reads, balance, balance.entry_count, |recorded_at| recorded_at <= at)?;
    let (Some(then), Some(beneath)) = (openings.then(at).or(openings.first()), openings.beneath(known.number)) else {
        // Nobody says what was changed without a posting, but what is now says it.
        let is_now = known.number == balance.entry_count && of.frontier.is_none_or(|frontier| frontier.source_ts <= at);
        return Ok(if is_now { now(balance) } else { known });
    };
    let posted = match known.number {
        0 => Money::ZERO,
        _ => known.booked.checked_sub(beneath.balance)?,
    };
    Ok(Known {
        booked: posted.checked_add(then.balance)?,
        currency: then.currency,
        ..known
    })
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
    let openings = Openings::read(reads, balance.account_id)?;
    if let Some(Micros(at)) = recorded_at {
        was_there(&openings, of, at + 1, at + 1)?;
    }
    let until = recorded_at.map_or(i64::MAX, |Micros(at)| at);
    if let Some(Micros(at)) = effective_at {
        is_since(openings.since(of.opened_at), at)?;
        if openings.first().is_none() {
            is_there(reads, of)?;
        }
        if let Some(then) = openings.then(at.min(until)).filter(|then| then.is_deleted) {
            return Err(PastError::Gone(Micros(then.at)));
        }
    }
    let known = match recorded_at {
        Some(Micros(at)) => known_at(reads, of, &openings, at)?,
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
        later.extend(postings.into_iter().filter(&is_later).map(|posting| posting.amount));
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
    // What an account opened with it had from the beginning; but in another currency, or in another life, that was another amount.
    let then = openings.then(effective_at.min(until)).or(openings.first());
    let is_another = |then: &&Opening| then.currency != past.known.currency || openings.is_deleted_between(then.at, until);
    if let Some(then) = then.filter(|then| then.currency != past.known.currency) {
        is_in_currency(reads, balance, known, is_later, then.currency)?;
    }
    if let Some(then) = then.filter(is_another) {
        let last = match recorded_at {
            Some(_) => openings.then(until).map_or(balance.opening, |last| last.balance),
            None => balance.opening,
        };
        let posted = past.known.booked.checked_sub(last)?;
        past.known.booked = posted.checked_add(then.balance)?;
        past.known.currency = then.currency;
    }
    Ok(past)
}

/// Whether what an account's first postings add up to, without those of later, is in one currency.
fn is_in_currency(
    reads: &dyn Journal,
    balance: &AccountBalance,
    known: i64,
    is_later: impl Fn(&Posting) -> bool,
    currency: Currency,
) -> Result<(), PastError> {
    if known > LOOKED_AT_MAX {
        return Err(PastError::TooMany);
    }
    let mut others: BTreeMap<Currency, Money> = BTreeMap::new();
    let mut next = 1;
    while next <= known {
        let postings = reads.postings(balance.account_id, next, known)?;
        next += CHUNK;
        for posting in postings {
            if posting.currency != currency && !is_later(&posting) {
                let sum = others.entry(posting.currency).or_insert(Money::ZERO);
                *sum = sum.checked_add(posting.amount)?;
            }
        }
    }
    match others.values().all(|sum| *sum == Money::ZERO) {
        true => Ok(()),
        false => Err(PastError::TwoCurrencies(currency)),
    }
}

/// Whether what was recorded before an instant stays as it is: what else is recorded is of the instant or later. `number`: of the newest posting before it.
///
/// # Errors
///
/// The stores gave no answer.
pub fn is_final(reads: &dyn Journal, of: &Entries, number: i64, end: Micros) -> Result<bool, ReadError> {
    // Of a transaction that is open, what is there may be of before; what is yet to come is recorded later.
    let next = reads.postings(of.balance.account_id, number + 1, number + 1)?.pop();
    Ok(match next {
        Some(next) => next.recorded_at >= Some(end.0),
        None => of.frontier.is_some_and(|frontier| frontier.source_ts >= end.0),
    })
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
                // What takes back one of those comes behind the change as well.
                if posting.reverses.is_none() {
                    sums = none.clone();
                }
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
