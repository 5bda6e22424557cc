//! The layers above the backend, typed.

use std::any::{Any, TypeId};
use std::ops::{ControlFlow, RangeBounds};
use std::sync::Arc;

use broker::Message;
use clock::Millis;
use parking_lot::RwLock;
use wire::{Codec, OrderedKey};

use super::ahead::Ahead;
use super::backend::{AnyStore, Batch, EmitChange, FlushPart, LookedUp, StoreContext, StoreDef};
use super::committed::{Committed, Shared};
use super::layer::{Entry, Layer, Span};
use super::live::Live;
use super::set::{Definitions, Store};
use super::{Backing, KeyValue, StoreKey, StoreValue, View};
use crate::error::{EngineError, ProcessError, StoreError};

/// A key-value store in the hands of a processor.
pub struct KeyValueStore<K, V> {
    shared: Arc<Shared<K, V>>,
    key_codec: Codec,
    uncommitted: Layer<K, V>,
    ahead: Ahead<K, V>,
    /// What the record in hand has overwritten, oldest first.
    undo: Vec<(K, Option<Entry<V>>)>,
    backing: Backing,
    timestamp_ms: Millis,
    early: Early<K>,
    scratch: (Vec<u8>, Vec<u8>),
}

/// Whether changes go to the changelog before their transaction ends.
struct Early<K> {
    /// A public topic gets the last update of each key in each transaction.
    may_be: bool,
    is_on: bool,
    /// What was written since changes were last sent.
    keys: Vec<K>,
    /// In this transaction.
    writes: usize,
}

/// Below that, a transaction has little to send.
const EARLY_KEYS_MIN: usize = 500;

impl<K> Early<K> {
    /// Weighs a transaction that wrote so many keys: at most a fifth of its changes would have been sent in vain.
    fn weigh(&mut self, keys: usize) {
        self.is_on = self.may_be && keys >= EARLY_KEYS_MIN && self.writes * 4 <= keys * 5;
        self.forget();
    }

    fn forget(&mut self) {
        self.keys.clear();
        self.writes = 0;
    }
}

impl<K: StoreKey, V: StoreValue> KeyValueStore<K, V> {
    /// The value of a key, as of this record.
    pub fn get(&self, key: &K) -> Result<Option<V>, StoreError> {
        if let Some(entry) = self.uncommitted.get(key) {
            return Ok(entry.value.clone());
        }
        // The layers first: what was read ahead lies beneath them.
        match self.shared.in_memory(key).or_else(|| self.ahead.get(key)) {
            Some(value) => Ok(value),
            None => {
                let value = self.shared.in_backend(key)?;
                self.ahead.keep(key, value.clone());
                Ok(value)
            }
        }
    }

    /// Names a key that a waiting record will ask for: see [`crate::Processor::READ_AHEAD`].
    pub fn read_ahead(&mut self, key: K) {
        self.ahead.name(key);
    }

    /// Sets the value of a key.
    pub fn put(&mut self, key: K, value: V) {
        self.write(key, Some(value));
    }

    /// Removes a key.
    pub fn delete(&mut self, key: K) {
        self.write(key, None);
    }

    /// Visits the keys of a range in order, as of this record, until told to stop. A range that has an end costs what it holds; one
    /// that has none may pass over many keys that were deleted. The order is that of [`wire::OrderedKey`].
    pub fn scan(&self, range: impl RangeBounds<K>, mut visit: impl FnMut(K, V) -> ControlFlow<()>) -> Result<(), StoreError> {
        self.shared.scan_in_place(&self.uncommitted, &Span::of(&range), &mut visit)
    }

    /// Visits the keys that begin with a key, in order, as of this record, until told to stop: of a store with keys `(A, B)`, those of an `A`.
    pub fn scan_prefix(
        &self,
        prefix: &impl OrderedKey,
        mut visit: impl FnMut(K, V) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        prefix.encode_ordered(&mut bytes);
        self.shared
            .scan_in_place(&self.uncommitted, &Span::with_prefix(bytes), &mut visit)
    }

