//! One layer of a store: a hash map, which is also kept in key order once somebody has asked for that.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use clock::Millis;
use hashbrown::HashMap;

use super::StoreKey;

/// A key's newest value in a layer; `None` hides what lies beneath.
#[derive(Debug, Clone)]
pub(crate) struct Entry<V> {
    pub value: Option<V>,
    pub timestamp_ms: Millis,
    /// The changelog has it already.
    pub is_sent: bool,
}

/// A range of keys, as their ordered bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Span {
    from: Vec<u8>,
    to: Option<Vec<u8>>,
}

impl Span {
    pub fn of<K: StoreKey>(range: &impl RangeBounds<K>) -> Self {
        // No bytes lie between these and the same with a zero behind.
        let after = |key: &K| {
            let mut bytes = ordered(key);
            bytes.push(0);
            bytes
        };
        let from = match range.start_bound() {
            Bound::Included(key) => ordered(key),
            Bound::Excluded(key) => after(key),
            Bound::Unbounded => Vec::new(),
        };
        let to = match range.end_bound() {
            Bound::Included(key) => Some(after(key)),
            Bound::Excluded(key) => Some(ordered(key)),
            Bound::Unbounded => None,
        };
        // A range that ends before it starts is empty.
        let to = to.map(|to| to.max(from.clone()));
        Self { from, to }
    }

    /// The keys that begin with these bytes.
    pub fn with_prefix(prefix: Vec<u8>) -> Self {
        let mut to = prefix.clone();
        // The first bytes after them all: without the highest ones at the end, one more.
        while to.pop_if(|last| *last == u8::MAX).is_some() {}
        if let Some(last) = to.last_mut() {
            *last += 1;
        }
        Self {
            from: prefix,
            to: (!to.is_empty()).then_some(to),
        }
    }

    /// The keys from these bytes on, and before those.
    pub fn between(from: Vec<u8>, to: Vec<u8>) -> Self {
        let to = Some(to.max(from.clone()));
        Self { from, to }
    }

    /// What both have.
    pub fn and(mut self, other: Self) -> Self {
        self.from = self.from.max(other.from);
        self.to = match (self.to, other.to) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.to = self.to.map(|to| to.max(self.from.clone()));
        self
    }

    pub fn from(&self) -> &[u8] {
        &self.from
    }

    /// Exclusive.
    pub fn to(&self) -> Option<&[u8]> {
        self.to.as_deref()
    }
}

/// A test build goes through a layer in the same order every time, so that a seed stands for what happens.
#[cfg(debug_assertions)]
type Hashing = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;
#[cfg(not(debug_assertions))]
type Hashing = hashbrown::DefaultHashBuilder;

/// Most stores are never scanned, so the order is made by the first scan, and followed from then on. Where a processor scans, the layer of its
/// transaction stays in order when it is emptied, until a transaction has passed without a scan.
pub(crate) struct Layer<K, V> {
    entries: HashMap<K, Entry<V>, Hashing>,
    /// By the keys' ordered bytes.
    order: OnceLock<BTreeMap<Vec<u8>, K>>,
    /// Whether it was scanned since it was emptied.
    is_scanned: AtomicBool,
}

impl<K, V> Default for Layer<K, V> {
    fn default() -> Self {
        Self {
            entries: HashMap::default(),
            order: OnceLock::new(),
            is_scanned: AtomicBool::new(false),
        }
    }
}

fn ordered<K: StoreKey>(key: &K) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    key.encode_ordered(&mut bytes);
    bytes
}

