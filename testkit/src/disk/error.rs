//! What a disk answers that refuses.

use topology::StoreError;

pub(super) fn refused(task: &str, reason: &str) -> StoreError {
    StoreError::Backend {
        store: task.to_owned(),
        reason: reason.to_owned(),
    }
}
