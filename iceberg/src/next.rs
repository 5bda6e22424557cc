//! Which finished files come next, without a look at those of years.
//!
//! What the sink is at is in `_intents/`: per partition the range that was decided upon last, by its start; everything before it is
//! written. A partition that the table follows closely is at that range, whose files' names are in the intent. One that is farther
//! behind is looked for in the folders of the days since the table's last range, and in all of them only if it is not there (a
//! record's day is what its producer says).
//!
//! A file counts by its footer alone: names come from listings that may be old, and are never believed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::file::metadata::ParquetMetaData;
use sinks::lake::{self, Generation, LakeError};
use sinks::parquet::footer::{self, FooterError, Identity};
use sinks::parquet::layout::FileName;
use sinks::parquet::protocol::Intent;

use crate::progress::Progress;

/// How many footers are read at the same time, and ahead.
const AT_ONCE: usize = 16;

/// A file with its footer.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Its name.
    pub name: FileName,
    /// Its size.
    pub bytes: u64,
    /// Its footer.
    pub metadata: Arc<ParquetMetaData>,
}

impl Ready {
    /// Its rows.
    pub fn rows(&self) -> i64 {
        self.metadata.file_metadata().num_rows()
    }
}

/// A range of a partition all of whose files are there.
#[derive(Debug, Clone)]
pub struct Range {
    /// The partition.
    pub partition: u32,
    /// The generation of its topic.
    pub generation: u32,
    /// The last offset.
    pub end: i64,
    /// Its earliest day.
    pub day: Option<Date>,
    /// Its files.
    pub files: Vec<Ready>,
}

/// What comes next.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Ranges, in the order of their offsets by partition.
    pub ranges: Vec<Range>,
    /// Whether more may be there, beyond the limit.
    pub more: bool,
}

/// Why no more can be taken: an operator must look at it, unless the store failed.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The store.
    #[error("the store failed: {0}")]
    Store(#[from] object_store::Error),
    /// What the sinks have noted.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Offsets that are in no file.
    #[error(
        "{table}, partition {partition}: offsets from {from} on are in no file, though later ones are (docs/runbooks/lake.md)"
    )]
    Gap {
        /// The table.
        table: String,
        /// The partition.
        partition: u32,
        /// The first of them.
        from: i64,
    },
    /// Offsets that are in two files.
    #[error("{table}, partition {partition}: offset {at} is in two files (docs/runbooks/lake.md)")]
    Overlap {
        /// The table.
        table: String,
        /// The partition.
        partition: u32,
        /// The first of them.
        at: i64,
    },
    /// A file that is not what its name says.
    #[error("{path}: {reason}")]
    File {
        /// Where.
        path: Path,
        /// What is wrong.
        reason: String,
    },
}

/// A file's name without its table, partition and generation: start, end, day, version of the shape.
type Short = (i64, i64, Date, u32);
type Log = (u32, u32);

/// Finds a table's next files.
pub struct Finder {
    store: Arc<dyn ObjectStore>,
    table: String,
    /// How many files are taken at once.
    limit: usize,
    /// Whether offsets that are in no file are passed over.
    skips_gaps: bool,
    /// Names of listings, by partition and generation, that are not in the table yet.
    known: BTreeMap<Log, BTreeSet<Short>>,
    /// Logs without an intent that were listed once.
    listed: BTreeSet<Log>,
    footers: BTreeMap<FileName, Ready>,
}

impl Finder {
    /// A finder of a table's files, which takes about so many at once.
    pub fn new(store: Arc<dyn ObjectStore>, table: &str, limit: usize) -> Self {
        Self {
            store,
            table: table.to_owned(),
            limit,
            skips_gaps: false,
            known: BTreeMap::new(),
            listed: BTreeSet::new(),
            footers: BTreeMap::new(),
        }
    }

    /// Passes over offsets that are in no file, where later ones are: an operator has said that they are gone.
    pub fn skip_gaps(&mut self) {
        self.skips_gaps = true;
    }

    /// What comes after what the table has.
    pub async fn find(&mut self, progress: &Progress) -> Result<Found, FindError> {
        self.footers.clear();
        let generations = lake::generations(&self.store, &self.table).await?;
        let intents = self.intents().await?;
        if progress.0.is_empty() {
            self.list(progress, None).await?;
        }
        for log in self.known.keys().chain(intents.keys()).copied().collect::<Vec<_>>() {
            self.forget(log, progress);
        }
        let partitions = progress.0.keys().copied();
        let partitions = partitions.chain(intents.keys().map(|(partition, _)| *partition));
        let partitions: BTreeSet<u32> = partitions.chain(self.known.keys().map(|(partition, _)| *partition)).collect();
        let mut found = Found::default();
        for partition in partitions {
            let search = Search {
                partition,
                progress,
                generations: &generations,
                intents: &intents,
            };
            self.follow(&search, &mut found).await?;
            if found.more {
                break;
            }
        }
        Ok(found)
    }

