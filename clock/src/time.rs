//! Instants as numbers since the epoch, one type per unit.
//!
//! Event times, stream time and Kafka's timestamps are milliseconds, a database's commits microseconds. As bare numbers they look
//! alike; a comparison of one with the other is wrong by a factor of a thousand and shows nothing of it. So each unit is a type,
//! and what leads from one to the other has a name.
//!
//! ```
//! use std::time::Duration;
//!
//! use clock::{Micros, Millis};
//!
//! let committed = Micros(1_700_000_000_123_456);
//! assert_eq!(committed.to_millis(), Millis(1_700_000_000_123));
//! assert_eq!(Millis(1_000) + Duration::from_secs(2), Millis(3_000));
//! assert_eq!(Millis(3_000).since(Millis(1_000)), Duration::from_secs(2));
//! ```
//!
//! What is not so does not compile:
//!
//! ```compile_fail
//! use clock::{Micros, Millis};
//!
//! let is_late = Micros(1_700_000_000_123_456) > Millis(1_700_000_000_123);
//! ```
//!
//! Sums and differences saturate: what comes from outside may be any number, and a time that is out of range is late or early,
//! never a panic.
//!
//! Why not a timestamp of a library? These are what lies in records, stores and files; they cost what an `i64` costs.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An instant in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[repr(transparent)]
pub struct Millis(pub i64);

/// An instant in microseconds since the epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
#[repr(transparent)]
pub struct Micros(pub i64);

impl Millis {
    /// Before any other.
    pub const MIN: Self = Self(i64::MIN);
    /// After any other.
    pub const MAX: Self = Self(i64::MAX);

    /// The same in microseconds; beyond what they can say, the nearest that they can.
    #[inline]
    pub const fn to_micros(self) -> Micros {
        Micros(self.0.saturating_mul(1_000))
    }

    /// The time from an earlier instant to this one; none where that one is later.
    #[inline]
    pub const fn since(self, earlier: Self) -> Duration {
        let millis = self.0.saturating_sub(earlier.0);
        Duration::from_millis(if millis > 0 { millis as u64 } else { 0 })
    }
}

impl Micros {
    /// The millisecond that it is in.
    #[inline]
    pub const fn to_millis(self) -> Millis {
        Millis(self.0.div_euclid(1_000))
    }
}

impl Add<Duration> for Millis {
    type Output = Self;

    #[inline]
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis_of(duration)))
    }
}

impl AddAssign<Duration> for Millis {
    #[inline]
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Millis {
    type Output = Self;

    #[inline]
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis_of(duration)))
    }
}

impl Add<Duration> for Micros {
    type Output = Self;

    #[inline]
    fn add(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

/// The whole milliseconds of a duration, in 64 bits.
#[inline]
const fn millis_of(duration: Duration) -> i64 {
    let seconds = duration.as_secs();
    if seconds > (i64::MAX / 1_000) as u64 {
        return i64::MAX;
    }
    (seconds as i64 * 1_000).saturating_add(duration.subsec_millis() as i64)
}

/// A bare number is taken for milliseconds, by those who ask for that.
impl From<i64> for Millis {
    #[inline]
    fn from(millis: i64) -> Self {
        Self(millis)
    }
}

impl From<Timestamp> for Millis {
    fn from(at: Timestamp) -> Self {
        Self(at.as_millisecond())
    }
}

impl From<Timestamp> for Micros {
    fn from(at: Timestamp) -> Self {
        Self(at.as_microsecond())
    }
}

/// The number alone.
impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number alone.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_microsecond_is_in_its_millisecond_before_the_epoch_too() {
        for (micros, millis) in [(0, 0), (999, 0), (1_000, 1), (-1, -1), (-1_000, -1), (-1_001, -2)] {
            assert_eq!(Micros(micros).to_millis(), Millis(millis), "{micros}");
        }
        assert_eq!(Millis(-7).to_micros(), Micros(-7_000));
        assert_eq!(Millis::MAX.to_micros(), Micros(i64::MAX));
        assert_eq!(Millis::MIN.to_micros(), Micros(i64::MIN));
    }

    #[test]
    fn sums_and_differences_saturate() {
        let second = Duration::from_secs(1);
        assert_eq!(Millis(5) + second, Millis(1_005));
        assert_eq!(Millis(5) - second, Millis(-995));
        assert_eq!((Millis::MAX + second, Millis::MIN - second), (Millis::MAX, Millis::MIN));
        assert_eq!(Millis(0) + Duration::MAX, Millis::MAX);
        assert_eq!(Millis(0) - Duration::MAX, Millis(-i64::MAX));
        assert_eq!(Millis::MAX.since(Millis::MIN), Duration::from_millis(i64::MAX as u64));
        assert_eq!(Millis(1).since(Millis(2)), Duration::ZERO);
        assert_eq!(millis_of(Duration::from_micros(1_999)), 1, "as far as it is whole");
        assert_eq!(Micros(5) + second, Micros(1_000_005));
        assert_eq!(Micros(5) + Duration::MAX, Micros(i64::MAX));
    }

    #[test]
    fn they_are_written_as_numbers() {
        let text = serde_json::to_string(&(Millis(-7), Some(Micros(8)))).unwrap();
        assert_eq!(text, "[-7,8]");
        assert_eq!(
            serde_json::from_str::<(Millis, Option<Micros>)>(&text).unwrap(),
            (Millis(-7), Some(Micros(8)))
        );
        assert_eq!(
            (Millis(-7).to_string(), Micros(8).to_string()),
            ("-7".to_owned(), "8".to_owned())
        );
    }
}
