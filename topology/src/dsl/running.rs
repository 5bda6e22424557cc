//! Rows in an order within each key, each of which begins where the one before it ends: [`Grouped::aggregate_running`].
//!
//! ```text
//!  key 17   │ 1 May        │ 3 May        │ 4 May
//!           │ 0 ─ +5 ─► 5  │ 5 ─ −2 ─► 3  │ 3 ─ +4 ─► 7
//!           late for 2 May: ▲ a row comes between, and those behind it change, until one does not
//! ```
//!
//! It is what SQL writes as `sum(…) OVER (PARTITION BY key ORDER BY part)`. Kafka Streams does not have it: its windows end, and do not know of
//! each other.

use std::fmt::Display;
use std::ops::{Bound, ControlFlow};

use hashbrown::HashMap;
use wire::Wire;

use super::table::{GroupedTable, OldValues, Table, later_ms, lookup_in};
use super::{Grouped, Rekeyed, Stream};
use crate::change::Change;
use crate::error::{ProcessError, StoreError};
use crate::record::Record;
use crate::store::{KeyValueStore, StoreKey, StoreValue, Timestamped, TimestampedKeyValue};

/// The store of a running aggregate.
type RunningStore<K, O, T> = KeyValueStore<(K, O), Timestamped<T>>;
/// A row as it was, and as it is.
type ChangedRow<K, O, T> = ((K, O), Option<Timestamped<T>>, Option<T>);

/// Rows by a key and a part of it, in the partition of the key: what is not partitioned by the whole of both can be written, or
/// [grouped](Parts::group_by) anew, but not be joined with what is.
pub struct Parts<K, O, V> {
    changes: Stream<(K, O), Change<V>>,
}

/// The rows of a running aggregate, in a store.
pub struct Running<K, O, V> {
    parts: Parts<K, O, V>,
    store: TimestampedKeyValue<(K, O), V>,
}

fn refused<E: Display>(error: E) -> ProcessError {
    ProcessError::Record(error.to_string())
}

