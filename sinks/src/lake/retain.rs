//! Deletes what is old.
//!
//! What goes is always the beginning of a partition: all ranges before the first one that has a file of a day which stays. (A late
//! range of an old day, after others, goes with them.) So one number says what was removed, the **floor** ([`super::floors`]), and what
//! is above it can be proved as before. In turn:
//!
//! 1. All names are listed, and the floors follow from them. What somebody still needs ([`Keeper`]), what the sink is at, and the
//!    last range of a partition stay, and everything after them.
//! 2. The floors are noted, create-only.
//! 3. The old days are listed again, and files below the floors deleted.
//!
//! A run that ends early has noted floors and not deleted all; the next one does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt, TryStreamExt, future};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use object_store::ObjectStore;

use super::LakeError;
use super::files::{self, LakeFile, Listed, last_intents};
use super::floors::{self, Floors, floors};
use super::verify::{generations, is_over};
use crate::parquet::footer::{self, FooterError};
use crate::parquet::layout::{FileName, day_of};
use crate::parquet::store::Lake;

/// How long one request to the store may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Files that are deleted together; S3 takes as many in one request.
const PAGE: usize = 1_000;

/// Footers that are read together.
const FOOTERS_AT_ONCE: usize = 16;

/// Somebody who reads the lake's files, and must have done with one before it goes.
pub trait Keeper: Send + Sync {
    /// Who it is.
    fn name(&self) -> &str;
    /// Whether it still needs a file.
    fn needs(&self, file: &FileName) -> bool;
}

/// What is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Files of days before this one go. A file of a day to come counts as of the day on which it was written, and so does one of an
    /// earlier version, which may hold more days than its name says.
    pub before: Date,
    /// The current day.
    pub today: Date,
    /// Whether nothing is deleted or noted, and only said.
    pub dry_run: bool,
}

impl Retention {
    /// What is older than so many whole days now, in UTC.
    pub fn of_days(days: u32, now: Timestamp, dry_run: bool) -> Self {
        let today = TimeZone::UTC.to_datetime(now).date();
        let before = today.checked_sub(jiff::Span::new().days(i64::from(days)));
        Self {
            before: before.unwrap_or(Date::MIN),
            today,
            dry_run,
        }
    }

    async fn is_old(&self, store: &dyn ObjectStore, file: &LakeFile) -> Result<bool, LakeError> {
        let (day, written) = (file.name.day, day_of(file.written_at_ms));
        if day >= self.before {
            return Ok(day > self.today && written < self.before);
        }
        if written < self.before {
            return Ok(true);
        }
        // Written later than its day: of an earlier version, it may have rows of all days between.
        match footer::read(store, &file.name.path()).await {
            Ok(identity) => Ok(identity.days.is_some()),
            // Another run was faster.
            Err(FooterError::Store(object_store::Error::NotFound { .. })) => Ok(true),
            Err(FooterError::Store(error)) => Err(error.into()),
            Err(FooterError::Damaged(_)) => Ok(false),
        }
    }
}

/// Files, and whether each is old.
fn judged<'a>(
    store: &'a dyn ObjectStore,
    retention: Retention,
    files: impl Stream<Item = Result<LakeFile, LakeError>> + 'a,
) -> impl Stream<Item = Result<(LakeFile, bool), LakeError>> + 'a {
    let judge = move |file: LakeFile| async move {
        let is_old = retention.is_old(store, &file).await?;
        Ok((file, is_old))
    };
    files.map_ok(judge).try_buffered(FOOTERS_AT_ONCE)
}

/// What goes, or has gone, of a partition's generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The partition.
    pub partition: u32,
    /// Which of the topics that had the table's name, from 1.
    pub generation: u32,
    /// The lowest offset that stays.
    pub floor: i64,
    /// How many files go.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first and the last day of them.
    pub days: Option<(Date, Date)>,
    /// Who needs older files than the days alone would keep.
    pub held_by: Option<String>,
}

/// What a listing says of a partition's generation.
#[derive(Debug)]
struct Log {
    /// The start of the first range that has a file of a day which stays.
    stays: Option<i64>,
    /// The start of the first range that somebody needs.
    needed: Option<(i64, String)>,
    /// The start of the first range.
    first: i64,
    /// The last range.
    last: (i64, i64),
}

