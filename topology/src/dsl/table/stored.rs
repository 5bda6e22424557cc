//! What all tables with a store of their own share.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use super::{OldValues, Rows, Table, definitions};
use crate::change::Change;
use crate::dsl::Stream;
use crate::error::StoreError;
use crate::store::{
    ChangelogSettings, KeyValueStore, Put, StoreDef, StoreKey, StoreValue, TaskStores, Timestamped, TimestampedKeyValue,
    Versioned, VersionedStore, changelog_settings,
};

/// Where a table keeps its rows: the name of a store, or more than that.
///
/// ```
/// use std::time::Duration;
/// use topology::Topic;
/// use topology::dsl::{Builder, Materialized};
///
/// const SALES: Topic<i64, i64> = Topic::new("sales");
///
/// let b = Builder::new("example");
/// let sales = b.stream(SALES).group_by_key();
/// sales.count("counts");
/// // A stream that is joined with this one sees how many there were at its own time.
/// sales.count(Materialized::versioned("counts-since", Duration::from_secs(3_600)));
/// b.build().unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Materialized {
    store: String,
    retention: Option<Duration>,
    changelog: ChangelogSettings,
}

impl Materialized {
    /// In a store of this name.
    pub fn named(store: impl Into<String>) -> Self {
        Self {
            store: store.into(),
            retention: None,
            changelog: &[],
        }
    }

    /// In a store of this name that also keeps, for `retention`, what each key had before.
    pub fn versioned(store: impl Into<String>, retention: Duration) -> Self {
        Self {
            retention: Some(retention),
            ..Self::named(store)
        }
    }

    /// The topic of the store's changelog is made with these settings, by Kafka's names: as
    /// [`KeyValue::with_changelog`](crate::store::KeyValue::with_changelog). A table always has a changelog.
    ///
    /// ```
    /// use topology::Topic;
    /// use topology::dsl::{Builder, Materialized};
    ///
    /// const SALES: Topic<i64, i64> = Topic::new("sales");
    ///
    /// let counts = |settings: &[(&str, &str)]| {
    ///     let b = Builder::new("example");
    ///     let counts = Materialized::named("counts").with_changelog(settings.iter().copied());
    ///     b.stream(SALES).group_by_key().count(counts);
    ///     b.build()
    /// };
    /// assert!(counts(&[("segment.bytes", "104857600"), ("min.insync.replicas", "2")]).is_ok());
    /// let error = counts(&[("segment.bytes", "large")]).err().unwrap();
    /// assert!(error.to_string().contains("segment.bytes"), "{error}");
    /// ```
    pub fn with_changelog<N: AsRef<str>, V: Display>(self, settings: impl IntoIterator<Item = (N, V)>) -> Self {
        Self {
            changelog: changelog_settings(settings),
            ..self
        }
    }

    pub(in crate::dsl) fn name(&self) -> &str {
        &self.store
    }
}

impl From<&str> for Materialized {
    fn from(store: &str) -> Self {
        store.to_owned().into()
    }
}

impl From<&String> for Materialized {
    fn from(store: &String) -> Self {
        store.clone().into()
    }
}

impl From<String> for Materialized {
    fn from(store: String) -> Self {
        Self::named(store)
    }
}

/// A table's store, of either kind.
pub(in crate::dsl) enum RowStore<K, V> {
    Newest(TimestampedKeyValue<K, V>),
    Versions(Versioned<K, V>),
}

impl<K, V> Clone for RowStore<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for RowStore<K, V> {}

impl<K: StoreKey, V: StoreValue> RowStore<K, V> {
    pub fn new(materialized: &Materialized) -> Self {
        let store = &materialized.store;
        match materialized.retention {
            Some(retention) => Self::Versions(Versioned::named(store, retention).with_changelog(materialized.changelog)),
            None => Self::Newest(TimestampedKeyValue::named(store).with_changelog(materialized.changelog)),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Newest(store) => store.name(),
            Self::Versions(store) => store.versions().name(),
        }
    }

    pub fn definitions(self) -> Vec<StoreDef> {
        match self {
            Self::Newest(store) => definitions(store),
            Self::Versions(store) => definitions(store),
        }
    }

    pub fn open<'t>(self, stores: &'t mut TaskStores<'_>) -> OpenRows<'t, K, V> {
        match self {
            Self::Newest(store) => OpenRows::Newest(stores.get(store)),
            Self::Versions(store) => OpenRows::Versions(stores.get(store)),
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
            },
            retention_ms: match self {
                Self::Newest(_) => None,
                Self::Versions(store) => Some(store.retention_ms()),
            },
        }
    }
}

/// A table's store at hand.
pub(in crate::dsl) enum OpenRows<'t, K, V> {
    Newest(&'t mut KeyValueStore<K, Timestamped<V>>),
    Versions(&'t mut VersionedStore<K, V>),
}

impl<K: StoreKey, V: StoreValue> OpenRows<'_, K, V> {
    /// What the key has.
    pub fn get(&self, key: &K) -> Result<Option<Timestamped<V>>, StoreError> {
        match self {
            Self::Newest(store) => store.get(key),
            Self::Versions(store) => store.get(key),
        }
    }

    /// Takes a change, and returns it as others are to hear of it; one that is too late for the store's versions nobody hears of.
    pub fn put(&mut self, key: &K, change: Change<V>, at_ms: i64) -> Result<Option<Change<V>>, StoreError> {
        let put = match (self, &change.new) {
            (Self::Versions(store), new) => store.put(key, new.clone(), at_ms)?,
            (Self::Newest(store), Some(new)) => {
                store.put(key.clone(), Timestamped::new(new.clone(), at_ms));
                Put::Latest
            }
            (Self::Newest(store), None) => {
                store.delete(key.clone());
                Put::Latest
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
            changes,
            rows: rows.rows(),
            old,
            all_changes: None,
        }
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
pub(in crate::dsl) fn from_first<K, V: Clone, R: Into<Option<V>>>(
    add: impl Fn(&V, &V) -> R + Clone + Send + Sync + 'static,
) -> impl Fn(&K, &V, Option<V>) -> Option<V> + Clone + Send + Sync + 'static {
    move |_, value, before| match before {
        Some(before) => add(&before, value).into(),
        None => Some(value.clone()),
    }
}
