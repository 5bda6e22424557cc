//! How a table goes on to a new snapshot: by one compare-and-swap of its branch, for whatever the change is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use jiff::Timestamp;
use object_store::ObjectStoreExt;
use serde_json::Value;

use crate::access::Access;
use crate::catalog::{CatalogError, Commit, Loaded};
use crate::data_file::DataFile;
use crate::error::CommitError;
use crate::expire;
use crate::metadata::{Metadata, Requirement, Update};
use crate::progress::{OFFSETS, Progress};
use crate::snapshot::{Draft, Operation};

/// What a snapshot changes.
pub(crate) struct Change {
    pub operation: Operation,
    pub added: Vec<DataFile>,
    /// The URLs of files that are dropped.
    pub removed: BTreeSet<String>,
    /// How far the table is with it.
    pub progress: Progress,
    /// The commit time that the table has come to with it. None where a snapshot of this moment is no proof that whoever commits what the
    /// sinks finish has come so far: then readers look at the one before.
    pub whole_until: Option<Timestamp>,
    /// The table's schema, with its id.
    pub schema: Value,
    /// What must hold, besides that the table is still as it was loaded.
    pub requirements: Vec<Requirement>,
    /// What comes before the snapshot.
    pub updates: Vec<Update>,
    /// Properties of the table.
    pub properties: BTreeMap<String, String>,
}

/// What became of a change that is made again as often as another writer is faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The table was changed.
    Changed,
    /// There was nothing to change. `in_doubt`: any more; an attempt of which nobody has heard may have been it.
    Nothing { in_doubt: bool },
    /// Others were faster each time.
    Busy,
}

/// Forbids other engines to delete data files with the snapshots that they expire: the files are the lake's, too.
pub(crate) const KEPT_FILES: (&str, &str) = ("gc.enabled", "false");
/// How often a change is made again.
pub(crate) const ATTEMPTS: u32 = 12;
/// What lies between the attempts. A random part of it lets writers who met once not meet again.
const WAITS: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(20))
    .with_max_delay(Duration::from_secs(2))
    .with_max_times(ATTEMPTS as usize)
    .with_jitter();