    fn write(&mut self, key: K, value: Option<V>) {
        let entry = Entry {
            value,
            timestamp_ms: self.timestamp_ms,
            is_sent: false,
        };
        self.ahead.forget(&key);
        self.early.writes += 1;
        if self.early.is_on {
            self.early.keys.push(key.clone());
        }
        let before = self.uncommitted.insert(key.clone(), entry);
        self.undo.push((key, before));
    }

    /// Adds a changelog record to a batch of the restore, and returns its key.
    pub(super) fn restore_row(&self, message: &Message, batch: &mut Batch) -> Result<K, StoreError> {
        let (key, value) = (message.key.as_deref().unwrap_or_default(), message.value.as_deref());
        let key = K::decode(key, &self.key_codec).map_err(self.shared.wire())?;
        // A changelog is written by its store alone; anybody may have written to a public topic.
        if let (Backing::Topic(_), Some(value)) = (self.backing, value) {
            V::decode(value, &self.shared.codec).map_err(self.shared.wire())?;
        }
        let mut ordered = Vec::with_capacity(16);
        key.encode_ordered(&mut ordered);
        batch.set(self.shared.family, &ordered, value);
        Ok(key)
    }

    pub(crate) fn open(store: KeyValue<K, V>, cx: &StoreContext<'_>) -> Result<Self, EngineError> {
        Self::open_with(store, None, cx)
    }

    /// One of which queries see only what is `live`.
    pub(super) fn open_with(store: KeyValue<K, V>, live: Option<Live<V>>, cx: &StoreContext<'_>) -> Result<Self, EngineError> {
        let schema = |subject: String| move |source| EngineError::Schema { subject, source };
        let topic = &cx.subjects;
        let (key_subject, value_subject) = (format!("{topic}-key"), format!("{topic}-value"));
        let key_codec = Codec::register::<K>(cx.registry.clone(), &key_subject).map_err(schema(key_subject.clone()))?;
        let codec = Codec::register::<V>(cx.registry.clone(), &value_subject).map_err(schema(value_subject.clone()))?;
        Ok(Self {
            shared: Arc::new(Shared {
                name: store.name(),
                layers: RwLock::new(Committed::new()),
                backend: cx.backend.clone(),
                family: cx.family,
                codec,
                live,
            }),
            key_codec,
            uncommitted: Layer::default(),
            ahead: Ahead::default(),
            undo: Vec::new(),
            backing: store.backing(),
            timestamp_ms: Millis::default(),
            early: Early {
                may_be: store.backing() == Backing::Changelog,
                is_on: false,
                keys: Vec::new(),
                writes: 0,
            },
            scratch: Default::default(),
        })
    }

    pub(crate) fn definition(store: KeyValue<K, V>) -> StoreDef {
        StoreDef {
            name: store.name(),
            backing: store.backing(),
            changelog: store.changelog(),
            expires: false,
            types: TypeId::of::<(K, V)>(),
            make: Arc::new(move |cx| Ok(Box::new(Self::open(store, cx)?))),
        }
    }
}

impl<K: StoreKey, V: StoreValue> Store for KeyValue<K, V> {
    type Handle = KeyValueStore<K, V>;

    fn name(&self) -> &'static str {
        KeyValue::name(self)
    }

    fn definition(&self) -> Definitions {
        Definitions(vec![KeyValueStore::definition(*self)])
    }
}

impl<K: StoreKey, V: StoreValue> AnyStore for KeyValueStore<K, V> {
    fn name(&self) -> &'static str {
        self.shared.name
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn begin_record(&mut self, timestamp_ms: Millis) {
        self.undo.clear();
        self.timestamp_ms = timestamp_ms;
    }

    fn undo_record(&mut self) {
        for (key, before) in self.undo.drain(..).rev() {
            match before {
                Some(entry) => drop(self.uncommitted.insert(key, entry)),
                None => self.uncommitted.remove(&key),
            }
        }
    }

    fn uncommitted_len(&self) -> usize {
        self.uncommitted.len()
    }

    fn unflushed_len(&self) -> usize {
        let layers = self.shared.layers.read();
        layers.fresh.len() + layers.flushing.as_ref().map_or(0, |layer| layer.len())
    }

    fn read_ahead(&mut self) -> Result<(), StoreError> {
        self.ahead.look_up(&self.shared, &self.uncommitted)
    }

