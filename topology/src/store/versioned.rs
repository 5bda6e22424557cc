//! Stores that know what a key had at an earlier time.
//!
//! Each version is a row of its own, the newest of a key first: its key is the key and the complement of the version's time. So the version of
//! a time is the first one from there on, and what nobody can ask for any more is what comes behind it. A deletion is a version, too.

use std::any::{Any, TypeId};
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use broker::Message;
use clock::Millis;
use wire::{Codec, Wire, WireError};

use super::backend::{AnyStore, Batch, EmitChange, FlushPart, LookedUp, StoreContext, StoreDef};
use super::set::{Definitions, Store};
use super::{Backing, ChangelogSettings, KeyValue, KeyValueStore, StoreKey, StoreValue, Timestamped};
use crate::error::{EngineError, ProcessError, StoreError};

/// A versioned store: its name, its types, and for how long versions are kept that others have followed.
pub struct Versioned<K, V> {
    name: &'static str,
    retention: Duration,
    backing: Backing,
    changelog: ChangelogSettings,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for Versioned<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for Versioned<K, V> {}

impl<K: StoreKey, V: StoreValue> Versioned<K, V> {
    /// A store with a changelog of its own. What a key had longer ago than `retention`, by stream time, is forgotten, but for what it still has;
    /// changes that come so late are not taken.
    pub const fn new(name: &'static str, retention: Duration) -> Self {
        Self {
            name,
            retention,
            backing: Backing::Changelog,
            changelog: &[],
            types: PhantomData,
        }
    }

    /// As [`KeyValue::with_changelog`].
    pub const fn with_changelog(self, settings: ChangelogSettings) -> Self {
        Self {
            changelog: settings,
            ..self
        }
    }

    /// As [`KeyValue::without_changelog`].
    pub const fn without_changelog(self) -> Self {
        Self {
            backing: Backing::Nowhere,
            ..self
        }
    }

    /// The same, under a name that is known at run time only.
    pub fn named(name: &str, retention: Duration) -> Self {
        Self::new(wire::name(name), retention)
    }

    /// For how long versions are kept.
    pub(crate) const fn retention(&self) -> Duration {
        self.retention
    }

    /// The rows beneath, for queries: by key, and the complement (`!`) of the time in milliseconds since the epoch.
    pub const fn versions(&self) -> KeyValue<(K, i64), Version<V>> {
        let rows = KeyValue::new(self.name).with_changelog(self.changelog);
        match self.backing {
            Backing::Nowhere => rows.without_changelog(),
            _ => rows,
        }
    }
}

impl<K: StoreKey, V: StoreValue> Store for Versioned<K, V> {
    type Handle = VersionedStore<K, V>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn definition(&self) -> Definitions {
        let (rows, retention) = (self.versions(), self.retention);
        let make = move |cx: &StoreContext<'_>| -> Result<Box<dyn AnyStore>, EngineError> {
            Ok(Box::new(VersionedStore {
                rows: KeyValueStore::open(rows, cx)?,
                retention,
                stream_time_ms: None,
                stream_time_before_ms: None,
                committed_time_ms: None,
            }))
        };
        Definitions(vec![StoreDef {
            types: TypeId::of::<Self>(),
            make: Arc::new(make),
            ..KeyValueStore::definition(rows)
        }])
    }
}

/// What a key had from some time on; `None`: it was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version<V>(pub Option<V>);

/// Whether there is a value, and it.
impl<V: Wire> Wire for Version<V> {
    const SCHEMA: Option<&'static str> = V::SCHEMA;

    fn encode(&self, codec: &Codec, out: &mut Vec<u8>) -> Result<(), WireError> {
        out.push(u8::from(self.0.is_some()));
        match &self.0 {
            Some(value) => value.encode(codec, out),
            None => Ok(()),
        }
    }

    fn decode(bytes: &[u8], codec: &Codec) -> Result<Self, WireError> {
        match bytes.split_first() {
            Some((0, _)) => Ok(Self(None)),
            Some((_, value)) => Ok(Self(Some(V::decode(value, codec)?))),
            None => Err(WireError::Malformed("a version has no bytes".to_owned())),
        }
    }
}

/// What became of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is what the key has now.
    Latest,
    /// A later version is there already.
    Earlier,
    /// It came too late, and was not taken.
    TooLate,
}

/// A versioned store in the hands of a processor. Times are event times.
pub struct VersionedStore<K, V> {
    rows: KeyValueStore<(K, i64), Version<V>>,
    retention: Duration,
    /// The latest version that was ever put.
    stream_time_ms: Option<Millis>,
    /// The same before the record in hand.
    stream_time_before_ms: Option<Millis>,
    /// The same as of the last commit.
    committed_time_ms: Option<Millis>,
}

/// The rows of a key from the version of a time on, the newest first.
fn since<K: Clone>(key: &K, at_ms: Millis) -> std::ops::RangeInclusive<(K, i64)> {
    (key.clone(), !at_ms.0)..=(key.clone(), i64::MAX)
}

