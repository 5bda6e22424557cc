//! Operations on customers and their accounts.

use schemas::Money;
use schemas::silver::{TransactionStatus, TransactionType};

use crate::bank::{Customer, SimulatedBank};
use crate::book::{Account, hundredths};
use crate::draw::TRIES;
use crate::operation::{Draft, Operation};
use crate::people;
use crate::population;

impl SimulatedBank {
    pub(super) fn change_customer(&mut self) -> Option<Operation> {
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

    pub(super) fn add_customer(&mut self) -> Operation {
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

    pub(super) fn remove_customer(&mut self) -> Option<Operation> {
        let place = self.customers.iter().position(|customer| !customer.has_account)?;
        let customer = self.customers.swap_remove(place).customer;
        Some(Operation::RemoveCustomer { customer })
    }

    pub(super) fn open_account(&mut self) -> Option<Operation> {
        let waiting = self.customers.iter().position(|customer| !customer.has_account);
        let place = waiting.or_else(|| self.draw_place(self.customers.len()))?;
        self.customers[place].has_account = true;
        let customer = self.customers[place].customer;
        let (account_type, currency, opening_balance) = population::account(&mut self.rng, &self.profile, &self.currencies);
        let account = self.next_account();
        let spendable = hundredths(opening_balance);
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
    pub(super) fn close_account(&mut self) -> Vec<Operation> {
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
}
