//! What all tables with a store of their own share.

use std::sync::Arc;

use wire::Registry;

use super::{Materialized, OldValues, Rows, Table, definitions};
use crate::change::Change;
use crate::dsl::Stream;
use crate::error::{EngineError, StoreError};
use crate::graph::Kind;
use crate::node::{ExpireNode, Node};
use crate::store::{
    Expiring, KeyValueStore, Present, Put, Store as _, StoreDef, StoreKey, StoreValue, TaskStores, Timestamped,
    TimestampedKeyValue, Versioned, VersionedStore,
};
use clock::Millis;

/// A table's store, of any kind.
pub(in crate::dsl) enum RowStore<K, V> {
    Newest(TimestampedKeyValue<K, V>),
    Versions(Versioned<K, V>),
    Expires {
        store: Expiring<K, V>,
        /// What it cannot be as well.
        is_versioned: bool,
    },
}

impl<K, V> Clone for RowStore<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for RowStore<K, V> {}

impl<K: StoreKey, V: StoreValue> RowStore<K, V> {
    pub fn new(materialized: &Materialized) -> Self {
        let (store, changelog) = (&materialized.store, materialized.changelog);
        match (materialized.ttl, materialized.retention) {
            (None, None) => Self::Newest(TimestampedKeyValue::named(store).with_changelog(changelog)),
            (None, Some(retention)) => Self::Versions(Versioned::named(store, retention).with_changelog(changelog)),
            (Some(ttl), retention) => Self::Expires {
                store: Expiring::named(store, ttl, changelog),
                is_versioned: retention.is_some(),
            },
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Newest(store) => store.name(),
            Self::Versions(store) => store.versions().name(),
            Self::Expires { store, .. } => store.name(),
        }
    }

    pub fn definitions(self) -> Vec<StoreDef> {
        match self {
            Self::Newest(store) => definitions(store),
            Self::Versions(store) => definitions(store),
            Self::Expires { store, .. } => definitions((store, store.times)),
        }
    }

    pub fn open<'t>(self, stores: &'t mut TaskStores<'_>) -> OpenRows<'t, K, V> {
        match self {
            Self::Newest(store) => OpenRows::Newest(stores.get(store)),
            Self::Versions(store) => OpenRows::Versions(stores.get(store)),
            Self::Expires { store, .. } => {
                let horizon_ms = stores.stream_time_ms.map(|now_ms| now_ms - store.ttl);
                let (rows, times) = stores.pair(store, store.times);
                OpenRows::Expires {
                    rows,
                    times,
                    horizon_ms: horizon_ms.unwrap_or(Millis::MIN),
                }
            }
        }
    }

    fn rows(self) -> Rows<K, V> {
        Rows {
            stores: self.definitions(),
            look_up: match self {
                Self::Newest(store) => Arc::new(move |stores, key, _| stores.get(store).get(key)),
                Self::Versions(store) => Arc::new(move |stores, key, at_ms| {
                    let store = stores.get(store);
                    at_ms.map_or_else(|| store.get(key), |at_ms| store.get_as_of(key, at_ms))
                }),
                Self::Expires { store, .. } => Arc::new(move |stores, key, _| stores.get(store).get(key)),
            },
            retention: match self {
                Self::Newest(_) | Self::Expires { .. } => None,
                Self::Versions(store) => Some(store.retention()),
            },
        }
    }
}

/// A table's store at hand.
pub(in crate::dsl) enum OpenRows<'t, K, V> {
    Newest(&'t mut KeyValueStore<K, Timestamped<V>>),
    Versions(&'t mut VersionedStore<K, V>),
    Expires {
        rows: &'t mut KeyValueStore<K, Timestamped<V>>,
        times: &'t mut KeyValueStore<(i64, K), Present>,
        /// What is older has expired.
        horizon_ms: Millis,
    },
}

impl<K: StoreKey, V: StoreValue> OpenRows<'_, K, V> {
    /// What the key has.
    pub fn get(&self, key: &K) -> Result<Option<Timestamped<V>>, StoreError> {
        match self {
            Self::Newest(store) => store.get(key),
            Self::Versions(store) => store.get(key),
            Self::Expires { rows, .. } => rows.get(key),
        }
    }

    /// Takes a change, and returns it as others are to hear of it; one that is too late for the store's versions nobody hears of.
    pub fn put(&mut self, key: &K, mut change: Change<V>, at_ms: Millis) -> Result<Option<Change<V>>, StoreError> {
        let put = match self {
            Self::Versions(store) => store.put(key, change.new.clone(), at_ms)?,
            Self::Newest(store) => {
                match &change.new {
                    Some(new) => store.put(key.clone(), Timestamped::new(new.clone(), at_ms)),
                    None => store.delete(key.clone()),
                }
                Put::Latest
            }
            Self::Expires { rows, times, horizon_ms } => {
                let is_too_late = at_ms < *horizon_ms && change.new.take().is_some();
                let before = rows.get(key)?;
                if let Some(before) = &before {
                    times.delete((before.timestamp_ms.0, key.clone()));
                    rows.delete(key.clone());
                }
                if let Some(new) = &change.new {
                    times.put((at_ms.0, key.clone()), Present);
                    rows.put(key.clone(), Timestamped::new(new.clone(), at_ms));
                }
                match before.is_none() && is_too_late {
                    true => Put::TooLate,
                    false => Put::Latest,
                }
            }
        };
        let is_latest = put == Put::Latest;
        Ok((put != Put::TooLate).then_some(Change { is_latest, ..change }))
    }
}

impl<K: StoreKey, V: StoreValue> Table<K, V> {
    /// A table whose rows are in this store.
    pub(in crate::dsl) fn stored(changes: Stream<K, Change<V>>, rows: RowStore<K, V>, old: Arc<OldValues>) -> Self {
        Self {
            changes: match rows {
                RowStore::Expires { store, is_versioned } => {
                    if is_versioned {
                        let problem = format!("store {} cannot keep versions and have its rows expire", store.name());
                        changes.graph.borrow_mut().problems.push(problem);
                    }
                    changes.expiring(store)
                }
                _ => changes,
            },
            rows: rows.rows(),
            old,
            all_changes: None,
        }
    }
}

impl<K: StoreKey, V: StoreValue> Stream<K, Change<V>> {
    /// The changes of a table, and between them those of rows that expire.
    fn expiring(&self, store: Expiring<K, V>) -> Self {
        let make =
            Arc::new(move |_: &Arc<dyn Registry>| -> Result<Box<dyn Node>, EngineError> { Ok(Box::new(ExpireNode::new(store))) });
        let kind = Kind::Processor {
            stores: vec![store.name(), store.times.name()],
            reads_ahead: false,
        };
        let name = format!("{}.expire", store.name());
        let parent = Some((self.node, self.port));
        let node = self.graph.borrow_mut().add(name, kind, make, 1, parent);
        Stream::at(&self.graph, node, 0)
    }
}

/// The event time of what is made of a record and a row, if there is one: the later of both.
pub(in crate::dsl) fn later_ms<V>(row: Option<&Timestamped<V>>, record_ms: Millis) -> Millis {
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
pub(in crate::dsl) fn from_first<K, V: Clone, R: Into<Option<V>>>(
    add: impl Fn(&V, &V) -> R + Clone + Send + Sync + 'static,
) -> impl Fn(&K, &V, Option<V>) -> Option<V> + Clone + Send + Sync + 'static {
    move |_, value, before| match before {
        Some(before) => add(&before, value).into(),
        None => Some(value.clone()),
    }
}
