//! Where sources begin.

use std::time::Duration;

/// Where a source begins of which nothing was ever committed. What a broker has forgotten is not guessed: there, the task waits until
/// somebody has set the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OffsetReset {
    /// With the first record that is there.
    #[default]
    Earliest,
    /// With the first record that comes after its task has started.
    Latest,
    /// With the first record whose timestamp is no older than this when its task starts, or else with the first that comes after that.
    ByDuration(Duration),
    /// Not before somebody has set the group's offset.
    None,
}

impl OffsetReset {
    /// Whether a source that begins so has the whole log before it, wherever that starts by then.
    pub(crate) fn is_from_the_start(self) -> bool {
        matches!(self, Self::Earliest | Self::None)
    }
}
