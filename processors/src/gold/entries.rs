//! One entry of a leg: what it does to a balance, its postings, and the hold that it places or ends.
//!
//! A pending withdrawal or transfer holds what it will take. The hold ends when the transaction completes, fails or goes, or when it has
//! expired, so long after the transaction's own time: then what it held is available again, though the transaction stays PENDING, and
//! `silver.rejected` has a record of it. If it completes after that, it is booked as any other.

use schemas::gold::AccountBalance;
use schemas::silver::{Leg, LegEntry, Posting, TransactionType};
use schemas::{AccountId, Currency, Money, MoneyError};
use topology::ProcessError;

use super::holds::{self, Holds};

/// What of the partition and the settings an entry depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Posted {
    /// Up to when the source's transactions are known here, in microseconds since the epoch.
    pub known_until: i64,
    /// The partition that the account is in.
    pub partition: u32,
    /// The currency: the account's, or that of the posting which is taken back.
    pub currency: Currency,
}

/// One entry; its postings.
pub(super) fn post(
    balance: &mut AccountBalance,
    leg: &Leg,
    entry: LegEntry,
    with: Posted,
    of: &mut Holds<'_>,
) -> Result<Vec<Posting>, ProcessError> {
    let pending = if entry.pending == Money::ZERO {
        Money::ZERO
    } else {
        holds::change(balance.account_id, leg, entry, of)?
    };
    move_by(balance, entry.booked, pending).map_err(overflow)?;
    if entry.booked == Money::ZERO {
        return Ok(Vec::new());
    }
    balance.entry_count += 1;
    let last_entry_at = balance.last_entry_at.map_or(leg.source_ts, |at| at.max(leg.source_ts));
    balance.last_entry_at = Some(last_entry_at);
    let recorded_at = last_entry_at.max(with.known_until);
    Ok(postings(balance, leg, entry, (with, recorded_at)))
}

/// Changes what is booked and what is held.
pub(super) fn move_by(balance: &mut AccountBalance, booked: Money, pending: Money) -> Result<(), MoneyError> {
    balance.booked = balance.booked.checked_add(booked)?;
    balance.pending = balance.pending.checked_add(pending)?;
    balance.available = balance.booked.checked_sub(balance.pending)?;
    Ok(())
}

pub(super) fn overflow(error: MoneyError) -> ProcessError {
    ProcessError::Record(error.to_string())
}

/// The id of the account's posting that an entry takes back.
pub(super) fn reversed(leg: &Leg, of: LegEntry) -> String {
    name(leg, of, false, false)
}

/// A posting's id. A reversal is named by what it takes back, which happens once.
fn name(leg: &Leg, of: LegEntry, cash: bool, reversal: bool) -> String {
    let side = if cash { "-cash" } else { "" };
    let kind = if reversal { "-reversal" } else { "" };
    format!("{}-{}-{}{side}{kind}", leg.transaction_id, of.version, of.number)
}

/// The journal's entries of one entry of a leg: the account's side and, unless the other side is an account as well, cash.
fn postings(balance: &AccountBalance, leg: &Leg, of: LegEntry, (with, recorded_at): (Posted, i64)) -> Vec<Posting> {
    let entry = |account_id, cash: bool, amount| Posting {
        posting_id: name(leg, of, cash, of.reversal),
        transaction_id: leg.transaction_id,
        account_id,
        is_cash: cash,
        currency: with.currency,
        amount,
        reverses: of.reversal.then(|| name(leg, of, cash, false)),
        booked_at: leg.source_ts,
        effective_at: of.effective_at,
        source_lsn: leg.source_lsn,
        entry_number: (!cash).then_some(balance.entry_count),
        balance_after: (!cash).then_some(balance.booked),
        recorded_at: (!cash).then_some(recorded_at),
    };
    let mut entries = vec![entry(balance.account_id, false, of.booked)];
    if of.txn_type != TransactionType::Transfer {
        entries.push(entry(cash_account(with.currency, with.partition), true, of.booked.negated()));
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
