//! Reconciliation: the streamed balance of every account beside the one that the source keeps, as of the same commit.
//!
//! ```text
//!  silver.accounts, whose rows have the source's balance ─┐
//!  postings, each with the balance after it ──────────────┼─► reconcile ─► gold.reconciliation
//!  how far the source's transactions are ─────────────────┘
//! ```
//!
//! The source's ledger moves an account's balance in the transaction that posts to it. So the row of a commit agrees with the balance after the
//! account's newest posting of that commit or before. Rows and postings come over different topics, in either order. Where they agree at
//! once, nothing is waited for. A row that does not agree waits until all transactions up to its commit have come; what differs then is a
//! difference. Where no transaction follows, [`QUIET`] is waited for instead.
//!
//! So a commit whose posting comes behind a row that agreed is compared with the account's next row, and one for which the ledger wrote no row is not
//! compared here, but by `riverbank audit`.
//!
//! A difference is looked at again with each posting and each row of its account. A row of an account that agrees is written at most once in
//! [`WRITTEN_EVERY`], by the source's clock. Nothing is compared where the source keeps no ledger, nor what a
//! snapshot shows, which has no place among the commits; and no difference is found where the change
//! log has several partitions, since then nobody knows when all transactions up to a commit have come.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use schemas::gold::{AccountBalance, Reconciliation};
use schemas::silver::{Account, BalanceFrom, Frontier, Posting};
use schemas::state::SourceBalance;
use schemas::{AccountId, Currency, Money};
use topology::store::KeyValue;
use topology::{Context, Millis, ProcessError, Processor, Punctuation, PunctuationType, Record, Schedule};

use super::entries::overflow;
use super::postings::newest;
use crate::counters::ACCOUNTS_DIFFERENT;
use crate::stores::ALL_ACCOUNTS;

/// The source is idle when its transactions have not gone on for so long: what was committed before has come.
pub const QUIET: Duration = Duration::from_secs(30);
/// The newest postings of an account that are looked through for one within a commit, at most.
const PASSED_MAX: usize = 256;
/// An account that agrees is written so often, in microseconds of the source's clock.
const WRITTEN_EVERY: i64 = 60_000_000;

/// What comes to be reconciled.
#[derive(Debug, Clone, PartialEq)]
pub enum ToReconcile {
    /// An account's row; `None`: it is gone.
    Row(Option<Account>),
    /// A posting of the account, which is kept already.
    Posting(Posting),
    /// All accounts: how far the source's transactions are.
    Frontier(Frontier),
}

/// Compares balances.
#[derive(Default)]
pub struct Reconcile {
    /// What the stores have; `None`: not read yet.
    known: Option<Known>,
    /// How far the source's transactions are, and since when, by the wall clock; `None`: not read yet, or none has come.
    frontier: Option<(Frontier, Millis)>,
    /// How many accounts this one has reported as different: for certain, and not.
    reported: [u64; 2],
}

/// What is in the stores, and small.
#[derive(Default)]
struct Known {
    /// The source's balances that wait, by account and LSN, each with when it was first seen here.
    waiting: BTreeMap<(AccountId, i64), (SourceBalance, Millis)>,
    /// The accounts that differ, and whether all transactions until then have come.
    different: BTreeMap<AccountId, bool>,
}

type Stores = (
    KeyValue<AccountId, AccountBalance>,
    KeyValue<(AccountId, i64), Posting>,
    KeyValue<AccountId, Reconciliation>,
    KeyValue<(AccountId, i64), SourceBalance>,
    KeyValue<AccountId, i64>,
    KeyValue<AccountId, Frontier>,
);

impl Processor for Reconcile {
    type KeyIn = AccountId;
    type In = ToReconcile;
    type KeyOut = AccountId;
    type Out = ();
    type Stores = Stores;

