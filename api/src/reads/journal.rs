//! An account's postings, openings, holds and reconciliation, as the state stores have them: some at once. What they come to is in [`super::past`].

use std::ops::{ControlFlow, RangeInclusive};

use processors::stores;
use schemas::gold::Reconciliation;
use schemas::silver::Posting;
use schemas::state::{Hold, Opening};
use schemas::{AccountId, TransactionId};
use topology::Queries;
use topology::query::{self, Scattered};
use topology::store::{KeyValue, StoreKey, StoreValue};

use super::engine::look_up;
use super::{Entries, Journal, Located, Part, ReadError, Reading, Reads as _, Rows, Scan};

/// Postings that are read at once: the next commit waits meanwhile.
pub(super) const CHUNK: i64 = 1_000;

impl Journal for Queries {
    fn entries(&self, id: AccountId) -> Result<Located<Reading<Option<Entries>>>, ReadError> {
        let terms = match look_up(self, stores::TERMS_ROWS, id)? {
            Located::Here(reading) => reading.value,
            Located::Elsewhere(instance) => return Ok(Located::Elsewhere(instance)),
        };
        let opened_at = terms.map(|terms| terms.value.created_at);
        Ok(match self.balance(id)? {
            Located::Here(Reading { value, committed_at_ms }) => Located::Here(Reading {
                value: value.balance.map(|balance| Entries {
                    frontier: value.frontier,
                    balance,
                    opened_at,
                }),
                committed_at_ms,
            }),
            Located::Elsewhere(instance) => Located::Elsewhere(instance),
        })
    }

    fn postings(&self, id: AccountId, from: i64, to: i64) -> Result<Vec<Posting>, ReadError> {
        // By number: those that are no longer kept count.
        let found = some(self, stores::POSTINGS, id, from..=to.min(from.saturating_add(CHUNK - 1)))?;
        Ok(found.into_iter().map(|(_, posting)| posting).collect())
    }

    fn ahead(&self, id: AccountId, from: i64) -> Result<Vec<(i64, i64)>, ReadError> {
        some(self, stores::POSTINGS_AHEAD, id, from..=i64::MAX)
    }

    fn openings(&self, id: AccountId, from: i64) -> Result<Vec<(i64, Opening)>, ReadError> {
        some(self, stores::OPENINGS, id, from..=i64::MAX)
    }

    fn holds(&self, id: AccountId, from: TransactionId) -> Result<Vec<(TransactionId, Hold)>, ReadError> {
        some(self, stores::HOLDS, id, from..=TransactionId(i64::MAX))
    }

    fn reconciliation(&self, id: AccountId) -> Result<Located<Reading<Option<Reconciliation>>>, ReadError> {
        look_up(self, stores::RECONCILED, id)
    }

    fn different(&self, scan: &Scan) -> Rows<Reconciliation, AccountId> {
        let typed = query::Scan {
            after: scan.after.map(AccountId),
            limit: scan.limit,
            visits_max: scan.visits_max,
            partitions: scan.partitions.clone(),
            ended: scan.ended.clone(),
            ..query::Scan::default()
        };
        let found = self.scan(stores::DIFFERENT, &typed, |_, _| true)?;
        let mut rows = Vec::with_capacity(found.value.entries.len());
        for (id, _) in found.value.entries {
            // One that agrees since is none.
            if let Located::Here(Reading { value: Some(row), .. }) = look_up(self, stores::RECONCILED, id)? {
                rows.push(row);
            }
        }
        Ok(Scattered {
            value: Part {
                rows,
                until: found.value.until,
            },
            others: found.others,
            missing: found.missing,
        })
    }
}

/// What a store has of an account, from one place to another, in order: some of it at once.
fn some<P: Clone, V>(
    queries: &Queries,
    store: KeyValue<(AccountId, P), V>,
    id: AccountId,
    places: RangeInclusive<P>,
) -> Result<Vec<(P, V)>, ReadError>
where
    (AccountId, P): StoreKey,
    V: StoreValue,
{
    let (from, to) = places.into_inner();
    let found = queries.read(store, &id, |view| {
        let mut found = Vec::new();
        view.scan((id, from)..=(id, to), |(_, place), value| {
            found.push((place, value));
            match (found.len() as i64) < CHUNK {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        Ok(found)
    });
    Ok(found?.value)
}
