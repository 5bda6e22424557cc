//! Which finished files come next, without a look at those of years.
//!
//! What the sink is at is in `_intents/`: per partition the range that was decided upon last, by its start; everything before it is
//! written. A partition that the table follows closely is at that range, whose files' names are in the intent. One that is farther
//! behind is looked for in the folders of the days since the table's last range, and in all of them only if it is not there (a
//! record's day is what its producer says).
//!
//! A file counts by its footer alone: names come from listings that may be old, and are never believed.
//!
//! What is below a floor ([`lake::floors`]) was removed: it is neither missed nor taken in, even where a file of it is there still. Floors
//! are read at the start, with each listing, and before anything is called missing.

mod error;
mod footers;
mod names;
mod ready;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::civil::Date;
use object_store::ObjectStore;
use sinks::lake::{self, Generation};

pub use self::error::FindError;
use self::footers::{AT_ONCE, Footers};
use self::names::{Log, Names, Short};
pub use self::ready::Ready;
use crate::progress::Progress;

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

/// Finds a table's next files.
pub struct Finder {
    store: Arc<dyn ObjectStore>,
    /// How many files are taken at once.
    limit: usize,
    /// Whether offsets that are in no file are passed over.
    skips_gaps: bool,
    names: Names,
    footers: Footers,
}

impl Finder {
    /// A finder of a table's files, which takes about so many at once.
    pub fn new(store: Arc<dyn ObjectStore>, table: &str, limit: usize) -> Self {
        Self {
            limit,
            skips_gaps: false,
            names: Names::new(store.clone(), table),
            footers: Footers::new(store.clone()),
            store,
        }
    }

    /// Passes over offsets that are in no file, where later ones are: an operator has said that they are gone.
    pub fn skip_gaps(&mut self) {
        self.skips_gaps = true;
    }

