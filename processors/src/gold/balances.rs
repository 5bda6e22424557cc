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
use schemas::silver::{Account, ForAccounts, Frontier, Leg, LegEntry, Posting, Rejected, TransactionType};
use schemas::state::RecentBalance;
use schemas::topics::LEGS;
use schemas::{AccountId, Currency, Money, MoneyError};
use topology::store::KeyValue;
use topology::{Change, Context, Micros, ProcessError, Processor, Punctuation, PunctuationType, ReadAhead, Record, Schedule};

use super::former::begin;
use crate::stores::ALL_ACCOUNTS;

/// How long a leg may wait for its account before the quarantine hears of it, in milliseconds.
pub const GRACE: Duration = Duration::from_secs(60);

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
#[expect(
    clippy::large_enum_variant,
    reason = "most are balances, and a box for each would cost more than the room"
)]
pub enum LedgerEntry {
    /// The balance in the store has changed.
    Balance(Change<RecentBalance>),
    /// An entry of the journal.
    Posting(Posting),
    /// What cannot be booked (yet).
    Rejected(Rejected),
}

/// Keeps the balance of every account.
#[derive(Default)]
pub struct PostToBalance {
    /// The number up to which the source's transactions are complete here, as the store has it.
    complete: Option<i64>,
}

type Stores = (
    KeyValue<AccountId, RecentBalance>,
    KeyValue<(AccountId, i64), Leg>,
    KeyValue<AccountId, i64>,
    KeyValue<AccountId, Frontier>,
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
                let balance = match before.clone() {
                    Some(known) if known.now.currency == account.currency => revised(known, account)?,
                    // Legs wait for the account's first row, and what does not fit its currency for another one.
                    Some(known) => self.book_waiting(revised(known, account)?, cx)?,
                    None => self.book_waiting(opened(account).into(), cx)?,
                };
                keep(cx, before, balance);
            }
            AccountEvent::Row(None) => {
                if let Some(before) = cx.stores.0.get(&id)? {
                    let mut balance = before.clone();
                    balance.now.is_deleted = true;
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
                cx.stores.3.put(ALL_ACCOUNTS, *frontier);
                self.complete = Some(frontier.commit_number);
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
            reject(cx, account, offset, "account_exists", reason);
        }
        Ok(())
    }
}

