//! What a snapshot consists of: its list, and the manifests that it adds to those of the snapshot before it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::access::Access;
use crate::catalog::Loaded;
use crate::data_file::DataFile;
use crate::error::CommitError;
use crate::manifest::{self, Entry, ManifestError, ManifestFile};
use crate::progress::{OFFSETS, Progress, WATERMARK, WATERMARK_TIME};

/// So many small manifests of ours are merged into one: a list must not grow with every commit.
const MERGE_AT: usize = 100;
/// A manifest of this size is merged no further.
const MERGED_BYTES: i64 = 8 << 20;
/// How many files a manifest has at most that is written in the place of others.
const ENTRIES_MAX: usize = 10_000;

/// What the names in a summary begin with that say how far the table is.
const OURS: &str = "riverbank.";

/// What kind of change it is, in Iceberg's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Files are added.
    Append,
    /// The same rows, in other files.
    Replace,
    /// Files are dropped.
    Delete,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Append => "append",
            Operation::Replace => "replace",
            Operation::Delete => "delete",
        }
    }
}

/// A snapshot in the making.
pub(crate) struct Draft<'a> {
    pub access: &'a Access,
    pub base: &'a Loaded,
    /// The snapshot's id.
    pub id: i64,
    pub operation: Operation,
    pub added: &'a [DataFile],
    /// The URLs of files that are dropped.
    pub removed: &'a BTreeSet<String>,
    pub progress: &'a Progress,
    /// The commit time that the table has come to, where a reader may rely on it.
    pub whole_until: Option<Timestamp>,
    /// The table's schema, with its id.
    pub schema: &'a Value,
    /// What was written for it.
    pub written: Vec<String>,
}

