//! What a balance was before the newest transactions.

use std::time::Duration;

use schemas::state::{FormerBalance, RecentBalance};
use topology::Millis;

/// How long it is known what a balance was, at most: it is so as long as the row's layer of the store is in memory, some seconds.
const FORMER_KEPT: Duration = Duration::from_secs(10);
/// And of how many changes.
const FORMER_MAX: usize = 32;

/// Before the first change by a source transaction: what the balance was stays known for a while.
///
/// Whoever asks for several accounts asks as of a number up to which everything is complete. So of what a balance was between two such
/// numbers only the last is ever asked for; what is behind the newest of them is kept until a newer change shows that it is not the last.
pub fn begin(balance: &mut RecentBalance, commit_number: i64, complete: i64, now_ms: Millis) {
    let since = balance.now.commit_number;
    // Several changes by one transaction are one; and what has waited for its account belongs to none that is still to come.
    if since.is_some_and(|since| since >= commit_number) {
        return;
    }
    let former = &mut balance.former;
    former.pop_if(|last| last.since > complete);
    let gone = former.len().saturating_sub(FORMER_MAX - 1);
    let old = former
        .iter()
        .take_while(|former| former.until_ms + FORMER_KEPT < now_ms)
        .count();
    former.drain(..gone.max(old));
    former.push(FormerBalance {
        since: since.unwrap_or(i64::MIN),
        until: commit_number,
        until_ms: now_ms,
        booked: balance.now.booked,
        pending: balance.now.pending,
    });
    balance.now.commit_number = Some(commit_number);
}
