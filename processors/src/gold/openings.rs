//! What accounts opened with, and when that was changed.
//!
//! What an account opened with is no posting. Where its row is made anew or corrected, its balance changes without one. So each such change
//! is kept, with its commit and its place among the postings: then what the account had at any instant is known.

use std::ops::ControlFlow;

use schemas::gold::AccountBalance;
use schemas::silver::{Account, Posting};
use schemas::state::Opening;
use schemas::{AccountId, Currency, Money};
use topology::ProcessError;
use topology::store::KeyValueStore;

use super::entries::overflow;

/// The store of [`crate::stores::OPENINGS`].
type Openings = KeyValueStore<(AccountId, i64), Opening>;

/// The store of [`crate::stores::POSTINGS`].
type Postings = KeyValueStore<(AccountId, i64), Posting>;

/// The place of the oldest; those that follow are below it, so that the newest is found first.
const FIRST: i64 = -1;

/// Keeps what an account opens with by its row, if that is new. `known_until`: up to when the source's transactions are known here.
pub(super) fn keep(
    (openings, postings): (&mut Openings, &Postings),
    before: Option<&AccountBalance>,
    row: &Account,
    known_until: i64,
) -> Result<(), ProcessError> {
    let now = Opening {
        at: row.source_ts,
        entries: before.map_or(0, |before| before.entry_count),
        balance: row.opening_balance,
        currency: row.currency,
        created_at: row.created_at,
        is_deleted: false,
    };
    let Some(before) = before else {
        openings.put((row.id, FIRST), now);
        return Ok(());
    };
    let is_same = (before.opening, before.currency) == (row.opening_balance, row.currency);
    match is_same && !before.is_deleted {
        true => Ok(()),
        false => follow((openings, postings), before, now, known_until),
    }
}

/// Keeps that an account was deleted at a commit.
pub(super) fn end(
    stores: (&mut Openings, &Postings),
    before: &AccountBalance,
    at: i64,
    known_until: i64,
) -> Result<(), ProcessError> {
    let ended = Opening {
        at,
        entries: before.entry_count,
        balance: before.opening,
        currency: before.currency,
        created_at: Opening::UNKNOWN,
        is_deleted: true,
    };
    follow(stores, before, ended, known_until)
}

/// Keeps what follows on the newest. As a posting, it is of its commit, or later where more was known by then: what was said of an account stays.
fn follow(
    (openings, postings): (&mut Openings, &Postings),
    before: &AccountBalance,
    next: Opening,
    known_until: i64,
) -> Result<(), ProcessError> {
    let id = before.account_id;
    let mut newest = None;
    openings.scan((id, i64::MIN)..=(id, FIRST), |(_, place), opening| {
        newest = Some((place, opening.at));
        ControlFlow::Break(())
    })?;
    let (place, newest_at) = match newest {
        Some(newest) => newest,
        None => begin((openings, postings), before)?,
    };
    let at = [known_until, newest_at].into_iter().chain(before.last_entry_at);
    let at = at.fold(next.at, i64::max);
    openings.put((id, place - 1), Opening { at, ..next });
    Ok(())
}

/// The state is of an earlier version of Riverbank, which did not keep any: what is beneath the newest posting tells what the account opened with up
/// to there. Returns the newest one's place and time.
fn begin((openings, postings): (&mut Openings, &Postings), before: &AccountBalance) -> Result<(i64, i64), ProcessError> {
    let id = before.account_id;
    let last = postings
        .get(&(id, before.entry_count))?
        .and_then(|posting| posting.balance_after);
    let changed = match last {
        Some(last) => before.booked.checked_sub(last).map_err(overflow)?,
        None => Money::ZERO,
    };
    let first = Opening {
        at: Opening::UNKNOWN,
        entries: 0,
        balance: before.opening.checked_sub(changed).map_err(overflow)?,
        currency: before.currency,
        created_at: Opening::UNKNOWN,
        is_deleted: false,
    };
    openings.put((id, FIRST), first);
    let Some(at) = before.last_entry_at.filter(|_| changed != Money::ZERO) else {
        return Ok((FIRST, first.at));
    };
    let corrected = Opening {
        at,
        entries: before.entry_count,
        balance: before.opening,
        ..first
    };
    openings.put((id, FIRST - 1), corrected);
    Ok((FIRST - 1, at))
}

/// The currency of the posting that is taken back: the account may have another one by now, as its row and its transactions come over different
/// topics. Where that posting is no longer kept, it is the account's.
pub(super) fn currency_taken_back(
    (openings, postings): (&Openings, &Postings),
    balance: &AccountBalance,
    posting_id: &str,
) -> Result<Currency, ProcessError> {
    let id = balance.account_id;
    // No posting behind this one is in another currency than the account's: mostly there is none.
    let (mut last, mut entries) = (0, 0);
    openings.scan((id, i64::MIN)..=(id, FIRST), |_, opening| {
        if opening.currency != balance.currency {
            last = entries;
            return ControlFlow::Break(());
        }
        entries = opening.entries;
        ControlFlow::Continue(())
    })?;
    let mut currency = balance.currency;
    if last > 0 {
        postings.scan((id, 1)..=(id, last), |_, posting| {
            if posting.posting_id != posting_id {
                return ControlFlow::Continue(());
            }
            currency = posting.currency;
            ControlFlow::Break(())
        })?;
    }
    Ok(currency)
}
