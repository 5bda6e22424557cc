//! The port on the engine's committed stores.

use processors::stores;
use schemas::gold::AccountBalance;
use schemas::silver::{Account, Customer, Transaction};
use schemas::state::Applied;
use schemas::{AccountId, CustomerId, TransactionId};
use topology::query::{self, InputLag, Readiness, Scattered, Token};
use topology::store::{KeyValue, StoreKey, StoreValue};
use topology::{Queries, QueryError};

use super::{AccountFilter, Located, Part, ReadError, Reading, Reads, Rows, Scan, TransactionFilter};

impl From<QueryError> for ReadError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::NotReady { .. } | QueryError::Elsewhere(_) | QueryError::Ended => Self::NotReady(error.to_string()),
            QueryError::NoSuchStore(_) | QueryError::Store(_) => Self::Failed(error.to_string()),
        }
    }
}

impl Reads for Queries {
    fn balance(&self, id: AccountId) -> Result<Located<Reading<Option<AccountBalance>>>, ReadError> {
        look_up(self, stores::BALANCES, id)
    }

    fn customer(&self, id: CustomerId) -> Result<Located<Reading<Option<Customer>>>, ReadError> {
        row(self, stores::CUSTOMERS, id)
    }

    fn account(&self, id: AccountId) -> Result<Located<Reading<Option<Account>>>, ReadError> {
        row(self, stores::ACCOUNTS, id)
    }

    fn transaction(&self, id: TransactionId) -> Result<Located<Reading<Option<Transaction>>>, ReadError> {
        row(self, stores::TRANSACTIONS, id)
    }

    fn customers(&self, scan: &Scan) -> Rows<Customer> {
        list(self, stores::CUSTOMERS, scan, CustomerId, |id| id.0, |_| true)
    }

    fn accounts(&self, scan: &Scan, filter: AccountFilter) -> Rows<Account> {
        list(self, stores::ACCOUNTS, scan, AccountId, |id| id.0, |row| filter.accepts(row))
    }

    fn transactions(&self, scan: &Scan, filter: TransactionFilter) -> Rows<Transaction> {
        let keep = |row: &Transaction| filter.accepts(row);
        list(self, stores::TRANSACTIONS, scan, TransactionId, |id| id.0, keep)
    }

    fn token(&self) -> &Token {
        Queries::token(self)
    }

    fn readiness(&self) -> Readiness {
        Queries::readiness(self)
    }

    fn lag(&self) -> Vec<InputLag> {
        Queries::lag(self)
    }
}

fn look_up<K: StoreKey, V: StoreValue>(
    queries: &Queries,
    store: KeyValue<K, V>,
    key: K,
) -> Result<Located<Reading<Option<V>>>, ReadError> {
    match queries.get(store, &key) {
        Ok(answer) => Ok(Located::Here(Reading {
            value: answer.value,
            committed_at_ms: answer.position.committed_at_ms,
        })),
        Err(QueryError::Elsewhere(instance)) => Ok(Located::Elsewhere(instance)),
        Err(error) => Err(error.into()),
    }
}

fn row<K: StoreKey, V>(
    queries: &Queries,
    store: KeyValue<K, Applied<V>>,
    key: K,
) -> Result<Located<Reading<Option<V>>>, ReadError>
where
    Applied<V>: StoreValue,
{
    Ok(match look_up(queries, store, key)? {
        Located::Here(reading) => Located::Here(Reading {
            value: reading.value.and_then(|applied| applied.row),
            committed_at_ms: reading.committed_at_ms,
        }),
        Located::Elsewhere(instance) => Located::Elsewhere(instance),
    })
}

fn list<K: StoreKey, V>(
    queries: &Queries,
    store: KeyValue<K, Applied<V>>,
    scan: &Scan,
    key: fn(i64) -> K,
    id: fn(K) -> i64,
    keep: impl Fn(&V) -> bool,
) -> Rows<V>
where
    Applied<V>: StoreValue,
{
    let typed = query::Scan {
        after: scan.after.map(key),
        limit: scan.limit,
        visits_max: scan.visits_max,
        partitions: scan.partitions.clone(),
        ended: scan.ended.clone(),
    };
    let found = queries.scan(store, &typed, |_, applied| applied.row.as_ref().is_some_and(&keep))?;
    Ok(Scattered {
        value: Part {
            rows: found
                .value
                .entries
                .into_iter()
                .filter_map(|(_, applied)| applied.row)
                .collect(),
            until: found.value.until.map(id),
        },
        others: found.others,
        missing: found.missing,
    })
}
