//! When to try again: a few quick attempts, then slow ones without end, which are reported to the operator.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::RetrySettings;

/// The faults of one piece of work since it last went well.
#[derive(Debug, Default)]
pub struct Retry {
    failures: u32,
    waits: Option<<ExponentialBuilder as BackoffBuilder>::Backoff>,
    until: Option<Instant>,
    reason: String,
}

impl Retry {
    /// Whether it is time for an attempt.
    pub fn is_due(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() >= until)
    }

    /// An attempt failed. Returns how long to wait.
    pub fn failed(&mut self, reason: String, settings: &RetrySettings) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let waits = self.waits.get_or_insert_with(|| quick_waits(settings));
        let wait = in_millis(waits.next().unwrap_or(settings.slow_wait));
        self.until = Some(Instant::now() + wait);
        self.reason = reason;
        wait
    }

    /// It went well.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// What is wrong, once the quick attempts are used up.
    pub fn trouble(&self, settings: &RetrySettings) -> Option<String> {
        self.is_stubborn(settings)
            .then(|| format!("{} (attempt {}, trying again)", self.reason, self.failures))
    }

    /// Whether the quick attempts are used up.
    pub fn is_stubborn(&self, settings: &RetrySettings) -> bool {
        self.failures > 0 && self.failures >= settings.quick_attempts
    }

    /// The latest reason, if the latest attempt failed.
    pub fn reason(&self) -> Option<&str> {
        (self.failures > 0).then_some(self.reason.as_str())
    }
}

/// The library doubles in floating point, which shows as some nanoseconds in the log.
pub(super) fn in_millis(wait: Duration) -> Duration {
    Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

fn quick_waits(settings: &RetrySettings) -> <ExponentialBuilder as BackoffBuilder>::Backoff {
    ExponentialBuilder::new()
        .with_min_delay(settings.quick_wait.min(settings.slow_wait))
        .with_max_delay(settings.slow_wait)
        .with_max_times(settings.quick_attempts.saturating_sub(1) as usize)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_waits_double_then_slow_ones_tell_of_trouble() {
        let settings = RetrySettings {
            quick_attempts: 3,
            quick_wait: Duration::from_millis(10),
            slow_wait: Duration::from_secs(1),
        };
        let mut retry = Retry::default();
        assert!(retry.is_due());
        let waits: Vec<_> = (0..4)
            .map(|attempt| {
                assert_eq!(retry.trouble(&settings).is_some(), attempt >= 3);
                retry.failed(format!("fault {attempt}"), &settings).as_millis()
            })
            .collect();
        assert_eq!(waits, [10, 20, 1_000, 1_000]);
        assert!(!retry.is_due());
        assert_eq!(retry.trouble(&settings).unwrap(), "fault 3 (attempt 4, trying again)");
        retry.succeeded();
        assert!(retry.is_due() && retry.trouble(&settings).is_none());
    }
}
