//! Operations on customers and their accounts.

use rand::RngExt;
use rand::distr::Distribution;
use schemas::Money;
use schemas::silver::{AccountStatus, AccountType, TransactionStatus, TransactionType};

use crate::bank::{Known, SimulatedBank};
use crate::book::{Account, hundredths};
use crate::draw::TRIES;
use crate::operation::{AccountReason, AccountRef, CustomerRef, Draft, Operation, Purpose};
use crate::people;
use crate::population;
use crate::roll::Customer;
use crate::standing::Income;

/// Accounts that may be emptied and removed, at most; the oldest is forgotten.
const EMPTY_MAX: usize = 64;
/// Transactions that are deleted along with their account, at most.
const ERASED_MAX: u32 = 8;

impl SimulatedBank {
    pub(super) fn change_customer(&mut self) -> Option<Operation> {
        if self.roll.len() == 0 {
            return None;
        }
        let place = self.rng.random_range(0..self.roll.len() as u64) as usize;
        let Customer {
            customer,
            person,
            version,
            ..
        } = self.roll.at(place);
        *version += 1;
        *person = people::change(&mut self.rng, self.seed, *customer, person, *version);
        Some(Operation::ChangeCustomer {
            customer: *customer,
            person: person.clone(),
        })
    }

    pub(super) fn add_customer(&mut self) -> Operation {
        let customer = self.next_customer();
        let person = people::draw(&mut self.rng, self.seed, customer);
        let currency = self.profile.currencies[self.currencies.sample(&mut self.rng)];
        self.roll.add(Customer::new(customer, person.clone(), currency));
        Operation::AddCustomer { customer, person }
    }

    pub(super) fn remove_customer(&mut self) -> Option<Operation> {
        let customer = *self.roll.waiting().back()?;
        self.roll.remove(customer);
        Some(Operation::RemoveCustomer { customer })
    }

    /// Half of the accounts are for new customers, as long as there are any; half of them open with nothing.
    pub(super) fn open_account(&mut self) -> Option<Operation> {
        if self.roll.len() == 0 {
            return None;
        }
        let waiting = self.roll.waiting().front().copied();
        let customer = match waiting.filter(|_| self.rng.random_ratio(1, 2)) {
            Some(customer) => customer,
            None => {
                let place = self.rng.random_range(0..self.roll.len() as u64) as usize;
                self.roll.at(place).customer
            }
        };
        let owner = self.roll.get(customer)?;
        let (currency, main) = (owner.currency, owner.main.is_none());
        let account_type = population::account_type(&mut self.rng, &self.profile, main);
        let opening_balance = match self.rng.random_ratio(1, 2) {
            true => Money::ZERO,
            false => population::opening_balance(&mut self.rng, self.profile.opening_balance, currency),
        };
        let account = self.next_account();
        if opening_balance == Money::ZERO {
            self.empty.push_back(account);
            if self.empty.len() > EMPTY_MAX {
                self.empty.pop_front();
            }
        }
        self.book.open(Account {
            account,
            customer,
            account_type,
            currency,
            spendable: hundredths(opening_balance),
            pending: 0,
            named: 0,
            private: true,
            main,
        });
        self.roll.opened(customer, account);
        if main {
            self.begin_income(customer);
        }
        Some(Operation::OpenAccount {
            account,
            customer,
            account_type,
            currency,
            opening_balance,
        })
    }

    /// A customer who has a main account for the first time may have a salary, too.
    pub(super) fn begin_income(&mut self, customer: CustomerRef) {
        let Some(owner) = self.roll.get(customer).filter(|owner| owner.income.is_none()) else {
            return;
        };
        let currency = owner.currency;
        let landlord = self.draw_public(currency, customer);
        let income = Income::draw(&mut self.rng, &self.profile, landlord);
        if let Some(income) = &income {
            self.standing.begin(customer, income, self.now());
        }
        if let Some(owner) = self.roll.get_mut(customer) {
            owner.income = income;
        }
    }

