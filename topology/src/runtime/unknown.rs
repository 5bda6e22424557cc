//! How long a record waits for a schema that the registry says it does not have.
//!
//! Right after a registration, one of several registries, or a cache before one, may be a moment behind; a wrong id stays wrong. So the
//! registry is asked again for a while, then the record is a dead letter. The answer is never kept: the next record with that id
//! has the registry asked anew. Only the wait is not granted a second time while such records keep coming.

use std::collections::HashMap;
use std::time::Duration;

use clock::Millis;
use wire::WireError;

/// A schema is asked for so often, over at least so long.
const TIMES: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(2);

/// After so long without such a record, one waits again.
const FORGET: Duration = Duration::from_secs(60);

/// With so many at once, a topic is full of something else, and nothing of it waits.
const SCHEMAS_MAX: usize = 16;

#[derive(Default)]
pub(super) struct Unknown {
    /// By what was said of each.
    asked: HashMap<String, Asked>,
}

struct Asked {
    times: u32,
    first_ms: Millis,
    last_ms: Millis,
}

impl Unknown {
    /// Whether a record with this error should wait, and the registry be asked again.
    pub fn waits(&mut self, error: &WireError, now_ms: Millis) -> bool {
        if !error.is_unknown_schema() {
            return false;
        }
        self.asked.retain(|_, asked| now_ms.since(asked.last_ms) < FORGET);
        let text = error.to_string();
        if self.asked.len() >= SCHEMAS_MAX && !self.asked.contains_key(&text) {
            return false;
        }
        let asked = self.asked.entry(text).or_insert(Asked {
            times: 0,
            first_ms: now_ms,
            last_ms: now_ms,
        });
        asked.times += 1;
        asked.last_ms = now_ms;
        asked.times < TIMES || now_ms.since(asked.first_ms) < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(id: u32) -> WireError {
        WireError::UnknownSchema { id }
    }

    #[test]
    fn a_record_waits_for_two_seconds_and_three_answers() {
        let mut all = Unknown::default();
        assert!(all.waits(&unknown(7), Millis(0)));
        assert!(all.waits(&unknown(7), Millis(250)));
        assert!(all.waits(&unknown(7), Millis(1_999)));
        assert!(!all.waits(&unknown(7), Millis(2_000)));
        // The next record of it has the registry asked once; another schema has a wait of its own.
        assert!(!all.waits(&unknown(7), Millis(2_001)));
        assert!(all.waits(&unknown(8), Millis(2_001)));
        assert!(all.waits(&unknown(8), Millis(60_000)));
        assert!(!all.waits(&unknown(8), Millis(60_001)));
        // Much later, it may be another story.
        assert!(all.waits(&unknown(7), Millis(62_001)));
    }

    #[test]
    fn a_topic_full_of_something_else_does_not_wait() {
        let mut all = Unknown::default();
        let waited = (0..1_000).filter(|id| all.waits(&unknown(*id), Millis(0))).count();
        assert_eq!(waited, SCHEMAS_MAX);
    }

    #[test]
    fn no_other_error_waits() {
        let mut all = Unknown::default();
        assert!(!all.waits(&WireError::Malformed("no".to_owned()), Millis(0)));
    }
}
