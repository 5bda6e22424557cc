//! Days that are not kept any more: their files are dropped from the table, whole files only.
//!
//! The files themselves stay: those of the sink are the lake's, and merged ones are deleted when the snapshots that name them have
//! expired. Offsets stay as they are, so that what was dropped never comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use sinks::parquet::layout::day_of;

use super::error::MaintainError;
use super::orphans;
use super::rows::{Opened, Unreadable};
use super::spot::{Spot, folder};
use crate::access::Access;
use crate::catalog::Loaded;
use crate::change::{ATTEMPTS, Change, Ended};
use crate::error::CommitError;
use crate::manifest::Entry;
use crate::progress::Progress;
use crate::snapshot::Operation;

/// About so many files are dropped by one snapshot.
const FILES_AT_ONCE: usize = 5_000;
/// How many footers are read at the same time.
const AT_ONCE: usize = 16;

/// What was dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retained {
    /// Files.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Merged files that no snapshot named any more, and that were deleted.
    pub orphans: u64,
}

/// Drops a table's old days.
pub struct Retention {
    access: Access,
    table: String,
    /// Days before this one, in UTC, are not kept.
    before: Date,
    orphan_age: Duration,
}

impl Retention {
    /// The retention of a table of the lake, such as `bronze.accounts`: days before this one, in UTC, are not kept. Merged files that
    /// nothing names are deleted after `orphan_age`.
    pub fn new(table: &str, access: Access, before: Date, orphan_age: Duration) -> Self {
        Self {
            access,
            table: table.to_owned(),
            before,
            orphan_age,
        }
    }

    /// What [`Self::run`] would drop; merged files that no snapshot names are not counted.
    pub async fn look(&self) -> Result<Retained, MaintainError> {
        let base = self.access.load().await?;
        let old = self.old(&base, &mut BTreeMap::new(), usize::MAX).await?;
        Ok(Retained {
            files: old.len() as u64,
            rows: old.iter().map(|entry| entry.rows.unsigned_abs()).sum(),
            ..Retained::default()
        })
    }

    /// Drops what there is to drop.
    pub async fn run(&self) -> Result<Retained, MaintainError> {
        self.access.load().await?;
        let mut done = Retained::default();
        // A file's last day, where its path alone does not say it.
        let mut days: BTreeMap<String, Date> = BTreeMap::new();
        loop {
            let mut dropped = (0, 0);
            let ended = self.access.until_changed(async |base: &Loaded| {
                let old = self.old(base, &mut days, FILES_AT_ONCE).await?;
                dropped = (old.len() as u64, old.iter().map(|entry| entry.rows.unsigned_abs()).sum());
                match old.is_empty() {
                    true => Ok(None),
                    false => self.dropping(base, old).map(Some),
                }
            });
            match ended.await? {
                Ended::Changed => {
                    done.files += dropped.0;
                    done.rows += dropped.1;
                    done.snapshots += 1;
                }
                Ended::Nothing { .. } => break,
                Ended::Busy => return Err(MaintainError::Busy(ATTEMPTS)),
            }
        }
        self.access.expire().await?;
        done.orphans = orphans::sweep(&self.access, &self.table, self.orphan_age).await?;
        Ok(done)
    }

    /// Files all of whose rows are too old, about so many.
    async fn old(&self, base: &Loaded, days: &mut BTreeMap<String, Date>, limit: usize) -> Result<Vec<Entry>, MaintainError> {
        let folder = folder(&self.table, base.metadata.uuid().unwrap_or_default());
        let mut old = Vec::new();
        for one in self.access.manifests(&base.metadata).await? {
            let mut unknown = Vec::new();
            let mut candidates = Vec::new();
            for entry in self.access.entries(&one).await?.unwrap_or_default() {
                let path = self.access.path(&entry.url)?;
                let Some(spot) = Spot::of(&path, &self.table, &folder).filter(|spot| spot.day < self.before) else {
                    continue;
                };
                if !spot.is_merged && !days.contains_key(&entry.url) {
                    unknown.push(self.last_day(entry.url.clone(), path, spot.day));
                }
                candidates.push((entry, spot.day));
            }
            let known: Vec<_> = stream::iter(unknown).buffer_unordered(AT_ONCE).try_collect().await?;
            days.extend(known);
            let is_old = |(entry, day): &(Entry, Date)| *days.get(&entry.url).unwrap_or(day) < self.before;
            old.extend(candidates.into_iter().filter(is_old).map(|(entry, _)| entry));
            if old.len() >= limit {
                break;
            }
        }
        Ok(old)
    }

    /// The last day of a file's rows. Files of earlier versions may have several days: none later than that on which they were written.
    async fn last_day(&self, url: String, path: Path, day: Date) -> Result<(String, Date), MaintainError> {
        let store = self.access.store.as_ref();
        let has_one_day = match Opened::at(store, path.clone()).await {
            Ok(opened) => opened.has_one_day(),
            // What is not there has no rows.
            Err(Unreadable::Store(object_store::Error::NotFound { .. })) => true,
            Err(Unreadable::Content(..)) => false,
            Err(error) => return Err(error.into()),
        };
        let day = match has_one_day {
            true => day,
            false => day_of(store.head(&path).await?.last_modified.timestamp_millis()).max(day),
        };
        Ok((url, day))
    }

    fn dropping(&self, base: &Loaded, old: Vec<Entry>) -> Result<Change, MaintainError> {
        let metadata = &base.metadata;
        Ok(Change {
            operation: Operation::Delete,
            added: Vec::new(),
            removed: old.into_iter().map(|entry| entry.url).collect::<BTreeSet<_>>(),
            progress: Progress::read(metadata).map_err(CommitError::from)?,
            whole_until: None,
            schema: self.access.columns(metadata)?.schema(metadata.schema_id()),
            requirements: Vec::new(),
            updates: Vec::new(),
            properties: BTreeMap::new(),
        })
    }
}
