//! The committed layers of a store over its backend: what queries see.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use wire::{Codec, WireError};

use super::backend::Backend;
use super::layer::{Entry, Layer, Merged, Span};
use super::live::Live;
use super::{Entries, StoreKey, StoreValue};
use crate::error::StoreError;
use crate::planted::planted;

/// What queries see: the committed layers over the backend.
pub(crate) struct Shared<K, V> {
    pub name: &'static str,
    pub layers: RwLock<Committed<K, V>>,
    pub backend: Arc<dyn Backend>,
    pub family: u16,
    pub codec: Codec,
    /// What queries see of it, where that is not all.
    pub live: Option<Live<V>>,
}

pub(crate) struct Committed<K, V> {
    pub fresh: Layer<K, V>,
    /// On its way to the backend; still read until it is there.
    pub flushing: Option<Arc<Layer<K, V>>>,
    /// What was flushed last, newest first: the backend holds the same, at a multiple of the cost of a look here.
    pub flushed: VecDeque<Arc<Layer<K, V>>>,
    /// Whether something was found in the older ones since a layer was last flushed: of many stores, what was written is seldom asked for.
    is_asked: AtomicBool,
}

/// The most keys that a store of a task keeps in [`Committed::flushed`].
const FLUSHED_KEYS_MAX: usize = 32_768;
/// And the most layers of them: each is looked into.
const FLUSHED_LAYERS_MAX: usize = 4;
/// So many where nothing was found in the others.
const FLUSHED_LAYERS_MIN: usize = 2;

impl<K: StoreKey, V> Committed<K, V> {
    pub fn new() -> Self {
        Self {
            fresh: Layer::default(),
            flushing: None,
            flushed: VecDeque::new(),
            is_asked: AtomicBool::new(false),
        }
    }

    /// The newest entry of a key above the backend.
    pub fn get(&self, key: &K) -> Option<&Entry<V>> {
        let flushing = || {
            self.flushing
                .as_ref()
                .filter(|_| !planted("what is being flushed is not read"))
        };
        let newest = self.fresh.get(key).or_else(|| flushing()?.get(key));
        newest.or_else(|| {
            let (age, entry) = (0..)
                .zip(&self.flushed)
                .find_map(|(age, layer)| Some((age, layer.get(key)?)))?;
            if age > 0 {
                self.is_asked.store(true, Ordering::Relaxed);
            }
            Some(entry)
        })
    }

    /// What lies above the backend in this span, in key order; `above` hides it.
    pub fn merged<'a>(
        &'a self,
        above: Option<&'a Layer<K, V>>,
        span: &'a Span,
    ) -> impl Iterator<Item = (&'a [u8], &'a Entry<V>)> + 'a {
        let top_down = above.into_iter().chain([&self.fresh]).chain(self.flushing.as_deref());
        Merged::new(top_down.filter(|layer| !layer.is_empty()).map(|layer| layer.range(span)))
    }

    /// What was on its way has arrived. Returns what is no longer kept, to be dropped when no lock is held.
    pub fn arrived(&mut self) -> Vec<Arc<Layer<K, V>>> {
        let Some(newest) = self.flushing.take() else {
            return Vec::new();
        };
        if planted("what was flushed first stays for good") && !self.flushed.is_empty() {
            return vec![newest];
        }
        self.flushed.push_front(newest);
        let layers = match std::mem::take(self.is_asked.get_mut()) {
            true => FLUSHED_LAYERS_MAX,
            false => FLUSHED_LAYERS_MIN,
        };
        let mut keys = 0;
        let mut is_kept = |layer: &Arc<Layer<K, V>>| {
            keys += layer.len();
            keys <= FLUSHED_KEYS_MAX
        };
        let kept = self.flushed.iter().take(layers).take_while(|layer| is_kept(layer)).count();
        self.flushed.drain(kept..).collect()
    }
}

