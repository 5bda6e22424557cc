//! Balances beside the sums that they must be.

use std::collections::HashMap;

use processors::silver::{Accounts, Transactions, effects};
use schemas::bronze::{AccountRow, TransactionRow};
use schemas::gold::AccountBalance;
use schemas::silver::Transaction;
use schemas::topics::ACCOUNT_BALANCES;
use schemas::{Currency, CustomerId, Money};

use super::books::Emitted;
use super::expected::{Expected, expected};

/// What a balance must be, by the source's account and transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sums {
    customer: CustomerId,
    currency: Currency,
    opening: Money,
    booked: Money,
    pending: Money,
    /// The balance that the source itself keeps, if it does.
    recorded: Option<Money>,
}

/// An account of the source, before its transactions.
pub(super) fn open(sums: &mut HashMap<i64, Sums>, row: &AccountRow, emitted: &Emitted) {
    let stored = emitted.accounts.get(&row.id);
    let (account, is_set_aside) = match expected::<Accounts>(row.id, row, stored) {
        Expected::Row(account) => (account, false),
        Expected::SetAside(_) => match stored {
            Some(account) => (account.clone(), true),
            None => return,
        },
    };
    let keeps_balance = row.opening_balance.is_some() && !is_set_aside;
    sums.insert(
        row.id,
        Sums {
            customer: account.customer_id,
            currency: account.currency,
            opening: account.opening_balance,
            booked: account.opening_balance,
            pending: Money::ZERO,
            recorded: row.balance.filter(|_| keeps_balance),
        },
    );
}

/// What a transaction of the source does to its accounts. Amounts that an account's currency cannot have wait, and are not booked.
pub(super) fn add(sums: &mut HashMap<i64, Sums>, row: &TransactionRow, emitted: &Emitted) -> anyhow::Result<()> {
    let stored = emitted.transactions.get(&row.id);
    let transaction = match expected::<Transactions>(row.id, row, stored) {
        Expected::Row(transaction) => transaction,
        Expected::SetAside(_) => match stored {
            Some(stored) => stored.clone(),
            None => return Ok(()),
        },
    };
    for effect in effects(&transaction) {
        let Some(of) = sums.get_mut(&effect.account.0) else { continue };
        if transaction.amount.fits_scale(of.currency.minor_digits()) {
            of.booked = of.booked.checked_add(effect.booked)?;
            of.pending = of.pending.checked_add(effect.pending)?;
        }
    }
    Ok(())
}

/// What is wrong with an account's balance.
pub(super) fn difference(id: i64, expected: Option<&Sums>, emitted: Option<&AccountBalance>) -> anyhow::Result<Option<String>> {
    let topic = ACCOUNT_BALANCES.name();
    let (expected, emitted) = match (expected, emitted) {
        (None, None) => return Ok(None),
        (Some(_), None) => return Ok(Some(format!("account {id} has no balance in {topic}"))),
        (None, Some(_)) => {
            return Ok(Some(format!(
                "account {id} has a balance in {topic}, and is not at the source"
            )));
        }
        (Some(expected), Some(emitted)) => (expected, emitted),
    };
    let mut differing = Vec::new();
    let mut compare = |field: &str, expected: String, emitted: String| {
        if expected != emitted {
            differing.push(format!("{field} is {expected} by the source and {emitted} in {topic}"));
        }
    };
    compare("booked", expected.booked.to_string(), emitted.booked.to_string());
    compare("pending", expected.pending.to_string(), emitted.pending.to_string());
    let available = expected.booked.checked_sub(expected.pending)?;
    compare("available", available.to_string(), emitted.available.to_string());
    compare("opening", expected.opening.to_string(), emitted.opening.to_string());
    compare("currency", expected.currency.to_string(), emitted.currency.to_string());
    compare("customer", expected.customer.to_string(), emitted.customer_id.to_string());
    if let Some(recorded) = expected.recorded
        && recorded != expected.booked
    {
        differing.push(format!(
            "the source keeps the balance {recorded}, and its own transactions make {}",
            expected.booked
        ));
    }
    Ok(match differing.is_empty() {
        true => None,
        false => Some(format!("account {id}: {}", differing.join(", "))),
    })
}

/// Whether a transaction's postings must sum to this: one of its two accounts cannot have the amount, or has not come.
pub(super) fn is_half(
    transaction: Option<&Transaction>,
    currency: Currency,
    sum: Money,
    emitted: &Emitted,
) -> anyhow::Result<bool> {
    let Some(transaction) = transaction.filter(|transaction| transaction.related_account_id.is_some()) else {
        return Ok(false);
    };
    let mut booked = Money::ZERO;
    for effect in effects(transaction) {
        let of = emitted.balances.get(&effect.account.0);
        if of.is_some_and(|of| of.currency == currency && transaction.amount.fits_scale(of.currency.minor_digits())) {
            booked = booked.checked_add(effect.booked)?;
        }
    }
    Ok(booked == sum)
}
