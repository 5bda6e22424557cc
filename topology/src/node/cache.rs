//! Where a table's updates wait for the commit.

use std::any::Any;
use std::collections::BTreeMap;

use broker::Headers;
use clock::Millis;
use hashbrown::HashMap;
use wire::Codec;

use super::{Emit, Env, Node, typed};
use crate::change::Change;
use crate::error::ProcessError;
use crate::record::Record;
use crate::store::{StoreKey, StoreValue};

/// Holds the last update of each key.
pub(crate) struct CacheNode<K, V> {
    max_bytes: usize,
    codec: Codec,
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
    pub fn new(max_bytes: usize, codec: Codec) -> Self {
        Self {
            max_bytes,
            codec,
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
        if let Some(before) = self.cached.get(key) {
            change.old.clone_from(&before.change.old);
        }
        let bytes = self.measure(key, &change)?;
        self.updates += 1;
        let now = Cached {
            change,
            timestamp_ms: record.timestamp_ms,
            headers: env.headers.clone(),
            number: self.updates,
            bytes,
        };
        let before = self.set(key, Some(now));
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
