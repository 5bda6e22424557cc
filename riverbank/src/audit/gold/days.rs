//! Accounts by day: the days of each account must join, from what it opened with to what it has, and each must be what its transactions make.

use std::collections::{BTreeMap, HashMap, HashSet};

use processors::gold::day_of;
use processors::silver::effects;
use schemas::gold::AccountDay;
use schemas::topics::ACCOUNT_DAILY;
use schemas::{AccountId, Money};

use super::aggregate::{Aggregate, is_wanted};
use crate::audit::books::Emitted;

/// The days of an account, in their order.
type DaysOfAccount = BTreeMap<i32, AccountDay>;

pub(super) struct Days;

impl Aggregate for Days {
    type Key = AccountId;
    type Row = DaysOfAccount;
    const TOPIC: &'static str = ACCOUNT_DAILY.name();
    const MADE_OF: &'static str = "the accounts, their transactions and their balances";

    fn keys(of: &Emitted) -> HashSet<AccountId> {
        of.gold.days.iter().map(|((account, _), _)| *account).collect()
    }

    fn emitted(of: &Emitted, account: AccountId) -> Option<DaysOfAccount> {
        of.gold.days_of(account)
    }

    fn expected(of: &Emitted, wanted: Option<&HashSet<AccountId>>) -> anyhow::Result<HashMap<AccountId, DaysOfAccount>> {
        let mut all: HashMap<AccountId, DaysOfAccount> = HashMap::new();
        for transaction in of.transactions.values() {
            for effect in effects(transaction) {
                let Some(account) = of.accounts.get(&effect.account.0).filter(|of| is_wanted(wanted, &of.id)) else {
                    continue;
                };
                let amount = effect.booked;
                // What the account cannot have waits.
                if amount == Money::ZERO || !amount.fits_scale(account.currency.minor_digits()) {
                    continue;
                }
                let day = day_of(effect.effective_at);
                let row = all.entry(account.id).or_default().entry(day).or_insert(AccountDay {
                    account_id: account.id,
                    day,
                    customer_id: account.customer_id,
                    account_type: account.account_type,
                    currency: account.currency,
                    opening: Money::ZERO,
                    credits: Money::ZERO,
                    debits: Money::ZERO,
                    entries: 0,
                    closing: Money::ZERO,
                });
                match amount < Money::ZERO {
                    true => row.debits = row.debits.checked_sub(amount)?,
                    false => row.credits = row.credits.checked_add(amount)?,
                }
                row.entries += 1;
            }
        }
        for (id, days) in &mut all {
            let opened = of.accounts.get(&id.0).map(|account| account.opening_balance);
            let mut brought = opened.unwrap_or_default();
            for day in days.values_mut() {
                day.opening = brought;
                day.closing = brought.checked_add(day.credits)?.checked_sub(day.debits)?;
                brought = day.closing;
            }
        }
        Ok(all)
    }

    fn named(account: AccountId) -> String {
        format!("account {account}")
    }

    fn difference(
        of: &Emitted,
        account: AccountId,
        expected: Option<&DaysOfAccount>,
        emitted: Option<&DaysOfAccount>,
    ) -> Option<String> {
        let none = DaysOfAccount::new();
        let (expected, emitted) = (expected.unwrap_or(&none), emitted.unwrap_or(&none));
        let doubled = emitted.keys().find(|day| of.gold.days.is_doubled(&(account, **day)));
        if let Some(day) = doubled {
            return Some(format!("{}: its row is in two partitions", day_text(*day)));
        }
        let missing = expected.keys().find(|day| !emitted.contains_key(day));
        if let Some(day) = missing {
            return Some(format!("{}: it has no row, and its transactions make one", day_text(*day)));
        }
        let ghost = emitted.keys().find(|day| !expected.contains_key(day));
        if let Some(day) = ghost {
            return Some(format!("{}: it has a row, and its transactions make none", day_text(*day)));
        }
        if let Some(broken) = unjoined(of, account, emitted) {
            return Some(broken);
        }
        emitted.values().zip(expected.values()).find_map(|(row, must)| {
            let both = fields(must).into_iter().zip(fields(row));
            let differing = both.filter(|(one, other)| one != other);
            let differing: Vec<String> = differing
                .map(|((field, one), (_, other))| format!("{field} is {other}, and by its transactions {one}"))
                .collect();
            (!differing.is_empty()).then(|| format!("{}: {}", day_text(row.day), differing.join(", ")))
        })
    }

    fn count(of: &Emitted) -> usize {
        of.gold.days.len()
    }
}

/// Where an account's days do not join: within a day, from one day to the next, before the first or behind the last.
fn unjoined(of: &Emitted, account: AccountId, days: &DaysOfAccount) -> Option<String> {
    let mut before = of
        .accounts
        .get(&account.0)
        .map(|account| ("the account opened with", account.opening_balance));
    for row in days.values() {
        let day = day_text(row.day);
        if let Some((what, left)) = before.filter(|(_, left)| *left != row.opening) {
            return Some(format!("{day}: opening is {}, and {what} {left}", row.opening));
        }
        let sum = row
            .opening
            .checked_add(row.credits)
            .and_then(|sum| sum.checked_sub(row.debits));
        if sum != Ok(row.closing) {
            return Some(format!(
                "{day}: closing is {}, and opening {} with credits {} less debits {} is another amount",
                row.closing, row.opening, row.credits, row.debits
            ));
        }
        before = Some(("the day before closed with", row.closing));
    }
    let booked = of.balances.get(&account.0).map(|balance| balance.booked);
    match (days.values().next_back(), booked) {
        (Some(last), Some(booked)) if last.closing != booked => Some(format!(
            "{}, the last: closing is {}, and the account's balance {booked}",
            day_text(last.day),
            last.closing
        )),
        _ => None,
    }
}

/// A day as a date.
pub(super) fn day_text(day: i32) -> String {
    let days = jiff::Span::new().try_days(day);
    let date = days.and_then(|days| jiff::civil::date(1970, 1, 1).checked_add(days));
    date.map_or_else(|_| format!("day {day}"), |date| date.to_string())
}

fn fields(row: &AccountDay) -> Vec<(&'static str, String)> {
    vec![
        ("opening", row.opening.to_string()),
        ("credits", row.credits.to_string()),
        ("debits", row.debits.to_string()),
        ("entries", row.entries.to_string()),
        ("closing", row.closing.to_string()),
        ("customer_id", row.customer_id.to_string()),
        ("account_type", row.account_type.to_string()),
        ("currency", row.currency.to_string()),
    ]
}
