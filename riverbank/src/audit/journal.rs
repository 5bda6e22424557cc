//! The journal beside the balances that were emitted with it.

use std::time::Duration;

use schemas::gold::AccountBalance;
use schemas::topics::SILVER_POSTINGS;
use schemas::{AccountId, Currency, Money, TransactionId};

use super::balances::is_half;
use super::books::{Emitted, Entries};
use super::check::Check;
use super::questions::Questions;

/// The journal's part of the audit.
#[derive(Default)]
pub(super) struct OfJournal {
    accounts: Questions<AccountId, (AccountBalance, Entries)>,
    halves: Questions<(TransactionId, Currency), Money>,
}

impl OfJournal {
    /// All accounts and transactions, then those that are asked again.
    pub fn look(&mut self, is_first: bool, emitted: &Emitted) -> anyhow::Result<()> {
        let (accounts, halves): (Vec<AccountId>, Vec<(TransactionId, Currency)>) = match is_first {
            true => (
                emitted.balances.values().map(|balance| balance.account_id).collect(),
                emitted.journal.open.keys().copied().collect(),
            ),
            false => (self.accounts.keys(), self.halves.keys()),
        };
        for id in accounts {
            let Some(balance) = emitted.balances.get(&id.0) else {
                continue;
            };
            let entries = emitted.journal.by_account.get(&id).copied().unwrap_or_default();
            let is_sum = entries.count == balance.entry_count && balance.opening.checked_add(entries.sum)? == balance.booked;
            let difference = match is_sum {
                true => entries.chain.difference(balance),
                false => Some(format!(
                    "account {id}: {} is its balance after {} postings; it opened with {}, and {} postings sum to {}",
                    balance.booked, balance.entry_count, balance.opening, entries.count, entries.sum
                )),
            };
            match difference {
                None => self.accounts.agrees(id),
                Some(difference) => self.accounts.differs(id, (balance.clone(), entries), difference),
            }
        }
        for (id, currency) in halves {
            let sum = emitted.journal.open.get(&(id, currency)).copied().unwrap_or_default();
            if sum == Money::ZERO || is_half(emitted.transactions.get(&id.0), currency, sum, emitted)? {
                self.halves.agrees((id, currency));
            } else {
                let difference = format!("transaction {id}: its postings in {currency} sum to {sum}, not to zero");
                self.halves.differs((id, currency), sum, difference);
            }
        }
        Ok(())
    }

    pub fn is_unsettled(&self, settle: Duration) -> bool {
        self.accounts.is_unsettled(settle) || self.halves.is_unsettled(settle)
    }

    pub fn ask_anew(&mut self) {
        self.accounts.ask_anew();
        self.halves.ask_anew();
    }

    pub fn verdict(self, emitted: &Emitted, settle: Duration) -> Check {
        let mut check = Check::of(format!(
            "{}: {} postings, one after the other, beside the balances that they make, and each transaction's sum beside zero",
            SILVER_POSTINGS.name(),
            emitted.journal.postings
        ));
        check.answered(self.accounts, settle);
        check.answered(self.halves, settle);
        let halves = emitted.journal.open.len();
        if halves > 0 && check.holds() {
            check.notes.push(format!(
                "{halves} transactions are booked on one of their two accounts, as the other cannot have the amount or has not come"
            ));
        }
        check
    }
}