    fn init(&mut self, schedule: &mut Schedule<'_>) {
        schedule.every(Duration::from_secs(1), PunctuationType::WallClockTime);
    }

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<AccountId, ToReconcile>) -> Result<(), ProcessError> {
        let account = record.key;
        match &record.value {
            // What a snapshot shows was read some time after the commit that it is of, and has no place among those that follow.
            ToReconcile::Row(Some(row)) if row.balance_from != BalanceFrom::Ledger => Ok(()),
            ToReconcile::Row(Some(row)) => {
                let source = SourceBalance {
                    balance: row.balance,
                    source_ts: row.source_ts,
                };
                self.compare(cx, (account, row.source_lsn), source)
            }
            ToReconcile::Row(None) => self.forget(cx, account),
            ToReconcile::Posting(posting) => self.posted(cx, account, posting),
            ToReconcile::Frontier(frontier) => {
                self.frontier = Some((*frontier, cx.now_ms));
                self.compare_waiting(cx)
            }
        }
    }

    fn punctuate(&mut self, cx: &mut Context<'_, Self>, _: Punctuation) -> Result<(), ProcessError> {
        self.compare_waiting(cx)?;
        self.report(cx)
    }
}

impl Drop for Reconcile {
    /// The next owner of the accounts reports them.
    fn drop(&mut self) {
        for (counter, reported) in ACCOUNTS_DIFFERENT.iter().zip(self.reported) {
            counter.fetch_sub(reported, Ordering::Relaxed);
        }
    }
}

impl Reconcile {
    fn known(&mut self, cx: &mut Context<'_, Self>) -> Result<&mut Known, ProcessError> {
        if self.known.is_none() {
            let (_, _, _, waiting, different, frontier) = &mut cx.stores;
            let (mut known, now_ms) = (Known::default(), cx.now_ms);
            waiting.scan(.., |key, source| {
                known.waiting.insert(key, (source, now_ms));
                ControlFlow::Continue(())
            })?;
            different.scan(.., |account, is_complete| {
                known.different.insert(account, is_complete == 1);
                ControlFlow::Continue(())
            })?;
            if self.frontier.is_none() {
                self.frontier = frontier.get(&ALL_ACCOUNTS)?.map(|frontier| (frontier, now_ms));
            }
            self.known = Some(known);
        }
        Ok(self.known.get_or_insert_default())
    }

    /// A balance of the source beside ours, if it can be compared yet; else it waits.
    fn compare(
        &mut self,
        cx: &mut Context<'_, Self>,
        (account, lsn): (AccountId, i64),
        source: SourceBalance,
    ) -> Result<(), ProcessError> {
        let streamed = streamed(cx, account, source.source_ts)?;
        if let Some(streamed) = streamed.as_ref().filter(|streamed| streamed.booked == source.balance) {
            return self.agrees(cx, found(account, streamed.currency, source.balance, lsn, source)?);
        }
        let now_ms = cx.now_ms;
        let since = self.known(cx)?.waiting.get(&(account, lsn)).map(|(_, since)| *since);
        let settled = self.is_settled(source, since.unwrap_or(now_ms), now_ms);
        match (streamed, settled) {
            (Some(streamed), Some(_)) if passed(cx, account, &streamed, source)? => {
                self.agrees(cx, found(account, streamed.currency, source.balance, lsn, source)?)
            }
            (Some(streamed), Some(is_complete)) => {
                let found = found(account, streamed.currency, streamed.booked, lsn, source)?;
                self.differs(cx, Reconciliation { is_complete, ..found })
            }
            _ => {
                let is_counted = self.frontier.is_some();
                let known = self.known(cx)?;
                // Of one commit the last row counts. Where nobody says how far the transactions are, a row waits until one agrees: the
                // newest is enough.
                let before = known.waiting.range((account, i64::MIN)..(account, lsn)).next_back();
                let before = before.filter(|(_, (before, _))| !is_counted || before.source_ts == source.source_ts);
                if let Some(key) = before.map(|(key, _)| *key) {
                    known.waiting.remove(&key);
                    cx.stores.3.delete(key);
                }
                known.waiting.entry((account, lsn)).or_insert((source, now_ms));
                // Also where it waits already: a record that was undone has taken it from the store.
                cx.stores.3.put((account, lsn), source);
                Ok(())
            }
        }
    }

