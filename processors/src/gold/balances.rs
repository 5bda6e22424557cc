//! Balances: where legs meet their account.
//!
//! Both are partitioned by account. A leg that comes before its account waits in [`crate::stores::WAITING`], is reported to the
//! quarantine once when the grace period is over, and is booked as soon as the account comes: late, but never lost.
//!
//! The account knows its currency, so the journal's entries are made here: the account's side, and for deposits and withdrawals
//! the bank's cash. Cash is one internal account per currency and partition, so that it is no hot key.

use std::ops::ControlFlow;
use std::time::Duration;

use schemas::gold::AccountBalance;
use schemas::rules::Rule;
use schemas::silver::{Account, ForAccounts, Frontier, Leg, LegEntry, Posting, Rejected};
use schemas::state::{Hold, Opening};
use schemas::topics::LEGS;
use schemas::{AccountId, Money, TransactionId};
use topology::store::KeyValue;
use topology::{Change, Context, Micros, ProcessError, Processor, Punctuation, PunctuationType, ReadAhead, Record, Schedule};

use super::entries::{Posted, move_by, overflow, post, reversed};
use super::former::Former;
use super::holds::{self, Holds};
use super::openings;
use crate::counters::{HOLDS_RELEASED, count};
use crate::stores::ALL_ACCOUNTS;

/// How long a leg may wait for its account before the quarantine hears of it, in milliseconds.
pub const GRACE: Duration = Duration::from_secs(60);
/// Of what the quarantine hears that is of no record.
const NO_OFFSET: i64 = -1;

/// What comes to an account.
#[derive(Debug, Clone, PartialEq)]
pub enum AccountEvent {
    /// Its row; `None`: the row is gone.
    Row(Option<Account>),
    /// What a transaction does to it.
    Leg(Leg),
    /// All accounts: how far the source's transactions are.
    Frontier(Frontier),
}

impl From<ForAccounts> for AccountEvent {
    fn from(told: ForAccounts) -> Self {
        match told {
            ForAccounts::Leg(leg) => Self::Leg(leg),
            ForAccounts::Frontier(frontier) => Self::Frontier(frontier),
        }
    }
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq)]
pub enum LedgerEntry {
    /// The balance in the store has changed.
    Balance(Change<AccountBalance>),
    /// An entry of the journal.
    Posting(Posting),
    /// What cannot be booked (yet).
    Rejected(Rejected),
}

/// Keeps the balance of every account.
#[derive(Default)]
pub struct PostToBalance {
    /// How long after its transaction's own time a hold expires; `None`: never.
    hold_expiry: Option<Duration>,
    /// How far the source's transactions are here, as the store has it.
    frontier: Option<Frontier>,
    /// What balances were before.
    former: Former,
}

impl PostToBalance {
    /// `hold_expiry`: how long after its transaction's own time a hold expires; `None`: never.
    pub fn new(hold_expiry: Option<Duration>) -> Self {
        Self {
            hold_expiry,
            ..Self::default()
        }
    }
}

type Stores = (
    KeyValue<AccountId, AccountBalance>,
    KeyValue<(AccountId, i64), Leg>,
    KeyValue<AccountId, i64>,
    KeyValue<AccountId, Frontier>,
    KeyValue<(AccountId, TransactionId), Hold>,
    KeyValue<(i64, AccountId, TransactionId), i64>,
    KeyValue<(AccountId, i64), AccountBalance>,
    KeyValue<(AccountId, i64), Opening>,
    KeyValue<(AccountId, i64), Posting>,
);

impl Processor for PostToBalance {
    type KeyIn = AccountId;
    type In = AccountEvent;
    type KeyOut = AccountId;
    type Out = LedgerEntry;
    type Stores = Stores;
    const READ_AHEAD: Option<ReadAhead<Self>> = Some(|account, (balances, ..)| balances.read_ahead(*account));