impl Access {
    /// Changes the table by what is to be changed of it as it is now, until that is done. A catalog that did not say what came of a
    /// commit is asked again: what was done is not there to be changed any more, and what comes late is refused.
    pub(crate) async fn until_changed<E: From<CommitError>>(
        &self,
        mut what: impl AsyncFnMut(&Loaded) -> Result<Option<Change>, E>,
    ) -> Result<Ended, E> {
        let mut in_doubt = false;
        for wait in WAITS.build() {
            let Some(base) = self.catalog.load(&self.name).await.map_err(CommitError::from)? else {
                return Ok(Ended::Nothing { in_doubt });
            };
            let Some(change) = what(&base).await? else {
                return Ok(Ended::Nothing { in_doubt });
            };
            match self.change(&base, change).await {
                Ok(()) => return Ok(Ended::Changed),
                Err(CommitError::Catalog(CatalogError::Conflict(reason))) => {
                    tracing::debug!(table = %self.name, reason, "another writer was faster");
                }
                Err(CommitError::Catalog(CatalogError::Unknown(reason))) => {
                    tracing::debug!(table = %self.name, reason, "what came of a commit is not known");
                    in_doubt = true;
                }
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(wait).await;
        }
        Ok(Ended::Busy)
    }

    /// Changes the table, if its branch is still where it was loaded. What has expired meanwhile goes.
    pub(crate) async fn change(&self, base: &Loaded, change: Change) -> Result<(), CommitError> {
        let metadata = &base.metadata;
        let mut draft = Draft {
            access: self,
            base,
            id: new_id(),
            operation: change.operation,
            added: &change.added,
            removed: &change.removed,
            progress: &change.progress,
            whole_until: change.whole_until,
            schema: &change.schema,
            written: Vec::new(),
        };
        let snapshot = draft.write().await?;
        let (id, written) = (draft.id, draft.written);
        let mut properties = change.properties;
        let offsets = snapshot["summary"][OFFSETS].as_str().unwrap_or_default();
        properties.insert(OFFSETS.to_owned(), offsets.to_owned());
        if metadata.property(KEPT_FILES.0).is_none() {
            properties.insert(KEPT_FILES.0.to_owned(), KEPT_FILES.1.to_owned());
        }
        let mut commit = Commit {
            requirements: requirements(metadata),
            updates: change.updates,
        };
        commit.requirements.extend(change.requirements);
        commit.updates.push(Update::Snapshot(snapshot));
        commit.updates.push(Update::Properties(properties));
        let expired = expire::due(metadata, self.clock.now_ms().0, 1);
        if !expired.is_empty() {
            commit.updates.push(Update::Expire(expired.clone()));
        }
        if let Err(error) = self.catalog.commit(&self.name, base, &commit).await {
            if matches!(error, CatalogError::Conflict(_)) {
                self.withdraw(base, id, &written).await;
            }
            return Err(error.into());
        }
        self.sweep_if_due(base, &expired).await;
        Ok(())
    }

    /// Lets the snapshots expire that are due, of a table to which no commit may come for long. Another writer that is faster does it.
    pub(crate) async fn expire(&self) -> Result<(), CommitError> {
        let mut before = Vec::new();
        loop {
            let Some(base) = self.catalog.load(&self.name).await? else {
                return Ok(());
            };
            let expired = expire::due(&base.metadata, self.clock.now_ms().0, 0);
            // A catalog may keep snapshots that it was asked to remove.
            if expired.is_empty() || expired == before {
                return Ok(());
            }
            let commit = Commit {
                requirements: requirements(&base.metadata),
                updates: vec![Update::Expire(expired.clone())],
            };
            match self.catalog.commit(&self.name, &base, &commit).await {
                Ok(()) => {}
                Err(CatalogError::Conflict(_) | CatalogError::Unknown(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            self.sweep_if_due(&base, &expired).await;
            before = expired;
        }
    }

    /// The same as [`Self::sweep`]; what stays is in nobody's way.
    async fn sweep_if_due(&self, base: &Loaded, expired: &[i64]) {
        if !expired.is_empty()
            && let Err(error) = self.sweep(base, expired).await
        {
            tracing::debug!(table = %self.name, %error, "what no snapshot names any more stays");
        }
    }

    /// Deletes what only snapshots have named that have expired: their lists, and the manifests that were merged since.
    async fn sweep(&self, base: &Loaded, expired: &[i64]) -> Result<(), CommitError> {
        let lists = expire::lists(&base.metadata, expired);
        let mut unnamed = BTreeSet::new();
        if let Some(oldest) = expire::oldest_list(&base.metadata, expired) {
            for list in &lists {
                unnamed.extend(self.list(list).await?.into_iter().map(|one| one.url));
            }
            for named in self.list(oldest).await? {
                unnamed.remove(&named.url);
            }
        }
        for url in lists.into_iter().chain(unnamed.iter().map(String::as_str)) {
            self.store.delete(&self.path(url)?).await?;
        }
        Ok(())
    }

    /// Deletes what was written for a snapshot that was refused. A catalog that refused what it had done before is not believed, nor one
    /// in which the snapshot could have expired since.
    async fn withdraw(&self, base: &Loaded, id: i64, written: &[String]) {
        let Ok(Some(now)) = self.catalog.load(&self.name).await else {
            return;
        };
        let base_is_kept = base.metadata.main().is_some_and(|main| now.metadata.snapshot(main).is_some());
        if !base_is_kept || now.metadata.snapshot(id).is_some() {
            return;
        }
        for path in written.iter().filter_map(|url| self.place.path_of(url)) {
            if let Err(error) = self.store.delete(&path).await {
                tracing::debug!(%path, %error, "what was written for a refused snapshot stays");
            }
        }
    }
}

/// The table is this one, and its branch where it was loaded.
fn requirements(metadata: &Metadata) -> Vec<Requirement> {
    vec![
        Requirement::Uuid(metadata.uuid().unwrap_or_default().to_owned()),
        Requirement::Main(metadata.main()),
    ]
}

/// A snapshot's id: positive, and drawn.
fn new_id() -> i64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    ((high ^ low) & i64::MAX as u64) as i64
}
