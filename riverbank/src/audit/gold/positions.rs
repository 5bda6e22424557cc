//! Customers' positions: the sums of their accounts' balances.

use std::collections::{HashMap, HashSet};

use schemas::gold::CustomerPosition;
use schemas::silver::AccountStatus;
use schemas::topics::CUSTOMER_POSITIONS;
use schemas::{Currency, CustomerId, Money};

use super::aggregate::{Aggregate, Fields, is_wanted, row_difference};
use crate::audit::books::Emitted;

pub(super) struct Positions;

impl Aggregate for Positions {
    type Key = (CustomerId, Currency);
    type Row = CustomerPosition;
    const TOPIC: &'static str = CUSTOMER_POSITIONS.name();
    const MADE_OF: &'static str = "the customer's accounts and their balances";

    fn keys(of: &Emitted) -> HashSet<Self::Key> {
        of.gold.positions.iter().map(|(key, _)| *key).collect()
    }

    fn emitted(of: &Emitted, key: Self::Key) -> Option<CustomerPosition> {
        of.gold.positions.get(&key).cloned()
    }

    fn expected(of: &Emitted, wanted: Option<&HashSet<Self::Key>>) -> anyhow::Result<HashMap<Self::Key, CustomerPosition>> {
        let mut all = HashMap::new();
        for account in of.accounts.values() {
            let key = (account.customer_id, account.currency);
            let Some(balance) = of.balances.get(&account.id.0).filter(|_| is_wanted(wanted, &key)) else {
                continue;
            };
            let row = all.entry(key).or_insert(CustomerPosition {
                customer_id: key.0,
                currency: key.1,
                booked: Money::ZERO,
                available: Money::ZERO,
                accounts: 0,
                open_accounts: 0,
            });
            row.booked = row.booked.checked_add(balance.booked)?;
            row.available = row.available.checked_add(balance.available)?;
            row.accounts += 1;
            row.open_accounts += i64::from(account.status == AccountStatus::Active);
        }
        Ok(all)
    }

    fn named((customer, currency): Self::Key) -> String {
        format!("customer {customer} in {currency}")
    }

    fn difference(
        of: &Emitted,
        key: Self::Key,
        expected: Option<&CustomerPosition>,
        emitted: Option<&CustomerPosition>,
    ) -> Option<String> {
        row_difference(Self::MADE_OF, &of.gold.positions, key, expected, emitted, fields)
    }

    fn count(of: &Emitted) -> usize {
        of.gold.positions.len()
    }
}

fn fields(row: &CustomerPosition) -> Fields {
    vec![
        ("booked", row.booked.to_string()),
        ("available", row.available.to_string()),
        ("accounts", row.accounts.to_string()),
        ("open_accounts", row.open_accounts.to_string()),
    ]
}
