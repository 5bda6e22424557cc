//! Gold that adds up, as the state stores have it.
//!
//! A group's row is in the partition of its key: those of a customer, a day or some minutes are in several, at several instances, and each
//! reads what it has. The days of an account are in the account's own partition.

use std::ops::ControlFlow;

use processors::gold::account_day;
use processors::stores;
use schemas::gold::{BankDay, CustomerPosition, TransactionMinute, TransactionMinuteKey};
use schemas::{AccountId, CustomerId};
use topology::Queries;
use topology::query::{self, Begins, Scattered};
use topology::store::{StoreKey, StoreValue, TimestampedKeyValue};

use super::engine::{located, look_up};
use super::{AccountDays, Aggregates, Days, Located, Minutes, Part, ReadError, Reading, Rows, Scan};

/// How often days and terms are read until they are of one commit.
const TRIES: usize = 3;

impl Aggregates for Queries {
    fn positions(&self, id: CustomerId, scan: &Scan) -> Rows<CustomerPosition> {
        whole(self, stores::POSITION_ROWS, Begins::with(&id), scan)
    }

    fn account_days(&self, id: AccountId, days: Days) -> AccountDays {
        for _ in 0..TRIES {
            let terms = match look_up(self, stores::TERMS_ROWS, id)? {
                Located::Here(reading) => reading.value,
                Located::Elsewhere(instance) => return Ok(Located::Elsewhere(instance)),
            };
            let sums = self.read(stores::ACCOUNT_DAY_ROWS, &id, |view| {
                let mut rows = Vec::new();
                view.scan((id, days.from)..=(id, days.to), |(_, day), sums| {
                    rows.push((day, sums.value));
                    match rows.len() <= days.limit {
                        true => ControlFlow::Continue(()),
                        false => ControlFlow::Break(()),
                    }
                })?;
                Ok(rows)
            });
            let sums = match located(sums)? {
                Located::Here(reading) => reading,
                Located::Elsewhere(instance) => return Ok(Located::Elsewhere(instance)),
            };
            // A commit between the two may have changed both: what they make together never was.
            match look_up(self, stores::TERMS_ROWS, id)? {
                Located::Here(again) if again.value == terms => {}
                _ => continue,
            }
            let mut rows = sums.value;
            let has_more = rows.len() > days.limit;
            rows.truncate(days.limit);
            let row = |terms: &_| {
                let rows = rows.iter().map(|(day, sums)| account_day(&(id, *day), sums, terms));
                rows.collect::<Result<Vec<_>, _>>()
            };
            let rows = terms.map(|terms| row(&terms.value)).transpose();
            let rows = rows.map_err(|error| ReadError::Failed(error.to_string()))?;
            return Ok(Located::Here(Reading {
                value: rows.map(|rows| Part {
                    until: rows.last().filter(|_| has_more).map(|last| last.day),
                    rows,
                }),
                committed_at_ms: sums.committed_at_ms,
            }));
        }
        Err(ReadError::NotReady("the account changes at this moment".to_owned()))
    }

    fn bank_days(&self, last: i32, scan: &Scan) -> Rows<BankDay> {
        let days = Begins::between(&i32::MIN, &last.saturating_add(1));
        whole(self, stores::BANK_DAY_ROWS, days, scan)
    }

    fn minutes(&self, minutes: &Minutes, scan: &Scan) -> Rows<TransactionMinute, TransactionMinuteKey> {
        let typed = query::Scan {
            keys: Begins::between(&minutes.from, &minutes.to),
            after: minutes.after,
            limit: scan.limit,
            visits_max: scan.visits_max,
            partitions: scan.partitions.clone(),
            ended: scan.ended.clone(),
        };
        rows(self, stores::MINUTE_ROWS, &typed)
    }
}

/// All rows of these keys: they are few.
fn whole<K: StoreKey, V: StoreValue>(queries: &Queries, store: TimestampedKeyValue<K, V>, keys: Begins, scan: &Scan) -> Rows<V> {
    let typed = query::Scan {
        keys,
        partitions: scan.partitions.clone(),
        ended: scan.ended.clone(),
        ..query::Scan::default()
    };
    let found = rows(queries, store, &typed)?;
    Ok(Scattered {
        value: Part {
            rows: found.value.rows,
            until: None,
        },
        others: found.others,
        missing: found.missing,
    })
}

fn rows<K: StoreKey, V: StoreValue>(queries: &Queries, store: TimestampedKeyValue<K, V>, scan: &query::Scan<K>) -> Rows<V, K> {
    let found = queries.scan(store, scan, |_, _| true)?;
    Ok(Scattered {
        value: Part {
            rows: found.value.entries.into_iter().map(|(_, row)| row.value).collect(),
            until: found.value.until,
        },
        others: found.others,
        missing: found.missing,
    })
}
