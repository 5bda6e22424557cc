//! What all clients share: librdkafka's log lines go to `tracing`, throttled, and show whether there is trouble.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::error::KafkaError;

/// The same kind of line is shown once in this time.
const THROTTLE: Duration = Duration::from_secs(5);

/// How many kinds of line are distinguished; more than librdkafka has.
const KINDS_MAX: usize = 256;

/// The log and the trouble of one client.
#[derive(Default)]
pub(super) struct Watch {
    trouble: Mutex<Option<String>>,
    shown: Mutex<HashMap<String, (Instant, u64)>>,
}

impl Watch {
    /// The latest fault, until [`Watch::is_well`].
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Something has worked again.
    pub fn is_well(&self) {
        let mut trouble = self.trouble.lock();
        if trouble.is_some() {
            tracing::info!("the Kafka client recovered");
            *trouble = None;
        }
    }

    pub fn note(&self, level: Level, facility: &str, text: &str) {
        let serious = matches!(level, Level::Emerg | Level::Alert | Level::Critical | Level::Error);
        if serious {
            *self.trouble.lock() = Some(text.to_owned());
        }
        let Some(unseen) = self.pass(facility) else { return };
        // Not an error even if librdkafka calls it so: it retries, and what fails for good is returned to the caller.
        match level {
            Level::Debug | Level::Info | Level::Notice => tracing::debug!(facility, unseen, "librdkafka: {text}"),
            _ => tracing::warn!(facility, unseen, "librdkafka: {text}"),
        }
    }

    /// Whether to show a line now, and how many of its kind were left out since the last.
    fn pass(&self, facility: &str) -> Option<u64> {
        let now = Instant::now();
        let mut shown = self.shown.lock();
        match shown.get_mut(facility) {
            Some((last, unseen)) if now.duration_since(*last) < THROTTLE => {
                *unseen += 1;
                None
            }
            Some(entry) => Some(std::mem::replace(entry, (now, 0)).1),
            None => {
                if shown.len() >= KINDS_MAX {
                    shown.clear();
                }
                shown.insert(facility.to_owned(), (now, 0));
                Some(0)
            }
        }
    }
}

impl ClientContext for Watch {
    fn log(&self, level: Level, facility: &str, text: &str) {
        self.note(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition comes this way, too.
        if !matches!(error, KafkaError::PartitionEOF(_)) {
            self.note(Level::Error, "ERROR", &format!("{error}: {reason}"));
        }
    }
}

impl rdkafka::consumer::ConsumerContext for Watch {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_lasts_until_something_works() {
        let watch = Watch::default();
        watch.note(Level::Info, "FETCH", "fine");
        assert_eq!(watch.trouble(), None);
        watch.note(Level::Error, "FAIL", "connection refused");
        assert_eq!(watch.trouble().as_deref(), Some("connection refused"));
        watch.is_well();
        assert_eq!(watch.trouble(), None);
    }

    #[test]
    fn lines_of_a_kind_are_throttled() {
        let watch = Watch::default();
        assert_eq!(watch.pass("FAIL"), Some(0));
        assert_eq!(watch.pass("FAIL"), None);
        assert_eq!(watch.pass("CONNECT"), Some(0));
    }
}
