//! An account's postings, holds and reconciliation, as the state stores have them, and what is found in them: pages, statements, balances of
//! the past.
//!
//! Postings never change, and each has the balance after it. So whatever commits come between two look-ups, what is up to a number stays.

use std::ops::ControlFlow;

use processors::gold::newest;
use processors::stores;
use schemas::gold::{AccountBalance, Reconciliation};
use schemas::silver::Posting;
use schemas::state::Hold;
use schemas::{AccountId, Money, MoneyError, TransactionId};
use topology::query::{self, Scattered};
use topology::{Micros, Queries};

use super::engine::look_up;
use super::{Entries, Journal, Located, Part, ReadError, Reading, Reads as _, Rows, Scan};
use crate::model::instant;

/// Postings that are read at once: the next commit waits meanwhile.
const CHUNK: i64 = 1_000;
/// Postings that are looked through for one answer, at most: about a second.
const LOOKED_AT_MAX: i64 = 500_000;

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
        let found = self.read(stores::POSTINGS, &id, |view| {
            let mut found = Vec::new();
            view.scan((id, from)..=(id, to.min(from.saturating_add(CHUNK - 1))), |_, posting| {
                found.push(posting);
                ControlFlow::Continue(())
            })?;
            Ok(found)
        });
        Ok(found?.value)
    }

    fn ahead(&self, id: AccountId) -> Result<Vec<(i64, i64)>, ReadError> {
        let found = self.read(stores::POSTINGS_AHEAD, &id, |view| {
            let mut found = Vec::new();
            view.scan((id, 0)..=(id, i64::MAX), |(_, number), at| {
                found.push((number, at));
                ControlFlow::Continue(())
            })?;
            Ok(found)
        });
        Ok(found?.value)
    }

    fn holds(&self, id: AccountId) -> Result<Vec<(TransactionId, Hold)>, ReadError> {
        let found = self.read(stores::HOLDS, &id, |view| {
            let mut found = Vec::new();
            view.scan(
                (id, TransactionId(i64::MIN))..=(id, TransactionId(i64::MAX)),
                |(_, transaction), hold| {
                    found.push((transaction, hold));
                    ControlFlow::Continue(())
                },
            )?;
            Ok(found)
        });
        Ok(found?.value)
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
    #[error("the account has had more than {LOOKED_AT_MAX} postings since then; its days (/daily) say what it had at their ends")]
    TooMany,
    /// A sum is too large to be exact.
    #[error(transparent)]
    Sum(#[from] MoneyError),
}

/// The numbers of postings in a period, and the balances around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The number before the first one.
    pub after: i64,
    /// The last one's; `after` where there is none.
    pub until: i64,
    /// What the account had before.
    pub opening: Money,
    /// What it had at the end.
    pub closing: Money,
}

/// The postings that were recorded from an instant on and before another, in microseconds since the epoch.
///
/// # Errors
///
/// They are not kept from so long ago, or the stores gave no answer.
pub fn recorded(reads: &dyn Journal, of: &Entries, from: i64, to: i64) -> Result<Period, PastError> {
    let balance = &of.balance;
    is_opened(of, to - 1)?;
    let (until, closing) = before(reads, balance, balance.entry_count, |at| at < to)?;
    let (after, opening) = before(reads, balance, until, |at| at < from)?;
    Ok(Period {
        after,
        until,
        opening,
        closing,
    })
}

fn is_opened(of: &Entries, at: i64) -> Result<(), PastError> {
    match of.opened_at {
        Some(opened_at) if at < opened_at => Err(PastError::NotOpened(Micros(opened_at))),
        _ => Ok(()),
    }
}

/// The newest of an account's first postings that was recorded in time, and the balance with it.
fn before(
    reads: &dyn Journal,
    balance: &AccountBalance,
    entries: i64,
    in_time: impl Fn(i64) -> bool,
) -> Result<(i64, Money), PastError> {
    let id = balance.account_id;
    let get = |number| Ok::<_, ReadError>(reads.postings(id, number, number)?.pop());
    let found = newest(entries, get, |posting| posting.recorded_at.is_some_and(&in_time))?;
    match found {
        Some(posting) => Ok((
            posting.entry_number.unwrap_or_default(),
            posting.balance_after.ok_or(PastError::Forgotten)?,
        )),
        None if balance.entry_count == 0 => Ok((0, balance.opening)),
        // What it had before its first posting, which has to be kept for that to be known.
        None => {
            let first = get(1)?.ok_or(PastError::Forgotten)?;
            let after = first.balance_after.ok_or(PastError::Forgotten)?;
            Ok((0, after.checked_sub(first.amount)?))
        }
    }
}

/// A booked balance of the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// What was booked.
    pub booked: Money,
    /// How many of the account's postings were known.
    pub known: i64,
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
    let (known, booked) = match recorded_at {
        Some(Micros(until)) => before(reads, balance, balance.entry_count, |at| at <= until)?,
        None => (balance.entry_count, balance.booked),
    };
    let mut past = Past { booked, known, later: 0 };
    let Some(Micros(effective_at)) = effective_at else {
        return Ok(past);
    };
    // What was recorded up to then is of then or before, but for what was known ahead of its time.
    let (by_then, _) = before(reads, balance, known, |at| at <= effective_at)?;
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
    for (number, _) in reads
        .ahead(balance.account_id)?
        .into_iter()
        .filter(|(number, at)| *number <= by_then && *at > effective_at)
    {
        later.extend(
            reads
                .postings(balance.account_id, number, number)?
                .pop()
                .map(|posting| posting.amount),
        );
    }
    past.later = later.len() as i64;
    for amount in later {
        past.booked = past.booked.checked_sub(amount)?;
    }
    Ok(past)
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

/// Adds up the postings that make a balance: the newest, where there are very many.
///
/// # Errors
///
/// The stores gave no answer.
pub fn sums(reads: &dyn Journal, balance: &AccountBalance) -> Result<Sums, PastError> {
    let mut sums = Sums {
        ends: None,
        brought_forward: balance.booked,
        credits: Money::ZERO,
        debits: Money::ZERO,
        entries: 0,
        reversals: 0,
    };
    let mut next = (balance.entry_count - LOOKED_AT_MAX).max(0) + 1;
    while next <= balance.entry_count {
        let postings = reads.postings(balance.account_id, next, balance.entry_count)?;
        next += CHUNK;
        for posting in postings {
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
