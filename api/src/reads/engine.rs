//! The port on the engine's committed stores.

use std::ops::ControlFlow;

use processors::gold::former_as_of;
use processors::scd2::{AccountHistory, CustomerHistory, Dimension};
use processors::stores::{self, ALL_ACCOUNTS};
use schemas::gold::{AccountBalance, AccountVersion, CustomerVersion};
use schemas::silver::{Account, Customer, Transaction};
use schemas::state::Applied;
use schemas::{AccountId, CustomerId, TransactionId};
use topology::query::{self, InputLag, Readiness, Scattered, Token};
use topology::store::{KeyValue, StoreKey, StoreValue};
use topology::{Answer, Queries, QueryError};

use super::{AccountFilter, Balanced, Located, Part, ReadError, Reading, Reads, Rows, Scan, TransactionFilter, Versions};

impl From<QueryError> for ReadError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::NotReady { .. } | QueryError::Elsewhere(_) | QueryError::Ended => Self::NotReady(error.to_string()),
            QueryError::NoSuchStore(_) | QueryError::Store(_) => Self::Failed(error.to_string()),
        }
    }
}

impl Reads for Queries {
    fn balance(&self, id: AccountId) -> Result<Located<Reading<Balanced>>, ReadError> {
        let frontier = match located(self.read(stores::FRONTIER, &id, |view| view.get(&ALL_ACCOUNTS)))? {
            Located::Here(reading) => reading.value,
            Located::Elsewhere(instance) => return Ok(Located::Elsewhere(instance)),
        };
        let mut found = look_up(self, stores::BALANCES, id)?;
        let mut is_awaited = false;
        if matches!(&found, Located::Here(reading) if reading.value.is_none()) {
            is_awaited = waits(self, id)?;
            // Its row may have come since, and have taken what waited.
            found = look_up(self, stores::BALANCES, id)?;
        }
        Ok(match found {
            Located::Here(Reading { value, committed_at_ms }) => Located::Here(Reading {
                value: Balanced {
                    frontier,
                    is_awaited: is_awaited && value.is_none(),
                    balance: value,
                },
                committed_at_ms,
            }),
            Located::Elsewhere(instance) => Located::Elsewhere(instance),
        })
    }

    fn former(&self, now: &AccountBalance, commit_number: i64) -> Result<Located<Reading<Option<AccountBalance>>>, ReadError> {
        located(self.read(stores::FORMER, &now.account_id, |view| former_as_of(view, now, commit_number)))
    }

    fn customer_history(&self, id: CustomerId, which: Versions) -> Result<Located<Reading<Part<CustomerVersion>>>, ReadError> {
        history::<CustomerHistory>(self, stores::CUSTOMERS, id, which)
    }

    fn account_history(&self, id: AccountId, which: Versions) -> Result<Located<Reading<Part<AccountVersion>>>, ReadError> {
        history::<AccountHistory>(self, stores::ACCOUNTS, id, which)
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

pub(super) fn look_up<K: StoreKey, V: StoreValue>(
    queries: &Queries,
    store: KeyValue<K, V>,
    key: K,
) -> Result<Located<Reading<Option<V>>>, ReadError> {
    located(queries.get(store, &key))
}

/// Whether transactions wait for an account's row.
fn waits(queries: &Queries, id: AccountId) -> Result<bool, ReadError> {
    let waiting = queries.read(stores::WAITING, &id, |view| {
        let mut any = false;
        view.scan((id, 0)..=(id, i64::MAX), |_, _| {
            any = true;
            ControlFlow::Break(())
        })?;
        Ok(any)
    });
    Ok(matches!(located(waiting)?, Located::Here(Reading { value: true, .. })))
}

/// A row that was there before histories were kept has none until it changes; it is shown as it will begin.
fn history<D: Dimension>(
    queries: &Queries,
    rows: KeyValue<D::Id, Applied<D::Row>>,
    id: D::Id,
    which: Versions,
) -> Result<Located<Reading<Part<D::Version>>>, ReadError>
where
    Applied<D::Row>: StoreValue,
{
    // The row first: what begins its history later is asked for behind it.
    let row = match row(queries, rows, id)? {
        Located::Elsewhere(instance) => return Ok(Located::Elsewhere(instance)),
        Located::Here(reading) => reading.value,
    };
    let kept = queries.read(D::VERSIONS, &id, |view| {
        let part = which.pick(|number| view.get(&(id, number)))?;
        let has_begun = !part.rows.is_empty() || view.get(&(id, 1))?.is_some();
        Ok((part, has_begun))
    });
    let (part, committed_at_ms) = match located(kept)? {
        Located::Elsewhere(instance) => return Ok(Located::Elsewhere(instance)),
        Located::Here(Reading {
            value: (value, true),
            committed_at_ms,
        }) => return Ok(Located::Here(Reading { value, committed_at_ms })),
        Located::Here(reading) => (reading.value.0, reading.committed_at_ms),
    };
    let value = match row.as_ref().map(D::beginning) {
        Some(first) => which.pick::<_, ReadError>(|number| Ok((number == 1).then(|| first.clone())))?,
        None => part,
    };
    Ok(Located::Here(Reading { value, committed_at_ms }))
}

pub(super) fn located<T>(asked: Result<Answer<T>, QueryError>) -> Result<Located<Reading<T>>, ReadError> {
    match asked {
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
        keys: query::Begins::default(),
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
