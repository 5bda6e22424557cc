//! What the processors count for operators: of this process, since its start. A transaction that is done again counts again.

use std::sync::atomic::{AtomicU64, Ordering};

/// Events with a lower LSN and a later commit time than what was applied: a restored or promoted server.
pub static SOURCE_REGRESSIONS: AtomicU64 = AtomicU64::new(0);
/// Tables that the source truncated.
pub static SOURCE_TRUNCATES: AtomicU64 = AtomicU64::new(0);
/// Rows that were deleted because a snapshot did not show them, or a truncate took them.
pub static ROWS_SWEPT: AtomicU64 = AtomicU64::new(0);

pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
