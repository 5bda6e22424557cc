//! The port on the engine's committed stores.

use processors::stores;
use schemas::gold::AccountBalance;
use schemas::silver::{Account, Customer, Transaction};
use schemas::state::Applied;
use schemas::{AccountId, CustomerId, TransactionId};
use topology::query::{InputLag, Readiness, Scattered};
use topology::{Queries, QueryError};

use super::{AccountFilter, Located, ReadError, Reading, Reads, Rows, TransactionFilter};

impl From<QueryError> for ReadError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::NotReady { .. } | QueryError::Elsewhere { .. } => Self::NotReady(error.to_string()),
            QueryError::NoSuchStore(_) | QueryError::Store(_) => Self::Failed(error.to_string()),
        }
    }
}

impl Reads for Queries {
    fn balance(&self, id: AccountId) -> Result<Located<Reading<Option<AccountBalance>>>, ReadError> {
        match self.get(stores::BALANCES, &id) {
            Ok(answer) => Ok(Located::Here(Reading {
                value: answer.value,
                committed_at_ms: answer.position.committed_at_ms,
            })),
            Err(QueryError::Elsewhere { address }) => Ok(Located::Elsewhere(address)),
            Err(error) => Err(error.into()),
        }
    }

    fn customer(&self, id: CustomerId) -> Result<Scattered<Option<Customer>>, ReadError> {
        Ok(row(self.find(stores::CUSTOMERS, &id)?))
    }

    fn account(&self, id: AccountId) -> Result<Scattered<Option<Account>>, ReadError> {
        Ok(row(self.find(stores::ACCOUNTS, &id)?))
    }

    fn transaction(&self, id: TransactionId) -> Result<Scattered<Option<Transaction>>, ReadError> {
        Ok(row(self.find(stores::TRANSACTIONS, &id)?))
    }

    fn customers(&self, after: Option<CustomerId>, limit: usize) -> Rows<Customer> {
        Ok(rows(self.page(stores::CUSTOMERS, after.as_ref(), limit, |_, applied| applied.row.is_some())?))
    }

    fn accounts(&self, after: Option<AccountId>, limit: usize, filter: AccountFilter) -> Rows<Account> {
        let keep = |_: &AccountId, applied: &Applied<Account>| applied.row.as_ref().is_some_and(|row| filter.accepts(row));
        Ok(rows(self.page(stores::ACCOUNTS, after.as_ref(), limit, keep)?))
    }

    fn transactions(&self, after: Option<TransactionId>, limit: usize, filter: TransactionFilter) -> Rows<Transaction> {
        let keep = |_: &TransactionId, applied: &Applied<Transaction>| applied.row.as_ref().is_some_and(|row| filter.accepts(row));
        Ok(rows(self.page(stores::TRANSACTIONS, after.as_ref(), limit, keep)?))
    }

    fn readiness(&self) -> Readiness {
        Queries::readiness(self)
    }

    fn lag(&self) -> Vec<InputLag> {
        Queries::lag(self)
    }
}

fn row<V>(entry: Scattered<Option<Applied<V>>>) -> Scattered<Option<V>> {
    Scattered {
        value: entry.value.and_then(|applied| applied.row),
        others: entry.others,
        missing: entry.missing,
    }
}

fn rows<K, V>(entries: Scattered<Vec<(K, Applied<V>)>>) -> Scattered<Vec<V>> {
    Scattered {
        value: entries.value.into_iter().filter_map(|(_, applied)| applied.row).collect(),
        others: entries.others,
        missing: entries.missing,
    }
}
