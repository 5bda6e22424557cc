//! What an audit is asked.

use std::time::Duration;

use crate::config::Settings;

/// How long the audit waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// What differs is wrong when it goes on differing for so long, although nothing changed it.
    pub settle: Duration,
    /// How long the source's changes up to the look at it may take to arrive, before that.
    pub arrive: Duration,
}

impl Patience {
    /// When what still changes is no longer waited for.
    pub(super) fn total(self) -> Duration {
        self.settle * 3
    }
}

/// Since when the bank keeps what it makes of its rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Histories are kept from the start: a row without one is wrong. Else an earlier version, which kept none, may have seen it last.
    pub histories_from_start: bool,
    /// Gold that adds up begins with what changed from some moment on: it cannot be compared with rows that are older.
    pub gold_from_now_on: bool,
    /// How long after their transactions' own time holds expire; `None`: never.
    pub hold_expiry: Option<Duration>,
}

impl Kept {
    /// What Riverbank keeps with these settings.
    pub fn by(settings: &Settings, histories_from_start: bool) -> Self {
        Self {
            histories_from_start,
            gold_from_now_on: settings.engine.gold_from_now_on,
            hold_expiry: settings.bank.holds_expire_after(),
        }
    }
}
