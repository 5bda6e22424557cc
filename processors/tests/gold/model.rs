//! What the Gold tables should say: recomputed from the source's rows, in plain loops.

use std::collections::{BTreeMap, BTreeSet};

use schemas::bronze::{AccountRow, TransactionRow};
use schemas::gold::{
    AccountDay, BankDay, BankDayKey, CustomerPosition, TransactionFact, TransactionMinute, TransactionMinuteKey,
};
use schemas::{AccountId, Currency, CustomerId, Money, TransactionId};

/// The source's tables.
#[derive(Debug, Clone, Default)]
pub struct Source {
    pub accounts: BTreeMap<i64, AccountRow>,
    pub transactions: BTreeMap<i64, TransactionRow>,
    /// What each account has been, and since when, in microseconds since the epoch; of one that is gone, what it was last.
    pub versions: BTreeMap<i64, Vec<(i64, AccountRow)>>,
    /// What is behind a row of `transactions`: the position of its last change, and that one's instant.
    pub changed: BTreeMap<i64, (i64, i64)>,
}

pub fn sum(one: Money, other: Money) -> Money {
    one.checked_add(other).unwrap()
}

pub fn currency(account: &AccountRow) -> Currency {
    account.currency.as_deref().unwrap().parse().unwrap()
}

fn code<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &Option<String>) -> T {
    text.as_deref().unwrap().parse().unwrap()
}

pub fn is(text: &Option<String>, code: &str) -> bool {
    text.as_deref() == Some(code)
}

impl Source {
    /// An account was changed, or deleted.
    pub fn account_is(&mut self, id: i64, row: Option<&AccountRow>, at: i64) {
        let versions = self.versions.entry(id).or_default();
        let was_there = self.accounts.contains_key(&id);
        let tracked = |row: &AccountRow| {
            (
                row.customer_id,
                row.account_type.clone(),
                row.currency.clone(),
                row.status.clone(),
            )
        };
        match (row, versions.last()) {
            (Some(row), Some((_, newest))) if was_there && tracked(row) == tracked(newest) => {}
            (Some(row), _) => versions.push((at, row.clone())),
            (None, Some((_, newest))) => versions.push((at, newest.clone())),
            (None, None) => {}
        }
        match row {
            Some(row) => self.accounts.insert(id, row.clone()),
            None => self.accounts.remove(&id),
        };
    }

    pub fn transaction_facts(&self) -> BTreeMap<TransactionId, TransactionFact> {
        let mut all = BTreeMap::new();
        for (id, row) in &self.transactions {
            let Some(versions) = self.versions.get(&row.account_id.unwrap()) else {
                continue;
            };
            let (mut number, mut then) = (1, &versions[0].1);
            for (place, (from, version)) in versions.iter().enumerate() {
                if *from <= row.created_at.unwrap() {
                    (number, then) = (place as i64 + 1, version);
                }
            }
            let (source_lsn, changed_at) = self.changed[id];
            let fact = TransactionFact {
                transaction_id: TransactionId(*id),
                account_id: AccountId(row.account_id.unwrap()),
                account_version: number,
                customer_id: CustomerId(then.customer_id.unwrap()),
                account_type: code(&then.account_type),
                currency: currency(&versions.last().unwrap().1),
                txn_type: code(&row.txn_type),
                amount: row.amount.unwrap(),
                related_account_id: row.related_account_id.map(AccountId),
                status: code(&row.status),
                created_at: row.created_at.unwrap(),
                updated_at: row.updated_at.unwrap_or(changed_at),
                source_lsn,
                source_ts: changed_at,
            };
            all.insert(TransactionId(*id), fact);
        }
        all
    }

    /// What completed transactions have done to an account.
    pub fn booked(&self, account: i64) -> Vec<(&TransactionRow, Money)> {
        let mut all = Vec::new();
        for row in self.transactions.values().filter(|row| is(&row.status, "COMPLETED")) {
            let amount = row.amount.unwrap();
            if row.account_id == Some(account) {
                let comes_in = is(&row.txn_type, "DEPOSIT");
                all.push((row, if comes_in { amount } else { amount.negated() }));
            }
            if row.related_account_id == Some(account) {
                all.push((row, amount));
            }
        }
        all
    }

    fn held(&self, account: i64) -> Money {
        let holds = self
            .transactions
            .values()
            .filter(|row| row.account_id == Some(account) && is(&row.status, "PENDING") && !is(&row.txn_type, "DEPOSIT"));
        holds.fold(Money::ZERO, |held, row| sum(held, row.amount.unwrap()))
    }

