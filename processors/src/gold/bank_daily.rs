//! The bank by day, type of account and currency.
//!
//! ```text
//!  gold.account_daily ─┬─ net flow, active accounts ───────────────────────┐
//!                      └─ by customer, each once ─► active customers ──────┤
//!  terms of accounts ──┬─ by the day they were made ─► new accounts ───────┼─ by day, type and currency ─► gold.bank_daily
//!                      └─ by the day they were closed ─► closed accounts ──┘
//! ```
//!
//! Each part adds to a day what it knows of it, and takes it back by itself, so a day is right whichever part comes first, and is gone with the
//! last of them.

use schemas::gold::{AccountDay, BankDay, BankDayKey};
use schemas::silver::{AccountStatus, AccountType};
use schemas::state::AccountTerms;
use schemas::{AccountId, Currency, CustomerId, MoneyError};
use topology::dsl::{GroupedTable, Parts, Table};

use super::account_daily::day_of;
use super::sums::{Sign, Sums, sum, sums};
use crate::stores::{self, HELD_BYTES_MAX};

/// A customer on a day, by type of account and currency.
type CustomerDay = (CustomerId, i32, AccountType, Currency);

/// The days of the bank.
pub fn bank_daily(
    days: &Parts<AccountId, i32, AccountDay>,
    accounts: &Table<AccountId, AccountTerms>,
) -> Table<BankDayKey, BankDay> {
    let flows = days.group_by_summed(|_, day| by_key(flow(day)), sum, "bank-flows", HELD_BYTES_MAX);
    let all = flows.merge(&customers(days)).merge(&made(accounts)).merge(&closed(accounts));
    sums(&all, stores::BANK_DAYS)
}

fn by_key(row: BankDay) -> (BankDayKey, BankDay) {
    (row.key(), row)
}

/// What an account's day adds.
fn flow(day: &AccountDay) -> BankDay {
    let empty = BankDay::empty((day.day, day.account_type, day.currency));
    BankDay {
        // Neither is below zero, so there is room for the difference where there is for them.
        net_flow: day.credits.checked_sub(day.debits).unwrap_or_default(),
        active_accounts: 1,
        ..empty
    }
}

/// The customers that were active on a day: each adds one, by however many accounts.
fn customers(days: &Parts<AccountId, i32, AccountDay>) -> GroupedTable<BankDayKey, BankDay> {
    let of_customer = |_: &(AccountId, i32), day: &AccountDay| -> (CustomerDay, i64) {
        ((day.customer_id, day.day, day.account_type, day.currency), 1)
    };
    let by_customer = days.group_by_summed(of_customer, |one, other| Some(one + other), "customer-days", HELD_BYTES_MAX);
    let accounts = by_customer.reduce(
        stores::CUSTOMER_DAYS,
        |accounts, one| accounts + one,
        |accounts, one| Some(accounts - one).filter(|accounts| *accounts > 0),
    );
    accounts.map_values(|_, _| 1_i64).group_by_summed(
        |(_, day, account_type, currency), active_customers| {
            let empty = BankDay::empty((*day, *account_type, *currency));
            by_key(BankDay {
                active_customers: *active_customers,
                ..empty
            })
        },
        sum,
        "bank-customers",
        HELD_BYTES_MAX,
    )
}

/// The accounts, on the day they were made.
fn made(accounts: &Table<AccountId, AccountTerms>) -> GroupedTable<BankDayKey, BankDay> {
    let made = accounts.map_values(|_, terms| BankDay {
        new_accounts: 1,
        opened_with: terms.opening_balance,
        ..BankDay::empty((day_of(terms.created_at), terms.account_type, terms.currency))
    });
    made.on_change().group_by(|_, day| by_key(day.clone()), "bank-new-accounts")
}

/// The accounts that are closed, on the day they were.
fn closed(accounts: &Table<AccountId, AccountTerms>) -> GroupedTable<BankDayKey, BankDay> {
    let closed = accounts.filter_map_values(|_, terms| {
        let closed_at = terms.closed_at.filter(|_| terms.status == AccountStatus::Inactive)?;
        Some(BankDay {
            closed_accounts: 1,
            ..BankDay::empty((day_of(closed_at), terms.account_type, terms.currency))
        })
    });
    closed
        .on_change()
        .group_by(|_, day| by_key(day.clone()), "bank-closed-accounts")
}

impl Sums for BankDay {
    fn with(&self, other: &Self, sign: Sign) -> Result<Self, MoneyError> {
        Ok(Self {
            net_flow: sign.money(self.net_flow, other.net_flow)?,
            opened_with: sign.money(self.opened_with, other.opened_with)?,
            new_accounts: sign.count(self.new_accounts, other.new_accounts),
            closed_accounts: sign.count(self.closed_accounts, other.closed_accounts),
            active_accounts: sign.count(self.active_accounts, other.active_accounts),
            active_customers: sign.count(self.active_customers, other.active_customers),
            ..*self
        })
    }

    /// No amount is there without an account that brought it.
    fn is_empty(&self) -> bool {
        (
            self.new_accounts,
            self.closed_accounts,
            self.active_accounts,
            self.active_customers,
        ) == (0, 0, 0, 0)
    }
}
