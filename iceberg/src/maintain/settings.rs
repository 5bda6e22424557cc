//! What can be set about a compaction.

use std::time::Duration;

use jiff::civil::Date;

/// What is merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactSettings {
    /// Files of days before this one, in UTC.
    pub before: Date,
    /// Files below this size are merged, into files of up to this size, in bytes.
    pub target_bytes: u64,
    /// Only where so many files become one.
    pub files_min: usize,
    /// Merged files that no snapshot names are deleted after so long; a compaction that takes half as long from a file's first row to
    /// its commit is given up.
    pub orphan_age: Duration,
}

impl CompactSettings {
    /// The defaults, for days before this one.
    pub fn new(before: Date) -> Self {
        Self {
            before,
            target_bytes: 128 << 20,
            files_min: 4,
            orphan_age: Duration::from_secs(86_400),
        }
    }
}
