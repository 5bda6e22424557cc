//! What a store has read of its backend: values that waiting records will ask for, and those that records have asked for.
//!
//! A look-up in RocksDB costs microseconds, most of them waits for memory; many together take half as long each. Rows that are looked up
//! often and written seldom, as terms of accounts are, are in none of the layers above.
//!
//! What is read holds until its key is written, since nobody else writes.

use std::cell::{Cell, RefCell};

use hashbrown::HashMap;

use super::backend::LookedUp;
use super::committed::Shared;
use super::layer::Layer;
use super::{StoreKey, StoreValue};
use crate::error::StoreError;

/// No more is kept: what was read and not asked for must not gather.
const KEYS_MAX: usize = 16_384;
/// Of what was read one by one, twice as much is kept at most.
const SINGLE_KEYS_MAX: usize = 2_048;

pub(super) struct Ahead<K, V> {
    named: Vec<K>,
    read: HashMap<K, Option<V>>,
    /// What was read one by one since the first of these was, and what was before that. What is found in the second is in the first again.
    asked: RefCell<[HashMap<K, Option<V>>; 2]>,
    single: Cell<usize>,
    together: usize,
}

impl<K, V> Default for Ahead<K, V> {
    fn default() -> Self {
        Self {
            named: Vec::new(),
            read: HashMap::new(),
            asked: RefCell::default(),
            single: Cell::new(0),
            together: 0,
        }
    }
}

impl<K: StoreKey, V: StoreValue> Ahead<K, V> {
    /// What was read of a key that no layer above has. Otherwise the backend must be asked, which is counted.
    pub fn get(&self, key: &K) -> Option<Option<V>> {
        let found = self.read.get(key).cloned().or_else(|| self.asked(key));
        if found.is_none() {
            self.single.set(self.single.get() + 1);
        }
        found
    }

    fn asked(&self, key: &K) -> Option<Option<V>> {
        let asked = &mut *self.asked.borrow_mut();
        if let Some(found) = asked[0].get(key) {
            return Some(found.clone());
        }
        let (key, found) = asked[1].remove_entry(key)?;
        newest(asked).insert(key, found.clone());
        Some(found)
    }

    /// The backend has this of a key.
    pub fn keep(&self, key: &K, value: Option<V>) {
        newest(&mut self.asked.borrow_mut()).insert(key.clone(), value);
    }

    pub fn name(&mut self, key: K) {
        self.named.push(key);
    }

    /// The key is being written: what was read of it no longer holds.
    pub fn forget(&mut self, key: &K) {
        if !self.read.is_empty() {
            self.read.remove(key);
        }
        for asked in self.asked.get_mut() {
            if !asked.is_empty() {
                asked.remove(key);
            }
        }
    }

    pub fn take_looked_up(&mut self) -> LookedUp {
        LookedUp {
            single: self.single.take(),
            together: std::mem::take(&mut self.together),
        }
    }

    /// Reads the named keys that no layer has.
    pub fn look_up(&mut self, shared: &Shared<K, V>, uncommitted: &Layer<K, V>) -> Result<(), StoreError> {
        if self.read.len() + self.named.len() > KEYS_MAX {
            self.read.clear();
        }
        let mut bytes = Vec::new();
        let mut wanted = Vec::new();
        {
            let layers = shared.layers.read_recursive();
            for key in self.named.drain(..) {
                if uncommitted.get(&key).is_none() && layers.get(&key).is_none() && !self.read.contains_key(&key) {
                    let start = bytes.len();
                    key.encode_ordered(&mut bytes);
                    wanted.push((start..bytes.len(), key));
                }
            }
        }
        wanted.sort_unstable_by(|(a, _), (b, _)| bytes[a.clone()].cmp(&bytes[b.clone()]));
        wanted.dedup_by(|(a, _), (b, _)| bytes[a.clone()] == bytes[b.clone()]);
        self.together += wanted.len();
        let keys: Vec<&[u8]> = wanted.iter().map(|(range, _)| &bytes[range.clone()]).collect();
        let mut values = Vec::with_capacity(keys.len());
        let mut broken = None;
        let decode = |value: Option<&[u8]>| value.map(|value| V::decode(value, &shared.codec)).transpose();
        shared
            .backend
            .get_many(shared.family, &keys, &mut |value| match decode(value) {
                Ok(value) => values.push(value),
                Err(error) => broken = broken.take().or(Some(error)),
            })?;
        if let Some(error) = broken {
            return Err(shared.wire()(error));
        }
        self.read.extend(wanted.into_iter().map(|(_, key)| key).zip(values));
        Ok(())
    }
}

/// Where what is asked for goes; when that is full, what was asked for before is forgotten.
fn newest<K, V>(asked: &mut [HashMap<K, Option<V>>; 2]) -> &mut HashMap<K, Option<V>> {
    if asked[0].len() >= SINGLE_KEYS_MAX {
        asked.swap(0, 1);
        asked[0].clear();
    }
    &mut asked[0]
}