    fn take_looked_up(&mut self) -> LookedUp {
        self.ahead.take_looked_up()
    }

    fn changelog(&mut self, emit: &mut EmitChange<'_>) -> Result<(), ProcessError> {
        let codecs = (&self.key_codec, &self.shared.codec);
        let mut unsent = self.uncommitted.iter().filter(|(_, entry)| !entry.is_sent);
        unsent.try_for_each(|(key, entry)| emit_change(key, entry, codecs, &mut self.scratch, emit))
    }

    fn changelog_so_far(&mut self, emit: &mut EmitChange<'_>) -> Result<(), ProcessError> {
        let codecs = (&self.key_codec, &self.shared.codec);
        for key in self.early.keys.drain(..) {
            // A record that failed has taken back what it wrote.
            if let Some(entry) = self.uncommitted.get_mut(&key).filter(|entry| !entry.is_sent) {
                emit_change(&key, entry, codecs, &mut self.scratch, emit)?;
                entry.is_sent = true;
            }
        }
        Ok(())
    }

    fn promote(&mut self) {
        self.undo.clear();
        self.early.weigh(self.uncommitted.len());
        self.shared.layers.write().fresh.absorb(&mut self.uncommitted);
    }

    fn discard(&mut self) {
        self.undo.clear();
        self.early.forget();
        self.uncommitted.clear();
    }

    fn flush(&mut self) -> Option<Box<dyn FlushPart>> {
        let mut layers = self.shared.layers.write();
        debug_assert!(layers.flushing.is_none(), "one flush at a time");
        if layers.fresh.is_empty() {
            return None;
        }
        let layer = Arc::new(std::mem::take(&mut layers.fresh));
        layers.flushing = Some(layer.clone());
        Some(Box::new(Flushing {
            shared: self.shared.clone(),
            layer,
        }))
    }

    fn restore(&mut self, message: &Message, batch: &mut Batch) -> Result<(), StoreError> {
        self.restore_row(message, batch).map(drop)
    }

    fn pass_time(&mut self, stream_time_ms: Millis) {
        if let Some(live) = &self.shared.live {
            live.pass_time(stream_time_ms);
        }
    }

    fn view(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::new(View::new(self.shared.clone()))
    }
}

fn emit_change<K: StoreKey, V: StoreValue>(
    key: &K,
    entry: &Entry<V>,
    (key_codec, codec): (&Codec, &Codec),
    (key_bytes, value_bytes): &mut (Vec<u8>, Vec<u8>),
    emit: &mut EmitChange<'_>,
) -> Result<(), ProcessError> {
    key_bytes.clear();
    key.encode(key_codec, key_bytes)?;
    let value = match &entry.value {
        Some(value) => {
            value_bytes.clear();
            value.encode(codec, value_bytes)?;
            Some(value_bytes.as_slice())
        }
        None => None,
    };
    emit(key_bytes, value, entry.timestamp_ms)
}

struct Flushing<K, V> {
    shared: Arc<Shared<K, V>>,
    layer: Arc<Layer<K, V>>,
}

impl<K: StoreKey, V: StoreValue> FlushPart for Flushing<K, V> {
    fn fill(&self, batch: &mut Batch) -> Result<(), StoreError> {
        let mut keys = Vec::new();
        let mut entries: Vec<_> = self
            .layer
            .iter()
            .map(|(key, entry)| {
                let start = keys.len();
                key.encode_ordered(&mut keys);
                (start..keys.len(), entry)
            })
            .collect();
        // In order, neighbours find their places in the backend by the same way.
        entries.sort_unstable_by(|(a, _), (b, _)| keys[a.clone()].cmp(&keys[b.clone()]));
        let mut value_bytes = Vec::new();
        for (key, entry) in entries {
            let value = match &entry.value {
                Some(value) => {
                    value_bytes.clear();
                    value
                        .encode(&self.shared.codec, &mut value_bytes)
                        .map_err(self.shared.wire())?;
                    Some(value_bytes.as_slice())
                }
                None => None,
            };
            batch.set(self.shared.family, &keys[key], value);
        }
        Ok(())
    }

    fn done(&self) {
        let gone = self.shared.layers.write().arrived();
        drop(gone);
    }
}
