//! From transactions to what they do to accounts.
//!
//! A version of a transaction has effects on its accounts; a new version takes back the effects that stand and posts its own, if
//! they differ. Entries are never edited. The effects that stand are those of the version in [`crate::stores::POSTED`]. What a change does
//! to one account is one leg, so that it is seen whole or not at all.
//!
//! One transaction of the source may change many transactions, of many accounts, and what it did is to be seen together. So the source's
//! transactions are counted, in the order of their commits; each leg has the number of its own, and all accounts hear how far they are
//! ([`Frontier`]). That a transaction is complete the connector says with its metadata ([`transaction_end`](super::transaction_end)), and it shows when another one begins. Where
//! neither comes, it is taken for complete when nothing more of it came for [`SILENCE`]: the connector sends what it has of one in one go. Where
//! ends are told, one is waited for longer ([`END_AWAITED`]), for it may be late, but not for ever, for it may be missing. While the table is read anew by a snapshot, or rows
//! are being deleted that it did not show, what is here is no state that the source had, and the frontier says that.

use std::time::Duration;

use schemas::silver::{
    Frontier, Leg, LegEntry, OpenTransaction, SourceTransactionEnd, Transaction, TransactionStatus, TransactionType,
};
use schemas::state::TableState;
use schemas::{AccountId, Money, TransactionId};
use topology::store::KeyValue;
use topology::{Context, Millis, ProcessError, Processor, Punctuation, PunctuationType, Record, Schedule};

use super::apply::Change;
use super::ends::Ends;
use crate::stores::{ALL_ACCOUNTS, TABLE};

/// A transaction of which nothing more came for so long is taken for complete.
pub const SILENCE: Duration = Duration::from_millis(50);
/// The same where the connector tells when transactions end: so long its word is waited for.
pub const END_AWAITED: Duration = Duration::from_secs(1);

/// What a transaction does to one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// The account.
    pub account: AccountId,
    /// 0: the transaction's own account; 1: the related one.
    pub number: i32,
    /// Change of the booked balance.
    pub booked: Money,
    /// Change of the holds.
    pub pending: Money,
    /// The transaction's own time.
    pub effective_at: i64,
}

/// The effects of a transaction in the state that it is in.
pub fn effects(transaction: &Transaction) -> Vec<Effect> {
    let (own, amount, effective_at) = (transaction.account_id, transaction.amount, transaction.created_at);
    let booked = |account, number, booked| Effect {
        account,
        number,
        booked,
        pending: Money::ZERO,
        effective_at,
    };
    let hold = Effect {
        account: own,
        number: 0,
        booked: Money::ZERO,
        pending: amount,
        effective_at,
    };
    match (transaction.status, transaction.txn_type) {
        (TransactionStatus::Completed, TransactionType::Deposit) => vec![booked(own, 0, amount)],
        (TransactionStatus::Completed, TransactionType::Withdrawal) => vec![booked(own, 0, amount.negated())],
        (TransactionStatus::Completed, TransactionType::Transfer) => {
            let related = transaction.related_account_id.map(|account| booked(account, 1, amount));
            [Some(booked(own, 0, amount.negated())), related]
                .into_iter()
                .flatten()
                .collect()
        }
        (TransactionStatus::Pending, TransactionType::Withdrawal | TransactionType::Transfer) => vec![hold],
        (TransactionStatus::Pending | TransactionStatus::Failed | TransactionStatus::Reversed, _) => Vec::new(),
    }
}

/// What comes to the journal.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken from one record to the next, and never stored"
)]
#[derive(Debug, Clone, PartialEq)]
pub enum ToJournal {
    /// A transaction has changed.
    Changed(Change<Transaction>),
    /// A transaction of the source has ended.
    Ended(SourceTransactionEnd),
}

/// What the journal says.
#[derive(Debug, Clone, PartialEq)]
pub enum Entered {
    /// What a change does to an account.
    Leg(Leg),
    /// The source's transactions are further than they were.
    Frontier(topology::Change<Frontier>),
}