    /// A savings account becomes a checking account, or the other way round; main accounts stay what they are.
    pub(super) fn change_account(&mut self) -> Option<Operation> {
        let account = self.draw_account(|_, account| !account.main)?.account;
        let account = self.book.get_mut(account)?;
        account.account_type = match account.account_type {
            AccountType::Checking => AccountType::Savings,
            AccountType::Savings => AccountType::Checking,
        };
        let account = account.clone();
        Some(changed(&account, AccountStatus::Active, AccountReason::Type))
    }

    /// An account is blocked, or one that was blocked is open again.
    pub(super) fn block_account(&mut self) -> Option<Operation> {
        if !self.blocked.is_empty() && self.rng.random_ratio(1, 2) {
            let place = self.rng.random_range(0..self.blocked.len() as u64) as usize;
            let account = self.blocked.swap_remove(place);
            self.book.open(account.clone());
            return Some(changed(&account, AccountStatus::Active, AccountReason::Reopen));
        }
        let account = self.draw_account(|bank, account| bank.book.may_leave(account))?;
        let account = self.book.close(account.account)?;
        self.blocked.push(account.clone());
        Some(changed(&account, AccountStatus::Inactive, AccountReason::Block))
    }

    /// Takes out what is left and closes, in one commit.
    pub(super) fn close_account(&mut self) -> Vec<Operation> {
        let Some(account) = self.draw_account(|bank, account| bank.book.may_leave(account)) else {
            return Vec::new();
        };
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
                purpose: Purpose::Closing,
                draft,
            });
        }
        self.book.close(account.account);
        if let Some(owner) = self.roll.get_mut(account.customer) {
            owner.closed(account.account);
        }
        operations.push(Operation::CloseAccount {
            account: account.account,
        });
        operations
    }

    /// An account that opened with nothing and has few transactions goes, and they before it, in one commit.
    pub(super) fn remove_account(&mut self) -> Vec<Operation> {
        for _ in 0..TRIES {
            if self.empty.is_empty() {
                break;
            }
            let place = self.rng.random_range(0..self.empty.len() as u64) as usize;
            let Some(account) = self.empty.get(place).and_then(|account| self.book.get(*account)) else {
                // Closed or blocked meanwhile.
                self.empty.swap_remove_back(place);
                continue;
            };
            let account = account.clone();
            if account.named > ERASED_MAX || (account.main && self.book.mains().len() < 2) {
                continue;
            }
            if let Some(mut operations) = self.erase_transactions(&account) {
                self.empty.swap_remove_back(place);
                self.book.close(account.account);
                self.roll.row_gone(account.customer, account.account);
                operations.push(Operation::RemoveAccount {
                    account: account.account,
                });
                return operations;
            }
        }
        Vec::new()
    }

    /// Deletes every transaction of an account, or none if some cannot be: the money that one of them brought may be spent.
    fn erase_transactions(&mut self, account: &Account) -> Option<Vec<Operation>> {
        let names = |known: &&Known| known.draft.account == account.account || known.draft.related == Some(account.account);
        let mut all: Vec<Known> = self.recent.iter().chain(&self.pending).filter(names).cloned().collect();
        if all.len() != account.named as usize || !all.iter().all(|known| self.is_open(&known.draft)) {
            return None;
        }
        // What it gave comes back before what it got goes.
        all.sort_by_key(|known| receives(account.account, &known.draft));
        for (place, known) in all.iter().enumerate() {
            if !self.book.replace(Some(&known.draft), None) {
                for known in all[..place].iter().rev() {
                    self.book.replace(None, Some(&known.draft));
                }
                return None;
            }
        }
        let gone = |known: &Known| all.iter().any(|gone| gone.transaction == known.transaction);
        self.recent.retain(|known| !gone(known));
        self.pending.retain(|known| !gone(known));
        let removed = all.into_iter().map(|known| Operation::RemoveTransaction {
            transaction: known.transaction,
        });
        Some(removed.collect())
    }
}

fn receives(account: AccountRef, draft: &Draft) -> bool {
    draft.related == Some(account) || draft.txn_type == TransactionType::Deposit
}

fn changed(account: &Account, status: AccountStatus, reason: AccountReason) -> Operation {
    Operation::ChangeAccount {
        account: account.account,
        customer: account.customer,
        account_type: account.account_type,
        currency: account.currency,
        status,
        reason,
    }
}
