//! For how long a member may be sure of what it holds.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// The time that has passed since some fixed moment; it never goes back.
pub type Monotonic = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What a member of a group may go by to answer for its partitions: as long as this holds, no other member has been given them.
///
/// The coordinator gives partitions to others when it has heard nothing for the session time-out. So the lease is counted from
/// before the last question that it answered to this member, and is a tenth shorter. It goes by a clock that runs on while the
/// process is stopped (`SIGSTOP`, a debugger, a machine that slept): who wakes is not sure of anything, before the first
/// thread has found out what happened. Two things are taken on trust: the two machines' clocks run equally fast but for that
/// tenth, and nobody takes over this member's name while it lives.
pub struct Lease {
    clock: Monotonic,
    length: Duration,
    /// On the clock, in nanoseconds.
    until: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl Lease {
    /// One that does not hold yet, of a member with this session time-out.
    pub fn new(session_timeout: Duration, clock: Monotonic) -> Self {
        Self {
            clock,
            length: session_timeout.mul_f32(0.9),
            until: AtomicU64::new(0),
            trouble: Mutex::new(None),
        }
    }

    /// Whether the member is sure of its partitions at this moment.
    pub fn holds(&self) -> bool {
        nanos((self.clock)()) < self.until.load(Ordering::Acquire)
    }

    /// Why it was not renewed, if the coordinator said.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// The time on its clock.
    #[cfg(feature = "kafka")]
    pub(crate) fn now(&self) -> Duration {
        (self.clock)()
    }

    /// The coordinator took this for a member after it was asked at this time.
    pub(crate) fn renew(&self, asked_at: Duration) {
        self.until.fetch_max(nanos(asked_at + self.length), Ordering::AcqRel);
        *self.trouble.lock() = None;
    }

    /// The coordinator did not confirm it.
    #[cfg(feature = "kafka")]
    pub(crate) fn refused(&self, why: String) {
        *self.trouble.lock() = Some(why);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("holds", &self.holds()).finish_non_exhaustive()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_from_the_question_and_ends_before_the_session_does() {
        let now = Arc::new(AtomicU64::new(100));
        let clock = now.clone();
        let lease = Lease::new(
            Duration::from_secs(10),
            Arc::new(move || Duration::from_secs(clock.load(Ordering::SeqCst))),
        );
        assert!(!lease.holds(), "nothing is proven yet");
        lease.renew(Duration::from_secs(100));
        for (at, holds) in [(100, true), (108, true), (109, false), (200, false)] {
            now.store(at, Ordering::SeqCst);
            assert_eq!(lease.holds(), holds, "{at}");
        }
        lease.renew(Duration::from_secs(195));
        lease.renew(Duration::from_secs(150));
        assert!(lease.holds(), "an older answer takes nothing away");
    }
}