    fn init(&mut self, schedule: &mut Schedule<'_>) {
        schedule.every(Duration::from_secs(5), PunctuationType::WallClockTime);
    }

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<AccountId, AccountEvent>) -> Result<(), ProcessError> {
        let id = record.key;
        match &record.value {
            AccountEvent::Row(Some(account)) => {
                let before = cx.stores.0.get(&id)?;
                let known_until = self.frontier(cx)?.source_ts;
                openings::keep((&mut *cx.stores.7, &*cx.stores.8), before.as_ref(), account, known_until)?;
                let balance = match before.clone() {
                    Some(known) if known.currency == account.currency => revised(known, account)?,
                    // Legs wait for the account's first row, and what does not fit its currency for another one.
                    Some(known) => self.book_waiting(revised(known, account)?, cx)?,
                    None => self.book_waiting(opened(account), cx)?,
                };
                // Most rows of an account are written with each of its transactions, for the ledger that the source keeps, and say nothing new here.
                if before.as_ref() != Some(&balance) {
                    keep(cx, before, balance);
                }
            }
            AccountEvent::Row(None) => {
                if let Some(before) = cx.stores.0.get(&id)? {
                    if !before.is_deleted {
                        let known_until = self.frontier(cx)?.source_ts;
                        let at = record.timestamp_ms.to_micros().0;
                        openings::end((&mut *cx.stores.7, &*cx.stores.8), &before, at, known_until)?;
                    }
                    let mut balance = before.clone();
                    balance.is_deleted = true;
                    keep(cx, Some(before), balance);
                }
            }
            AccountEvent::Leg(leg) => match cx.stores.0.get(&id)? {
                Some(before) => {
                    let mut balance = before.clone();
                    self.book(&mut balance, leg, cx.at.offset.as_i64(), cx)?;
                    keep(cx, Some(before), balance);
                }
                None => cx.stores.1.put((id, cx.at.offset.as_i64()), leg.clone()),
            },
            AccountEvent::Frontier(frontier) => {
                // A clock may be set back; what is known does not go back with it.
                let source_ts = frontier.source_ts.max(self.frontier(cx)?.source_ts);
                let frontier = Frontier { source_ts, ..*frontier };
                cx.stores.3.put(ALL_ACCOUNTS, frontier);
                self.frontier = Some(frontier);
            }
        }
        Ok(())
    }

    fn punctuate(&mut self, cx: &mut Context<'_, Self>, _: Punctuation) -> Result<(), ProcessError> {
        let mut overdue: Vec<Waiting> = Vec::new();
        cx.stores.1.scan(.., |key, leg| {
            if Micros(leg.source_ts).to_millis() + GRACE <= cx.now_ms {
                overdue.push((key, leg));
            }
            ControlFlow::Continue(())
        })?;
        for ((account, offset), leg) in overdue {
            let is_reported = cx.stores.2.get(&account)?.is_some_and(|reported| reported >= offset);
            if is_reported || cx.stores.0.get(&account)?.is_some() {
                continue;
            }
            cx.stores.2.put(account, offset);
            let reason = format!(
                "transaction {} names account {account}, which has not come; it is booked as soon as it does",
                leg.transaction_id
            );
            reject(cx, account, offset, Rule::AccountExists, reason);
        }
        self.release_holds(cx)?;
        let complete = self.frontier(cx)?.commit_number;
        self.former.forget(cx.stores.6, complete, cx.now_ms)?;
        Ok(())
    }
}

impl PostToBalance {
    /// Books what has waited.
    fn book_waiting(&mut self, mut balance: AccountBalance, cx: &mut Context<'_, Self>) -> Result<AccountBalance, ProcessError> {
        let waiting = waiting(balance.account_id, cx)?;
        if !waiting.is_empty() {
            cx.stores.2.delete(balance.account_id);
        }
        for (key, leg) in waiting {
            cx.stores.1.delete(key);
            self.book(&mut balance, &leg, key.1, cx)?;
        }
        Ok(balance)
    }