    /// Whether all transactions up to the balance's commit have come; `Some(false)`: they must have.
    fn is_settled(&self, source: SourceBalance, since: Millis, now_ms: Millis) -> Option<bool> {
        let (frontier, told_at) = self.frontier.as_ref()?;
        if frontier.is_partial {
            return None;
        }
        // One that is taken for complete may have more to come.
        let is_behind = frontier.source_ts > source.source_ts;
        if is_behind || (frontier.source_ts == source.source_ts && !frontier.is_assumed) {
            return Some(true);
        }
        let is_quiet = *told_at + QUIET <= now_ms && since + QUIET <= now_ms && frontier.open.is_none();
        is_quiet.then_some(false)
    }

    fn compare_waiting(&mut self, cx: &mut Context<'_, Self>) -> Result<(), ProcessError> {
        let now_ms = cx.now_ms;
        self.known(cx)?;
        let waiting = self.known.iter().flat_map(|known| &known.waiting);
        let due = waiting.filter(|(_, (source, since))| self.is_settled(*source, *since, now_ms).is_some());
        let due: Vec<_> = due.map(|(key, (source, _))| (*key, *source)).collect();
        for (key, source) in due {
            // An earlier one of the account may have done away with it.
            if self.known(cx)?.waiting.contains_key(&key) {
                self.compare(cx, key, source)?;
            }
        }
        Ok(())
    }

    /// A posting may be what a row waits for, or what a difference comes from.
    fn posted(&mut self, cx: &mut Context<'_, Self>, account: AccountId, posting: &Posting) -> Result<(), ProcessError> {
        let known = self.known(cx)?;
        let agrees =
            |source: &SourceBalance| source.source_ts == posting.booked_at && Some(source.balance) == posting.balance_after;
        let waiting = known.waiting.range((account, i64::MIN)..=(account, i64::MAX));
        // Postings come in the order of commits, and so do rows.
        let mut waiting = waiting.take_while(|(_, (source, _))| source.source_ts <= posting.booked_at);
        let agreeing = waiting.find(|(_, (source, _))| agrees(source));
        if let Some((&(_, lsn), &(source, _))) = agreeing {
            return self.agrees(cx, found(account, posting.currency, source.balance, lsn, source)?);
        }
        if known.different.contains_key(&account)
            && let Some(last) = cx.stores.2.get(&account)?.filter(|last| posting.booked_at <= last.source_ts)
        {
            let source = SourceBalance {
                balance: last.source,
                source_ts: last.source_ts,
            };
            return self.compare(cx, (account, last.source_lsn), source);
        }
        Ok(())
    }

    /// The account's balances agree: nothing before that needs to be compared any more.
    fn agrees(&mut self, cx: &mut Context<'_, Self>, found: Reconciliation) -> Result<(), ProcessError> {
        let account = found.account_id;
        self.done(cx, account, found.source_lsn)?;
        let last = cx.stores.2.get(&account)?;
        let is_due = last.as_ref().is_none_or(|last| {
            found.source_ts.saturating_sub(last.source_ts) >= WRITTEN_EVERY
                || (last.difference != Money::ZERO && is_newer(&found, last))
        });
        if !is_due {
            return Ok(());
        }
        cx.stores.2.put(account, found);
        if last.is_some_and(|last| last.difference != Money::ZERO) {
            self.known(cx)?.different.remove(&account);
            cx.stores.4.delete(account);
            tracing::info!(%account, "the balance agrees with the source's again");
            self.report(cx)?;
        }
        Ok(())
    }

    fn differs(&mut self, cx: &mut Context<'_, Self>, found: Reconciliation) -> Result<(), ProcessError> {
        let account = found.account_id;
        self.done(cx, account, found.source_lsn)?;
        let last = cx.stores.2.get(&account)?;
        if last.as_ref().is_some_and(|last| !is_newer(&found, last) || *last == found) {
            return Ok(());
        }
        self.known(cx)?.different.insert(account, found.is_complete);
        cx.stores.4.put(account, i64::from(found.is_complete));
        if last.is_none_or(|last| last.difference != found.difference) {
            let (streamed, source, lsn) = (found.streamed, found.source, found.source_lsn);
            tracing::warn!(%account, %streamed, %source, lsn, "the balance differs from the source's");
        }
        cx.stores.2.put(account, found);
        self.report(cx)
    }

