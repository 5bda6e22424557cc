//! A table's committer: what the sink has finished becomes a snapshot.
//!
//! ```text
//!  load the table ─► what its newest snapshot says of offsets ─► the finished files after them
//!        ▲                                                              │
//!        └── whatever came of it ◄── commit: those files and the new offsets, if the branch is still where it was read
//! ```
//!
//! Files and offsets are one compare-and-swap of the branch's snapshot. So it does not matter how many committers there are, which of
//! them was taken for dead, or whether a commit that failed was done after all: whoever comes second is refused, reads the offsets
//! again, and goes on after them. Nothing but the table says what is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use parquet::arrow::parquet_to_arrow_schema;
use serde_json::{Value, json};
use sinks::Table;

use crate::catalog::{Catalog, CatalogError, Commit, Creation, Loaded, TableName, now_ms};
use crate::data_file::{DataFile, highest};
use crate::expire;
use crate::manifest::{self, ManifestError, ManifestFile};
use crate::metadata::{Requirement, Update};
use crate::next::{FindError, Finder, Found};
use crate::place::Place;
use crate::progress::{At, OFFSETS, Progress, Unknown, WATERMARK};
use crate::schema::{Columns, Mismatch, NAME_MAPPING};

/// How many files one snapshot adds, about: bounds what is held in memory while a table of years is taken in.
pub const FILES_MAX: usize = 1_000;
/// So many small manifests of ours are merged into one: a list must not grow with every commit.
const MERGE_AT: usize = 100;
/// A manifest of this size is merged no further.
const MERGED_BYTES: i64 = 8 << 20;
/// How long a snapshot is kept in tables that are made here.
const SNAPSHOT_AGE_MS: i64 = 86_400_000;
/// The columns that have the source's position.
const POSITIONS: [&str; 2] = ["_lsn", "source_lsn"];

