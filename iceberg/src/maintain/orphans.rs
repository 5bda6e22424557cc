//! Merged files that no snapshot names: left by a crash before the swap, or named by snapshots that have expired.

use std::collections::BTreeSet;
use std::time::Duration;

use clock::Millis;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::error::MaintainError;
use super::spot::{Spot, folder};
use crate::access::Access;
use crate::error::CommitError;
use crate::named;

/// Deletes those merged files of a table that no snapshot names which the table still has, and that are older than this: younger ones may
/// be of a compaction that is at work. Returns how many.
pub(super) async fn sweep(access: &Access, table: &str, age: Duration) -> Result<u64, MaintainError> {
    let loaded = access.catalog.load(&access.name).await.map_err(CommitError::from)?;
    let Some(id) = loaded.as_ref().and_then(|loaded| loaded.metadata.uuid()) else {
        return Ok(0);
    };
    let folder = folder(table, id);
    let before = access.clock.now_ms() - age;
    let mut old: BTreeSet<Path> = BTreeSet::new();
    let mut objects = access.store.list(Some(&folder));
    while let Some(object) = objects.try_next().await? {
        let is_merged = Spot::of(&object.location, table, &folder).is_some_and(|spot| spot.is_merged);
        if is_merged && Millis(object.last_modified.timestamp_millis()) < before {
            old.insert(object.location);
        }
    }
    drop(objects);
    if old.is_empty() {
        return Ok(0);
    }
    // After the listing: whatever is named by then is not deleted, and what is old is named by nothing later.
    let now = access.catalog.load(&access.name).await.map_err(CommitError::from)?;
    let Some(now) = now.filter(|now| now.metadata.uuid() == Some(id)) else {
        return Ok(0);
    };
    let named = named::of_metadata(&now.metadata, &access.store, &access.place).await?;
    let mut deleted = 0;
    for path in old.difference(&named.files) {
        access.store.delete(path).await?;
        deleted += 1;
    }
    Ok(deleted)
}
