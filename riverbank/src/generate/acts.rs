//! How a lane turns a kind into operations on rows that can bear it.
//!
//! An act that finds nothing to act on (no pending transaction, no money) returns no operation, and a deposit takes its
//! place: the stream never stalls.

use std::collections::VecDeque;

use rand::RngExt;
use schemas::silver::{TransactionStatus, TransactionType};
use schemas::{Currency, Money};

use super::bank::{Customer, Known, SimulatedBank};
use super::book::Account;
use super::founding;
use super::mix::Kind;
use super::operation::{AccountRef, ChangeReason, Draft, Operation};
use super::people;
use super::profile::Range;

/// Transactions that a lane keeps in mind for later changes, at most; the oldest one is forgotten.
const RECENT_MAX: usize = 512;
/// Pending transactions of a lane, at most; beyond, new ones are completed at once.
const PENDING_MAX: usize = 64;
/// How often an act looks for a fitting row before it gives up.
const TRIES: usize = 8;
/// What an overdraw tries to take, in hundredths: more than everything that was ever brought in.
const UNTHINKABLE: i64 = 999_999_999_999_900;

impl SimulatedBank {
    /// Operations of this kind, or none where there is nothing to act on.
    pub(super) fn act(&mut self, kind: Kind) -> Vec<Operation> {
        let one = |operation: Option<Operation>| operation.into_iter().collect();
        match kind {
            Kind::Deposit => vec![self.fallback()],
            Kind::Withdrawal => one(self.withdraw()),
            Kind::Transfer => one(self.transfer()),
            Kind::Settle => one(self.settle()),
            Kind::Reverse => one(self.reverse()),
            Kind::Correct => one(self.correct()),
            Kind::Remove => one(self.remove()),
            Kind::Overdraw => vec![self.overdraw()],
            Kind::CustomerChange => one(self.change_customer()),
            Kind::CustomerAdd => vec![self.add_customer()],
            Kind::CustomerRemove => one(self.remove_customer()),
            Kind::AccountOpen => one(self.open_account()),
            Kind::AccountClose => self.close_account(),
        }
    }

    /// A deposit, which is always possible.
    pub(super) fn fallback(&mut self) -> Operation {
        let account = self.draw_account();
        let amount = founding::amount(&mut self.rng, self.profile.amount, account.currency);
        let status = self.draw_status();
        self.post(Draft {
            account: account.account,
            txn_type: TransactionType::Deposit,
            amount,
            related: None,
            status,
        })
        .expect("any account can bear a deposit")
    }

    /// An attempt to take what is not there.
    pub(super) fn overdraw(&mut self) -> Operation {
        let draft = Draft {
            account: self.draw_account().account,
            txn_type: TransactionType::Withdrawal,
            amount: Money::from_hundredths(UNTHINKABLE.into()),
            related: None,
            status: TransactionStatus::Completed,
        };
        Operation::Post {
            transaction: self.next_transaction(),
            draft,
        }
    }

    fn withdraw(&mut self) -> Option<Operation> {
        let (account, amount) = self.draw_spendable()?;
        let status = self.draw_status();
        self.post(Draft {
            account: account.account,
            txn_type: TransactionType::Withdrawal,
            amount,
            related: None,
            status,
        })
    }

    fn transfer(&mut self) -> Option<Operation> {
        let (account, amount) = self.draw_spendable()?;
        let related = self.draw_receiver(account.account, account.currency)?;
        let status = self.draw_status();
        self.post(Draft {
            account: account.account,
            txn_type: TransactionType::Transfer,
            amount,
            related: Some(related),
            status,
        })
    }

    fn post(&mut self, draft: Draft) -> Option<Operation> {
        if !self.book.replace(None, Some(&draft)) {
            return None;
        }
        let transaction = self.next_transaction();
        self.remember(Known {
            transaction,
            draft: draft.clone(),
        });
        Some(Operation::Post { transaction, draft })
    }

