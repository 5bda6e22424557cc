//! Small files of days that are over become one, in one snapshot that changes no row and no offset.
//!
//! ```text
//!  the table's small files ─► rows, in the order of their offsets, as one file ─► read again: as many, with the same digest?
//!                                                                                               │
//!  dropped, if another one has merged or dropped them ◄── are they all still live? ◄── load ◄───┤◄── another writer was faster
//!                                                                  └─► commit: those out, that in ─┘
//! ```
//!
//! A crash leaves at most a file that no snapshot names, which a later run deletes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::file::metadata::ParquetMetaData;

use super::error::MaintainError;
use super::orphans;
use super::plan::{Source, runs};
use super::rows::{Limits, Opened, Unreadable, merge};
use super::settings::CompactSettings;
use super::spot::{Spot, folder};
use crate::access::Access;
use crate::catalog::Loaded;
use crate::change::{ATTEMPTS, Change, Ended};
use crate::data_file::DataFile;
use crate::error::CommitError;
use crate::progress::Progress;
use crate::snapshot::Operation;

/// Where other writers of the table put their files: else they would do so in the lake's folders, whose files are loaded.
const DATA_PATH: &str = "write.data.path";
/// About so many files are replaced by one snapshot.
const FILES_AT_ONCE: usize = 5_000;
/// About so many bytes: what a crash costs.
const BYTES_AT_ONCE: i64 = 4 << 30;

/// What became of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files that were replaced.
    pub files_before: u64,
    /// Files that replaced them.
    pub files_after: u64,
    /// Their rows.
    pub rows: u64,
    /// Bytes before.
    pub bytes_before: u64,
    /// Bytes after.
    pub bytes_after: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Merged files that were given up: another writer has replaced or dropped what they were merged of.
    pub given_up: u64,
    /// Files that were left as they are, with the reason: nothing is wrong with them.
    pub left: Vec<String>,
    /// Files that are not there or cannot be read, with the reason: the table names them, and lacks their rows.
    pub broken: Vec<String>,
    /// Merged files of earlier runs that nothing names, and that were deleted.
    pub orphans: u64,
}

/// Merges a table's small files.
pub struct Compactor {
    access: Access,
    table: String,
    settings: CompactSettings,
}

/// A file that was merged, not yet in the table.
struct Merged {
    path: Path,
    size: u64,
    metadata: Arc<ParquetMetaData>,
    sources: Vec<Source>,
    begun: Instant,
}

impl Compactor {
    /// The compactor of a table of the lake, such as `bronze.accounts`.
    pub fn new(table: &str, access: Access, settings: CompactSettings) -> Self {
        Self {
            access,
            table: table.to_owned(),
            settings,
        }
    }

    /// Merges what there is to merge. After an error, what was swapped is swapped.
    pub async fn run(&self) -> Result<Compacted, MaintainError> {
        let mut done = Compacted::default();
        let base = self.access.load().await?;
        let folder = self.folder(&base);
        let mut batch = Vec::new();
        let mut runs = self.plan(&base, &folder).await?.into_iter().peekable();
        while let Some(run) = runs.next() {
            self.merge(&folder, run, &mut batch, &mut done).await?;
            let sources = || batch.iter().flat_map(|merged: &Merged| &merged.sources);
            let is_full = sources().count() >= FILES_AT_ONCE || sources().map(|file| file.bytes).sum::<i64>() >= BYTES_AT_ONCE;
            if is_full || runs.peek().is_none() {
                self.swap(&folder, std::mem::take(&mut batch), &mut done).await?;
            }
        }
        self.access.expire().await?;
        done.orphans = self.tidy().await?;
        Ok(done)
    }

    /// Deletes merged files that nothing names any more: of crashes, and of snapshots that have expired. Returns how many.
    pub async fn tidy(&self) -> Result<u64, MaintainError> {
        orphans::sweep(&self.access, &self.table, self.settings.orphan_age).await
    }

    fn folder(&self, base: &Loaded) -> Path {
        folder(&self.table, base.metadata.uuid().unwrap_or_default())
    }

