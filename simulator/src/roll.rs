//! The lane's customers.

use std::collections::{HashMap, VecDeque};

use schemas::Currency;

use crate::operation::{AccountRef, CustomerRef, Person};
use crate::standing::Income;

/// A customer of the lane.
#[derive(Debug)]
pub struct Customer {
    /// Their number.
    pub customer: CustomerRef,
    /// Their columns.
    pub person: Person,
    /// How many versions of them there have been.
    pub version: u64,
    /// The currency of their accounts.
    pub currency: Currency,
    /// The account that their life goes over.
    pub main: Option<AccountRef>,
    /// Their other accounts, closed ones not counted.
    pub others: Vec<AccountRef>,
    /// Rows of accounts that name them, closed ones counted: as long as there is one they cannot go.
    pub rows: u32,
    /// Whom they send money to again and again.
    pub payees: Vec<AccountRef>,
    /// What they get and give each month, if they have a salary.
    pub income: Option<Income>,
}

impl Customer {
    /// Somebody without an account.
    pub fn new(customer: CustomerRef, person: Person, currency: Currency) -> Self {
        Self {
            customer,
            person,
            version: 1,
            currency,
            main: None,
            others: Vec::new(),
            rows: 0,
            payees: Vec::new(),
            income: None,
        }
    }

    /// Notes that they have one more account.
    pub fn opened(&mut self, account: AccountRef) {
        self.rows += 1;
        match self.main {
            None => self.main = Some(account),
            Some(_) => self.others.push(account),
        }
    }

    /// Notes that they no longer use an account.
    pub fn closed(&mut self, account: AccountRef) {
        self.main = self.main.filter(|main| *main != account);
        self.others.retain(|other| *other != account);
    }
}

/// All of them, by place and by number.
#[derive(Debug, Default)]
pub struct Roll {
    customers: Vec<Customer>,
    places: HashMap<CustomerRef, usize>,
    /// Those of whom no account has a row, the longest first.
    waiting: VecDeque<CustomerRef>,
}

impl Roll {
    /// Adds a customer, who has no account yet.
    pub fn add(&mut self, customer: Customer) {
        self.places.insert(customer.customer, self.customers.len());
        self.waiting.push_back(customer.customer);
        self.customers.push(customer);
    }

    /// Removes a customer.
    pub fn remove(&mut self, customer: CustomerRef) {
        if let Some(place) = self.places.remove(&customer) {
            self.customers.swap_remove(place);
            if let Some(moved) = self.customers.get(place) {
                self.places.insert(moved.customer, place);
            }
        }
        self.no_longer_waits(customer);
    }

    fn no_longer_waits(&mut self, customer: CustomerRef) {
        // Of the initial customers it is always the first: no search through a million of them.
        if self.waiting.front() == Some(&customer) {
            self.waiting.pop_front();
        } else {
            self.waiting.retain(|waiting| *waiting != customer);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.customers.len()
    }

    /// The customer at a place from 0 to [`Roll::len`].
    pub fn at(&mut self, place: usize) -> &mut Customer {
        &mut self.customers[place]
    }

    /// A customer by number, while they are one.
    pub fn get(&self, customer: CustomerRef) -> Option<&Customer> {
        self.places.get(&customer).map(|place| &self.customers[*place])
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, customer: CustomerRef) -> Option<&mut Customer> {
        self.places.get(&customer).map(|place| &mut self.customers[*place])
    }

    /// Those without an account, the longest first.
    pub fn waiting(&self) -> &VecDeque<CustomerRef> {
        &self.waiting
    }

    /// Notes that a customer has an account.
    pub fn opened(&mut self, customer: CustomerRef, account: AccountRef) {
        if let Some(owner) = self.get_mut(customer) {
            owner.opened(account);
        }
        self.no_longer_waits(customer);
    }

    /// Notes that an account's row is gone.
    pub fn row_gone(&mut self, customer: CustomerRef, account: AccountRef) {
        let Some(owner) = self.get_mut(customer) else { return };
        owner.closed(account);
        owner.rows -= 1;
        if owner.rows == 0 {
            self.waiting.push_back(customer);
        }
    }
}
