//! Balances beside the sums that they must be.

use std::collections::HashMap;

use processors::silver::{Accounts, Transactions, effects};
use schemas::bronze::{AccountRow, TransactionRow};
use schemas::gold::AccountBalance;
use schemas::silver::{Account, Transaction};
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
    /// Of the holds in it, what has expired: it is released at the end, unless an earlier version placed it.
    expired: Money,
    /// The balance that the source itself keeps, if it does and counts what is counted here.
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
    sums.insert(row.id, opened(&account, row.balance.filter(|_| keeps_balance)));
}

/// What a transaction of the source does to its accounts. Amounts that an account's currency cannot have wait, and are not booked.
pub(super) fn add(sums: &mut HashMap<i64, Sums>, row: &TransactionRow, emitted: &Emitted) -> anyhow::Result<()> {
    let stored = emitted.transactions.get(&row.id);
    let transaction = match expected::<Transactions>(row.id, row, stored) {
        Expected::Row(transaction) => transaction,
        Expected::SetAside(_) => {
            // The source counts it as it is.
            for id in [row.account_id, row.related_account_id].into_iter().flatten() {
                if let Some(of) = sums.get_mut(&id) {
                    of.recorded = None;
                }
            }
            match stored {
                Some(stored) => stored.clone(),
                None => return Ok(()),
            }
        }
    };
    book(sums, &transaction, emitted.holds_since)
}

fn book(sums: &mut HashMap<i64, Sums>, transaction: &Transaction, holds_since: Option<i64>) -> anyhow::Result<()> {
    for effect in effects(transaction) {
        let Some(of) = sums.get_mut(&effect.account.0) else { continue };
        if transaction.amount.fits_scale(of.currency.minor_digits()) {
            of.booked = of.booked.checked_add(effect.booked)?;
            of.pending = of.pending.checked_add(effect.pending)?;
            if holds_since.is_some_and(|since| transaction.created_at <= since) {
                of.expired = of.expired.checked_add(effect.pending)?;
            }
        } else {
            of.recorded = None;
        }
    }
    Ok(())
}

/// Where the source itself keeps another balance than its transactions make, of one and the same moment.
pub(super) fn ledger(sums: &HashMap<i64, Sums>) -> (usize, Vec<String>) {
    let kept = sums.iter().filter_map(|(id, of)| Some((*id, of.recorded?, of.booked)));
    let mut off: Vec<(i64, Money, Money)> = kept.clone().filter(|(_, recorded, booked)| recorded != booked).collect();
    off.sort_unstable();
    let text = |(id, recorded, booked)| {
        format!("account {id}: the source keeps the balance {recorded}, and its own transactions make {booked}")
    };
    (kept.count(), off.into_iter().map(text).collect())
}

/// What these balances must be by what was emitted of their accounts and transactions.
pub(super) fn by_emitted_rows(ids: &[i64], emitted: &Emitted) -> anyhow::Result<HashMap<i64, Sums>> {
    let accounts = ids.iter().filter_map(|id| emitted.accounts.get(id));
    let mut sums = accounts.map(|account| (account.id.0, opened(account, None))).collect();
    emitted
        .transactions
        .values()
        .try_for_each(|transaction| book(&mut sums, transaction, emitted.holds_since))?;
    Ok(sums)
}

fn opened(account: &Account, recorded: Option<Money>) -> Sums {
    Sums {
        customer: account.customer_id,
        currency: account.currency,
        opening: account.opening_balance,
        booked: account.opening_balance,
        pending: Money::ZERO,
        expired: Money::ZERO,
        recorded,
    }
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
    let held = expected.pending.checked_sub(expected.expired)?..=expected.pending;
    let pending = if held.contains(&emitted.pending) {
        emitted.pending
    } else {
        expected.pending
    };
    compare("pending", pending.to_string(), emitted.pending.to_string());
    let available = expected.booked.checked_sub(pending)?;
    compare("available", available.to_string(), emitted.available.to_string());
    compare("opening", expected.opening.to_string(), emitted.opening.to_string());
    compare("currency", expected.currency.to_string(), emitted.currency.to_string());
    compare("customer", expected.customer.to_string(), emitted.customer_id.to_string());
    Ok(match differing.is_empty() {
        true => None,
        false => Some(format!("account {id}: {}", differing.join(", "))),
    })
}