impl PostToBalance {
    /// Books what has waited.
    fn book_waiting(&mut self, mut balance: RecentBalance, cx: &mut Context<'_, Self>) -> Result<RecentBalance, ProcessError> {
        let waiting = waiting(balance.now.account_id, cx)?;
        if !waiting.is_empty() {
            cx.stores.2.delete(balance.now.account_id);
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
        recent: &mut RecentBalance,
        leg: &Leg,
        offset: i64,
        cx: &mut Context<'_, Self>,
    ) -> Result<(), ProcessError> {
        if let Some(commit_number) = leg.commit_number {
            begin(recent, commit_number, self.complete(cx)?, cx.now_ms);
        }
        let balance = &mut recent.now;
        as_of(balance, leg.source_lsn, leg.source_ts);
        let digits = balance.currency.minor_digits();
        let fits = |entry: &LegEntry| entry.booked.fits_scale(digits) && entry.pending.fits_scale(digits);
        if leg.entries().all(|entry| fits(&entry)) {
            return leg.entries().try_for_each(|entry| post(balance, leg, entry, cx));
        }
        let of_transaction = |(_, known): &Waiting| known.transaction_id == leg.transaction_id;
        let waiting: Vec<_> = waiting(balance.account_id, cx)?.into_iter().filter(of_transaction).collect();
        for entry in leg.entries() {
            let is_taken_back =
                |(_, known): &&Waiting| !known.reversal && (known.version, known.number) == (entry.version, entry.number);
            if entry.reversal {
                match waiting.iter().find(is_taken_back) {
                    Some((key, _)) => cx.stores.1.delete(*key),
                    None => post(balance, leg, entry, cx)?,
                }
            } else if fits(&entry) {
                post(balance, leg, entry, cx)?;
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
                reject(cx, balance.account_id, offset, "currency_scale", reason);
            }
        }
        Ok(())
    }

    /// The number up to which the source's transactions are complete here.
    fn complete(&mut self, cx: &mut Context<'_, Self>) -> Result<i64, ProcessError> {
        if self.complete.is_none() {
            self.complete = Some(cx.stores.3.get(&ALL_ACCOUNTS)?.map_or(0, |frontier| frontier.commit_number));
        }
        Ok(self.complete.unwrap_or_default())
    }
}

/// Keeps the balance, and tells of it.
fn keep(cx: &mut Context<'_, PostToBalance>, before: Option<RecentBalance>, balance: RecentBalance) {
    let id = balance.now.account_id;
    // What was a moment ago is for those who ask, not for what is made of balances.
    let told = Change::new(Some(balance.now.clone().into()), before.map(|before| before.now.into()));
    cx.stores.0.put(id, balance);
    cx.out.forward(id, LedgerEntry::Balance(told));
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

fn overflow(error: MoneyError) -> ProcessError {
    ProcessError::Record(error.to_string())
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

/// The balance as its account's new row has it. Whether a currency may change is for the source and Silver to say: here an account's
/// row and its transactions come over different topics, so either may be first.
fn revised(mut recent: RecentBalance, account: &Account) -> Result<RecentBalance, ProcessError> {
    let difference = account.opening_balance.checked_sub(recent.now.opening).map_err(overflow)?;
    for former in &mut recent.former {
        // What it opened with, it had from the beginning.
        former.booked = former.booked.checked_add(difference).map_err(overflow)?;
    }
    let balance = &mut recent.now;
    balance.opening = account.opening_balance;
    balance.booked = balance.booked.checked_add(difference).map_err(overflow)?;
    balance.available = balance.booked.checked_sub(balance.pending).map_err(overflow)?;
    balance.customer_id = account.customer_id;
    balance.currency = account.currency;
    balance.is_deleted = false;
    as_of(balance, account.source_lsn, account.source_ts);
    Ok(recent)
}

/// The newest change by its commit time: on a restored or promoted server the LSN may start lower.
fn as_of(balance: &mut AccountBalance, lsn: i64, ts: i64) {
    if (ts, lsn) > (balance.source_ts, balance.source_lsn) {
        balance.source_lsn = lsn;
        balance.source_ts = ts;
    }
}

/// Tells of what an account cannot have (yet).
fn reject(cx: &mut Context<'_, PostToBalance>, account: AccountId, offset: i64, rule: &str, reason: String) {
    let topic = if cx.at.topic.is_empty() { LEGS.name() } else { &*cx.at.topic };
    let rejected = Rejected {
        topic: topic.to_owned(),
        partition: cx.at.partition as i32,
        offset,
        key: Some(account.0.to_be_bytes().to_vec()),
        value: cx.at.value.as_ref().map(|value| value.to_vec()),
        rule: rule.to_owned(),
        reason,
        rejected_at: cx.now_ms.to_micros().0,
    };
    cx.out.forward(account, LedgerEntry::Rejected(rejected));
}

/// One entry.
fn post(
    balance: &mut AccountBalance,
    leg: &Leg,
    entry: LegEntry,
    cx: &mut Context<'_, PostToBalance>,
) -> Result<(), ProcessError> {
    balance.booked = balance.booked.checked_add(entry.booked).map_err(overflow)?;
    balance.pending = balance.pending.checked_add(entry.pending).map_err(overflow)?;
    balance.available = balance.booked.checked_sub(balance.pending).map_err(overflow)?;
    if entry.booked == Money::ZERO {
        return Ok(());
    }
    balance.entry_count += 1;
    balance.last_entry_at = Some(balance.last_entry_at.map_or(leg.source_ts, |at| at.max(leg.source_ts)));
    for posting in postings(balance.account_id, balance.currency, leg, entry, cx.at.partition) {
        cx.out.forward(posting.account_id, LedgerEntry::Posting(posting));
    }
    Ok(())
}

/// The journal's entries of one entry of a leg: the account's side and, unless the other side is an account as well, cash.
fn postings(account: AccountId, currency: Currency, leg: &Leg, of: LegEntry, partition: u32) -> Vec<Posting> {
    let name = |cash: bool, reversal: bool| {
        let side = if cash { "-cash" } else { "" };
        let kind = if reversal { "-reversal" } else { "" };
        format!("{}-{}-{}{side}{kind}", leg.transaction_id, of.version, of.number)
    };
    let entry = |account_id, cash: bool, amount| Posting {
        // A reversal is named by what it takes back, which happens once.
        posting_id: name(cash, of.reversal),
        transaction_id: leg.transaction_id,
        account_id,
        is_cash: cash,
        currency,
        amount,
        reverses: of.reversal.then(|| name(cash, false)),
        booked_at: leg.source_ts,
        effective_at: of.effective_at,
        source_lsn: leg.source_lsn,
    };
    let mut entries = vec![entry(account, false, of.booked)];
    if of.txn_type != TransactionType::Transfer {
        entries.push(entry(cash_account(currency, partition), true, of.booked.negated()));
    }
    entries
}

/// The bank's cash in a currency and partition: a negative id, which no source gives.
pub fn cash_account(currency: Currency, partition: u32) -> AccountId {
    let letters = currency
        .as_str()
        .bytes()
        .fold(0_i64, |number, letter| number * 26 + i64::from(letter - b'A'));
    AccountId(-(1 + letters * 1_000_000 + i64::from(partition)))
}
