//! Tables: what is known of each key now, and how it changes.
//!
//! A [`Table`] is a stream of [`Change`]s, and a way to look up what a key has. Where a table has a store, that is looked into; else it is
//! computed from the tables before it.

mod as_table;
mod cached;
mod filter;
mod fk_join;
mod foreign_key;
mod group_by;
mod join;
mod map_values;
mod materialized;
mod on_change;
mod options;
mod source;
mod stored;
mod to_stream;
mod versioned;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clock::Millis;

use super::Stream;
use crate::change::Change;
use crate::error::StoreError;
use crate::store::{Definitions, StoreDef, StoreKey, StoreSet, StoreValue, TaskStores, Timestamped};

pub use group_by::GroupedTable;
pub use options::Materialized;
pub(super) use stored::{RowStore, from_first, from_init, later_ms};

/// A table with keys `K` and values `V`.
pub struct Table<K, V> {
    pub(super) changes: Stream<K, Change<V>>,
    pub(super) rows: Rows<K, V>,
    pub(super) old: Arc<OldValues>,
    /// Changes from nothing to nothing as well, where `changes` leaves them out: for a store, which knows for certain what was there.
    pub(super) all_changes: Option<Stream<K, Change<V>>>,
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Self {
            changes: self.changes.clone(),
            rows: self.rows.clone(),
            old: self.old.clone(),
            all_changes: self.all_changes.clone(),
        }
    }
}

/// What a key has, or, of a versioned table, had at an event time: the value, and the event time of its last change.
type LookUp<K, V> =
    Arc<dyn Fn(&mut TaskStores<'_>, &K, Option<Millis>) -> Result<Option<Timestamped<V>>, StoreError> + Send + Sync>;

/// A table's rows, to be looked up.
pub(super) struct Rows<K, V> {
    /// The stores that must be at hand.
    pub stores: Vec<StoreDef>,
    pub look_up: LookUp<K, V>,
    /// For how long the store keeps versions; `None` where it keeps none, and of rows that are computed.
    pub retention: Option<Duration>,
}

impl<K, V> Clone for Rows<K, V> {
    fn clone(&self) -> Self {
        Self {
            stores: self.stores.clone(),
            look_up: self.look_up.clone(),
            retention: self.retention,
        }
    }
}

impl<K: StoreKey, V: StoreValue> Table<K, V> {
    /// Changes that nobody looks up a row of.
    pub(super) fn of_changes(changes: &Stream<K, Change<V>>, old: Arc<OldValues>) -> Self {
        Self {
            changes: changes.clone(),
            rows: Rows {
                stores: Vec::new(),
                look_up: Arc::new(|_, _, _| Ok(None)),
                retention: None,
            },
            old,
            all_changes: None,
        }
    }

    /// The changes, with what there was before.
    pub(super) fn changes_with_old(&self) -> &Stream<K, Change<V>> {
        self.old.want();
        &self.changes
    }
}

/// The stores that must be at hand to look up a table's rows, and how to.
pub(super) fn lookup_in<K: StoreKey, V: StoreValue>(table: &Table<K, V>) -> (Vec<StoreDef>, LookUp<K, V>) {
    (table.rows.stores.clone(), table.rows.look_up.clone())
}

pub(super) fn definitions(stores: impl StoreSet) -> Vec<StoreDef> {
    let Definitions(definitions) = stores.definitions();
    definitions
}

/// Whether somebody behind a table needs to know what its keys had before.
pub(super) struct OldValues {
    is_wanted: AtomicBool,
    /// Whether the table can tell only if those before it do.
    before: Vec<Arc<OldValues>>,
}

impl OldValues {
    /// Of a table that knows by itself: it has a store.
    pub fn known() -> Arc<Self> {
        Self::of(Vec::new())
    }

    /// Of a table that knows by those before it.
    pub fn of(before: Vec<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self {
            is_wanted: AtomicBool::new(false),
            before,
        })
    }

    pub fn want(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
        self.before.iter().for_each(|table| table.want());
    }

    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }
}
