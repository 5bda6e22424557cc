//! The tables, and the indexes that the rules need.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use schemas::{AccountId, CustomerId, TransactionId};

use crate::{Account, Customer, Transaction};

/// One changed row: as it was and as it is. At least one of the two is there.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Touched {
    Customer(Option<Customer>, Option<Customer>),
    Account(Option<Account>, Option<Account>),
    Transaction(Option<Transaction>, Option<Transaction>),
}

/// The rows. Every change of a row is appended to `touched`, from which it is undone or published.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub customers: BTreeMap<CustomerId, Customer>,
    pub accounts: BTreeMap<AccountId, Account>,
    pub transactions: BTreeMap<TransactionId, Transaction>,
    emails: HashMap<String, CustomerId>,
    accounts_of: BTreeSet<(CustomerId, AccountId)>,
    transactions_on: BTreeSet<(AccountId, TransactionId)>,
    pub touched: Vec<Touched>,
}

impl Tables {
    /// Who has this e-mail address.
    pub fn owner_of_email(&self, email: &str) -> Option<CustomerId> {
        self.emails.get(&email.to_lowercase()).copied()
    }

    /// Whether a customer has accounts.
    pub fn has_accounts(&self, id: CustomerId) -> bool {
        self.accounts_of
            .range((id, AccountId(i64::MIN))..=(id, AccountId(i64::MAX)))
            .next()
            .is_some()
    }

    /// Whether there are transactions from or to an account.
    pub fn has_transactions(&self, id: AccountId) -> bool {
        let (first, last) = (TransactionId(i64::MIN), TransactionId(i64::MAX));
        self.transactions_on.range((id, first)..=(id, last)).next().is_some()
    }

    /// Puts a customer's row in place, or removes it.
    pub fn put_customer(&mut self, id: CustomerId, after: Option<Customer>) {
        let before = self.swap_customer(id, after.clone());
        self.touched.push(Touched::Customer(before, after));
    }

    /// Puts an account's row in place, or removes it.
    pub fn put_account(&mut self, id: AccountId, after: Option<Account>) {
        let before = self.swap_account(id, after.clone());
        self.touched.push(Touched::Account(before, after));
    }

    /// Puts a transaction's row in place, or removes it.
    pub fn put_transaction(&mut self, id: TransactionId, after: Option<Transaction>) {
        let before = self.swap_transaction(id, after.clone());
        self.touched.push(Touched::Transaction(before, after));
    }

    /// Undoes everything since the last commit.
    pub fn roll_back(&mut self) {
        while let Some(touched) = self.touched.pop() {
            match touched {
                Touched::Customer(before, after) => {
                    let id = before.as_ref().or(after.as_ref()).map(|row| row.id);
                    id.map(|id| self.swap_customer(id, before));
                }
                Touched::Account(before, after) => {
                    let id = before.as_ref().or(after.as_ref()).map(|row| row.id);
                    id.map(|id| self.swap_account(id, before));
                }
                Touched::Transaction(before, after) => {
                    let id = before.as_ref().or(after.as_ref()).map(|row| row.id);
                    id.map(|id| self.swap_transaction(id, before));
                }
            }
        }
    }

    fn swap_customer(&mut self, id: CustomerId, after: Option<Customer>) -> Option<Customer> {
        let email = after.as_ref().map(|row| row.email.to_lowercase());
        let before = swap(&mut self.customers, id, after);
        if let Some(row) = &before {
            self.emails.remove(&row.email.to_lowercase());
        }
        if let Some(email) = email {
            self.emails.insert(email, id);
        }
        before
    }

    fn swap_account(&mut self, id: AccountId, after: Option<Account>) -> Option<Account> {
        let owner = after.as_ref().map(|row| row.customer_id);
        let before = swap(&mut self.accounts, id, after);
        if let Some(row) = &before {
            self.accounts_of.remove(&(row.customer_id, id));
        }
        if let Some(owner) = owner {
            self.accounts_of.insert((owner, id));
        }
        before
    }

    fn swap_transaction(&mut self, id: TransactionId, after: Option<Transaction>) -> Option<Transaction> {
        let on = |row: &Transaction| [Some(row.account_id), row.related_account_id];
        let accounts = after.as_ref().map(on);
        let before = swap(&mut self.transactions, id, after);
        for account in before.as_ref().map(on).into_iter().flatten().flatten() {
            self.transactions_on.remove(&(account, id));
        }
        for account in accounts.into_iter().flatten().flatten() {
            self.transactions_on.insert((account, id));
        }
        before
    }
}

fn swap<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, after: Option<V>) -> Option<V> {
    match after {
        Some(row) => map.insert(key, row),
        None => map.remove(&key),
    }
}