    fn settle(&mut self) -> Option<Operation> {
        let known = take(&mut self.rng, &mut self.pending)?;
        let failed = self.rng.random_range(0..100) < self.profile.failed_percent;
        let status = if failed {
            TransactionStatus::Failed
        } else {
            TransactionStatus::Completed
        };
        let draft = Draft {
            status,
            ..known.draft.clone()
        };
        self.change(known, draft, ChangeReason::Settle)
    }

    fn reverse(&mut self) -> Option<Operation> {
        let known = take(&mut self.rng, &mut self.recent)?;
        if known.draft.status != TransactionStatus::Completed || !self.is_open(&known.draft) {
            self.remember(known);
            return None;
        }
        let draft = Draft {
            status: TransactionStatus::Reversed,
            ..known.draft.clone()
        };
        self.change(known, draft, ChangeReason::Reverse)
    }

    fn correct(&mut self) -> Option<Operation> {
        let known = take(&mut self.rng, &mut self.recent)?;
        let currency = self.book.get(known.draft.account).map(|account| account.currency);
        let live = known.draft.status == TransactionStatus::Completed && self.is_open(&known.draft);
        let (Some(currency), true) = (currency, live) else {
            self.remember(known);
            return None;
        };
        let amount = founding::amount(&mut self.rng, self.profile.amount, currency);
        let draft = Draft {
            amount,
            ..known.draft.clone()
        };
        self.change(known, draft, ChangeReason::Correct)
    }

    /// Changes a transaction, if its accounts can bear it; it is remembered in either case.
    fn change(&mut self, known: Known, draft: Draft, reason: ChangeReason) -> Option<Operation> {
        if draft == known.draft || !self.book.replace(Some(&known.draft), Some(&draft)) {
            self.remember(known);
            return None;
        }
        let transaction = known.transaction;
        self.remember(Known {
            transaction,
            draft: draft.clone(),
        });
        Some(Operation::ChangeTransaction {
            transaction,
            draft,
            reason,
        })
    }

    fn remove(&mut self) -> Option<Operation> {
        let from_pending = self.rng.random_range(0..4) == 0 && !self.pending.is_empty();
        let known = take(&mut self.rng, if from_pending { &mut self.pending } else { &mut self.recent })?;
        if !self.is_open(&known.draft) || !self.book.replace(Some(&known.draft), None) {
            self.remember(known);
            return None;
        }
        Some(Operation::RemoveTransaction {
            transaction: known.transaction,
        })
    }

    fn remember(&mut self, known: Known) {
        let pending = known.draft.status == TransactionStatus::Pending;
        let (list, max) = if pending {
            (&mut self.pending, PENDING_MAX)
        } else {
            (&mut self.recent, RECENT_MAX)
        };
        list.push_back(known);
        if list.len() > max {
            list.pop_front();
        }
    }

    /// Whether every account that a transaction names is open still.
    fn is_open(&self, draft: &Draft) -> bool {
        let public = |account: AccountRef| {
            self.founding
                .accounts
                .get(account.0 as usize)
                .is_some_and(|account| !account.private)
        };
        let open = |account: AccountRef| self.book.get(account).is_some() || public(account);
        self.book.get(draft.account).is_some() && draft.related.is_none_or(open)
    }

    fn change_customer(&mut self) -> Option<Operation> {
        let place = self.draw_place(self.customers.len())?;
        let Customer {
            customer,
            person,
            version,
            ..
        } = &mut self.customers[place];
        *version += 1;
        *person = people::change(&mut self.rng, self.seed, *customer, person, *version);
        Some(Operation::ChangeCustomer {
            customer: *customer,
            person: person.clone(),
        })
    }

    fn add_customer(&mut self) -> Operation {
        let customer = self.next_customer();
        let person = people::draw(&mut self.rng, self.seed, customer);
        self.customers.push(Customer {
            customer,
            person: person.clone(),
            version: 1,
            has_account: false,
        });
        Operation::AddCustomer { customer, person }
    }