    /// What waits of the account, up to an LSN, is done with.
    fn done(&mut self, cx: &mut Context<'_, Self>, account: AccountId, lsn: i64) -> Result<(), ProcessError> {
        let known = self.known(cx)?;
        let done: Vec<_> = known
            .waiting
            .range((account, i64::MIN)..=(account, lsn))
            .map(|(key, _)| *key)
            .collect();
        for key in done {
            known.waiting.remove(&key);
            cx.stores.3.delete(key);
        }
        Ok(())
    }

    /// The account is gone.
    fn forget(&mut self, cx: &mut Context<'_, Self>, account: AccountId) -> Result<(), ProcessError> {
        self.done(cx, account, i64::MAX)?;
        if self.known(cx)?.different.remove(&account).is_some() {
            cx.stores.4.delete(account);
        }
        if cx.stores.2.get(&account)?.is_some() {
            cx.stores.2.delete(account);
        }
        self.report(cx)
    }

    /// Tells operators how many accounts differ.
    fn report(&mut self, cx: &mut Context<'_, Self>) -> Result<(), ProcessError> {
        let (different, complete) = {
            let different = &self.known(cx)?.different;
            (
                different.len() as u64,
                different.values().filter(|is_complete| **is_complete).count() as u64,
            )
        };
        let now = [complete, different - complete];
        for ((counter, now), before) in ACCOUNTS_DIFFERENT
            .iter()
            .zip(now)
            .zip(std::mem::replace(&mut self.reported, now))
        {
            counter.fetch_add(now, Ordering::Relaxed);
            counter.fetch_sub(before, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// The streamed balance as of a commit.
struct Streamed {
    booked: Money,
    currency: Currency,
    /// How many postings the account has had, those that came later included.
    entries: i64,
}

/// An account's balance as of a commit of the source; `None`: it is not there yet, or it was too long ago.
fn streamed(cx: &mut Context<'_, Reconcile>, account: AccountId, source_ts: i64) -> Result<Option<Streamed>, ProcessError> {
    let (balances, postings, ..) = &mut cx.stores;
    let Some(now) = balances.get(&account)? else {
        return Ok(None);
    };
    let as_of = |booked| {
        Some(Streamed {
            booked,
            currency: now.currency,
            entries: now.entry_count,
        })
    };
    if now.last_entry_at.is_none_or(|at| at <= source_ts) {
        return Ok(as_of(now.booked));
    }
    let is_in = |posting: &Posting| posting.booked_at <= source_ts;
    let found = newest(now.entry_count, |number| postings.get(&(account, number)), is_in)?;
    Ok(match found {
        Some(posting) => posting.balance_after.and_then(as_of),
        // It was before the first one, or before those that are kept.
        None => postings.get(&(account, 1))?.and_then(|_| as_of(now.opening)),
    })
}

/// Whether the account had this balance within the commit: before it, or after one of its postings. A transaction that changes an account's row
/// several times shows each. The newest postings are looked at one by one, since times of commits may lie the other way round than commits.
fn passed(
    cx: &mut Context<'_, Reconcile>,
    account: AccountId,
    streamed: &Streamed,
    source: SourceBalance,
) -> Result<bool, ProcessError> {
    for number in (1..=streamed.entries).rev().take(PASSED_MAX) {
        let Some(posting) = cx.stores.1.get(&(account, number))? else {
            return Ok(false);
        };
        let Some(after) = posting.balance_after.filter(|_| posting.booked_at == source.source_ts) else {
            continue;
        };
        if after == source.balance || after.checked_sub(posting.amount).map_err(overflow)? == source.balance {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a comparison is not the older one. On a restored server positions begin anew, and a clock may be set back: not both at once.
fn is_newer(one: &Reconciliation, other: &Reconciliation) -> bool {
    one.source_ts >= other.source_ts || one.source_lsn > other.source_lsn
}

fn found(
    account_id: AccountId,
    currency: Currency,
    streamed: Money,
    source_lsn: i64,
    source: SourceBalance,
) -> Result<Reconciliation, ProcessError> {
    Ok(Reconciliation {
        account_id,
        currency,
        streamed,
        source: source.balance,
        difference: streamed.checked_sub(source.balance).map_err(overflow)?,
        is_complete: true,
        source_lsn,
        source_ts: source.source_ts,
    })
}
