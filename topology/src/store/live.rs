//! What queries see of a store whose entries expire, before all of those are deleted.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use clock::Millis;

/// Which values queries see.
pub(crate) struct Live<V> {
    ttl: Duration,
    time_of: fn(&V) -> Millis,
    /// What is older has expired, by the stream time of the last commit.
    horizon_ms: AtomicI64,
}

impl<V> Live<V> {
    pub fn new(ttl: Duration, time_of: fn(&V) -> Millis) -> Self {
        Self {
            ttl,
            time_of,
            horizon_ms: AtomicI64::new(i64::MIN),
        }
    }

    /// Stream time is committed.
    pub fn pass_time(&self, stream_time_ms: Millis) {
        let Millis(horizon_ms) = stream_time_ms - self.ttl;
        self.horizon_ms.fetch_max(horizon_ms, Ordering::Relaxed);
    }

    pub fn is_live(&self, value: &V) -> bool {
        (self.time_of)(value).0 >= self.horizon_ms.load(Ordering::Relaxed)
    }
}
