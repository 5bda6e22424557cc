//! Stores of which queries see no entry that is longer ago than a time to live.

use std::any::TypeId;
use std::sync::Arc;
use std::time::Duration;

use wire::{Codec, Wire, WireError};

use super::backend::{AnyStore, StoreContext, StoreDef};
use super::live::Live;
use super::set::{Definitions, Store};
use super::{ChangelogSettings, KeyValue, KeyValueStore, StoreKey, StoreValue, Timestamped, TimestampedKeyValue};
use crate::error::EngineError;

/// The store of a table whose rows expire.
pub(crate) struct Expiring<K, V> {
    pub rows: TimestampedKeyValue<K, V>,
    /// The rows by their times.
    pub times: KeyValue<(i64, K), Present>,
    pub ttl: Duration,
}

/// What the store of the rows' times is called.
pub(crate) fn times_of(store: &str) -> String {
    format!("{store}-times")
}

impl<K: StoreKey, V: StoreValue> Expiring<K, V> {
    pub fn named(store: &str, ttl: Duration, changelog: ChangelogSettings) -> Self {
        Self {
            rows: KeyValue::named(store).with_changelog(changelog),
            times: KeyValue::named(&times_of(store)).with_changelog(changelog),
            ttl,
        }
    }
}

impl<K, V> Clone for Expiring<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for Expiring<K, V> {}

impl<K: StoreKey, V: StoreValue> Store for Expiring<K, V> {
    type Handle = KeyValueStore<K, Timestamped<V>>;

    fn name(&self) -> &'static str {
        self.rows.name()
    }

    fn definition(&self) -> Definitions {
        let (rows, ttl) = (self.rows, self.ttl);
        let make = move |cx: &StoreContext<'_>| -> Result<Box<dyn AnyStore>, EngineError> {
            let live = Live::new(ttl, |row: &Timestamped<V>| row.timestamp_ms);
            Ok(Box::new(KeyValueStore::open_with(rows, Some(live), cx)?))
        };
        Definitions(vec![StoreDef {
            types: TypeId::of::<Self>(),
            make: Arc::new(make),
            expires: true,
            ..KeyValueStore::definition(rows)
        }])
    }
}

/// An entry of an index: that it is there is all that it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Present;

impl Wire for Present {
    const SCHEMA: Option<&'static str> = None;

    fn encode(&self, _: &Codec, _: &mut Vec<u8>) -> Result<(), WireError> {
        Ok(())
    }

    fn decode(_: &[u8], _: &Codec) -> Result<Self, WireError> {
        Ok(Self)
    }
}