impl<K: StoreKey, V: StoreValue> Shared<K, V> {
    pub fn wire(&self) -> impl Fn(WireError) -> StoreError + '_ {
        |source| StoreError::Wire {
            store: self.name,
            source,
        }
    }

    /// The committed value of a key, for queries.
    pub fn get(&self, key: &K) -> Result<Option<V>, StoreError> {
        let found = match self.in_memory(key) {
            Some(value) => value,
            None => self.in_backend(key)?,
        };
        Ok(found.filter(|value| self.is_seen(value)))
    }

    fn is_seen(&self, value: &V) -> bool {
        self.live.as_ref().is_none_or(|live| live.is_live(value))
    }

    /// What the layers above the backend say of a key.
    pub fn in_memory(&self, key: &K) -> Option<Option<V>> {
        // Recursive: a processor may look up keys while it scans.
        let layers = self.layers.read_recursive();
        layers.get(key).map(|entry| entry.value.clone())
    }

    pub fn in_backend(&self, key: &K) -> Result<Option<V>, StoreError> {
        let mut bytes = Vec::with_capacity(16);
        key.encode_ordered(&mut bytes);
        match self.backend.get(self.family, &bytes)? {
            Some(value) => Ok(Some(V::decode(&value, &self.codec).map_err(self.wire())?)),
            None => Ok(None),
        }
    }

    /// Visits the committed keys of a range in order, as they are now, for queries. A long scan holds up nobody: what lies above the
    /// backend is copied first.
    pub fn scan(&self, span: &Span, visit: &mut dyn FnMut(K, V) -> ControlFlow<()>) -> Result<(), StoreError> {
        let (overlay, stored) = {
            let layers = self.layers.read();
            let overlay = layers.merged(None, span);
            let overlay: Vec<_> = overlay.map(|(key, entry)| (key.to_vec(), entry.value.clone())).collect();
            (overlay, self.backend.range(self.family, span.from(), span.to()))
        };
        self.merge(overlay.into_iter(), stored, &mut |key, value| match self.is_seen(&value) {
            true => visit(key, value),
            false => ControlFlow::Continue(()),
        })
    }

    /// The same with a layer above, for the thread that owns the store: nothing is copied but what is visited.
    pub fn scan_in_place(
        &self,
        above: &Layer<K, V>,
        span: &Span,
        visit: &mut dyn FnMut(K, V) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let layers = self.layers.read_recursive();
        let overlay = layers.merged(Some(above), span);
        let overlay = overlay.map(|(key, entry)| (key, entry.value.clone()));
        self.merge(overlay, self.backend.range(self.family, span.from(), span.to()), visit)
    }

    /// Visits both in key order; of equal keys, the overlay's hides the stored one.
    pub fn merge(
        &self,
        overlay: impl Iterator<Item = (impl AsRef<[u8]>, Option<V>)>,
        stored: Entries<'_>,
        visit: &mut dyn FnMut(K, V) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut overlay = overlay.peekable();
        let mut stored = stored.peekable();
        loop {
            let above_first = match (overlay.peek(), stored.peek()) {
                (None, None) => return Ok(()),
                (Some((above, _)), Some(Ok((beneath, _)))) => above.as_ref() <= &**beneath,
                (above, _) => above.is_some(),
            };
            let (key, value) = if above_first {
                let Some((key, value)) = overlay.next() else { return Ok(()) };
                let key = key.as_ref();
                stored.next_if(|entry| entry.as_ref().is_ok_and(|(beneath, _)| **beneath == *key));
                let Some(value) = value else { continue };
                (K::decode_ordered(&mut &key[..]).map_err(self.wire())?, value)
            } else {
                let Some((key, value)) = stored.next().transpose()? else {
                    return Ok(());
                };
                (
                    K::decode_ordered(&mut &key[..]).map_err(self.wire())?,
                    V::decode(&value, &self.codec).map_err(self.wire())?,
                )
            };
            if visit(key, value).is_break() {
                return Ok(());
            }
        }
    }
}
