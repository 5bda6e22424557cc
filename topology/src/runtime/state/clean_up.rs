//! State that nobody can carry on from is removed: that of tasks which moved away, once their changelogs' tombstones may be gone.

use crate::error::StoreError;
use crate::runtime::parts::Parts;
use crate::runtime::shared::Shared;

/// Removes the state of tasks that are not this instance's and were not for longer than their state is valid. To be called now and then,
/// off the workers' threads. Returns how many there were.
pub(crate) fn clean_up(parts: &Parts, shared: &Shared) -> Result<usize, StoreError> {
    let mut removed = 0;
    for task in parts.backends.tasks()? {
        let partition = task.rsplit('/').next().and_then(|partition| partition.parse::<u32>().ok());
        if partition.is_some_and(|partition| shared.groups.lock().contains_key(&partition)) {
            continue;
        }
        // It may be taken over just now: its lock then tells, and a worker that finds it held asks again.
        let Ok(backend) = parts.backends.open(&task, &[]) else {
            continue;
        };
        let stored = backend.stored()?;
        drop(backend);
        if stored.is_some_and(|stored| parts.is_too_old(stored.written_at_ms)) {
            parts.backends.wipe(&task)?;
            tracing::info!(task, "the state of a task that has moved away was too old, and is removed");
            removed += 1;
        }
    }
    Ok(removed)
}
