//! What all tables with a store of their own share.

use std::sync::Arc;

use super::{OldValues, Rows, Table};
use crate::change::Change;
use crate::dsl::Stream;
use crate::store::{KeyValueStore, StoreKey, StoreValue, Timestamped, TimestampedKeyValue};

impl<K: StoreKey, V: StoreValue> Table<K, V> {
    /// A table whose rows are in this store.
    pub(in crate::dsl) fn stored(changes: Stream<K, Change<V>>, rows: TimestampedKeyValue<K, V>, old: Arc<OldValues>) -> Self {
        Self {
            changes,
            rows: Rows::of(rows),
            old,
            all_changes: None,
        }
    }
}

/// What a table has of a key from now on.
pub(in crate::dsl) fn put<K: StoreKey, V: StoreValue>(
    store: &mut KeyValueStore<K, Timestamped<V>>,
    key: &K,
    value: Option<&V>,
    at_ms: i64,
) {
    match value {
        Some(value) => store.put(key.clone(), Timestamped::new(value.clone(), at_ms)),
        None => store.delete(key.clone()),
    }
}

/// The event time of what is made of a record and a row, if there is one: the later of both.
pub(in crate::dsl) fn later_ms<V>(row: Option<&Timestamped<V>>, record_ms: i64) -> i64 {
    row.map_or(record_ms, |row| row.timestamp_ms.max(record_ms))
}

/// Adds to what there is, or to what `init` makes.
pub(in crate::dsl) fn from_init<K, V, T>(
    init: impl Fn() -> T + Clone + Send + Sync + 'static,
    add: impl Fn(&K, &V, T) -> Option<T> + Clone + Send + Sync + 'static,
) -> impl Fn(&K, &V, Option<T>) -> Option<T> + Clone + Send + Sync + 'static {
    move |key, value, before| add(key, value, before.unwrap_or_else(&init))
}

/// Adds to what there is; the first value is what it begins with.
pub(in crate::dsl) fn from_first<K, V: Clone>(
    add: impl Fn(&V, &V) -> V + Clone + Send + Sync + 'static,
) -> impl Fn(&K, &V, Option<V>) -> Option<V> + Clone + Send + Sync + 'static {
    move |_, value, before| {
        Some(match before {
            Some(before) => add(&before, value),
            None => value.clone(),
        })
    }
}