impl<K: StoreKey, V> Layer<K, V> {
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn get(&self, key: &K) -> Option<&Entry<V>> {
        self.entries.get(key)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut Entry<V>> {
        self.entries.get_mut(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &Entry<V>)> {
        self.entries.iter()
    }

    /// Sets a key's entry, and returns the one before.
    pub fn insert(&mut self, key: K, entry: Entry<V>) -> Option<Entry<V>> {
        if let Some(order) = self.order.get_mut() {
            order.insert(ordered(&key), key.clone());
        }
        self.entries.insert(key, entry)
    }

    pub fn remove(&mut self, key: &K) {
        if let Some(order) = self.order.get_mut() {
            order.remove(&ordered(key));
        }
        self.entries.remove(key);
    }

    pub fn clear(&mut self) {
        self.entries.clear();
        self.take_order();
    }

    /// Empties the order, which is kept up for the next transaction if this one was scanned.
    fn take_order(&mut self) -> Option<BTreeMap<Vec<u8>, K>> {
        let order = self.order.take();
        if std::mem::take(self.is_scanned.get_mut()) {
            self.order = OnceLock::from(BTreeMap::new());
        }
        order
    }

    /// Takes over the entries of a layer above.
    pub fn absorb(&mut self, above: &mut Self) {
        let keys = above.take_order();
        if self.is_empty() {
            std::mem::swap(&mut self.entries, &mut above.entries);
            self.order = keys.map(OnceLock::from).unwrap_or_default();
            return;
        }
        let Some(order) = self.order.get_mut() else {
            self.entries.extend(above.entries.drain());
            return;
        };
        match keys {
            Some(keys) => order.extend(keys),
            None => order.extend(above.entries.keys().map(|key| (ordered(key), key.clone()))),
        }
        self.entries.extend(above.entries.drain());
    }

    /// The entries whose keys lie in this span, in key order.
    pub fn range<'a>(&'a self, span: &'a Span) -> impl Iterator<Item = (&'a [u8], &'a Entry<V>)> + 'a {
        self.is_scanned.store(true, Ordering::Relaxed);
        let order = self
            .order
            .get_or_init(|| self.entries.keys().map(|key| (ordered(key), key.clone())).collect());
        let keys = order.range::<[u8], _>((
            Bound::Included(span.from()),
            span.to().map_or(Bound::Unbounded, Bound::Excluded),
        ));
        keys.filter_map(|(bytes, key)| Some((bytes.as_slice(), self.entries.get(key)?)))
    }
}

/// The entries of several layers as one, in key order: of equal keys, the first layer's hides the others.
pub(crate) struct Merged<'a, I: Iterator<Item = (&'a [u8], &'a Entry<V>)>, V: 'a> {
    layers: Vec<std::iter::Peekable<I>>,
}

impl<'a, I: Iterator<Item = (&'a [u8], &'a Entry<V>)>, V: 'a> Merged<'a, I, V> {
    pub fn new(layers: impl IntoIterator<Item = I>) -> Self {
        Self {
            layers: layers.into_iter().map(Iterator::peekable).collect(),
        }
    }
}

impl<'a, I: Iterator<Item = (&'a [u8], &'a Entry<V>)>, V: 'a> Iterator for Merged<'a, I, V> {
    type Item = (&'a [u8], &'a Entry<V>);

    fn next(&mut self) -> Option<Self::Item> {
        let lowest = self.layers.iter_mut().filter_map(|layer| Some(layer.peek()?.0)).min()?;
        let mut found = None;
        for layer in &mut self.layers {
            if let Some(entry) = layer.next_if(|(key, _)| *key == lowest) {
                found.get_or_insert(entry);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(value: i64) -> Entry<i64> {
        Entry {
            value: Some(value),
            timestamp_ms: Millis::default(),
            is_sent: false,
        }
    }

    fn scanned(layer: &Layer<i64, i64>) -> Vec<i64> {
        let all = Span::of::<i64>(&(..));
        layer.range(&all).filter_map(|(_, entry)| entry.value).collect()
    }

    #[test]
    fn a_layer_that_was_scanned_is_never_put_in_order_again() {
        let (mut above, mut below) = (Layer::default(), Layer::default());
        above.insert(5, entry(5));
        assert_eq!(scanned(&above), [5]);
        let mut all = vec![5];
        for keys in [[9, 1], [7, 3], [6, 2]] {
            assert_eq!(scanned(&above).len(), above.len());
            for key in keys {
                above.insert(key, entry(key));
                all.push(key);
            }
            below.absorb(&mut above);
            let is_in_order = |layer: &Layer<i64, i64>| layer.order.get().map(BTreeMap::len) == Some(layer.len());
            assert!(is_in_order(&above) && is_in_order(&below), "{keys:?}");
            all.sort_unstable();
            assert_eq!((scanned(&below), scanned(&above)), (all.clone(), vec![]));
        }
        // A transaction without a scan, and the next one keeps no order up.
        above.insert(8, entry(8));
        below.absorb(&mut above);
        above.insert(4, entry(4));
        below.absorb(&mut above);
        assert!(above.order.get().is_none());
        assert_eq!(scanned(&below), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn one_that_nobody_scans_has_no_order() {
        let (mut above, mut below) = (Layer::default(), Layer::default());
        for key in 0..3 {
            above.insert(key, entry(key));
            below.absorb(&mut above);
        }
        assert!(above.order.get().is_none() && below.order.get().is_none());
        assert_eq!(scanned(&below), [0, 1, 2]);
        above.insert(-1, entry(-1));
        below.absorb(&mut above);
        assert_eq!(scanned(&below), [-1, 0, 1, 2]);
    }
}
