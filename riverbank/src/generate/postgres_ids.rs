//! Which row each of the simulation's numbers became.

use std::collections::{HashMap, VecDeque};

use super::operation::{AccountRef, CustomerRef, TransactionRef};

/// Transactions whose ids are kept, at most. Lanes change only some hundred of their latest ones, so this is far more
/// than they ask for, and bounds the memory of a run that lasts for days.
const TRANSACTIONS_MAX: usize = 1_000_000;

/// The ids that the system of record gave.
#[derive(Debug, Default)]
pub struct Ids {
    customers: HashMap<CustomerRef, i64>,
    accounts: HashMap<AccountRef, i64>,
    transactions: HashMap<TransactionRef, i64>,
    order: VecDeque<TransactionRef>,
}

/// Ids that a commit has made, and that hold once it is in force.
#[derive(Debug, Default)]
pub struct Fresh {
    /// New customers.
    pub customers: Vec<(CustomerRef, i64)>,
    /// New accounts.
    pub accounts: Vec<(AccountRef, i64)>,
    /// New transactions.
    pub transactions: Vec<(TransactionRef, i64)>,
}

/// A row that the simulation speaks of is not there, since the commit that should have made it was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} was never made: its commit was refused")]
pub struct Missing(pub String);

impl Ids {
    /// Keeps what a commit has made.
    pub fn keep(&mut self, fresh: Fresh) {
        self.customers.extend(fresh.customers);
        self.accounts.extend(fresh.accounts);
        self.order
            .extend(fresh.transactions.iter().map(|(transaction, _)| *transaction));
        self.transactions.extend(fresh.transactions);
        while self.order.len() > TRANSACTIONS_MAX {
            self.order.pop_front().map(|oldest| self.transactions.remove(&oldest));
        }
    }

    /// A customer's id, made by this commit or an earlier one.
    pub fn customer(&self, fresh: &Fresh, customer: CustomerRef) -> Result<i64, Missing> {
        find(&self.customers, &fresh.customers, customer)
    }

    /// An account's id, made by this commit or an earlier one.
    pub fn account(&self, fresh: &Fresh, account: AccountRef) -> Result<i64, Missing> {
        find(&self.accounts, &fresh.accounts, account)
    }

    /// A transaction's id, made by this commit or an earlier one.
    pub fn transaction(&self, fresh: &Fresh, transaction: TransactionRef) -> Result<i64, Missing> {
        find(&self.transactions, &fresh.transactions, transaction)
    }
}

fn find<R>(kept: &HashMap<R, i64>, fresh: &[(R, i64)], row: R) -> Result<i64, Missing>
where
    R: Copy + Eq + std::hash::Hash + std::fmt::Debug,
{
    let made = fresh.iter().find(|(known, _)| *known == row).map(|(_, id)| *id);
    made.or_else(|| kept.get(&row).copied())
        .ok_or_else(|| Missing(format!("{row:?}")))
}
