//! What the processors report to operators: of this process, since its start. A transaction that is done again counts again.

use std::sync::atomic::{AtomicU64, Ordering};

/// Events with a lower LSN and a later commit time than what was applied: a restored or promoted server.
pub static SOURCE_REGRESSIONS: AtomicU64 = AtomicU64::new(0);
/// Tables that the source truncated.
pub static SOURCE_TRUNCATES: AtomicU64 = AtomicU64::new(0);
/// Rows that were deleted because a snapshot did not show them, or a truncate took them.
pub static ROWS_SWEPT: AtomicU64 = AtomicU64::new(0);

/// Changes that were not applied, since the very same had been: the connector sent it again.
pub static SOURCE_REPEATED: AtomicU64 = AtomicU64::new(0);
/// Changes that were not applied, since the row has a newer one, by its LSN and its commit time. What is sent again has such changes,
/// too, but never them alone.
pub static SOURCE_OUTDATED: AtomicU64 = AtomicU64::new(0);
/// Rows of `customers` that a snapshot did not show, and whose deletion is held back: how many there are now.
pub static CUSTOMERS_HELD: AtomicU64 = AtomicU64::new(0);
/// The same of `accounts`.
pub static ACCOUNTS_HELD: AtomicU64 = AtomicU64::new(0);
/// The same of `transactions`.
pub static TRANSACTIONS_HELD: AtomicU64 = AtomicU64::new(0);

/// The rows that are held back, by table.
pub fn held_rows() -> [(&'static str, &'static AtomicU64); 3] {
    [
        ("customers", &CUSTOMERS_HELD),
        ("accounts", &ACCOUNTS_HELD),
        ("transactions", &TRANSACTIONS_HELD),
    ]
}

/// Holds of pending transactions that were released since they had expired.
pub static HOLDS_RELEASED: AtomicU64 = AtomicU64::new(0);
/// Accounts whose streamed balance differs from the source's, how many there are now: those of which all transactions have come, and those of which
/// nothing more came for a while.
pub static ACCOUNTS_DIFFERENT: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