/// Turns changes of transactions into legs.
pub struct Journal {
    /// Whether all changes come in the order of the source's commits, so that its transactions can be counted.
    in_order: bool,
    /// Since when nothing has come, by the wall clock: looked at between records, so that none of them was waiting meanwhile.
    quiet_since: Option<Millis>,
    /// Of the source's transactions.
    ends: Ends,
}

impl Journal {
    /// `in_order`: all changes come in the order of the source's commits.
    pub fn new(in_order: bool) -> Self {
        Self {
            in_order,
            quiet_since: None,
            ends: Ends::default(),
        }
    }

    /// The open transaction is complete, if it is this one.
    fn complete(cx: &mut Context<'_, Self>, tx_id: Option<i64>, is_assumed: bool) -> Result<(), ProcessError> {
        let before = cx.stores.1.get(&ALL_ACCOUNTS)?;
        let is_open = |frontier: &Frontier| tx_id.is_some() && frontier.open.is_some_and(|open| open.tx_id == tx_id);
        if let Some(known) = before.filter(is_open)
            && !is_partial(cx)?
        {
            let now = Frontier {
                is_partial: false,
                ..known.completed(is_assumed)
            };
            enter(cx, before, now);
        }
        Ok(())
    }
}

impl Processor for Journal {
    type KeyIn = TransactionId;
    type In = ToJournal;
    type KeyOut = AccountId;
    type Out = Entered;
    type Stores = (
        KeyValue<TransactionId, i64>,
        KeyValue<AccountId, Frontier>,
        KeyValue<i64, TableState>,
    );

    fn init(&mut self, schedule: &mut Schedule<'_>) {
        if self.in_order {
            schedule.every(SILENCE, PunctuationType::WallClockTime);
        }
    }

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<TransactionId, ToJournal>) -> Result<(), ProcessError> {
        match &record.value {
            ToJournal::Changed(change) if self.in_order => {
                self.quiet_since = None;
                let before = cx.stores.1.get(&ALL_ACCOUNTS)?;
                let now = gone_on(before, change, is_partial(cx)?);
                enter(cx, before, now);
                post(cx, record.key, change, Some(now.newest()))?;
                // An end that was ahead may be of counts that have begun anew since.
                if change.is_streamed && self.ends.change(change.tx_id, change.order) {
                    Self::complete(cx, change.tx_id, true)?;
                }
                Ok(())
            }
            ToJournal::Changed(change) => post(cx, record.key, change, None),
            ToJournal::Ended(ended) => {
                if self.in_order && self.ends.end(*ended) {
                    Self::complete(cx, Some(ended.tx_id), false)?;
                }
                Ok(())
            }
        }
    }

    fn punctuate(&mut self, cx: &mut Context<'_, Self>, _: Punctuation) -> Result<(), ProcessError> {
        let Some(before) = cx.stores.1.get(&ALL_ACCOUNTS)? else {
            // All that was sent before, and not counted, is in front of it.
            enter(cx, None, Frontier::default());
            return Ok(());
        };
        let is_partial = is_partial(cx)?;
        if is_partial || (before.open.is_none() && !before.is_partial) {
            return Ok(());
        }
        let quiet_since = *self.quiet_since.get_or_insert(cx.now_ms);
        let bound = if self.ends.is_awaited() { END_AWAITED } else { SILENCE };
        if quiet_since + bound <= cx.now_ms {
            let now = Frontier {
                is_partial,
                ..before.completed(true)
            };
            enter(cx, Some(before), now);
        }
        Ok(())
    }
}