impl<K: StoreKey, V: Send + 'static> Grouped<K, V> {
    /// Gathers the records of a key by a part that they name; the rows of a key are in the order of their parts, and each knows what those before
    /// it come to.
    ///
    /// `add` makes a part's row of what there is and the next record; `None` deletes it. `carry` makes of a row what it is behind the one before
    /// it (`None`: it is the first): for a row that is new, and for all later ones while that changes them. So a record for the newest part costs one
    /// row, and a late one as many as come after its part. A row that is new, or goes, also costs a look at those before it.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// // What a gauge of each river measures: a day, and by how much the water has risen. How much on the day, and in all by its evening.
    /// const RISES: Topic<String, (i64, i64)> = Topic::new("rises");
    /// const LEVELS: Topic<(String, i64), (i64, i64)> = Topic::new("levels");
    ///
    /// let b = Builder::new("example");
    /// let levels = b.stream(RISES).group_by_key().aggregate_running(
    ///     "levels",
    ///     |_, (day, _)| *day,
    ///     |(_, rise), row: Option<(i64, i64)>| {
    ///         let (on_day, in_all) = row.unwrap_or((0, 0));
    ///         Ok::<_, String>(Some((on_day + rise, in_all + rise)))
    ///     },
    ///     |before, (on_day, _)| Ok((*on_day, on_day + before.map_or(0, |(_, in_all)| *in_all))),
    /// );
    /// levels.into_parts().to_stream().to_compacted(LEVELS);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// for (day, rise) in [(1, 10), (5, 7), (3, 2)] {
    ///     driver.send(RISES, day, &"Rhine".to_owned(), Some(&(day, rise)));
    /// }
    /// let levels: Vec<_> = driver.drain(LEVELS).into_iter().map(|row| (row.key.1, row.value.unwrap())).collect();
    /// assert_eq!(levels[..2], [(1, (10, 10)), (5, (7, 17))]);
    /// // The third day was late: it is there, and the fifth has it.
    /// let mut later = levels[2..].to_vec();
    /// later.sort();
    /// assert_eq!(later, [(3, (2, 12)), (5, (7, 19))]);
    /// ```
    pub fn aggregate_running<O: StoreKey, T: StoreValue + PartialEq, E: Display>(
        &self,
        store: &str,
        part: impl Fn(&K, &V) -> O + Clone + Send + Sync + 'static,
        add: impl Fn(&V, Option<T>) -> Result<Option<T>, E> + Clone + Send + Sync + 'static,
        carry: impl Fn(Option<&T>, &T) -> Result<T, E> + Clone + Send + Sync + 'static,
    ) -> Running<K, O, T> {
        let rows = TimestampedKeyValue::<(K, O), T>::named(store);
        let name = format!("{store}.table");
        let mut newest = Newest::default();
        let changes = self
            .stream
            .stateful(name, super::table::definitions(rows), move |record, stores, out| {
                let store = stores.get(rows);
                let key = (record.key.clone(), part(&record.key, &record.value));
                let known = store.get(&key)?;
                let before = known.as_ref().map(|row| row.value.clone());
                let mut now = add(&record.value, before.clone()).map_err(refused)?;
                if before.is_none() && now.is_none() {
                    return Ok(());
                }
                // What a row that stays has from those before it is in it.
                let mut ahead = now.clone();
                if before.is_none() || now.is_none() {
                    let last = newest.row_before(store, &key)?;
                    let carried = now.map(|row| carry(last.as_ref(), &row).map_err(refused));
                    now = carried.transpose()?;
                    ahead = now.clone().or(last);
                }
                let mut changed = vec![(key.clone(), known, now)];
                if newest.is_behind_none(&key) || !carry_on(store, &key, ahead, &carry, &mut changed)? {
                    newest.keep(&key);
                }
                for (key, known, now) in changed {
                    let at_ms = later_ms(known.as_ref(), record.timestamp_ms);
                    match &now {
                        Some(row) => store.put(key.clone(), Timestamped::new(row.clone(), at_ms)),
                        None => store.delete(key.clone()),
                    }
                    let change = Change::new(now, known.map(|row| row.value));
                    out.push(Record::new(key, change, at_ms));
                }
                Ok(())
            });
        Running {
            parts: Parts { changes },
            store: rows,
        }
    }
}

/// Keys of which this is known.
const NEWEST_MAX: usize = 16_384;

/// Behind which part a key has no row: mostly records are of the newest, and what comes behind it need not be looked for. Of a task: only it writes
/// the rows. What a record wrote or deleted may be undone; so the part only ever rises, and then no row is behind it all the same.
#[derive(Clone)]
struct Newest<K, O> {
    parts: HashMap<K, O>,
}

impl<K, O> Default for Newest<K, O> {
    fn default() -> Self {
        Self { parts: HashMap::new() }
    }
}

impl<K: StoreKey, O: StoreKey> Newest<K, O> {
    /// Whether it is known that no row of the key is behind this one.
    fn is_behind_none(&self, key: &(K, O)) -> bool {
        self.parts.get(&key.0).is_some_and(|newest| !is_before(&key.1, newest))
    }

    /// The row before this one, of the same key.
    fn row_before<T: StoreValue>(&self, store: &RunningStore<K, O, T>, key: &(K, O)) -> Result<Option<T>, StoreError> {
        if let Some(newest) = self.parts.get(&key.0)
            && is_before(newest, &key.1)
            && let Some(row) = store.get(&(key.0.clone(), newest.clone()))?
        {
            return Ok(Some(row.value));
        }
        let mut last = None;
        store.scan_prefix(&key.0, |known, row| {
            if !is_before(&known.1, &key.1) {
                return ControlFlow::Break(());
            }
            last = Some(row.value);
            ControlFlow::Continue(())
        })?;
        Ok(last)
    }

