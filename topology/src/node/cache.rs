//! Where a table's updates, or what rows add to groups, wait for the commit.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use broker::Headers;
use clock::Millis;
use hashbrown::HashMap;
use wire::Codec;

use super::{Emit, Env, Node, typed};
use crate::change::Change;
use crate::error::ProcessError;
use crate::record::Record;
use crate::store::{StoreKey, StoreValue};

/// Holds one update of each key.
pub(crate) struct CacheNode<K, V> {
    max_bytes: usize,
    codec: Codec,
    held: Held<V>,
    cached: HashMap<K, Cached<V>>,
    /// Keys in the order of their last updates.
    order: BTreeMap<u64, K>,
    updates: u64,
    bytes: usize,
    /// What the record in hand has replaced, oldest first.
    undo: Vec<(K, Option<Cached<V>>)>,
    waiting: Vec<(Record<K, Change<V>>, Headers)>,
    scratch: Vec<u8>,
}

/// What two values come to, if that can be said in one.
pub(crate) type Sum<V> = Arc<dyn Fn(&V, &V) -> Option<V> + Send + Sync>;

/// What is held of the updates of a key.
pub(crate) enum Held<V> {
    /// Those of a row: from what it was to what it is.
    Last,
    /// Those that rows add to a group and take back: what both come to; where that cannot be said, they go on one by one.
    Sum(Sum<V>),
}

impl<V: Clone> Held<V> {
    /// Two updates as one.
    fn merged(&self, before: &Change<V>, now: &Change<V>) -> Option<Change<V>> {
        let Self::Sum(sum) = self else {
            return Some(Change::new(now.new.clone(), before.old.clone()));
        };
        let both = |one: &Option<V>, other: &Option<V>| match (one, other) {
            (Some(one), Some(other)) => sum(one, other).map(Some),
            (one, other) => Some(one.as_ref().or(other.as_ref()).cloned()),
        };
        Some(Change::new(both(&before.new, &now.new)?, both(&before.old, &now.old)?))
    }
}

/// What became of a key since the last commit.
struct Cached<V> {
    change: Change<V>,
    timestamp_ms: Millis,
    headers: Headers,
    number: u64,
    bytes: usize,
}

impl<K: StoreKey, V: StoreValue> CacheNode<K, V> {
    /// Asks for a commit when this much waits.
    pub fn new(max_bytes: usize, codec: Codec, held: Held<V>) -> Self {
        Self {
            max_bytes,
            codec,
            held,
            cached: HashMap::new(),
            order: BTreeMap::new(),
            updates: 0,
            bytes: 0,
            undo: Vec::new(),
            waiting: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Sets what is held of a key, and returns what was.
    fn set(&mut self, key: &K, now: Option<Cached<V>>) -> Option<Cached<V>> {
        if let Some(now) = &now {
            self.bytes += now.bytes;
            self.order.insert(now.number, key.clone());
        }
        let before = match now {
            Some(now) => self.cached.insert(key.clone(), now),
            None => self.cached.remove(key),
        };
        if let Some(before) = &before {
            self.bytes -= before.bytes;
            self.order.remove(&before.number);
        }
        before
    }

    /// How much a key with its values takes, as bytes.
    fn measure(&mut self, key: &K, change: &Change<V>) -> Result<usize, ProcessError> {
        self.scratch.clear();
        key.encode_ordered(&mut self.scratch);
        for value in [&change.old, &change.new].into_iter().flatten() {
            value.encode(&self.codec, &mut self.scratch)?;
        }
        Ok(self.scratch.len())
    }
}

impl<K: StoreKey, V: StoreValue> Node for CacheNode<K, V> {
    fn process(&mut self, record: &dyn Any, env: &mut Env<'_>) -> Result<(), ProcessError> {
        let record: &Record<K, Change<V>> = typed(record);
        let (key, mut change) = (&record.key, record.value.clone());
        if !change.is_latest {
            self.waiting.push((record.clone(), env.headers.clone()));
            return Ok(());
        }
        let mut timestamp_ms = record.timestamp_ms;
        let mut goes_on = false;
        if let Some(before) = self.cached.get(key) {
            match self.held.merged(&before.change, &change) {
                Some(merged) => change = merged,
                None => goes_on = true,
            }
            if let Held::Sum(_) = self.held {
                timestamp_ms = timestamp_ms.max(before.timestamp_ms);
            }
        }
        let bytes = self.measure(key, &change)?;
        self.updates += 1;
        let now = Cached {
            change,
            timestamp_ms,
            headers: env.headers.clone(),
            number: self.updates,
            bytes,
        };
        let before = self.set(key, Some(now));
        if let Some(before) = before.as_ref().filter(|_| goes_on) {
            let first = Record::new(key.clone(), before.change.clone(), before.timestamp_ms);
            self.waiting.push((first, before.headers.clone()));
        }
        self.undo.push((key.clone(), before));
        Ok(())
    }

    fn is_cache(&self) -> bool {
        true
    }

    fn begin_record(&mut self) {
        self.undo.clear();
    }

    fn is_full(&self) -> bool {
        self.bytes >= self.max_bytes
    }

    fn flush(&mut self) -> Option<Millis> {
        loop {
            let (_, key) = self.order.first_key_value()?;
            let key = key.clone();
            let Cached {
                change,
                timestamp_ms,
                headers,
                ..
            } = self.set(&key, None)?;
            // A row that came and went within a transaction never was.
            if !change.is_empty() {
                self.waiting.push((Record::new(key, change, timestamp_ms), headers));
                return Some(timestamp_ms);
            }
        }
    }

    fn emit(&mut self, emit: &mut Emit<'_>) -> Result<(), ProcessError> {
        let mut waiting = self.waiting.drain(..);
        waiting.try_for_each(|(record, headers)| emit(0, &record, Some(&headers)))
    }

    fn clear(&mut self) {
        self.waiting.clear();
        while let Some((key, before)) = self.undo.pop() {
            self.set(&key, before);
        }
    }
}