/// Posts what a change of a transaction does to its accounts.
fn post(
    cx: &mut Context<'_, Journal>,
    id: TransactionId,
    change: &Change<Transaction>,
    commit_number: Option<i64>,
) -> Result<(), ProcessError> {
    let standing = change
        .before
        .as_ref()
        .map(|t| (t.txn_type, effects(t)))
        .filter(|(_, e)| !e.is_empty());
    let wanted = change
        .after
        .as_ref()
        .map(|t| (t.txn_type, effects(t)))
        .filter(|(_, e)| !e.is_empty());
    if standing == wanted {
        return Ok(());
    }
    let mut legs = Legs::default();
    if let Some((txn_type, effects)) = &standing {
        let version = cx.stores.0.get(&id)?.unwrap_or(0);
        effects
            .iter()
            .for_each(|effect| legs.add(effect.entry(*txn_type, version, true), effect.account));
    }
    match &wanted {
        Some((txn_type, effects)) => {
            let version = change.version;
            effects
                .iter()
                .for_each(|effect| legs.add(effect.entry(*txn_type, version, false), effect.account));
            cx.stores.0.put(id, version);
        }
        None => cx.stores.0.delete(id),
    }
    for (account, first, then) in legs.0 {
        let leg = Leg {
            transaction_id: id,
            version: first.version,
            number: first.number,
            reversal: first.reversal,
            booked: first.booked,
            pending: first.pending,
            txn_type: first.txn_type,
            source_lsn: change.at.lsn,
            source_ts: change.at.committed_at_us.0,
            effective_at: first.effective_at,
            then,
            commit_number,
        };
        cx.out.forward(account, Entered::Leg(leg));
    }
    Ok(())
}

/// Whether the table is no state that the source had.
fn is_partial(cx: &mut Context<'_, Journal>) -> Result<bool, ProcessError> {
    let table = cx.stores.2.get(&TABLE)?;
    Ok(table.is_some_and(|table| table.snapshot.is_some() || table.sweep.is_some()))
}

/// How far the source's transactions are with this change.
fn gone_on(before: Option<Frontier>, change: &Change<Transaction>, is_partial: bool) -> Frontier {
    let known = before.unwrap_or_default();
    // A row of an incremental snapshot has no LSN and the time at which it was read, and commits from before that come behind it.
    let newest_ts = known.open.map_or(known.source_ts, |open| open.source_ts);
    let is_incremental = !change.is_streamed && change.at.lsn == 0;
    let source_lsn = change.at.lsn;
    let source_ts = if is_incremental {
        newest_ts
    } else {
        change.at.committed_at_us.0
    };
    // What is not streamed has no place among the commits, and ends none of them.
    let is_same = |open: &OpenTransaction| !change.is_streamed || (change.tx_id.is_some() && open.tx_id == change.tx_id);
    let same = known.open.filter(is_same);
    let known = if same.is_some() { known } else { known.completed(false) };
    let open = OpenTransaction {
        commit_number: same.map_or(known.commit_number + 1, |open| open.commit_number),
        tx_id: same.map_or(change.tx_id, |open| open.tx_id),
        source_lsn: same.map_or(source_lsn, |open| open.source_lsn.max(source_lsn)),
        source_ts,
    };
    Frontier {
        // What has come meanwhile is part of the open one, until that is complete.
        is_partial: is_partial || (known.is_partial && same.is_some()),
        open: Some(open),
        ..known
    }
}

fn enter(cx: &mut Context<'_, Journal>, before: Option<Frontier>, now: Frontier) {
    if before != Some(now) {
        cx.stores.1.put(ALL_ACCOUNTS, now);
        let change = topology::Change::new(Some(now), before);
        cx.out.forward(ALL_ACCOUNTS, Entered::Frontier(change));
    }
}

impl Effect {
    /// The entry that posts it, or takes it back.
    fn entry(&self, txn_type: TransactionType, version: i64, reversal: bool) -> LegEntry {
        let signed = |amount: Money| if reversal { amount.negated() } else { amount };
        LegEntry {
            version,
            number: self.number,
            reversal,
            booked: signed(self.booked),
            pending: signed(self.pending),
            txn_type,
            effective_at: Some(self.effective_at),
        }
    }
}

/// Entries by account. A version has one effect on an account at most, so a change has two: one that stood, one that is wanted.
#[derive(Default)]
struct Legs(Vec<(AccountId, LegEntry, Option<LegEntry>)>);

impl Legs {
    fn add(&mut self, entry: LegEntry, account: AccountId) {
        match self.0.iter_mut().find(|(known, _, then)| *known == account && then.is_none()) {
            Some((_, _, then)) => *then = Some(entry),
            None => self.0.push((account, entry, None)),
        }
    }
}