    /// No row of the key is behind this one.
    fn keep(&mut self, key: &(K, O)) {
        if let Some(newest) = self.parts.get_mut(&key.0) {
            if is_before(newest, &key.1) {
                *newest = key.1.clone();
            }
            return;
        }
        if self.parts.len() >= NEWEST_MAX {
            self.parts.clear();
        }
        self.parts.insert(key.0.clone(), key.1.clone());
    }
}

/// In the order of the store.
fn is_before<O: StoreKey>(one: &O, other: &O) -> bool {
    let mut bytes = [Vec::new(), Vec::new()];
    one.encode_ordered(&mut bytes[0]);
    other.encode_ordered(&mut bytes[1]);
    bytes[0] < bytes[1]
}

/// Carries to the rows behind one, until one stays as it was; says whether there are any.
fn carry_on<K: StoreKey, O: StoreKey, T: StoreValue + PartialEq, E: Display>(
    store: &RunningStore<K, O, T>,
    key: &(K, O),
    mut ahead: Option<T>,
    carry: &impl Fn(Option<&T>, &T) -> Result<T, E>,
    changed: &mut Vec<ChangedRow<K, O, T>>,
) -> Result<bool, ProcessError> {
    let (mut is_any, mut failed) = (false, None);
    store.scan((Bound::Excluded(key.clone()), Bound::Unbounded), |next, row| {
        if next.0 != key.0 {
            return ControlFlow::Break(());
        }
        is_any = true;
        match carry(ahead.as_ref(), &row.value) {
            Ok(carried) if carried == row.value => return ControlFlow::Break(()),
            Ok(carried) => {
                ahead = Some(carried.clone());
                changed.push((next, Some(row), Some(carried)));
            }
            Err(error) => {
                failed = Some(refused(error));
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    failed.map_or(Ok(is_any), Err)
}

impl<K: StoreKey, O: StoreKey, V: StoreValue> Running<K, O, V> {
    /// The rows as they are.
    pub fn into_parts(self) -> Parts<K, O, V> {
        self.parts
    }

    /// Joins all rows of a key with the key's row in a table; those of a key that is not there are not in the result. When the table's row
    /// changes, all rows of the key are looked at, and those that differ by it change.
    ///
    /// ```
    /// use topology::dsl::Builder;
    /// use topology::testing::TestDriver;
    /// use topology::Topic;
    ///
    /// // A day and how many loaves a baker sold; the bakers' prices; what each earned on each day.
    /// const SOLD: Topic<i64, (i64, i64)> = Topic::new("sold");
    /// const PRICES: Topic<i64, i64> = Topic::new("prices");
    /// const EARNED: Topic<(i64, i64), i64> = Topic::new("earned");
    ///
    /// let b = Builder::new("example");
    /// let sold = b.stream(SOLD).group_by_key().aggregate_running(
    ///     "sold",
    ///     |_, (day, _)| *day,
    ///     |(_, loaves), row: Option<i64>| Ok::<_, String>(Some(row.unwrap_or(0) + loaves)),
    ///     |_, row| Ok(*row),
    /// );
    /// let earned = sold.try_join(&b.table(PRICES, "prices"), |_, loaves, price| Ok::<_, String>(loaves * price));
    /// earned.to_stream().to_compacted(EARNED);
    /// let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    /// driver.send(SOLD, 0, &1, Some(&(7, 10)));
    /// driver.send(SOLD, 1, &1, Some(&(8, 20)));
    /// driver.send(PRICES, 2, &1, Some(&3));
    /// driver.send(SOLD, 3, &1, Some(&(8, 1)));
    /// let mut earned: Vec<_> = driver.drain(EARNED).into_iter().map(|row| (row.key.1, row.value.unwrap())).collect();
    /// earned.sort();
    /// assert_eq!(earned, [(7, 30), (8, 60), (8, 63)]);
    /// ```
    pub fn try_join<W: StoreValue, VO: StoreValue + PartialEq, E: Display>(
        &self,
        table: &Table<K, W>,
        join: impl Fn(&(K, O), &V, &W) -> Result<VO, E> + Clone + Send + Sync + 'static,
    ) -> Parts<K, O, VO> {
        let joined = move |key: &(K, O), row: Option<&V>, whole: Option<&W>| match (row, whole) {
            (Some(row), Some(whole)) => join(key, row, whole).map(Some).map_err(refused),
            _ => Ok(None),
        };
        let of_parts = joined.clone();
        let (whole, look_up) = lookup_in(table);
        let (changes, rows) = (&self.parts.changes, self.store);
        let stores = [super::table::definitions(rows), whole].concat();
        let parts = changes.stateful(changes.name_after("join"), stores.clone(), move |record, stores, out| {
            let (key, change) = (&record.key, &record.value);
            let Some(whole) = look_up(stores, &key.0, None)? else {
                return Ok(());
            };
            let at_ms = later_ms(Some(&whole), record.timestamp_ms);
            let old = of_parts(key, change.old.as_ref(), Some(&whole.value))?;
            let new = of_parts(key, change.new.as_ref(), Some(&whole.value))?;
            if old != new {
                out.push(Record::new(key.clone(), Change::new(new, old), at_ms));
            }
            Ok(())
        });
        let wholes = table.changes_with_old();
        let wholes = wholes.stateful(wholes.name_after("join_parts"), stores, move |record, stores, out| {
            let change = &record.value;
            if !change.is_latest {
                return Ok(());
            }
            let mut failed = None;
            stores.get(rows).scan_prefix(&record.key, |key, row| {
                let beside = |whole: &Option<W>| joined(&key, Some(&row.value), whole.as_ref());
                match beside(&change.old).and_then(|old| Ok((old, beside(&change.new)?))) {
                    Ok((old, new)) => {
                        if old != new {
                            let at_ms = later_ms(Some(&row), record.timestamp_ms);
                            out.push(Record::new(key.clone(), Change::new(new, old), at_ms));
                        }
                        ControlFlow::Continue(())
                    }
                    Err(error) => {
                        failed = Some(error);
                        ControlFlow::Break(())
                    }
                }
            })?;
            failed.map_or(Ok(()), Err)
        });
        Parts {
            changes: parts.merge(&wholes),
        }
    }
}

impl<K: StoreKey, O: StoreKey, V: StoreValue> Parts<K, O, V> {
    /// What each key and part has from now on: `None` where it is deleted.
    pub fn to_stream(&self) -> Rekeyed<(K, O), Option<V>> {
        let news = self.changes.on_changes("to_stream", |record, out| {
            out.push(Record::new(record.key.clone(), record.value.new.clone(), record.timestamp_ms));
        });
        news.rekeyed()
    }

    /// The same rows, of whose updates at most one of each key and commit goes on, as [`Table::cached`].
    pub fn cached(&self, name: &str, max_bytes: usize) -> Self {
        let table = Table::of_changes(&self.changes, OldValues::known()).cached(name, max_bytes);
        Self {
            changes: table.changes_with_old().clone(),
        }
    }

    /// Gathers the rows by another key, as [`Table::group_by`].
    pub fn group_by<KO: StoreKey, VO: Wire + Clone>(
        &self,
        group: impl Fn(&(K, O), &V) -> (KO, VO) + Clone + Send + Sync + 'static,
        name: &str,
    ) -> GroupedTable<KO, VO> {
        Table::of_changes(&self.changes, OldValues::known()).group_by(group, name)
    }

    /// The same, summed up between two commits, as [`Table::group_by_summed`].
    pub fn group_by_summed<KO: StoreKey, VO: StoreValue + PartialEq>(
        &self,
        group: impl Fn(&(K, O), &V) -> (KO, VO) + Clone + Send + Sync + 'static,
        sum: impl Fn(&VO, &VO) -> Option<VO> + Send + Sync + 'static,
        name: &str,
        max_bytes: usize,
    ) -> GroupedTable<KO, VO> {
        Table::of_changes(&self.changes, OldValues::known()).group_by_summed(group, sum, name, max_bytes)
    }
}