    /// Changes the balance by all that a change of a transaction does to the account, and writes the journal.
    ///
    /// A posting that the account's currency cannot have (half a yen) waits: the row that changes the currency may be on its way. What
    /// takes it back then takes it out of the waiting ones; what takes back a posting that stands is booked whatever the currency.
    fn book(
        &mut self,
        balance: &mut AccountBalance,
        leg: &Leg,
        offset: i64,
        cx: &mut Context<'_, Self>,
    ) -> Result<(), ProcessError> {
        if let Some(commit_number) = leg.commit_number {
            let complete = self.frontier(cx)?.commit_number;
            self.former.keep(cx.stores.6, balance, (commit_number, complete), cx.now_ms)?;
        }
        let with = Posted {
            known_until: self.frontier(cx)?.source_ts,
            partition: cx.at.partition,
            currency: balance.currency,
        };
        as_of(balance, leg.source_lsn, leg.source_ts);
        let digits = balance.currency.minor_digits();
        let fits = |entry: &LegEntry| entry.booked.fits_scale(digits) && entry.pending.fits_scale(digits);
        if leg.entries().all(|entry| fits(&entry)) {
            return leg.entries().try_for_each(|entry| enter(balance, leg, entry, with, cx));
        }
        let of_transaction = |(_, known): &Waiting| known.transaction_id == leg.transaction_id;
        let waiting: Vec<_> = waiting(balance.account_id, cx)?.into_iter().filter(of_transaction).collect();
        for entry in leg.entries() {
            let is_taken_back =
                |(_, known): &&Waiting| !known.reversal && (known.version, known.number) == (entry.version, entry.number);
            if entry.reversal {
                match waiting.iter().find(is_taken_back) {
                    Some((key, _)) => cx.stores.1.delete(*key),
                    // By itself: its hold ends, as what comes behind it may have to wait.
                    None => enter(balance, &leg.only(entry), entry, with, cx)?,
                }
            } else if fits(&entry) {
                enter(balance, leg, entry, with, cx)?;
            } else {
                cx.stores.1.put((balance.account_id, offset), leg.only(entry));
                let amount = if entry.booked == Money::ZERO {
                    entry.pending
                } else {
                    entry.booked
                };
                let reason = format!(
                    "transaction {} has the amount {amount}, and {} has {digits} decimal places; it is not booked unless the account's \
                     currency changes",
                    leg.transaction_id, balance.currency,
                );
                reject(cx, balance.account_id, offset, Rule::CurrencyScale, reason);
            }
        }
        Ok(())
    }

    /// How far the source's transactions are here.
    fn frontier(&mut self, cx: &mut Context<'_, Self>) -> Result<Frontier, ProcessError> {
        match self.frontier {
            Some(frontier) => Ok(frontier),
            None => Ok(*self.frontier.insert(cx.stores.3.get(&ALL_ACCOUNTS)?.unwrap_or_default())),
        }
    }

    /// What holds that have expired held is available again.
    fn release_holds(&mut self, cx: &mut Context<'_, Self>) -> Result<(), ProcessError> {
        let Some(expiry) = self.hold_expiry else { return Ok(()) };
        let now = cx.now_ms.to_micros();
        for (account, transaction, hold) in holds::release(holds_of(cx), now, expiry)? {
            let Some(before) = cx.stores.0.get(&account)? else { continue };
            let mut balance = before.clone();
            move_by(&mut balance, Money::ZERO, hold.amount.negated()).map_err(overflow)?;
            let (amount, currency) = (hold.amount, balance.currency);
            keep(cx, Some(before), balance);
            count(&HOLDS_RELEASED, 1);
            let since = Micros(hold.placed_at);
            let reason =
                format!("transaction {transaction} has been pending since {since}: its hold of {amount} {currency} was released");
            reject(cx, account, NO_OFFSET, Rule::HoldExpired, reason);
        }
        Ok(())
    }
}

