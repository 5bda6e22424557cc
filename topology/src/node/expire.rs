//! Where the rows of a table expire.

use std::any::Any;
use std::ops::{Bound, ControlFlow};

use clock::Millis;

use super::{Emit, Env, Expired, Node, typed};
use crate::change::Change;
use crate::error::ProcessError;
use crate::record::Record;
use crate::store::{Expiring, Present, StoreKey, StoreValue};

/// So many rows expire at once; then there is a commit.
const AT_ONCE_MAX: usize = 1_000;

/// Stands behind the steps that write a table's rows, and gives their changes on. In between, it deletes what has expired.
pub(crate) struct ExpireNode<K, V> {
    store: Expiring<K, V>,
    next: Next<K>,
    waiting: Vec<Record<K, Change<V>>>,
}

/// Where the oldest row stands among the rows by their times: looking for it from the start would pass over all that were deleted.
enum Next<K> {
    Unknown,
    /// There is no row.
    Nowhere,
    /// Here, or behind it.
    From((i64, K)),
}

impl<K: StoreKey, V: StoreValue> ExpireNode<K, V> {
    pub fn new(store: Expiring<K, V>) -> Self {
        Self {
            store,
            next: Next::Unknown,
            waiting: Vec::new(),
        }
    }

    /// A row was written.
    fn note(&mut self, Millis(at_ms): Millis, key: &K) {
        let is_before = match &self.next {
            Next::Unknown => false,
            Next::Nowhere => true,
            Next::From((first_ms, first)) => (at_ms, ordered(key)) < (*first_ms, ordered(first)),
        };
        if is_before {
            self.next = Next::From((at_ms, key.clone()));
        }
    }
}

fn ordered<K: StoreKey>(key: &K) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16);
    key.encode_ordered(&mut bytes);
    bytes
}

impl<K: StoreKey, V: StoreValue> Node for ExpireNode<K, V> {
    fn process(&mut self, record: &dyn Any, _: &mut Env<'_>) -> Result<(), ProcessError> {
        let record: &Record<K, Change<V>> = typed(record);
        if record.value.new.is_some() {
            self.note(record.timestamp_ms, &record.key);
        }
        self.waiting.push(record.clone());
        Ok(())
    }

    fn expires(&self) -> bool {
        true
    }

    fn expire(&mut self, stream_time_ms: Millis, env: &mut Env<'_>) -> Result<Expired, ProcessError> {
        let Millis(horizon_ms) = stream_time_ms - self.store.ttl;
        let start = match &self.next {
            Next::Nowhere => return Ok(Expired::default()),
            Next::From((first_ms, _)) if *first_ms >= horizon_ms => return Ok(Expired::default()),
            Next::From(first) => Bound::Included(first.clone()),
            Next::Unknown => Bound::Unbounded,
        };
        let mut stores = env.task_stores();
        let (rows, times) = stores.pair(self.store, self.store.times);
        let (mut expired, mut next) = (Vec::new(), Next::Nowhere);
        times.scan((start, Bound::Unbounded), |first, Present| {
            if first.0 >= horizon_ms || expired.len() == AT_ONCE_MAX {
                next = Next::From(first);
                return ControlFlow::Break(());
            }
            expired.push(first);
            ControlFlow::Continue(())
        })?;
        let count = expired.len();
        for (at_ms, key) in expired {
            let row = rows.get(&key)?.filter(|row| row.timestamp_ms == Millis(at_ms));
            times.delete((at_ms, key.clone()));
            if let Some(row) = row {
                rows.delete(key.clone());
                let change = Change::new(None, Some(row.value));
                self.waiting.push(Record::new(key, change, stream_time_ms));
            }
        }
        let has_more = matches!(&next, Next::From((first_ms, _)) if *first_ms < horizon_ms);
        self.next = next;
        Ok(Expired { count, has_more })
    }

    fn emit(&mut self, emit: &mut Emit<'_>) -> Result<(), ProcessError> {
        self.waiting.iter().try_for_each(|record| emit(0, record, None))?;
        self.waiting.clear();
        Ok(())
    }

    fn clear(&mut self) {
        self.waiting.clear();
        // What was deleted may be there again.
        self.next = Next::Unknown;
    }
}