    pub fn customer_positions(&self) -> BTreeMap<(CustomerId, Currency), CustomerPosition> {
        let mut all = BTreeMap::new();
        for (id, account) in &self.accounts {
            let entries = self.booked(*id).into_iter();
            let booked = entries.fold(account.opening_balance.unwrap(), |booked, (_, amount)| sum(booked, amount));
            let key = (CustomerId(account.customer_id.unwrap()), currency(account));
            let row = all.entry(key).or_insert(CustomerPosition {
                customer_id: key.0,
                currency: key.1,
                booked: Money::ZERO,
                available: Money::ZERO,
                accounts: 0,
                open_accounts: 0,
            });
            row.booked = sum(row.booked, booked);
            row.available = sum(row.available, sum(booked, self.held(*id).negated()));
            row.accounts += 1;
            row.open_accounts += i64::from(is(&account.status, "ACTIVE"));
        }
        all
    }

    pub fn transaction_minutes(&self) -> BTreeMap<TransactionMinuteKey, TransactionMinute> {
        let mut all = BTreeMap::new();
        for row in self.transactions.values() {
            // One that is gone keeps its transactions where they are.
            let Some((_, account)) = self
                .versions
                .get(&row.account_id.unwrap())
                .and_then(|versions| versions.last())
            else {
                continue;
            };
            let minute = row.created_at.unwrap().div_euclid(60_000_000) * 60_000_000;
            let key = (minute, code(&row.txn_type), code(&row.status), currency(account));
            let sums = all.entry(key).or_insert(TransactionMinute {
                minute,
                txn_type: key.1,
                status: key.2,
                currency: key.3,
                transactions: 0,
                amount: Money::ZERO,
                failures: 0,
            });
            sums.transactions += 1;
            sums.amount = sum(sums.amount, row.amount.unwrap());
            sums.failures += i64::from(is(&row.status, "FAILED"));
        }
        all
    }

    pub fn account_daily(&self) -> BTreeMap<(AccountId, i32), AccountDay> {
        let mut all = BTreeMap::new();
        for (id, account) in &self.accounts {
            let mut days: BTreeMap<i32, Vec<Money>> = BTreeMap::new();
            for (row, amount) in self.booked(*id) {
                days.entry(day(row.created_at)).or_default().push(amount);
            }
            let mut balance = account.opening_balance.unwrap();
            for (day, amounts) in days {
                let total = |amounts: &mut dyn Iterator<Item = Money>| amounts.fold(Money::ZERO, sum);
                let credits = total(&mut amounts.iter().copied().filter(|amount| *amount > Money::ZERO));
                let debits = total(
                    &mut amounts
                        .iter()
                        .filter(|amount| **amount < Money::ZERO)
                        .map(|amount| amount.negated()),
                );
                let (opening, closing) = (balance, sum(balance, sum(credits, debits.negated())));
                balance = closing;
                let row = AccountDay {
                    account_id: AccountId(*id),
                    day,
                    customer_id: CustomerId(account.customer_id.unwrap()),
                    account_type: code(&account.account_type),
                    currency: currency(account),
                    opening,
                    credits,
                    debits,
                    entries: amounts.len() as i64,
                    closing,
                };
                all.insert((AccountId(*id), day), row);
            }
        }
        all
    }

    pub fn bank_daily(&self) -> BTreeMap<BankDayKey, BankDay> {
        let mut all: BTreeMap<BankDayKey, BankDay> = BTreeMap::new();
        let mut customers: BTreeMap<BankDayKey, BTreeSet<Option<i64>>> = BTreeMap::new();
        for (id, account) in &self.accounts {
            let key = |instant| (day(instant), code(&account.account_type), currency(account));
            let made = key(account.created_at);
            let row = all.entry(made).or_insert(BankDay::empty(made));
            row.new_accounts += 1;
            row.opened_with = sum(row.opened_with, account.opening_balance.unwrap());
            if is(&account.status, "INACTIVE") && account.closed_at.is_some() {
                let closed = key(account.closed_at);
                all.entry(closed).or_insert(BankDay::empty(closed)).closed_accounts += 1;
            }
            let mut active = BTreeSet::new();
            for (row, amount) in self.booked(*id) {
                let day = key(row.created_at);
                let of_day = all.entry(day).or_insert(BankDay::empty(day));
                of_day.net_flow = sum(of_day.net_flow, amount);
                of_day.active_accounts += i64::from(active.insert(day));
                customers.entry(day).or_default().insert(account.customer_id);
            }
        }
        for (day, customers) in customers {
            all.get_mut(&day).unwrap().active_customers = customers.len() as i64;
        }
        all
    }
}

/// In days since the epoch.
fn day(instant: Option<i64>) -> i32 {
    instant.unwrap().div_euclid(86_400_000_000) as i32
}
