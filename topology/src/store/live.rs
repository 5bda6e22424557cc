//! What queries see of a store whose entries expire, before all of those are deleted.

use std::sync::atomic::{AtomicI64, Ordering};

/// Which values queries see.
pub(crate) struct Live<V> {
    ttl_ms: i64,
    time_of: fn(&V) -> i64,
    /// What is older has expired, by the stream time of the last commit.
    horizon_ms: AtomicI64,
}

impl<V> Live<V> {
    pub fn new(ttl_ms: i64, time_of: fn(&V) -> i64) -> Self {
        Self {
            ttl_ms,
            time_of,
            horizon_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// Stream time is committed.
    pub fn pass_time(&self, stream_time_ms: i64) {
        let horizon_ms = stream_time_ms.saturating_sub(self.ttl_ms);
        self.horizon_ms.fetch_max(horizon_ms, Ordering::Relaxed);
    }

    pub fn is_live(&self, value: &V) -> bool {
        (self.time_of)(value) >= self.horizon_ms.load(Ordering::Relaxed)
    }
}