impl<K: StoreKey, V: StoreValue> VersionedStore<K, V> {
    /// What a key has.
    ///
    /// # Errors
    ///
    /// The backend fails, or what it has cannot be decoded.
    pub fn get(&self, key: &K) -> Result<Option<Timestamped<V>>, StoreError> {
        self.first(key, Millis::MAX)
    }

    /// What a key had at a time; nothing, where that is longer ago than the store keeps, unless the key still has it.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn get_as_of(&self, key: &K, at_ms: Millis) -> Result<Option<Timestamped<V>>, StoreError> {
        match self.horizon_ms().is_some_and(|horizon| at_ms < horizon) {
            true => Ok(self.get(key)?.filter(|latest| latest.timestamp_ms <= at_ms)),
            false => self.first(key, at_ms),
        }
    }

    /// Says what a key has from a time on, until its next version; `None` deletes it.
    ///
    /// # Errors
    ///
    /// As [`Self::get`].
    pub fn put(&mut self, key: &K, value: Option<V>, at_ms: Millis) -> Result<Put, StoreError> {
        if self.horizon_ms().is_some_and(|horizon| at_ms < horizon) {
            return Ok(Put::TooLate);
        }
        self.stream_time_ms = self.stream_time_ms.max(Some(at_ms));
        let newest = self.newest(key)?;
        self.rows.put((key.clone(), !at_ms.0), Version(value));
        self.expire(key)?;
        Ok(match newest.is_some_and(|newest| newest > at_ms) {
            true => Put::Earlier,
            false => Put::Latest,
        })
    }

    /// Before it, only what still holds is known.
    fn horizon_ms(&self) -> Option<Millis> {
        Some(self.stream_time_ms? - self.retention)
    }

    fn first(&self, key: &K, at_ms: Millis) -> Result<Option<Timestamped<V>>, StoreError> {
        let mut found = None;
        self.rows.scan(since(key, at_ms), |(_, time), Version(value)| {
            found = value.map(|value| Timestamped::new(value, Millis(!time)));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    fn newest(&self, key: &K) -> Result<Option<Millis>, StoreError> {
        let mut newest = None;
        self.rows.scan(since(key, Millis::MAX), |(_, time), _| {
            newest = Some(Millis(!time));
            ControlFlow::Break(())
        })?;
        Ok(newest)
    }

    /// Forgets what a key had before the horizon, but for what held there.
    fn expire(&mut self, key: &K) -> Result<(), StoreError> {
        let Some(horizon) = self.horizon_ms() else { return Ok(()) };
        let (mut older, mut holds) = (Vec::new(), true);
        self.rows.scan(since(key, horizon), |row, Version(value)| {
            // That there was nothing is what is known without it.
            if !std::mem::take(&mut holds) || value.is_none() {
                older.push(row);
            }
            ControlFlow::Continue(())
        })?;
        older.into_iter().for_each(|row| self.rows.delete(row));
        Ok(())
    }
}

impl<K: StoreKey, V: StoreValue> AnyStore for VersionedStore<K, V> {
    fn name(&self) -> &'static str {
        self.rows.name()
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
    fn begin_record(&mut self, timestamp_ms: Millis) {
        self.stream_time_before_ms = self.stream_time_ms;
        self.rows.begin_record(timestamp_ms);
    }
    fn undo_record(&mut self) {
        self.stream_time_ms = self.stream_time_before_ms;
        self.rows.undo_record();
    }
    fn uncommitted_len(&self) -> usize {
        self.rows.uncommitted_len()
    }
    fn unflushed_len(&self) -> usize {
        self.rows.unflushed_len()
    }
    fn read_ahead(&mut self) -> Result<(), StoreError> {
        AnyStore::read_ahead(&mut self.rows)
    }
    fn take_looked_up(&mut self) -> LookedUp {
        self.rows.take_looked_up()
    }
    fn changelog(&mut self, emit: &mut EmitChange<'_>) -> Result<(), ProcessError> {
        self.rows.changelog(emit)
    }
    fn changelog_so_far(&mut self, emit: &mut EmitChange<'_>) -> Result<(), ProcessError> {
        self.rows.changelog_so_far(emit)
    }
    fn promote(&mut self) {
        self.committed_time_ms = self.stream_time_ms;
        self.rows.promote();
    }
    fn discard(&mut self) {
        self.stream_time_ms = self.committed_time_ms;
        self.rows.discard();
    }
    fn flush(&mut self) -> Option<Box<dyn FlushPart>> {
        self.rows.flush()
    }
    fn restore(&mut self, message: &Message, batch: &mut Batch) -> Result<(), StoreError> {
        // A version's time is in its row's key; the changelog record's is that of the record which put it.
        let (_, time) = self.rows.restore_row(message, batch)?;
        self.set_stream_time(Millis(!time));
        Ok(())
    }
    fn committed_time_ms(&self) -> Option<Millis> {
        self.committed_time_ms
    }
    fn set_stream_time(&mut self, stream_time_ms: Millis) {
        self.committed_time_ms = self.committed_time_ms.max(Some(stream_time_ms));
        self.stream_time_ms = self.committed_time_ms;
    }
    fn view(&self) -> Arc<dyn Any + Send + Sync> {
        self.rows.view()
    }
}
