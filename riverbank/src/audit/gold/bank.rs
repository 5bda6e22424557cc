//! The bank by day: the days of accounts, and the accounts made and closed, by type and currency.

use std::collections::{HashMap, HashSet};

use processors::gold::day_of;
use schemas::CustomerId;
use schemas::gold::{BankDay, BankDayKey};
use schemas::silver::AccountStatus;
use schemas::topics::BANK_DAILY;

use super::aggregate::{Aggregate, Fields, is_wanted, row_difference};
use super::days::day_text;
use crate::audit::books::Emitted;

pub(super) struct BankDays;

impl Aggregate for BankDays {
    type Key = BankDayKey;
    type Row = BankDay;
    const TOPIC: &'static str = BANK_DAILY.name();
    const MADE_OF: &'static str = "the accounts and their days";

    fn keys(of: &Emitted) -> HashSet<Self::Key> {
        of.gold.bank_days.iter().map(|(key, _)| *key).collect()
    }

    fn emitted(of: &Emitted, key: Self::Key) -> Option<BankDay> {
        of.gold.bank_days.get(&key).cloned()
    }

    fn expected(of: &Emitted, wanted: Option<&HashSet<Self::Key>>) -> anyhow::Result<HashMap<Self::Key, BankDay>> {
        let mut all: HashMap<BankDayKey, BankDay> = HashMap::new();
        let mut customers: HashSet<(BankDayKey, CustomerId)> = HashSet::new();
        for (_, day) in of.gold.days.iter() {
            let key = (day.day, day.account_type, day.currency);
            if !is_wanted(wanted, &key) {
                continue;
            }
            let row = all.entry(key).or_insert_with(|| BankDay::empty(key));
            row.net_flow = row.net_flow.checked_add(day.credits)?.checked_sub(day.debits)?;
            row.active_accounts += 1;
            row.active_customers += i64::from(customers.insert((key, day.customer_id)));
        }
        for account in of.accounts.values() {
            let made = (day_of(account.created_at), account.account_type, account.currency);
            if is_wanted(wanted, &made) {
                let row = all.entry(made).or_insert_with(|| BankDay::empty(made));
                row.new_accounts += 1;
                row.opened_with = row.opened_with.checked_add(account.opening_balance)?;
            }
            let Some(at) = account.closed_at.filter(|_| account.status == AccountStatus::Inactive) else {
                continue;
            };
            let closed = (day_of(at), account.account_type, account.currency);
            if is_wanted(wanted, &closed) {
                all.entry(closed).or_insert_with(|| BankDay::empty(closed)).closed_accounts += 1;
            }
        }
        Ok(all)
    }

    fn named((day, account_type, currency): Self::Key) -> String {
        format!("{}, {account_type} in {currency}", day_text(day))
    }

    fn difference(of: &Emitted, key: Self::Key, expected: Option<&BankDay>, emitted: Option<&BankDay>) -> Option<String> {
        row_difference(Self::MADE_OF, &of.gold.bank_days, key, expected, emitted, fields)
    }

    fn count(of: &Emitted) -> usize {
        of.gold.bank_days.len()
    }
}

fn fields(row: &BankDay) -> Fields {
    vec![
        ("net_flow", row.net_flow.to_string()),
        ("opened_with", row.opened_with.to_string()),
        ("new_accounts", row.new_accounts.to_string()),
        ("closed_accounts", row.closed_accounts.to_string()),
        ("active_accounts", row.active_accounts.to_string()),
        ("active_customers", row.active_customers.to_string()),
    ]
}
