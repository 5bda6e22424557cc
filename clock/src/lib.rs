//! The clock port: production reads the system's, tests and simulations set their own.
//!
//! Whatever decides by the time of day takes a [`Clock`], or the time itself; `clippy.toml` forbids to read it elsewhere.
//!
//! ```
//! use std::time::Duration;
//!
//! use clock::{Clock, ManualClock, Millis};
//!
//! let clock = ManualClock::at(Millis(1_000));
//! clock.advance(Duration::from_secs(2));
//! assert_eq!(clock.now_ms(), Millis(3_000));
//! assert_eq!(clock.now().to_string(), "1970-01-01T00:00:03Z");
//! ```

mod time;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
pub use time::{Micros, Millis};

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The instant, to the millisecond.
    fn now_ms(&self) -> Millis;

    /// The same as a timestamp.
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.now_ms().0).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads it")]
    fn now_ms(&self) -> Millis {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        Millis(since_epoch.map_or(0, |d| d.as_millis() as i64))
    }
}

/// A clock that stands still until it is told.
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// Starts at this instant.
    pub fn at(now_ms: Millis) -> Self {
        Self(Arc::new(AtomicI64::new(now_ms.0)))
    }

    /// Moves on.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}
