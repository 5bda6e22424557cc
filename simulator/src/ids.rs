//! Which row each of the simulation's numbers became.

use std::collections::{HashMap, VecDeque};

use schemas::{AccountId, CustomerId, TransactionId};

use crate::operation::{AccountRef, Batch, CustomerRef, Operation, TransactionRef};

/// Transactions whose ids are kept, at most. Lanes change only some hundred of their latest ones, so this is far more
/// than they ask for, and bounds the memory of a run that lasts for days.
const TRANSACTIONS_MAX: usize = 1_000_000;

/// The ids that the system of record gave.
#[derive(Debug, Default)]
pub struct Ids {
    customers: HashMap<CustomerRef, CustomerId>,
    accounts: HashMap<AccountRef, AccountId>,
    transactions: HashMap<TransactionRef, TransactionId>,
    order: VecDeque<TransactionRef>,
}

/// A row that the simulation speaks of is not there, since the commit that should have made it was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} was never made: its commit was refused")]
pub struct Missing(String);

impl Ids {
    /// Keeps what a commit has made: for each operation of the batch, in order, the id of its row.
    pub fn keep(&mut self, batch: &Batch, ids: impl IntoIterator<Item = i64>) {
        for (operation, id) in batch.operations.iter().zip(ids) {
            match operation {
                Operation::AddCustomer { customer, .. } => drop(self.customers.insert(*customer, CustomerId(id))),
                Operation::OpenAccount { account, .. } => drop(self.accounts.insert(*account, AccountId(id))),
                Operation::Post { transaction, .. } => {
                    self.transactions.insert(*transaction, TransactionId(id));
                    self.order.push_back(*transaction);
                }
                _ => {}
            }
        }
        while self.order.len() > TRANSACTIONS_MAX {
            self.order.pop_front().map(|oldest| self.transactions.remove(&oldest));
        }
    }

    /// A customer's id.
    pub fn customer(&self, customer: CustomerRef) -> Result<CustomerId, Missing> {
        find(&self.customers, customer)
    }

    /// An account's id.
    pub fn account(&self, account: AccountRef) -> Result<AccountId, Missing> {
        find(&self.accounts, account)
    }

    /// A transaction's id.
    pub fn transaction(&self, transaction: TransactionRef) -> Result<TransactionId, Missing> {
        find(&self.transactions, transaction)
    }
}

fn find<R: Copy + Eq + std::hash::Hash + std::fmt::Debug, I: Copy>(kept: &HashMap<R, I>, row: R) -> Result<I, Missing> {
    kept.get(&row).copied().ok_or_else(|| Missing(format!("{row:?}")))
}