    /// Takes a partition's ranges, one after the other.
    async fn follow(&mut self, search: &Search<'_>, found: &mut Found) -> Result<(), FindError> {
        let at = search.progress.0.get(&search.partition);
        let mut place = match at {
            Some(at) => Some((at.generation, at.next)),
            None => self.begin(search, 0).await?,
        };
        let mut count: usize = found.ranges.iter().map(|range| range.files.len()).sum();
        while let Some((generation, next)) = place {
            let is_over = lake::is_over(search.generations, generation, search.partition);
            match self.range(search, generation, next, is_over).await? {
                Some(range) => {
                    place = Some((generation, range.end + 1));
                    count += range.files.len();
                    found.ranges.push(range);
                    if count >= self.limit {
                        found.more = true;
                        return Ok(());
                    }
                }
                None if is_over => place = self.after(search, generation).await?,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Where a partition begins, in a generation after this one. Listed twice: a listing takes time, and may have passed the folder of
    /// the first file before that was written, and come to a later one's after; but not twice.
    async fn begin(&mut self, search: &Search<'_>, after: u32) -> Result<Option<(u32, i64)>, FindError> {
        for _ in 0..2 {
            self.list(search.progress, None).await?;
        }
        let first = self.known.iter().find_map(|((partition, generation), names)| {
            let is_it = *partition == search.partition && *generation > after;
            names.first().filter(|_| is_it).map(|first| (*generation, first.0))
        });
        Ok(first)
    }

    /// Where the generation begins that comes after one which is over.
    async fn after(&mut self, search: &Search<'_>, generation: u32) -> Result<Option<(u32, i64)>, FindError> {
        let id = |number: u32| search.generations.iter().find(|noted| noted.generation == number);
        let own = id(generation).and_then(|noted| noted.topic_id);
        let next = search.generations.iter().find(|noted| {
            let is_another = noted.topic_id != own || noted.ends.contains_key(&search.partition);
            noted.generation > generation && is_another
        });
        match next.map(|noted| (noted.generation, noted.ends.get(&search.partition))) {
            Some((number, Some(end))) => Ok(Some((number, end + 1))),
            Some((number, None)) => self.begin(search, number - 1).await,
            None => Ok(None),
        }
    }

    /// The range that begins at an offset, if all its files are there; of a generation that is over, those that are.
    async fn range(
        &mut self,
        search: &Search<'_>,
        generation: u32,
        next: i64,
        is_over: bool,
    ) -> Result<Option<Range>, FindError> {
        let log = (search.partition, generation);
        let intent = search.intents.get(&log).copied();
        let mut names = self.at(log, next)?;
        if names.is_empty() {
            match intent {
                Some(start) if start < next => return Ok(None),
                Some(start) if start == next => names = self.decided(log, next).await?,
                Some(_) => {
                    let day = search.progress.0.get(&search.partition).and_then(|at| at.day);
                    if let Some(day) = day {
                        self.list(search.progress, Some(day)).await?;
                    }
                }
                None if !self.listed.insert(log) => return Ok(None),
                None => self.list(search.progress, None).await?,
            }
        }
        for _ in 0..2 {
            // Twice, as at a beginning: of two listed ranges, the first may be the one that was passed.
            if names.is_empty() {
                names = self.at(log, next)?;
                if names.is_empty() && (self.has_later(log, next) || intent.is_some_and(|start| start > next)) {
                    self.list(search.progress, None).await?;
                }
            }
        }
        if names.is_empty() {
            names = self.at(log, next)?;
        }
        if names.is_empty() && self.skips_gaps {
            let later = self.known.get(&log).into_iter().flatten().find(|name| name.0 > next);
            if let Some(start) = later.map(|name| name.0) {
                tracing::warn!(
                    table = self.table,
                    partition = log.0,
                    from = next,
                    to = start - 1,
                    "offsets that are in no file are passed over"
                );
                names = self.at(log, start)?;
            }
        }
        if names.is_empty() {
            return match self.has_later(log, next) || intent.is_some_and(|start| start > next) {
                true => Err(FindError::Gap {
                    table: self.table.clone(),
                    partition: search.partition,
                    from: next,
                }),
                false => Ok(None),
            };
        }
        self.read_ahead(log, names[0].0).await?;
        self.whole(log, names, is_over).await
    }

    fn has_later(&self, log: Log, next: i64) -> bool {
        self.known.get(&log).into_iter().flatten().any(|name| name.0 > next)
    }

    /// The names that are known of the range at an offset.
    fn at(&self, log: Log, next: i64) -> Result<Vec<Short>, FindError> {
        let names = self.known.get(&log).into_iter().flatten().take_while(|name| name.0 <= next);
        let names: Vec<Short> = names.filter(|name| name.1 >= next).copied().collect();
        let ends: BTreeSet<i64> = names.iter().map(|name| name.1).collect();
        match names.iter().any(|name| name.0 < next) || ends.len() > 1 {
            true => Err(self.overlap(log.0, next)),
            false => Ok(names),
        }
    }

    fn overlap(&self, partition: u32, at: i64) -> FindError {
        FindError::Overlap {
            table: self.table.clone(),
            partition,
            at,
        }
    }

    /// The names of the range that the sink has decided upon last.
    async fn decided(&mut self, (partition, generation): Log, start: i64) -> Result<Vec<Short>, FindError> {
        let folder = Intent::folder(&self.table, partition, generation);
        let path = Path::from(format!("{folder}/{start:020}.json"));
        let json = match self.store.get(&path).await {
            Ok(object) => object.bytes().await?,
            // The sink has gone on: its next one is there at the next look.
            Err(object_store::Error::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let intent = Intent::from_json(&self.table, partition, &json).ok_or_else(|| FindError::File {
            path,
            reason: "it is no intent of a sink".to_owned(),
        })?;
        Ok(intent
            .files()
            .iter()
            .map(|file| (file.start, file.end, file.day, file.schema))
            .collect())
    }

    /// A range's files, all of them.
    async fn whole(&mut self, log: Log, names: Vec<Short>, is_over: bool) -> Result<Option<Range>, FindError> {
        let (start, end) = (names[0].0, names[0].1);
        let mut files: BTreeMap<Date, Ready> = BTreeMap::new();
        let mut days: Option<Option<Vec<Date>>> = None;
        let mut wanted: Vec<Short> = names;
        let mut schema = 0;
        while let Some(name) = wanted.pop() {
            schema = schema.max(name.3);
            let Some((file, identity)) = self.real(self.name(log, name)).await? else {
                continue;
            };
            if days.is_none() {
                // Those that were not named: in folders that were not listed.
                let others = identity.days.iter().flatten();
                wanted.extend(others.map(|day| (start, end, *day, name.3)));
            }
            let agree = days.get_or_insert_with(|| identity.days.clone()) == &identity.days;
            let other = files.insert(file.name.day, file.clone());
            if !agree || other.is_some_and(|other| other.name != file.name) || (identity.days.is_none() && files.len() > 1) {
                return Err(self.overlap(log.0, start));
            }
        }
        let missing = match &days {
            None => true,
            Some(days) => days.iter().flatten().any(|day| !files.contains_key(day)),
        };
        if missing {
            // What is not there any more, or not yet, is looked for anew.
            if let Some(known) = self.known.get_mut(&log) {
                known.retain(|name| name.0 != start);
            }
            if !is_over || files.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(Range {
            partition: log.0,
            generation: log.1,
            end,
            day: files.keys().next().copied(),
            files: files.into_values().collect(),
        }))
    }

    /// The file of a name, or the one by which it is superseded; `None` if it is not there.
    async fn real(&mut self, mut name: FileName) -> Result<Option<(Ready, Identity)>, FindError> {
        let mut seen = vec![name.schema];
        loop {
            let Some(ready) = self.footer(&name).await? else {
                return Ok(None);
            };
            let wrong = |reason: String| FindError::File {
                path: name.path(),
                reason,
            };
            let identity = Identity::from_metadata(&ready.metadata).map_err(wrong)?;
            if !identity.is_of(&name) {
                return Err(wrong(format!("its footer says {identity:?}")));
            }
            match identity.superseded_by {
                None => return Ok(Some((ready, identity))),
                Some(schema) if seen.contains(&schema) => {
                    return Err(wrong("it is superseded by itself".to_owned()));
                }
                Some(schema) => {
                    seen.push(schema);
                    name.schema = schema;
                }
            }
        }
    }

    async fn footer(&mut self, name: &FileName) -> Result<Option<Ready>, FindError> {
        if let Some(ready) = self.footers.get(name) {
            return Ok(Some(ready.clone()));
        }
        let ready = footer_of(self.store.clone(), name.clone()).await?;
        if let Some(ready) = &ready {
            self.footers.insert(name.clone(), ready.clone());
        }
        Ok(ready)
    }

    /// Reads the footers of the next known files side by side.
    async fn read_ahead(&mut self, log: Log, next: i64) -> Result<(), FindError> {
        let known = self.known.get(&log).into_iter().flatten();
        let names = known.skip_while(|name| name.0 < next).take(AT_ONCE);
        let names: Vec<FileName> = names.map(|name| self.name(log, *name)).collect();
        let unread = names.iter().filter(|name| !self.footers.contains_key(*name));
        // While more than half of them are read, the next ones are not due.
        if unread.clone().count() * 2 < names.len() {
            return Ok(());
        }
        let reads: Vec<_> = unread.map(|name| footer_of(self.store.clone(), name.clone())).collect();
        let read: Vec<Option<Ready>> = stream::iter(reads).buffer_unordered(AT_ONCE).try_collect().await?;
        for ready in read.into_iter().flatten() {
            self.footers.insert(ready.name.clone(), ready);
        }
        Ok(())
    }

    fn name(&self, (partition, generation): Log, (start, end, day, schema): Short) -> FileName {
        FileName {
            table: self.table.clone(),
            day,
            partition,
            generation,
            start,
            end,
            schema,
        }
    }

    /// The start of each log's last intent.
    async fn intents(&self) -> Result<BTreeMap<Log, i64>, FindError> {
        let mut intents = BTreeMap::new();
        let folder = Path::from(format!("{}/_intents", self.table));
        let mut objects = self.store.list(Some(&folder));
        while let Some(object) = objects.try_next().await? {
            let parts: Vec<_> = object.location.parts().collect();
            let [_, _, generation, partition, file] = parts.as_slice() else {
                continue;
            };
            let start = file
                .as_ref()
                .strip_suffix(".json")
                .and_then(|start| start.parse::<i64>().ok());
            if let (Ok(generation), Ok(partition), Some(start)) = (generation.as_ref().parse(), partition.as_ref().parse(), start)
            {
                let last = intents.entry((partition, generation)).or_insert(start);
                *last = start.max(*last);
            }
        }
        Ok(intents)
    }

    /// Lists the folders of the days from the one before this one on, or all.
    async fn list(&mut self, progress: &Progress, from: Option<Date>) -> Result<(), FindError> {
        let folder = Path::from(self.table.as_str());
        let folders = match from {
            None => vec![folder],
            Some(day) => {
                // Records that came late, around midnight, are of the day before.
                let first = day.yesterday().unwrap_or(day);
                let all = self.store.list_with_delimiter(Some(&folder)).await?.common_prefixes;
                let day = |path: &Path| {
                    path.filename()
                        .and_then(|name| name.strip_prefix("day=")?.parse::<Date>().ok())
                };
                all.into_iter()
                    .filter(|path| day(path).is_some_and(|day| day >= first))
                    .collect()
            }
        };
        for folder in folders {
            let mut objects = self.store.list(Some(&folder));
            while let Some(object) = objects.try_next().await? {
                if let Some(name) = FileName::parse(&object.location).filter(|name| is_new(name, progress)) {
                    let names = self.known.entry((name.partition, name.generation)).or_default();
                    names.insert((name.start, name.end, name.day, name.schema));
                }
            }
        }
        Ok(())
    }

    /// Forgets the names of what is in the table.
    fn forget(&mut self, log: Log, progress: &Progress) {
        let table = &self.table;
        if let Some(names) = self.known.get_mut(&log) {
            names.retain(|(start, end, day, schema)| {
                let name = FileName {
                    table: table.clone(),
                    day: *day,
                    partition: log.0,
                    generation: log.1,
                    start: *start,
                    end: *end,
                    schema: *schema,
                };
                is_new(&name, progress)
            });
        }
        self.known.retain(|_, names| !names.is_empty());
    }
}

/// What a partition is looked for with.
struct Search<'a> {
    partition: u32,
    progress: &'a Progress,
    generations: &'a [Generation],
    intents: &'a BTreeMap<Log, i64>,
}

/// Whether a file is not in the table yet.
fn is_new(name: &FileName, progress: &Progress) -> bool {
    progress.0.get(&name.partition).is_none_or(|at| {
        let is_later = name.generation > at.generation;
        is_later || (name.generation == at.generation && name.end >= at.next)
    })
}

async fn footer_of(store: Arc<dyn ObjectStore>, name: FileName) -> Result<Option<Ready>, FindError> {
    let path = name.path();
    match footer::read_metadata(store.as_ref(), &path).await {
        Ok((bytes, metadata)) => Ok(Some(Ready {
            name,
            bytes,
            metadata: Arc::new(metadata),
        })),
        Err(FooterError::Store(object_store::Error::NotFound { .. })) => Ok(None),
        Err(FooterError::Store(error)) => Err(error.into()),
        Err(FooterError::Damaged(reason)) => Err(FindError::File { path, reason }),
    }
}
