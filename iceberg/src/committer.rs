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
use parquet::arrow::parquet_to_arrow_schema;
use sinks::Table;

use crate::access::Access;
use crate::catalog::{CatalogError, Creation, Loaded};
use crate::change::{Change, KEPT_FILES};
use crate::data_file::{DataFile, highest};
use crate::error::CommitError;
use crate::expire;
use crate::metadata::{Requirement, Update};
use crate::next::{Finder, Found};
use crate::progress::{At, Progress};
use crate::schema::{Columns, NAME_MAPPING};
use crate::snapshot::Operation;

/// How many files one snapshot adds, about: bounds what is held in memory while a table of years is taken in.
pub const FILES_MAX: usize = 1_000;
/// How long a snapshot is kept in tables that are made here.
const SNAPSHOT_AGE_MS: i64 = 86_400_000;
/// The columns that have the source's position.
const POSITIONS: [&str; 2] = ["_lsn", "source_lsn"];
/// The columns that have the time of the commit at the source: of Bronze, and of all others.
const TIMES: [&str; 2] = ["_source_ts", "_timestamp"];

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
    access: Access,
    finder: Finder,
    /// What the table's newest snapshot said at the last look: while nothing comes after it, the catalog is not asked.
    seen: Option<Progress>,
}

impl Committer {
    /// The committer of a table.
    pub fn new(table: Arc<dyn Table>, access: Access) -> Self {
        Self {
            finder: Finder::new(access.store.clone(), table.name(), FILES_MAX),
            table,
            access,
            seen: None,
        }
    }

    /// With another number of files that one snapshot adds, about.
    pub fn with_files_max(mut self, files: usize) -> Self {
        self.finder = Finder::new(self.access.store.clone(), self.table.name(), files);
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
        if let Some(loaded) = self.access.catalog.load(&self.access.name).await? {
            return Ok(loaded);
        }
        let columns = Columns::declared(&self.table.schema(), self.table.name())?;
        let creation = Creation {
            location: self.access.place.url_of(&Path::from(self.table.name())),
            properties: [
                (NAME_MAPPING.to_owned(), columns.mapping()),
                (expire::AGE.to_owned(), SNAPSHOT_AGE_MS.to_string()),
                ("write.metadata.delete-after-commit.enabled".to_owned(), "true".to_owned()),
                ("write.parquet.compression-codec".to_owned(), "zstd".to_owned()),
                (KEPT_FILES.0.to_owned(), KEPT_FILES.1.to_owned()),
            ]
            .into(),
            columns,
        };
        self.access.catalog.create(&self.access.name, &creation).await?;
        let made = self.access.catalog.load(&self.access.name).await?;
        made.ok_or_else(|| CatalogError::Failed(format!("{} was made, and is not there", self.access.name)).into())
    }

    async fn commit(&self, base: &Loaded, progress: &Progress, found: Found) -> Result<(Progress, Committed), CommitError> {
        let metadata = &base.metadata;
        let before = self.access.columns(metadata)?;
        let columns = widened(&before, metadata.main().is_none(), &found)?;
        let next = advanced(progress, &found);
        let files = found
            .ranges
            .iter()
            .flat_map(|range| &range.files)
            .filter(|file| file.rows() > 0);
        let place = &self.access.place;
        let files: Vec<DataFile> = files
            .map(|file| DataFile::new(place.url_of(&file.name.path()), file.bytes, &file.metadata, &columns))
            .collect();
        let committed = Committed {
            files: files.len() as u64,
            rows: files.iter().map(|file| file.rows as u64).sum(),
            snapshot: true,
            more: found.more,
        };
        let is_wider = columns.schema(0) != before.schema(0);
        let schema_id = match is_wider {
            true => metadata.next_schema_id(),
            false => metadata.schema_id(),
        };
        let mut change = Change {
            operation: Operation::Append,
            added: files,
            removed: BTreeSet::new(),
            progress: next.clone(),
            // With more to come, some partitions are behind what others had at the time.
            whole_until: next.watermark_time().filter(|_| !found.more),
            schema: columns.schema(schema_id),
            requirements: Vec::new(),
            updates: Vec::new(),
            properties: BTreeMap::new(),
        };
        if is_wider {
            change.requirements.push(Requirement::Schema {
                current: metadata.schema_id(),
                last_id: before.last_id.into(),
            });
            change
                .updates
                .push(Update::Schema(columns.schema(schema_id), columns.last_id));
        }
        if metadata.property(NAME_MAPPING) != Some(&columns.mapping()) {
            change.properties.insert(NAME_MAPPING.to_owned(), columns.mapping());
        }
        self.access.change(base, change).await?;
        Ok((next, committed))
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
        let highest_of = |columns: &'static [&'static str]| {
            let files = range.files.iter();
            files.flat_map(move |file| columns.iter().filter_map(|column| highest(&file.metadata, column)))
        };
        let before = next.0.get(&range.partition);
        let at = At {
            generation: range.generation,
            next: range.end + 1,
            day: range.day,
            lsn: before.and_then(|at| at.lsn).max(highest_of(&POSITIONS).max()),
            time_us: before.and_then(|at| at.time_us).max(highest_of(&TIMES).max()),
        };
        next.0.insert(range.partition, at);
    }
    next
}
