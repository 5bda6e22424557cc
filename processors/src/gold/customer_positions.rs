//! What customers have, by currency.
//!
//! ```text
//!  terms of accounts ──┐
//!                      ├─ join ─► an account's position ─ by customer and currency ─► gold.customer_positions
//!  balances ───────────┘
//! ```
//!
//! An account that changes hands leaves the one customer's position as it last was in it, whatever has been booked since.

use schemas::gold::{AccountBalance, CustomerPosition};
use schemas::silver::AccountStatus;
use schemas::state::AccountTerms;
use schemas::{AccountId, Currency, CustomerId, MoneyError};
use topology::dsl::Table;

use super::sums::{Sign, Sums, sum, sums};
use crate::stores::{self, HELD_BYTES_MAX};

/// The positions of customers.
pub fn customer_positions(
    accounts: &Table<AccountId, AccountTerms>,
    balances: &Table<AccountId, AccountBalance>,
) -> Table<(CustomerId, Currency), CustomerPosition> {
    let positions = accounts.join(balances, position);
    let by_customer = positions.group_by_summed(
        |_, position| ((position.customer_id, position.currency), position.clone()),
        sum,
        "customer-positions",
        HELD_BYTES_MAX,
    );
    sums(&by_customer, stores::CUSTOMER_POSITIONS)
}

/// What one account adds.
fn position(terms: &AccountTerms, balance: &AccountBalance) -> CustomerPosition {
    CustomerPosition {
        customer_id: terms.customer_id,
        currency: terms.currency,
        booked: balance.booked,
        available: balance.available,
        accounts: 1,
        open_accounts: i64::from(terms.status == AccountStatus::Active),
    }
}

impl Sums for CustomerPosition {
    fn with(&self, other: &Self, sign: Sign) -> Result<Self, MoneyError> {
        Ok(Self {
            booked: sign.money(self.booked, other.booked)?,
            available: sign.money(self.available, other.available)?,
            accounts: sign.count(self.accounts, other.accounts),
            open_accounts: sign.count(self.open_accounts, other.open_accounts),
            ..*self
        })
    }

    fn is_empty(&self) -> bool {
        self.accounts == 0
    }
}