/// Deletes the files of a table that are old, unless they are needed.
pub async fn retain(
    store: &Arc<dyn ObjectStore>,
    table: &str,
    retention: Retention,
    keepers: &[Arc<dyn Keeper>],
) -> Result<Vec<Removal>, LakeError> {
    // Before the listing: a range that is decided upon meanwhile comes after it.
    let intents = last_intents(store.as_ref(), table).await?;
    let days = files::folders(store.as_ref(), table).await?.days;
    let logs = look(store, table, &days, retention, keepers).await?;
    let noted = floors(store.as_ref(), table).await?;
    let mut all: Floors = noted.clone();
    let generations = generations(store, table).await?;
    let lake = Lake::new(store.clone(), PATIENCE);
    let mut held = BTreeMap::new();
    for (log, found) in &logs {
        let (partition, generation) = *log;
        let mut intent = intents.get(log).copied();
        let last = match is_over(&generations, generation, partition) {
            false => found.last.0,
            true => {
                // Nobody goes on here. What was decided upon and is not written is an operator's to give up.
                let pending = lake.pending(table, partition, generation).await;
                intent = pending
                    .map_err(|error| LakeError::Notes(error.to_string()))?
                    .map(|intent| intent.start);
                found.last.1 + 1
            }
        };
        let by_days = [found.stays, intent].into_iter().flatten().fold(last, i64::min);
        let floor = match &found.needed {
            Some((start, keeper)) if *start < by_days => {
                held.insert(*log, keeper.clone());
                *start
            }
            _ => by_days,
        };
        if found.first < floor {
            let highest = all.entry(*log).or_insert(floor);
            *highest = floor.max(*highest);
        }
        // The last range stays, whatever is noted.
        if let Some(floor) = all.get_mut(log) {
            *floor = last.min(*floor);
        }
    }
    if !retention.dry_run {
        let risen = all
            .iter()
            .filter(|(log, floor)| noted.get(log).is_none_or(|noted| *noted < **floor));
        let risen: Floors = risen.map(|(log, floor)| (*log, *floor)).collect();
        floors::note(store.as_ref(), table, &risen, retention.before).await?;
    }
    let mut removals = remove(store, table, &days, retention, &all, keepers).await?;
    removals.retain(|removal| removal.files > 0 || held.contains_key(&(removal.partition, removal.generation)));
    for removal in &mut removals {
        removal.held_by = held.remove(&(removal.partition, removal.generation));
    }
    for ((partition, generation), keeper) in held {
        removals.push(Removal {
            held_by: Some(keeper),
            ..Removal::none(partition, generation, 0)
        });
    }
    removals.sort_by_key(|removal| (removal.partition, removal.generation));
    Ok(removals)
}

impl Removal {
    fn none(partition: u32, generation: u32, floor: i64) -> Self {
        Self {
            partition,
            generation,
            floor,
            files: 0,
            bytes: 0,
            days: None,
            held_by: None,
        }
    }
}

async fn look(
    store: &Arc<dyn ObjectStore>,
    table: &str,
    days: &[Date],
    retention: Retention,
    keepers: &[Arc<dyn Keeper>],
) -> Result<BTreeMap<(u32, u32), Log>, LakeError> {
    let mut logs: BTreeMap<(u32, u32), Log> = BTreeMap::new();
    let listed = files::each(store.as_ref(), table, days.to_vec());
    let files = listed.try_filter_map(|listed| {
        future::ready(Ok(match listed {
            Listed::File(file) => Some(file),
            Listed::Unrecognized(_) => None,
        }))
    });
    let mut files = Box::pin(judged(store.as_ref(), retention, files));
    while let Some((file, is_old)) = files.try_next().await? {
        let (start, end) = (file.name.start, file.name.end);
        let log = logs.entry((file.name.partition, file.name.generation)).or_insert(Log {
            stays: None,
            needed: None,
            first: start,
            last: (start, end),
        });
        log.first = log.first.min(start);
        log.last = log.last.max((start, end));
        let lowest = |known: Option<i64>| Some(known.map_or(start, |known| known.min(start)));
        if !is_old {
            log.stays = lowest(log.stays);
        } else if log.needed.as_ref().is_none_or(|(first, _)| start < *first)
            && let Some(keeper) = keepers.iter().find(|keeper| keeper.needs(&file.name))
        {
            log.needed = Some((start, keeper.name().to_owned()));
        }
    }
    Ok(logs)
}

/// Deletes what is below the floors, or counts it.
async fn remove(
    store: &Arc<dyn ObjectStore>,
    table: &str,
    days: &[Date],
    retention: Retention,
    floors: &Floors,
    keepers: &[Arc<dyn Keeper>],
) -> Result<Vec<Removal>, LakeError> {
    let mut removals: BTreeMap<(u32, u32), Removal> = BTreeMap::new();
    let old = days
        .iter()
        .copied()
        .filter(|day| *day < retention.before || *day > retention.today);
    let listed = files::each(store.as_ref(), table, old.collect());
    let floor_of = |name: &FileName| {
        let floor = floors.get(&(name.partition, name.generation)).copied();
        floor.filter(|floor| name.end < *floor)
    };
    let below = listed.try_filter_map(|listed| {
        future::ready(Ok(match listed {
            Listed::File(file) if floor_of(&file.name).is_some() => Some(file),
            _ => None,
        }))
    });
    let goes = judged(store.as_ref(), retention, below).try_filter_map(|(file, is_old)| {
        let log = (file.name.partition, file.name.generation);
        let is_needed = || keepers.iter().any(|keeper| keeper.needs(&file.name));
        let Some(floor) = floor_of(&file.name).filter(|_| is_old && !is_needed()) else {
            return future::ready(Ok(None));
        };
        let day = file.name.day;
        let removal = removals.entry(log).or_insert_with(|| Removal::none(log.0, log.1, floor));
        removal.files += 1;
        removal.bytes += file.bytes;
        removal.days = Some(
            removal
                .days
                .map_or((day, day), |(first, last)| (first.min(day), last.max(day))),
        );
        future::ready(Ok(Some(file.name.path())))
    });
    if retention.dry_run {
        goes.try_for_each(|_| future::ready(Ok(()))).await?;
    } else {
        // Page by page: a listing does not wait for what is deleted meanwhile.
        let mut pages = Box::pin(goes.try_chunks(PAGE));
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| error.1)?;
            let paths = futures::stream::iter(page.into_iter().map(Ok)).boxed();
            let gone = store.delete_stream(paths);
            // Another run may have been faster.
            let gone = gone.filter(|gone| future::ready(!matches!(gone, Err(object_store::Error::NotFound { .. }))));
            gone.try_for_each(|_| future::ready(Ok(()))).await?;
        }
    }
    Ok(removals.into_values().collect())
}