    fn remove_customer(&mut self) -> Option<Operation> {
        let place = self.customers.iter().position(|customer| !customer.has_account)?;
        let customer = self.customers.swap_remove(place).customer;
        Some(Operation::RemoveCustomer { customer })
    }

    fn open_account(&mut self) -> Option<Operation> {
        let waiting = self.customers.iter().position(|customer| !customer.has_account);
        let place = waiting.or_else(|| self.draw_place(self.customers.len()))?;
        self.customers[place].has_account = true;
        let customer = self.customers[place].customer;
        let (account_type, currency, opening_balance) = founding::account(&mut self.rng, &self.profile);
        let account = self.next_account();
        let spendable = i64::try_from(opening_balance.hundredths()).expect("the profile's amounts are small");
        self.book.open(Account {
            account,
            currency,
            spendable,
            pending: 0,
            private: true,
        });
        Some(Operation::OpenAccount {
            account,
            customer,
            account_type,
            currency,
            opening_balance,
        })
    }

    /// Takes out what is left and closes, in one commit.
    fn close_account(&mut self) -> Vec<Operation> {
        for _ in 0..TRIES {
            let account = self.draw_account();
            if !account.private || account.pending > 0 || self.book.len() < 2 {
                continue;
            }
            let mut operations = Vec::with_capacity(2);
            if account.spendable > 0 {
                let draft = Draft {
                    account: account.account,
                    txn_type: TransactionType::Withdrawal,
                    amount: Money::from_hundredths(account.spendable.into()),
                    related: None,
                    status: TransactionStatus::Completed,
                };
                operations.push(Operation::Post {
                    transaction: self.next_transaction(),
                    draft,
                });
            }
            self.book.close(account.account);
            operations.push(Operation::CloseAccount {
                account: account.account,
            });
            return operations;
        }
        Vec::new()
    }

    /// Some accounts are busier than others: the lower the place, the more often it is drawn.
    fn draw_place(&mut self, len: usize) -> Option<usize> {
        let below = (len > 0).then(|| self.rng.random_range(0..len as u64))?;
        Some(self.rng.random_range(0..=below) as usize)
    }

    fn draw_account(&mut self) -> Account {
        let place = self.draw_place(self.book.len()).expect("a lane always has an open account");
        self.book.at(place).clone()
    }

    /// An account that has something to spend, and how much of it.
    fn draw_spendable(&mut self) -> Option<(Account, Money)> {
        for _ in 0..TRIES {
            let account = self.draw_account();
            let range = Range {
                max: self.profile.amount.max.min(account.spendable),
                ..self.profile.amount
            };
            if range.max < range.min {
                continue;
            }
            let amount = founding::amount(&mut self.rng, range, account.currency);
            if amount.hundredths() <= i128::from(account.spendable) {
                return Some((account, amount));
            }
        }
        None
    }

    /// Another account of the same currency: mostly any in the bank, sometimes one of the lane's own.
    fn draw_receiver(&mut self, sender: AccountRef, currency: Currency) -> Option<AccountRef> {
        for _ in 0..TRIES {
            let anywhere = self.rng.random_range(0..3) > 0;
            let public = self
                .founding
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

    fn draw_status(&mut self) -> TransactionStatus {
        let pending = self.rng.random_range(0..100) < self.profile.pending_percent && self.pending.len() < PENDING_MAX;
        if pending {
            TransactionStatus::Pending
        } else {
            TransactionStatus::Completed
        }
    }
}

/// Takes a transaction out of a list, each equally likely.
fn take(rng: &mut rand_chacha::ChaCha8Rng, list: &mut VecDeque<Known>) -> Option<Known> {
    let place = (!list.is_empty()).then(|| rng.random_range(0..list.len() as u64) as usize)?;
    list.swap_remove_back(place)
}
