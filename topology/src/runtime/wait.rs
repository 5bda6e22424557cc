//! Why a task does not process for a while. The others of its worker go on.

use std::time::Duration;

use clock::Millis;

/// How long a task waits before it asks the group again where it stands.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Why a task does not process for a while.
pub(crate) struct Wait {
    pub reason: String,
    until_ms: Millis,
    kind: Kind,
}

#[derive(PartialEq, Eq)]
enum Kind {
    /// A schema cannot be read now, or the group's offsets cannot: that is tried again.
    Transient,
    /// The log does not have the offset at which this input stands. An operator, or the log's owner, must decide; the group's offset
    /// is asked now and then.
    Offset(usize),
    /// The group has lost the offset of an input: it must be set before anything is processed.
    OffsetUnknown,
    /// A record is at fault, and the settings say that this stops the task until a restart.
    Stopped,
}

impl Wait {
    pub fn transient(reason: String, until_ms: Millis) -> Self {
        Self {
            reason,
            until_ms,
            kind: Kind::Transient,
        }
    }

    /// Until the log has the offset of this input, or another is set.
    pub fn offset(input: usize, reason: String, now_ms: Millis) -> Self {
        Self {
            reason,
            until_ms: now_ms + ASK_AGAIN,
            kind: Kind::Offset(input),
        }
    }

    pub fn offset_unknown(reason: String, now_ms: Millis) -> Self {
        Self {
            reason,
            until_ms: now_ms + ASK_AGAIN,
            kind: Kind::OffsetUnknown,
        }
    }

    /// Until a restart.
    pub fn stopped(reason: String) -> Self {
        Self {
            reason,
            until_ms: Millis::MAX,
            kind: Kind::Stopped,
        }
    }

    /// Whether to try, and see if the reason still stands.
    pub fn may_try(&self, now_ms: Millis) -> bool {
        self.kind == Kind::Transient && now_ms >= self.until_ms
    }

    /// Whether nothing may be fetched for the task.
    pub fn is_for_all_inputs(&self) -> bool {
        matches!(self.kind, Kind::OffsetUnknown | Kind::Stopped)
    }

    /// Whether this input's records, or its end, are what it waits for.
    pub fn is_for_input(&self, input: usize) -> bool {
        self.kind == Kind::Offset(input)
    }

    pub fn is_stopped(&self) -> bool {
        self.kind == Kind::Stopped
    }

    /// Whether the group is to be asked now where the task stands.
    pub fn asks_group(&self, now_ms: Millis) -> bool {
        matches!(self.kind, Kind::Offset(_) | Kind::OffsetUnknown) && now_ms >= self.until_ms
    }

    /// The group is being asked, and the next time is a while away.
    pub fn asked(&mut self, now_ms: Millis) {
        self.until_ms = now_ms + ASK_AGAIN;
    }
}