impl Draft<'_> {
    /// Writes it, and returns it as it stands in the metadata.
    pub async fn write(&mut self) -> Result<Value, CommitError> {
        let metadata = &self.base.metadata;
        let parent = metadata.current_snapshot();
        let mut manifests = self.access.manifests(metadata).await?;
        // A manifest without live files is of no use to readers.
        manifests.retain(|one| one.content != 0 || one.files[0] + one.files[1] > 0);
        let mut gone = Vec::new();
        if self.removed.is_empty() {
            manifests = self.merged(manifests).await?;
        } else {
            (manifests, gone) = self.without_removed(manifests).await?;
        }
        if !self.added.is_empty() {
            let bytes = manifest::added(self.added, self.schema, metadata.spec_id(), self.id).map_err(unwritten)?;
            let mut added = self.put(bytes).await?;
            let oldest = self.added.iter().filter_map(|file| file.since).min();
            added.min_sequence_number = oldest.unwrap_or(added.sequence_number).min(added.sequence_number);
            added.files[0] = count(self.added.len());
            added.rows[0] = self.added.iter().map(|file| file.rows).sum();
            manifests.push(added);
        }
        let (number, unique) = (self.number(), uuid::Uuid::new_v4());
        let bytes = manifest::write_list(&manifests, self.id, metadata.main(), number).map_err(unwritten)?;
        let list = format!("{}/snap-{}-{unique}.avro", self.folder(), self.id);
        self.access.put(&list, bytes).await?;
        self.written.push(list.clone());
        let mut snapshot = json!({
            "snapshot-id": self.id,
            "sequence-number": number,
            "timestamp-ms": self.access.clock.now_ms().0.max(parent.and_then(|parent| parent["timestamp-ms"].as_i64()).unwrap_or(0)),
            "manifest-list": list,
            "summary": self.summary(&manifests, &gone),
            "schema-id": self.schema["schema-id"],
        });
        if let Some(parent) = metadata.main() {
            snapshot["parent-snapshot-id"] = parent.into();
        }
        Ok(snapshot)
    }

    fn number(&self) -> i64 {
        self.base.metadata.last_sequence_number() + 1
    }

    fn folder(&self) -> String {
        format!("{}/metadata", self.base.metadata.location())
    }

    /// Writes a manifest, of which the caller says what it has.
    async fn put(&mut self, bytes: Vec<u8>) -> Result<ManifestFile, CommitError> {
        let url = format!("{}/{}-m{}.avro", self.folder(), uuid::Uuid::new_v4(), self.written.len());
        let (spec_id, number) = (self.base.metadata.spec_id(), self.number());
        let written = ManifestFile::new(url.clone(), bytes.len(), spec_id, self.id, number);
        self.access.put(&url, bytes).await?;
        self.written.push(url);
        Ok(written)
    }

    /// Writes manifests of files that stay.
    async fn put_kept(&mut self, entries: &[Entry], manifests: &mut Vec<ManifestFile>) -> Result<(), CommitError> {
        for entries in entries.chunks(ENTRIES_MAX) {
            let bytes = manifest::merged(entries, self.schema, self.base.metadata.spec_id()).map_err(unwritten)?;
            let mut kept = self.put(bytes).await?;
            kept.min_sequence_number = oldest(entries).unwrap_or(kept.sequence_number);
            kept.files[1] = count(entries.len());
            kept.rows[1] = entries.iter().map(|entry| entry.rows).sum();
            manifests.push(kept);
        }
        Ok(())
    }

    /// Puts one manifest in the place of many small ones.
    async fn merged(&mut self, manifests: Vec<ManifestFile>) -> Result<Vec<ManifestFile>, CommitError> {
        let spec_id = self.base.metadata.spec_id();
        let is_small =
            |one: &ManifestFile| one.content == 0 && one.spec_id == spec_id && one.files[2] == 0 && one.bytes < MERGED_BYTES;
        if manifests.iter().filter(|one| is_small(one)).count() < MERGE_AT {
            return Ok(manifests);
        }
        let (mut kept, mut entries) = (Vec::new(), Vec::new());
        for one in manifests {
            let own = match is_small(&one) {
                true => self.access.entries(&one).await?,
                false => None,
            };
            match own {
                Some(own) => entries.extend(own),
                None => kept.push(one),
            }
        }
        self.put_kept(&entries, &mut kept).await?;
        Ok(kept)
    }

    /// Manifests without the files that are dropped, and a manifest that names those; and these.
    async fn without_removed(&mut self, manifests: Vec<ManifestFile>) -> Result<(Vec<ManifestFile>, Vec<Entry>), CommitError> {
        let spec_id = self.base.metadata.spec_id();
        let (mut all, mut kept, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for one in manifests {
            let may_have = one.content == 0 && one.spec_id == spec_id && gone.len() < self.removed.len();
            let own = match may_have {
                true => self.access.entries(&one).await?.unwrap_or_default(),
                false => Vec::new(),
            };
            let (dropped, stays): (Vec<_>, Vec<_>) = own.into_iter().partition(|entry| self.removed.contains(&entry.url));
            if dropped.is_empty() {
                all.push(one);
                continue;
            }
            gone.extend(dropped);
            kept.extend(stays);
            if kept.len() >= ENTRIES_MAX {
                self.put_kept(&kept, &mut all).await?;
                kept.clear();
            }
        }
        self.put_kept(&kept, &mut all).await?;
        let found: BTreeSet<&str> = gone.iter().map(|entry| entry.url.as_str()).collect();
        if let Some(lost) = self.removed.iter().find(|url| !found.contains(url.as_str())) {
            return Err(CommitError::Gone(lost.clone()));
        }
        let bytes = manifest::dropped(&gone, self.schema, spec_id, self.id).map_err(unwritten)?;
        let mut dropped = self.put(bytes).await?;
        dropped.min_sequence_number = oldest(&gone).unwrap_or(dropped.sequence_number);
        dropped.files[2] = count(gone.len());
        dropped.rows[2] = gone.iter().map(|entry| entry.rows).sum();
        all.push(dropped);
        Ok((all, gone))
    }

    /// The snapshot's summary, in texts.
    fn summary(&self, manifests: &[ManifestFile], gone: &[Entry]) -> Value {
        let parent = self.base.metadata.current_snapshot();
        let sum = |[count, rows, bytes]: [i64; 3], (more, of): (i64, i64)| [count + 1, rows + more, bytes + of];
        let added = self.added.iter().map(|file| (file.rows, file.bytes)).fold([0; 3], sum);
        let removed = gone.iter().map(|entry| (entry.rows, entry.bytes)).fold([0; 3], sum);
        let mut summary = json!({
            "operation": self.operation.name(),
            "manifests-count": manifests.len().to_string(),
            "engine-name": "riverbank",
            "engine-version": env!("CARGO_PKG_VERSION"),
            OFFSETS: self.progress.to_json(),
        });
        if self.operation != Operation::Delete {
            for (name, value) in ["added-data-files", "added-records", "added-files-size"].iter().zip(added) {
                summary[*name] = value.to_string().into();
            }
        }
        if self.operation != Operation::Append {
            for (name, value) in ["deleted-data-files", "deleted-records", "removed-files-size"]
                .iter()
                .zip(removed)
            {
                summary[*name] = value.to_string().into();
            }
        }
        let before = |name: &str| parent.map_or(Some(0), |parent| parent["summary"][name].as_str()?.parse::<i64>().ok());
        for (name, change) in [
            ("total-data-files", added[0] - removed[0]),
            ("total-records", added[1] - removed[1]),
            ("total-files-size", added[2] - removed[2]),
            ("total-delete-files", 0),
            ("total-position-deletes", 0),
            ("total-equality-deletes", 0),
        ] {
            if let Some(before) = before(name) {
                summary[name] = (before + change).to_string().into();
            }
        }
        // What is not changed is said in the same words: those of a newer version, too.
        let ours = parent.and_then(|parent| parent["summary"].as_object());
        let ours = ours.filter(|ours| self.operation != Operation::Append && ours.contains_key(OFFSETS));
        if let Some(ours) = ours {
            for (name, value) in ours
                .iter()
                .filter(|(name, _)| name.starts_with(OURS) && *name != WATERMARK_TIME)
            {
                summary[name] = value.clone();
            }
            return summary;
        }
        if let Some(watermark) = self.progress.watermark() {
            summary[WATERMARK] = watermark.to_string().into();
        }
        if let Some(time) = self.whole_until {
            summary[WATERMARK_TIME] = time.to_string().into();
        }
        summary
    }
}

fn oldest(entries: &[Entry]) -> Option<i64> {
    entries.iter().map(|entry| entry.sequence_number).min()
}

fn count(files: usize) -> i32 {
    i32::try_from(files).unwrap_or(i32::MAX)
}

fn unwritten(error: ManifestError) -> CommitError {
    CommitError::Manifest("a new manifest or list".to_owned(), error)
}
