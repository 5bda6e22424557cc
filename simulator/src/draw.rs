//! Which rows a lane acts on.

use std::collections::VecDeque;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use schemas::Currency;
use schemas::silver::TransactionStatus;

use crate::bank::{Known, SimulatedBank};
use crate::book::Account;
use crate::operation::{AccountRef, CustomerRef};

/// Pending transactions of a lane, at most; beyond, new ones are completed at once.
pub(super) const PENDING_MAX: usize = 64;
/// How often a fitting row is looked for before there is none.
pub(super) const TRIES: usize = 8;
/// How many a customer sends money to again and again, at most.
const PAYEES_MAX: u64 = 4;

impl SimulatedBank {
    /// A main account: few are very busy, most are quiet.
    pub(super) fn draw_main(&mut self) -> Account {
        let place = self.activity.draw(&mut self.rng, self.book.mains().len());
        let account = self.book.mains()[place.expect("a lane always has an open main account")];
        self.book.get(account).expect("a main account is open").clone()
    }

    /// Any account that passes, each equally likely.
    pub(super) fn draw_account(&mut self, passes: impl Fn(&Self, &Account) -> bool) -> Option<Account> {
        for _ in 0..TRIES {
            let place = self.rng.random_range(0..self.book.len() as u64) as usize;
            let account = self.book.at(place);
            if passes(self, account) {
                return Some(account.clone());
            }
        }
        None
    }

    /// Any account of the bank of this currency that is never closed, but for those of `not`.
    pub(super) fn draw_public(&mut self, currency: Currency, not: CustomerRef) -> Option<AccountRef> {
        let accounts = self.population.public.get(&currency)?;
        for _ in 0..TRIES {
            let account = accounts[self.rng.random_range(0..accounts.len() as u64) as usize];
            if self.population.accounts[account.0 as usize].customer != not {
                return Some(account);
            }
        }
        None
    }

    /// Whom a customer sends money to: mostly one of a few, now and then somebody else.
    pub(super) fn draw_payee(&mut self, sender: &Account) -> Option<AccountRef> {
        if self.roll.get(sender.customer)?.payees.is_empty() {
            let number = self.rng.random_range(1..=PAYEES_MAX);
            let payees: Vec<AccountRef> = (0..number)
                .filter_map(|_| self.draw_public(sender.currency, sender.customer))
                .collect();
            self.roll.get_mut(sender.customer)?.payees = payees;
        }
        let payees = &self.roll.get(sender.customer)?.payees;
        if !payees.is_empty() && self.rng.random_ratio(4, 5) {
            return Some(payees[self.rng.random_range(0..payees.len() as u64) as usize]);
        }
        self.draw_public(sender.currency, sender.customer)
    }

    pub(super) fn draw_status(&mut self) -> TransactionStatus {
        let pending = self.rng.random_ratio(self.profile.pending_percent, 100) && self.pending.len() < PENDING_MAX;
        if pending {
            TransactionStatus::Pending
        } else {
            TransactionStatus::Completed
        }
    }
}

/// Takes a transaction out of a list, each equally likely.
pub(super) fn take(rng: &mut ChaCha8Rng, list: &mut VecDeque<Known>) -> Option<Known> {
    let place = (!list.is_empty()).then(|| rng.random_range(0..list.len() as u64) as usize)?;
    list.swap_remove_back(place)
}
