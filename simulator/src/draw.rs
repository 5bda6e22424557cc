//! Which rows a lane acts on, and how much it moves.

use std::collections::VecDeque;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Zipf};
use schemas::silver::TransactionStatus;
use schemas::{Currency, Money};

use crate::bank::{Known, SimulatedBank};
use crate::book::{Account, hundredths};
use crate::operation::AccountRef;
use crate::population;
use crate::profile::Range;

/// Pending transactions of a lane, at most; beyond, new ones are completed at once.
pub(super) const PENDING_MAX: usize = 64;
/// How much busier some accounts are than others: with this exponent of Zipf's law, the busiest of a hundred has a twentieth of the
/// transactions.
const SKEW: f64 = 0.5;
/// How often a fitting row is looked for before there is none.
pub(super) const TRIES: usize = 8;

impl SimulatedBank {
    /// Some accounts are busier than others: the lower the place, the more often it is drawn.
    pub(super) fn draw_place(&mut self, len: usize) -> Option<usize> {
        let place = Zipf::new(len as f64, SKEW).ok()?.sample(&mut self.rng);
        Some(place as usize - 1)
    }

    pub(super) fn draw_account(&mut self) -> Account {
        let place = self.draw_place(self.book.len()).expect("a lane always has an open account");
        self.book.at(place).clone()
    }

    /// An account that has something to spend, and how much of it.
    pub(super) fn draw_spendable(&mut self) -> Option<(Account, Money)> {
        for _ in 0..TRIES {
            let account = self.draw_account();
            let range = Range {
                max: self.profile.amount.max.min(account.spendable),
                ..self.profile.amount
            };
            if range.max < range.min {
                continue;
            }
            let amount = population::amount(&mut self.rng, range, account.currency);
            if hundredths(amount) <= account.spendable {
                return Some((account, amount));
            }
        }
        None
    }

    /// Another account of the same currency: mostly any in the bank, sometimes one of the lane's own.
    pub(super) fn draw_receiver(&mut self, sender: AccountRef, currency: Currency) -> Option<AccountRef> {
        for _ in 0..TRIES {
            let anywhere = self.rng.random_ratio(2, 3);
            let public = self
                .population
                .public
                .get(&currency)
                .filter(|accounts| anywhere && !accounts.is_empty());
            let receiver = match public {
                Some(accounts) => accounts[self.rng.random_range(0..accounts.len() as u64) as usize],
                None => {
                    let account = self.draw_account();
                    if account.currency != currency {
                        continue;
                    }
                    account.account
                }
            };
            if receiver != sender {
                return Some(receiver);
            }
        }
        None
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