    async fn plan(&self, base: &Loaded, folder: &Path) -> Result<Vec<Vec<Source>>, MaintainError> {
        let mut files = Vec::new();
        for one in self.access.manifests(&base.metadata).await? {
            if one.content != 0 && one.files[0] + one.files[1] > 0 {
                return Err(MaintainError::Deletes);
            }
            for entry in self.access.entries(&one).await?.unwrap_or_default() {
                let path = self.access.place.path_of(&entry.url);
                if let Some(spot) = path.and_then(|path| Spot::of(&path, &self.table, folder)) {
                    let (url, bytes) = (entry.url, entry.bytes);
                    files.push(Source { url, spot, bytes });
                }
            }
        }
        Ok(runs(files, &self.settings))
    }

    /// Merges a run: as one file, or as one of each shape that follows another.
    async fn merge(
        &self,
        folder: &Path,
        run: Vec<Source>,
        batch: &mut Vec<Merged>,
        done: &mut Compacted,
    ) -> Result<(), MaintainError> {
        let begun = Instant::now();
        let mut shaped: Vec<Vec<(Source, Opened)>> = Vec::new();
        let mut cut = true;
        for source in run {
            let opened = match Opened::at(self.access.store.as_ref(), self.access.path(&source.url)?).await {
                Ok(opened) => opened,
                Err(error) => {
                    cut = true;
                    self.leave(error, done)?;
                    continue;
                }
            };
            if !source.spot.is_merged && !opened.has_one_day() {
                cut = true;
                done.left.push(format!(
                    "{}: an earlier version wrote it, with rows of several days perhaps",
                    opened.path
                ));
                continue;
            }
            let follows = shaped.last().and_then(|files| files.last());
            if cut || follows.is_none_or(|(_, before)| before.schema().fields() != opened.schema().fields()) {
                shaped.push(Vec::new());
            }
            cut = false;
            if let Some(files) = shaped.last_mut() {
                files.push((source, opened));
            }
        }
        for files in shaped
            .into_iter()
            .filter(|files| files.len() >= self.settings.files_min.max(2))
        {
            let (sources, opened): (Vec<_>, Vec<_>) = files.into_iter().unzip();
            match self.write(folder, sources, &opened, begun).await {
                Ok(merged) => batch.extend(merged),
                Err(MaintainError::Commit(error @ CommitError::Footer(..))) => done.broken.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A file that is not there, or that cannot be read, holds up no other.
    fn leave(&self, error: Unreadable, done: &mut Compacted) -> Result<(), MaintainError> {
        match error {
            Unreadable::Store(error @ object_store::Error::NotFound { .. }) => done.broken.push(error.to_string()),
            Unreadable::Store(error) => return Err(error.into()),
            error @ Unreadable::Content(..) => done.broken.push(error.to_string()),
        }
        Ok(())
    }

    /// Writes a merged file, and reads it again.
    async fn write(
        &self,
        folder: &Path,
        sources: Vec<Source>,
        opened: &[Opened],
        begun: Instant,
    ) -> Result<Option<Merged>, MaintainError> {
        let (Some(first), Some(last)) = (sources.first(), sources.last()) else {
            return Ok(None);
        };
        let spot = Spot {
            end: last.spot.end,
            ..first.spot.clone()
        };
        let (store, path) = (&self.access.store, spot.draw(folder));
        let expected = merge(store, opened, &path, Limits::DEFAULT).await?;
        let merged = Opened::at(store.as_ref(), path.clone()).await?;
        let stored = merged.digest(store.as_ref()).await?;
        if stored != expected {
            self.delete(&path).await;
            return Err(MaintainError::Differs {
                path,
                rows: stored.0,
                expected: expected.0,
            });
        }
        Ok(Some(Merged {
            path,
            size: merged.size,
            metadata: merged.metadata,
            sources,
            begun,
        }))
    }

    /// Puts merged files in the place of what they were merged of, where all of that is still in the table.
    async fn swap(&self, folder: &Path, batch: Vec<Merged>, done: &mut Compacted) -> Result<(), MaintainError> {
        if batch.is_empty() {
            return Ok(());
        }
        let place = &self.access.place;
        let url = |merged: &Merged| place.url_of(&merged.path);
        let sources = batch
            .iter()
            .flat_map(|merged| merged.sources.iter().map(|source| source.url.clone()));
        let wanted: BTreeSet<String> = sources.chain(batch.iter().map(url)).collect();
        // Of each merged file, whether it is in the table after the last attempt, or would be.
        let mut swapped = vec![false; batch.len()];
        let ended = self.access.until_changed(async |base: &Loaded| {
            swapped.fill(false);
            if self.folder(base) != *folder {
                return Ok(None);
            }
            let live = self.access.live(base, |url| wanted.contains(url)).await?;
            let columns = self.access.columns(&base.metadata)?;
            let (mut added, mut removed) = (Vec::new(), BTreeSet::new());
            for (merged, swapped) in batch.iter().zip(&mut swapped) {
                if live.contains_key(&url(merged)) {
                    *swapped = true;
                    continue;
                }
                let since: Option<Vec<i64>> = merged.sources.iter().map(|source| live.get(&source.url).copied()).collect();
                let Some(since) = since.filter(|_| self.is_in_time(merged)) else {
                    continue;
                };
                // That no other run has taken it for an orphan.
                self.access.store.head(&merged.path).await?;
                *swapped = true;
                added.push(DataFile {
                    since: since.into_iter().max(),
                    ..DataFile::new(url(merged), merged.size, &merged.metadata, &columns)
                });
                removed.extend(merged.sources.iter().map(|source| source.url.clone()));
            }
            if added.is_empty() {
                return Ok(None);
            }
            self.replacing(base, folder, added, removed).await.map(Some)
        });
        let in_doubt = match ended.await? {
            Ended::Changed => {
                done.snapshots += 1;
                true
            }
            Ended::Nothing { in_doubt } => in_doubt,
            Ended::Busy => return Err(MaintainError::Busy(ATTEMPTS)),
        };
        for (merged, swapped) in batch.iter().zip(swapped) {
            if swapped {
                done.files_before += merged.sources.len() as u64;
                done.files_after += 1;
                done.rows += u64::try_from(merged.metadata.file_metadata().num_rows()).unwrap_or(0);
                done.bytes_before += merged.sources.iter().map(|source| source.bytes.unsigned_abs()).sum::<u64>();
                done.bytes_after += merged.size;
            } else {
                done.given_up += 1;
                // Where a commit may still arrive, it stays until it is old.
                if !in_doubt {
                    self.delete(&merged.path).await;
                }
            }
        }
        Ok(())
    }

    /// Whether no other run can take the file for an orphan before it is in the table.
    fn is_in_time(&self, merged: &Merged) -> bool {
        merged.begun.elapsed() < self.settings.orphan_age / 2
    }

    async fn replacing(
        &self,
        base: &Loaded,
        folder: &Path,
        added: Vec<DataFile>,
        removed: BTreeSet<String>,
    ) -> Result<Change, MaintainError> {
        let metadata = &base.metadata;
        let manifests = self.access.manifests(metadata).await?;
        if manifests
            .iter()
            .any(|one| one.content != 0 && one.files[0] + one.files[1] > 0)
        {
            return Err(MaintainError::Deletes);
        }
        let mut properties = BTreeMap::new();
        if metadata.property(DATA_PATH).is_none() {
            properties.insert(DATA_PATH.to_owned(), self.access.place.url_of(folder));
        }
        Ok(Change {
            operation: Operation::Replace,
            added,
            removed,
            progress: Progress::read(metadata).map_err(CommitError::from)?,
            whole_until: None,
            schema: self.access.columns(metadata)?.schema(metadata.schema_id()),
            requirements: Vec::new(),
            updates: Vec::new(),
            properties,
        })
    }

    /// Deletes a merged file that is in no snapshot; what stays is deleted by a later run.
    async fn delete(&self, path: &Path) {
        if let Err(error) = self.access.store.delete(path).await {
            tracing::debug!(%path, %error, "a merged file that is not in the table stays");
        }
    }
}
