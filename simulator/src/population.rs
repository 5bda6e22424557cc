//! The initial population: customers and accounts that every lane knows before the first transaction.

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;

use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemas::silver::AccountType;
use schemas::{Currency, Money};

use crate::amounts;
use crate::operation::{AccountRef, CustomerRef, Operation, Person};
use crate::people;
use crate::profile::{Profile, Range, Spread};

/// One in how many initial accounts is private to its lane, and may be closed.
const PRIVATE_ONE_IN: u32 = 4;

/// The customers and accounts that the bank opens with.
#[derive(Debug)]
pub struct InitialPopulation {
    /// Customers, in the order of their numbers.
    pub customers: Vec<Person>,
    /// The currency of each one's accounts.
    pub currencies: Vec<Currency>,
    /// Accounts, in the order of their numbers.
    pub accounts: Vec<InitialAccount>,
    /// Accounts that any lane may send to, by currency: they are never closed.
    pub public: BTreeMap<Currency, Vec<AccountRef>>,
}

/// An account that the bank opens with.
#[derive(Debug, Clone)]
pub struct InitialAccount {
    /// Whose it is.
    pub customer: CustomerRef,
    /// Its kind.
    pub account_type: AccountType,
    /// Its currency.
    pub currency: Currency,
    /// What it opens with.
    pub opening_balance: Money,
    /// Whether only its own lane names it.
    pub private: bool,
}

impl InitialPopulation {
    /// Draws the population of a seed.
    pub fn draw(seed: u64, profile: &Profile) -> Arc<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let customers = (0..profile.customers)
            .map(|n| people::draw(&mut rng, seed, CustomerRef(n)))
            .collect();
        let weights = currencies(profile);
        let currencies: Vec<Currency> = (0..profile.customers)
            .map(|_| profile.currencies[weights.sample(&mut rng)])
            .collect();
        let number = profile.customers * profile.accounts_per_customer;
        let accounts: Vec<InitialAccount> = (0..number)
            .map(|n| {
                let customer = CustomerRef(n / profile.accounts_per_customer);
                let currency = currencies[customer.0 as usize];
                let is_main = n % profile.accounts_per_customer == 0;
                let account_type = account_type(&mut rng, profile, is_main);
                let opening_balance = opening_balance(&mut rng, profile.opening_balance, currency);
                let private = rng.random_ratio(1, PRIVATE_ONE_IN);
                InitialAccount {
                    customer,
                    account_type,
                    currency,
                    opening_balance,
                    private,
                }
            })
            .collect();
        let mut public: BTreeMap<Currency, Vec<AccountRef>> = BTreeMap::new();
        for (n, account) in (0_u64..).zip(&accounts).filter(|(_, account)| !account.private) {
            public.entry(account.currency).or_default().push(AccountRef(n));
        }
        Arc::new(Self {
            customers,
            currencies,
            accounts,
            public,
        })
    }

    /// What makes a customer by its number, and its accounts.
    pub fn opening(&self, number: u64, accounts_per_customer: u64) -> impl Iterator<Item = Operation> {
        let customer = Operation::AddCustomer {
            customer: CustomerRef(number),
            person: self.customers[number as usize].clone(),
        };
        let first = number * accounts_per_customer;
        let accounts = (first..first + accounts_per_customer).map(|n| {
            let account = &self.accounts[n as usize];
            Operation::OpenAccount {
                account: AccountRef(n),
                customer: account.customer,
                account_type: account.account_type,
                currency: account.currency,
                opening_balance: account.opening_balance,
            }
        });
        iter::once(customer).chain(accounts)
    }
}

/// The weights of the currencies: half of all accounts are in the first one, and its share of the other half.
pub fn currencies(profile: &Profile) -> WeightedIndex<u64> {
    let others = profile.currencies.len().saturating_sub(1);
    let first = profile.currencies.len() as u64 + 1;
    let weights = iter::once(first).chain(iter::repeat_n(1, others));
    WeightedIndex::new(weights).expect("the first weight is above zero")
}

/// Draws a new account's kind: a main account is a checking account.
pub fn account_type(rng: &mut ChaCha8Rng, profile: &Profile, is_main: bool) -> AccountType {
    let savings = !is_main && rng.random_ratio(profile.savings_percent, 100);
    if savings {
        AccountType::Savings
    } else {
        AccountType::Checking
    }
}

/// Draws what an account opens with: half of them with less than a fifth of the most, few with nearly all of it.
pub fn opening_balance(rng: &mut ChaCha8Rng, range: Range, currency: Currency) -> Money {
    let spread = Spread {
        median: (range.max / 5).max(1),
        sigma: 80,
    };
    let drawn = amounts::log_normal(rng, spread);
    let fits = (range.min..=range.max).contains(&drawn);
    // A heap at the very most would be odd.
    let drawn = if fits {
        drawn
    } else {
        rng.random_range(range.min..=range.max.max(range.min))
    };
    amounts::within(drawn, range, currency)
}