    /// What comes after what the table has.
    pub async fn find(&mut self, progress: &Progress) -> Result<Found, FindError> {
        self.footers.clear();
        let generations = lake::generations(&self.store, &self.names.table).await?;
        let intents = self.names.intents().await?;
        self.names.look_at_floors().await?;
        if progress.0.is_empty() {
            self.names.list(progress, None).await?;
        }
        self.names.forget(progress);
        let partitions = progress.0.keys().copied();
        let partitions = partitions.chain(intents.keys().map(|(partition, _)| *partition));
        let partitions: BTreeSet<u32> = partitions.chain(self.names.partitions()).collect();
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
        while let Some((generation, at)) = place {
            let log = (search.partition, generation);
            let next = self.names.floor(log).map_or(at, |floor| floor.max(at));
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
                // What was looked for was removed: it goes on at the floor.
                None if self.names.floor(log) > Some(next) => {}
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
            self.names.list(search.progress, None).await?;
        }
        let first = self.names.first(search.partition, after);
        // From the floor on nothing may be missing, not even the first range.
        Ok(first.map(|(generation, start)| (generation, self.names.floor((search.partition, generation)).unwrap_or(start))))
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

    /// The range that begins at an offset, if all its files are there; of a generation that is over, those that are. None as well if a
    /// floor above it was found.
    async fn range(
        &mut self,
        search: &Search<'_>,
        generation: u32,
        next: i64,
        is_over: bool,
    ) -> Result<Option<Range>, FindError> {
        let log = (search.partition, generation);
        let intent = search.intents.get(&log).copied();
        let mut names = self.names.at(log, next)?;
        if names.is_empty() {
            match intent {
                Some(start) if start < next => return Ok(None),
                Some(start) if start == next => names = self.names.decided(log, next).await?,
                Some(_) => {
                    let day = search.progress.0.get(&search.partition).and_then(|at| at.day);
                    if let Some(day) = day {
                        self.names.list(search.progress, Some(day)).await?;
                    }
                }
                None if !self.names.is_first_look(log) => return Ok(None),
                None => self.names.list(search.progress, None).await?,
            }
        }
        for _ in 0..2 {
            // Twice, as at a beginning: of two listed ranges, the first may be the one that was passed.
            if names.is_empty() {
                names = self.names.at(log, next)?;
                if names.is_empty() && (self.names.later(log, next).is_some() || intent.is_some_and(|start| start > next)) {
                    self.names.list(search.progress, None).await?;
                }
            }
        }
        if names.is_empty() {
            names = self.names.at(log, next)?;
        }
        if names.is_empty() && self.names.floor(log) > Some(next) {
            return Ok(None);
        }
        if names.is_empty()
            && self.skips_gaps
            && let Some(start) = self.names.later(log, next)
        {
            tracing::warn!(
                table = self.names.table,
                partition = log.0,
                from = next,
                to = start - 1,
                "offsets that are in no file are passed over"
            );
            names = self.names.at(log, start)?;
        }
        if names.is_empty() {
            return match self.names.later(log, next).is_some() || intent.is_some_and(|start| start > next) {
                true => Err(self.gap(log.0, next)),
                false => Ok(None),
            };
        }
        let ahead = self.names.from(log, names[0].0, AT_ONCE);
        self.footers.read_ahead(ahead).await?;
        // Where the sink has gone on, it was whole once.
        let was_whole = intent.is_some_and(|start| start > next);
        let range = self.whole(search, log, names, is_over, was_whole).await?;
        match range {
            None if was_whole && self.names.floor(log) <= Some(next) => Err(self.gap(log.0, next)),
            range => Ok(range),
        }
    }

    fn gap(&self, partition: u32, from: i64) -> FindError {
        FindError::Gap {
            table: self.names.table.clone(),
            partition,
            from,
        }
    }

    /// A range's files, all of them.
    async fn whole(
        &mut self,
        search: &Search<'_>,
        log: Log,
        names: Vec<Short>,
        is_over: bool,
        was_whole: bool,
    ) -> Result<Option<Range>, FindError> {
        let noted = search.generations.iter().find(|noted| noted.generation == log.1);
        let (start, end) = (names[0].0, names[0].1);
        let mut files: BTreeMap<Date, Ready> = BTreeMap::new();
        let mut days: Option<Option<Vec<Date>>> = None;
        let mut wanted: VecDeque<(Short, bool)> = names.into_iter().map(|name| (name, true)).collect();
        while let Some((name, is_named)) = wanted.pop_front() {
            if !is_named && files.contains_key(&name.2) {
                continue;
            }
            let Some((file, identity)) = self.footers.real(self.names.name(log, name)).await? else {
                continue;
            };
            if days.is_none() {
                // Those that were not named: in folders that were not listed, and maybe written before the shape was raised.
                for day in identity.days.iter().flatten() {
                    wanted.extend((1..=file.name.schema).rev().map(|schema| ((start, end, *day, schema), false)));
                }
            }
            let of = noted.and_then(|noted| noted.topic_id).zip(identity.topic_id);
            if let Some((noted, own)) = of.filter(|(noted, own)| noted != own) {
                return Err(FindError::File {
                    path: file.name.path(),
                    reason: format!("it is of topic {own}, and its generation of {noted}"),
                });
            }
            let agree = days.get_or_insert_with(|| identity.days.clone()) == &identity.days;
            let other = files.insert(file.name.day, file.clone());
            if !agree || other.is_some_and(|other| other.name != file.name) || (identity.days.is_none() && files.len() > 1) {
                return Err(self.names.overlap(log.0, start));
            }
        }
        let missing = match &days {
            None => true,
            Some(days) => days.iter().flatten().any(|day| !files.contains_key(day)),
        };
        if missing {
            // What is not there any more, or not yet, is looked for anew.
            self.names.drop_range(log, start);
            if is_over || was_whole {
                // Maybe it was removed since its names were listed.
                self.names.refresh_floors().await?;
            }
            if !is_over || files.is_empty() || self.names.floor(log) > Some(start) {
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
}

/// What a partition is looked for with.
struct Search<'a> {
    partition: u32,
    progress: &'a Progress,
    generations: &'a [Generation],
    intents: &'a BTreeMap<Log, i64>,
}