/// Books one entry, and tells of its postings.
fn enter(
    balance: &mut AccountBalance,
    leg: &Leg,
    entry: LegEntry,
    with: Posted,
    cx: &mut Context<'_, PostToBalance>,
) -> Result<(), ProcessError> {
    let currency = match entry.reversal && entry.booked != Money::ZERO {
        true => openings::currency_taken_back((&*cx.stores.7, &*cx.stores.8), balance, &reversed(leg, entry))?,
        false => balance.currency,
    };
    for posting in post(balance, leg, entry, Posted { currency, ..with }, &mut holds_of(cx))? {
        cx.out.forward(posting.account_id, LedgerEntry::Posting(posting));
    }
    Ok(())
}

fn holds_of<'s>(cx: &'s mut Context<'_, PostToBalance>) -> Holds<'s> {
    Holds {
        held: cx.stores.4,
        placed: cx.stores.5,
    }
}

/// Keeps the balance, and tells of it.
fn keep(cx: &mut Context<'_, PostToBalance>, before: Option<AccountBalance>, balance: AccountBalance) {
    let id = balance.account_id;
    cx.stores.0.put(id, balance.clone());
    cx.out.forward(id, LedgerEntry::Balance(Change::new(Some(balance), before)));
}

/// A leg that waits, under its place in the order of arrival.
type Waiting = ((AccountId, i64), Leg);

/// The legs that wait for something of an account, in the order of their arrival.
fn waiting(account: AccountId, cx: &mut Context<'_, PostToBalance>) -> Result<Vec<Waiting>, ProcessError> {
    let mut waiting = Vec::new();
    cx.stores.1.scan((account, 0)..=(account, i64::MAX), |key, leg| {
        waiting.push((key, leg));
        ControlFlow::Continue(())
    })?;
    Ok(waiting)
}

fn opened(account: &Account) -> AccountBalance {
    AccountBalance {
        account_id: account.id,
        customer_id: account.customer_id,
        currency: account.currency,
        opening: account.opening_balance,
        booked: account.opening_balance,
        pending: Money::ZERO,
        available: account.opening_balance,
        entry_count: 0,
        last_entry_at: None,
        is_deleted: false,
        source_lsn: account.source_lsn,
        source_ts: account.source_ts,
        commit_number: None,
    }
}

/// The balance as its account's new row has it; the row counts among what it reflects if it has changed anything.
///
/// Whether a currency may change is for the source and Silver to say: here an account's row and its transactions come over different
/// topics, so either may be first.
fn revised(before: AccountBalance, account: &Account) -> Result<AccountBalance, ProcessError> {
    let mut balance = before.clone();
    let difference = account.opening_balance.checked_sub(balance.opening).map_err(overflow)?;
    balance.opening = account.opening_balance;
    balance.booked = balance.booked.checked_add(difference).map_err(overflow)?;
    balance.available = balance.booked.checked_sub(balance.pending).map_err(overflow)?;
    balance.customer_id = account.customer_id;
    balance.currency = account.currency;
    balance.is_deleted = false;
    if balance != before {
        as_of(&mut balance, account.source_lsn, account.source_ts);
    }
    Ok(balance)
}

/// The newest change by its commit time: on a restored or promoted server the LSN may start lower.
fn as_of(balance: &mut AccountBalance, lsn: i64, ts: i64) {
    if (ts, lsn) > (balance.source_ts, balance.source_lsn) {
        balance.source_lsn = lsn;
        balance.source_ts = ts;
    }
}

/// Tells of what an account cannot have (yet).
fn reject(cx: &mut Context<'_, PostToBalance>, account: AccountId, offset: i64, rule: Rule, reason: String) {
    let topic = if cx.at.topic.is_empty() { LEGS.name() } else { &*cx.at.topic };
    let rejected = Rejected {
        topic: topic.to_owned(),
        partition: cx.at.partition as i32,
        offset,
        key: Some(account.0.to_be_bytes().to_vec()),
        value: cx.at.value.as_ref().map(|value| value.to_vec()),
        rule: rule.to_string(),
        reason,
        rejected_at: cx.now_ms.to_micros().0,
    };
    cx.out.forward(account, LedgerEntry::Rejected(rejected));
}
