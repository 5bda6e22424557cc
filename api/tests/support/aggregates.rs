//! Gold that adds up, computed from the rows of the tests' state: what the engine's stores would hold.
//!
//! A row's partition is what a number of its key leaves when divided by the number of partitions: the customer, the day, or the minute.

use std::collections::{BTreeMap, BTreeSet};

use api::reads::{Days, Minutes, Part};
use processors::gold::day_of;
use schemas::gold::{AccountDay, BankDay, BankDayKey, CustomerPosition, TransactionMinute, TransactionMinuteKey};
use schemas::silver::{Account, AccountStatus, Transaction, TransactionStatus, TransactionType};
use schemas::{AccountId, Currency, CustomerId, Money, TransactionId};

const MINUTE_US: i64 = 60_000_000;

type Accounts = BTreeMap<AccountId, Account>;
type Transactions = BTreeMap<TransactionId, Transaction>;

fn sum(one: Money, other: Money) -> Money {
    one.checked_add(other).expect("a sum")
}

/// What the customer has, by currency.
pub fn positions(id: CustomerId, accounts: &Accounts) -> Vec<CustomerPosition> {
    let mut positions: BTreeMap<Currency, CustomerPosition> = BTreeMap::new();
    for account in accounts.values().filter(|account| account.customer_id == id) {
        let position = positions.entry(account.currency).or_insert(CustomerPosition {
            customer_id: id,
            currency: account.currency,
            booked: Money::ZERO,
            available: Money::ZERO,
            accounts: 0,
            open_accounts: 0,
        });
        position.booked = sum(position.booked, account.balance);
        position.available = sum(position.available, account.balance);
        position.accounts += 1;
        position.open_accounts += i64::from(account.status == AccountStatus::Active);
    }
    positions.into_values().collect()
}

/// The days of an account on which it took part in a completed transaction.
pub fn account_days(account: &Account, transactions: &Transactions) -> Vec<AccountDay> {
    let mut days: BTreeMap<i32, AccountDay> = BTreeMap::new();
    let of = |row: &&Transaction| row.account_id == account.id || row.related_account_id == Some(account.id);
    for row in transactions
        .values()
        .filter(of)
        .filter(|row| row.status == TransactionStatus::Completed)
    {
        let day = day_of(row.created_at);
        let sums = days.entry(day).or_insert(AccountDay {
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
        let is_credit = row.txn_type == TransactionType::Deposit || row.account_id != account.id;
        let side = if is_credit { &mut sums.credits } else { &mut sums.debits };
        *side = sum(*side, row.amount);
        sums.entries += 1;
    }
    let mut opening = account.opening_balance;
    for day in days.values_mut() {
        day.opening = opening;
        day.closing = sum(opening, day.credits).checked_sub(day.debits).expect("a difference");
        opening = day.closing;
    }
    days.into_values().collect()
}

/// Some of them.
pub fn some_days(all: Vec<AccountDay>, which: Days) -> Part<AccountDay, i32> {
    let wanted = |row: &AccountDay| (which.from..=which.to).contains(&row.day);
    let mut rows: Vec<AccountDay> = all.into_iter().filter(wanted).collect();
    let has_more = rows.len() > which.limit;
    rows.truncate(which.limit);
    let until = rows.last().filter(|_| has_more).map(|row| row.day);
    Part { rows, until }
}

/// The bank by day.
pub fn bank_days(accounts: &Accounts, transactions: &Transactions) -> BTreeMap<BankDayKey, BankDay> {
    let mut days: BTreeMap<BankDayKey, BankDay> = BTreeMap::new();
    let mut customers: BTreeMap<BankDayKey, BTreeSet<CustomerId>> = BTreeMap::new();
    for account in accounts.values() {
        let key = |day| (day, account.account_type, account.currency);
        let made = key(day_of(account.created_at));
        let row = days.entry(made).or_insert_with(|| BankDay::empty(made));
        row.new_accounts += 1;
        row.opened_with = sum(row.opened_with, account.opening_balance);
        for day in account_days(account, transactions) {
            let key = key(day.day);
            let row = days.entry(key).or_insert_with(|| BankDay::empty(key));
            row.net_flow = sum(row.net_flow, day.credits).checked_sub(day.debits).expect("a difference");
            row.active_accounts += 1;
            let active = customers.entry(key).or_default();
            active.insert(account.customer_id);
            row.active_customers = active.len() as i64;
        }
    }
    days
}

/// Transactions by minute, in the order of the keys' bytes.
pub fn minutes(accounts: &Accounts, transactions: &Transactions) -> Vec<TransactionMinute> {
    let mut minutes: BTreeMap<(i64, &str, &str, String), TransactionMinute> = BTreeMap::new();
    for row in transactions.values() {
        let Some(account) = accounts.get(&row.account_id) else {
            continue;
        };
        let minute = row.created_at - row.created_at.rem_euclid(MINUTE_US);
        let place = (
            minute,
            row.txn_type.as_str(),
            row.status.as_str(),
            account.currency.to_string(),
        );
        let sums = minutes.entry(place).or_insert(TransactionMinute {
            minute,
            txn_type: row.txn_type,
            status: row.status,
            currency: account.currency,
            transactions: 0,
            amount: Money::ZERO,
            failures: 0,
        });
        sums.transactions += 1;
        sums.amount = sum(sums.amount, row.amount);
        sums.failures += i64::from(row.status == TransactionStatus::Failed);
    }
    minutes.into_values().collect()
}

/// Some of them, of one instance.
pub fn some_minutes(
    all: Vec<TransactionMinute>,
    which: &Minutes,
    limit: usize,
    is_here: impl Fn(&TransactionMinute) -> bool,
) -> Part<TransactionMinute, TransactionMinuteKey> {
    let place = |(minute, txn_type, status, currency): TransactionMinuteKey| {
        (minute, txn_type.as_str(), status.as_str(), currency.to_string())
    };
    let mut rows = all;
    rows.retain(|row| (which.from..which.to).contains(&row.minute) && is_here(row));
    rows.retain(|row| which.after.is_none_or(|after| place(row.key()) > place(after)));
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let until = rows.last().filter(|_| has_more).map(TransactionMinute::key);
    Part { rows, until }
}