/// Whether a transaction's postings must sum to this: one of its two accounts cannot have the amount, or has not come. If both have it, each
/// in a currency of its own, money was made of nothing.
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
        let Some(of) = emitted.balances.get(&effect.account.0) else {
            continue;
        };
        if !transaction.amount.fits_scale(of.currency.minor_digits()) {
            continue;
        }
        if of.currency != currency {
            return Ok(false);
        }
        booked = booked.checked_add(effect.booked)?;
    }
    Ok(booked == sum)
}

#[cfg(test)]
mod tests {
    use schemas::silver::{AccountStatus, AccountType, BalanceFrom, TransactionStatus, TransactionType};
    use schemas::{AccountId, TransactionId};

    use super::*;

    fn account(id: i64, currency: &str) -> Account {
        Account {
            id: AccountId(id),
            customer_id: CustomerId(1),
            account_type: AccountType::Checking,
            currency: currency.parse().expect("a currency"),
            opening_balance: Money::ZERO,
            balance: Money::ZERO,
            status: AccountStatus::Active,
            closed_at: None,
            created_at: 0,
            updated_at: 0,
            source_lsn: 0,
            source_ts: 0,
            balance_from: BalanceFrom::Ledger,
        }
    }

    /// A transfer of 1.50 from account 1 to account 2.
    fn transfer() -> Transaction {
        Transaction {
            id: TransactionId(9),
            account_id: AccountId(1),
            txn_type: TransactionType::Transfer,
            amount: Money::from_hundredths(150),
            related_account_id: Some(AccountId(2)),
            status: TransactionStatus::Completed,
            created_at: 0,
            updated_at: 0,
            source_lsn: 0,
            source_ts: 0,
        }
    }

    fn balance(account: &Account) -> AccountBalance {
        AccountBalance {
            account_id: account.id,
            customer_id: account.customer_id,
            currency: account.currency,
            opening: Money::ZERO,
            booked: Money::ZERO,
            pending: Money::ZERO,
            available: Money::ZERO,
            entry_count: 0,
            last_entry_at: None,
            is_deleted: false,
            source_lsn: 0,
            source_ts: 0,
            commit_number: None,
        }
    }

    fn emitted(currency_of_two: &str) -> Emitted {
        let accounts = [account(1, "EUR"), account(2, currency_of_two)].map(|row| (row.id.0, row));
        Emitted {
            accounts: accounts.into(),
            transactions: [(9, transfer())].into(),
            ..Emitted::default()
        }
    }

    #[test]
    fn what_an_account_cannot_have_is_not_booked() {
        for (currency, expected) in [("EUR", ["-1.50", "1.50"]), ("JPY", ["-1.50", "0.00"])] {
            let sums = by_emitted_rows(&[1, 2], &emitted(currency)).expect("sums");
            assert_eq!([1, 2].map(|id| sums[&id].booked.to_string()), expected);
        }
    }

    #[test]
    fn a_transfer_between_currencies_is_no_half() {
        let half = |currency_of_two: &str, amount: i128| {
            let mut emitted = emitted(currency_of_two);
            let transaction = Transaction {
                amount: Money::from_hundredths(amount),
                ..transfer()
            };
            let rows = [account(1, "EUR"), account(2, currency_of_two)];
            emitted.balances = rows.map(|row| (row.id.0, balance(&row))).into();
            let sum = transaction.amount.negated();
            is_half(Some(&transaction), "EUR".parse().expect("a currency"), sum, &emitted).expect("a sum")
        };
        // Half a yen is not booked; a hundred are, as a hundred euros.
        assert_eq!(
            [half("JPY", 150), half("JPY", 10_000), half("USD", 150)],
            [true, false, false]
        );
    }

    /// Triggers were off, or somebody wrote past them: no second look is needed.
    #[test]
    fn a_source_that_contradicts_itself_is_told() {
        let kept = |id: i64, hundredths| (id, opened(&account(id, "EUR"), Some(Money::from_hundredths(hundredths))));
        let mut sums: HashMap<i64, Sums> = [kept(1, -150), kept(2, 50)].into();
        book(&mut sums, &transfer(), None).expect("it is booked");
        let (count, off) = ledger(&sums);
        assert_eq!(count, 2);
        assert_eq!(
            off,
            ["account 2: the source keeps the balance 0.50, and its own transactions make 1.50"]
        );
    }
}