/// Why nothing was committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The files.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The store.
    #[error("the store failed: {0}")]
    Store(#[from] object_store::Error),
    /// The columns.
    #[error(transparent)]
    Column(#[from] Mismatch),
    /// The offsets.
    #[error(transparent)]
    Progress(#[from] Unknown),
    /// What the table is made of.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A footer without a shape.
    #[error("{0}: {1}")]
    Footer(Path, parquet::errors::ParquetError),
    /// The table is elsewhere.
    #[error("{0} is not in the lake")]
    Elsewhere(String),
}

/// What a turn came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Committed {
    /// Files that were added.
    pub files: u64,
    /// Their rows.
    pub rows: u64,
    /// Whether a snapshot was made.
    pub snapshot: bool,
    /// Whether more may be there.
    pub more: bool,
}

/// Commits the files of one table.
pub struct Committer {
    table: Arc<dyn Table>,
    name: TableName,
    catalog: Arc<dyn Catalog>,
    store: Arc<dyn ObjectStore>,
    place: Place,
    finder: Finder,
    /// What the table's newest snapshot said at the last look: while nothing comes after it, the catalog is not asked.
    seen: Option<Progress>,
}

impl Committer {
    /// The committer of a table.
    pub fn new(
        table: Arc<dyn Table>,
        name: TableName,
        catalog: Arc<dyn Catalog>,
        store: Arc<dyn ObjectStore>,
        place: Place,
    ) -> Self {
        Self {
            finder: Finder::new(store.clone(), table.name(), FILES_MAX),
            table,
            name,
            catalog,
            store,
            place,
            seen: None,
        }
    }

    /// With another number of files that one snapshot adds, about.
    pub fn with_files_max(mut self, files: usize) -> Self {
        self.finder = Finder::new(self.store.clone(), self.table.name(), files);
        self
    }

    /// Which passes over offsets that are in no file, where later ones are.
    pub fn with_gaps_skipped(mut self) -> Self {
        self.finder.skip_gaps();
        self
    }

    /// The table, in the lake.
    pub fn table(&self) -> &str {
        self.table.name()
    }

    /// The source's position up to which the table was whole at the last look, as far as it is known.
    pub fn watermark(&self) -> Option<i64> {
        self.seen.as_ref()?.watermark()
    }

    /// Commits what is finished, once. After an error, the next turn begins with what the table says.
    pub async fn turn(&mut self) -> Result<Committed, CommitError> {
        if let Some(seen) = self.seen.take() {
            let found = self.finder.find(&seen).await?;
            self.seen = Some(seen);
            if found.ranges.is_empty() {
                return Ok(Committed::default());
            }
        }
        self.seen = None;
        let base = self.load().await?;
        let progress = Progress::read(&base.metadata)?;
        let found = self.finder.find(&progress).await?;
        if found.ranges.is_empty() {
            self.seen = Some(progress);
            return Ok(Committed::default());
        }
        let (next, committed) = self.commit(&base, &progress, found).await?;
        self.seen = Some(next);
        Ok(committed)
    }

    /// The table, which is made if it is not there.
    async fn load(&self) -> Result<Loaded, CommitError> {
        if let Some(loaded) = self.catalog.load(&self.name).await? {
            return Ok(loaded);
        }
        let columns = Columns::declared(&self.table.schema(), self.table.name())?;
        let creation = Creation {
            location: self.place.url_of(&Path::from(self.table.name())),
            properties: [
                (NAME_MAPPING.to_owned(), columns.mapping()),
                (expire::AGE.to_owned(), SNAPSHOT_AGE_MS.to_string()),
                ("write.metadata.delete-after-commit.enabled".to_owned(), "true".to_owned()),
                ("write.parquet.compression-codec".to_owned(), "zstd".to_owned()),
            ]
            .into(),
            columns,
        };
        self.catalog.create(&self.name, &creation).await?;
        let made = self.catalog.load(&self.name).await?;
        made.ok_or_else(|| CatalogError::Failed(format!("{} was made, and is not there", self.name)).into())
    }

    async fn commit(&self, base: &Loaded, progress: &Progress, found: Found) -> Result<(Progress, Committed), CommitError> {
        let metadata = &base.metadata;
        let lacks = || CatalogError::Failed(format!("{} has no schema", self.name));
        let before = metadata.columns().ok_or_else(lacks)?;
        let columns = widened(&before, metadata.main().is_none(), &found)?;
        let next = advanced(progress, &found);
        let files = found
            .ranges
            .iter()
            .flat_map(|range| &range.files)
            .filter(|file| file.rows() > 0);
        let files: Vec<DataFile> = files
            .map(|file| DataFile::new(self.place.url_of(&file.name.path()), file.bytes, &file.metadata, &columns))
            .collect();
        let committed = Committed {
            files: files.len() as u64,
            rows: files.iter().map(|file| file.rows as u64).sum(),
            snapshot: true,
            more: found.more,
        };
        let mut commit = Commit {
            requirements: vec![
                Requirement::Uuid(metadata.uuid().unwrap_or_default().to_owned()),
                Requirement::Main(metadata.main()),
            ],
            updates: Vec::new(),
        };
        let mut properties: BTreeMap<String, String> = [(OFFSETS.to_owned(), next.to_json())].into();
        let mut schema_id = metadata.schema_id();
        let is_wider = columns.schema(0) != before.schema(0);
        if is_wider {
            schema_id = metadata.next_schema_id();
            commit.requirements.push(Requirement::Schema {
                current: metadata.schema_id(),
                last_id: before.last_id.into(),
            });
            commit
                .updates
                .push(Update::Schema(columns.schema(schema_id), columns.last_id));
        }
        if metadata.property(NAME_MAPPING) != Some(&columns.mapping()) {
            properties.insert(NAME_MAPPING.to_owned(), columns.mapping());
        }
        let (id, mut written) = (new_id(), Vec::new());
        let schema = columns.schema(schema_id);
        let snapshot = self.snapshot(base, id, &files, &schema, &next, &mut written).await?;
        commit.updates.push(Update::Snapshot(snapshot));
        commit.updates.push(Update::Properties(properties));
        let expired = expire::due(metadata, now_ms());
        if !expired.is_empty() {
            commit.updates.push(Update::Expire(expired.clone()));
        }
        if let Err(error) = self.catalog.commit(&self.name, base, &commit).await {
            if matches!(error, CatalogError::Conflict(_)) {
                self.withdraw(base, id, &written).await;
            }
            return Err(error.into());
        }
        if !expired.is_empty()
            && let Err(error) = self.sweep(base, &expired).await
        {
            tracing::debug!(table = self.table.name(), %error, "what no snapshot names any more stays");
        }
        Ok((next, committed))
    }

    /// Writes what a snapshot consists of, and says what it is; `written` gets the places.
    async fn snapshot(
        &self,
        base: &Loaded,
        id: i64,
        files: &[DataFile],
        schema: &Value,
        next: &Progress,
        written: &mut Vec<String>,
    ) -> Result<Value, CommitError> {
        let metadata = &base.metadata;
        let number = metadata.last_sequence_number() + 1;
        let parent = metadata.current_snapshot();
        let mut manifests = match parent.and_then(|parent| parent["manifest-list"].as_str()) {
            Some(list) => manifest::read_list(&self.get(list).await?)?,
            None => Vec::new(),
        };
        // A manifest without live files is of no use to readers.
        manifests.retain(|one| one.content != 0 || one.files[0] + one.files[1] > 0);
        let folder = format!("{}/metadata", metadata.location());
        let unique = uuid::Uuid::new_v4();
        self.merge(&mut manifests, &folder, metadata.spec_id(), (id, number), schema, written)
            .await?;
        if !files.is_empty() {
            let bytes = manifest::added(files, schema, metadata.spec_id(), id)?;
            let url = format!("{folder}/{unique}-m0.avro");
            let mut added = ManifestFile::new(url.clone(), bytes.len(), metadata.spec_id(), id, number);
            added.files[0] = i32::try_from(files.len()).unwrap_or(i32::MAX);
            added.rows[0] = files.iter().map(|file| file.rows).sum();
            self.put(&url, bytes).await?;
            written.push(url);
            manifests.push(added);
        }
        let bytes = manifest::write_list(&manifests, id, metadata.main(), number)?;
        let list = format!("{folder}/snap-{id}-{unique}.avro");
        self.put(&list, bytes).await?;
        written.push(list.clone());
        let mut snapshot = json!({
            "snapshot-id": id,
            "sequence-number": number,
            "timestamp-ms": now_ms().max(parent.and_then(|parent| parent["timestamp-ms"].as_i64()).unwrap_or(0)),
            "manifest-list": list,
            "summary": summary(files, &manifests, parent, next),
            "schema-id": schema["schema-id"],
        });
        if let Some(parent) = metadata.main() {
            snapshot["parent-snapshot-id"] = parent.into();
        }
        Ok(snapshot)
    }

    /// Puts one manifest in the place of many small ones.
    async fn merge(
        &self,
        manifests: &mut Vec<ManifestFile>,
        folder: &str,
        spec_id: i32,
        (id, number): (i64, i64),
        schema: &Value,
        written: &mut Vec<String>,
    ) -> Result<(), CommitError> {
        let is_small =
            |one: &ManifestFile| one.content == 0 && one.spec_id == spec_id && one.files[2] == 0 && one.bytes < MERGED_BYTES;
        if manifests.iter().filter(|one| is_small(one)).count() < MERGE_AT {
            return Ok(());
        }
        let (mut kept, mut entries) = (Vec::new(), Vec::new());
        for one in manifests.drain(..) {
            let own = match is_small(&one) {
                true => manifest::read(&self.get(&one.url).await?, &one)?,
                false => None,
            };
            match own {
                Some(own) => entries.extend(own),
                None => kept.push(one),
            }
        }
        if !entries.is_empty() {
            let bytes = manifest::merged(&entries, schema, spec_id)?;
            let url = format!("{folder}/{}-m1.avro", uuid::Uuid::new_v4());
            let mut merged = ManifestFile::new(url.clone(), bytes.len(), spec_id, id, number);
            merged.min_sequence_number = entries.iter().map(|entry| entry.sequence_number).min().unwrap_or(number);
            merged.files[1] = i32::try_from(entries.len()).unwrap_or(i32::MAX);
            merged.rows[1] = entries.iter().map(|entry| entry.rows).sum();
            self.put(&url, bytes).await?;
            written.push(url);
            kept.push(merged);
        }
        *manifests = kept;
        Ok(())
    }

    /// Deletes what only snapshots have named that have expired: their lists, and the manifests that were merged since.
    async fn sweep(&self, base: &Loaded, expired: &[i64]) -> Result<(), CommitError> {
        let lists = expire::lists(&base.metadata, expired);
        let mut unnamed = BTreeSet::new();
        if let Some(oldest) = expire::oldest_list(&base.metadata, expired) {
            for list in &lists {
                unnamed.extend(manifest::read_list(&self.get(list).await?)?.into_iter().map(|one| one.url));
            }
            for named in manifest::read_list(&self.get(oldest).await?)? {
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

    fn path(&self, url: &str) -> Result<Path, CommitError> {
        self.place.path_of(url).ok_or_else(|| CommitError::Elsewhere(url.to_owned()))
    }

    async fn get(&self, url: &str) -> Result<bytes::Bytes, CommitError> {
        let path = self.path(url)?;
        Ok(self.store.get(&path).await?.bytes().await?)
    }

    /// Creates an object. Its name has been drawn: if one is there, it is this one, whose put was done although it failed.
    async fn put(&self, url: &str, bytes: Vec<u8>) -> Result<(), CommitError> {
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        match self.store.put_opts(&self.path(url)?, bytes.into(), options).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The table's columns, with what the files have besides. `is_new`: the catalog may have given them other ids than were asked for.
fn widened(before: &Columns, is_new: bool, found: &Found) -> Result<Columns, CommitError> {
    let mut columns = before.clone();
    if is_new {
        for field in &mut columns.fields {
            field.names = vec![field.name.clone()];
        }
    }
    for file in found.ranges.iter().flat_map(|range| &range.files) {
        let of_file = file.metadata.file_metadata();
        let shape = parquet_to_arrow_schema(of_file.schema_descr(), of_file.key_value_metadata());
        let shape = shape.map_err(|error| CommitError::Footer(file.name.path(), error))?;
        columns.take(&shape, &file.name.to_string())?;
    }
    Ok(columns)
}

/// How far the table is with these ranges.
fn advanced(progress: &Progress, found: &Found) -> Progress {
    let mut next = progress.clone();
    for range in &found.ranges {
        let highest = range
            .files
            .iter()
            .flat_map(|file| POSITIONS.iter().filter_map(|column| highest(&file.metadata, column)))
            .max();
        let before = next.0.get(&range.partition).and_then(|at| at.lsn);
        let at = At {
            generation: range.generation,
            next: range.end + 1,
            day: range.day,
            lsn: before.max(highest),
        };
        next.0.insert(range.partition, at);
    }
    next
}

/// A snapshot's summary, in texts.
fn summary(files: &[DataFile], manifests: &[ManifestFile], parent: Option<&Value>, next: &Progress) -> Value {
    let (count, rows, bytes) = files.iter().fold((0, 0, 0), |(count, rows, bytes), file| {
        (count + 1, rows + file.rows, bytes + file.bytes)
    });
    let before = |name: &str| parent.map_or(Some(0), |parent| parent["summary"][name].as_str()?.parse::<i64>().ok());
    let mut summary = json!({
        "operation": "append",
        "added-data-files": count.to_string(),
        "added-records": rows.to_string(),
        "added-files-size": bytes.to_string(),
        "manifests-count": manifests.len().to_string(),
        "engine-name": "riverbank",
        "engine-version": env!("CARGO_PKG_VERSION"),
        OFFSETS: next.to_json(),
    });
    for (name, added) in [
        ("total-data-files", count),
        ("total-records", rows),
        ("total-files-size", bytes),
        ("total-delete-files", 0),
        ("total-position-deletes", 0),
        ("total-equality-deletes", 0),
    ] {
        if let Some(before) = before(name) {
            summary[name] = (before + added).to_string().into();
        }
    }
    if let Some(watermark) = next.watermark() {
        summary[WATERMARK] = watermark.to_string().into();
    }
    summary
}

/// A snapshot's id: positive, and drawn.
fn new_id() -> i64 {
    let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
    ((high ^ low) & i64::MAX as u64) as i64
}
