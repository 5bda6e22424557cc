//! The reconciling listing: finds files that no event reported, without listing years of them.
//!
//! 1. The first time, a table is listed as a whole, from its oldest day on.
//! 2. From then on, the days from some days before the newest one of the last listing on: most files that are new are there.
//! 3. The sinks' last intents name the newest ranges, whatever days their records are of.
//! 4. Ranges of a partition follow one another. So where one between two others is in no file that is known, its event was lost, and
//!    it is of an older day: the other days are looked through, the newest first, until it is found. So where the first range that is
//!    known does not begin at offset 0; what no day has was never there, then.
//!
//! (Of a range that has several days, a footer names them; [`super::worker`] looks for those that no event reports.)
//!
//! A table is listed day by day, and only as long as there is room for what is found; the listing goes on where it ended.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use sinks::parquet::layout::FileName;

use super::lake::{Lake, LakeError};
use super::memory::{Memory, Offer};
use super::settings::NotifierSettings;
use super::stream::Stream;

/// Where a table's listing stands.
#[derive(Debug, Default)]
struct TableListing {
    /// The days that this listing has yet to list.
    days: VecDeque<Date>,
    /// Up to which day everything was listed.
    newest: Option<Date>,
    /// Older days that are looked through for holes, the newest last; `None` while there is no such search.
    search: Option<Vec<Date>>,
    /// The search does not end before all of them are looked through: what is missing shows in no hole.
    searches_all: bool,
    /// The holes that there were when the search began.
    sought: BTreeSet<(Stream, i64, i64)>,
    /// Holes that no day has.
    nowhere: BTreeSet<(Stream, i64, i64)>,
    /// A file had no room, and its day may never be listed again.
    overflowed: bool,
    /// In the first listing: where the newest range of each stream began before it. All files before are found by it.
    first_of: BTreeMap<Stream, i64>,
}

/// The listings of all tables.
#[derive(Debug)]
pub struct Reconciler {
    settings: NotifierSettings,
    listings: BTreeMap<String, TableListing>,
    /// The day from which on each table is listed at the next start.
    listed_to: BTreeMap<String, Date>,
}

/// What a step found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Files that no event had named, by table.
    pub files: BTreeMap<String, u64>,
    /// Whether there is more to list: another step is to follow.
    pub has_more: bool,
}

impl Reconciler {
    /// Goes on where an earlier one ended.
    pub fn new(settings: NotifierSettings, listed_to: BTreeMap<String, Date>) -> Self {
        let listings = settings
            .pipes
            .keys()
            .map(|table| (table.clone(), TableListing::default()))
            .collect();
        Self {
            settings,
            listings,
            listed_to,
        }
    }

    /// The day from which on each table is to be listed after a restart.
    pub fn listed_to(&self) -> &BTreeMap<String, Date> {
        &self.listed_to
    }

    /// A file was named for which there was no room.
    pub fn overflowed(&mut self, table: &str) {
        if let Some(listing) = self.listings.get_mut(table) {
            listing.overflowed = true;
        }
    }

    /// Ranges that are in no file: what an operator should look at.
    pub fn nowhere(&self, memory: &Memory) -> Vec<(Stream, i64, i64)> {
        let is_sought = |(_, listing): &(&String, &TableListing)| !listing.nowhere.is_empty();
        let of_table = self.listings.iter().filter(is_sought).flat_map(|(table, listing)| {
            let holes = memory.holes(table).into_iter();
            holes.filter(|hole| listing.nowhere.contains(hole))
        });
        of_table.collect()
    }

    /// Begins a listing of every table.
    pub async fn begin(&mut self, lake: &dyn Lake, memory: &mut Memory, now: Timestamp) -> Result<Found, LakeError> {
        let mut found = Found::default();
        for table in self.settings.pipes.keys() {
            let Some(listing) = self.listings.get_mut(table) else {
                continue;
            };
            let days = lake.days(table).await?;
            let back = Span::new().days(i64::from(self.settings.reconcile_days));
            let from = self
                .listed_to
                .get(table)
                .map(|day| day.checked_sub(back).unwrap_or(Date::MIN));
            listing.days = days
                .iter()
                .copied()
                .filter(|day| from.is_none_or(|from| *day >= from))
                .collect();
            let newest = lake.newest(table).await?;
            for file in &newest {
                if from.is_none() {
                    listing.first_of.entry(Stream::of(file)).or_insert(file.start);
                }
                if offer(memory, file, now, &mut found) == Offer::Full {
                    listing.overflowed = true;
                }
            }
            if from.is_some() {
                listing.search_for(memory.holes(table), &days, from);
            }
            found.has_more |= !listing.days.is_empty() || listing.search.is_some();
        }
        Ok(found)
    }

    /// Lists one more day of each table.
    pub async fn step(&mut self, lake: &dyn Lake, memory: &mut Memory, now: Timestamp) -> Result<Found, LakeError> {
        let mut found = Found::default();
        let today = now.to_zoned(TimeZone::UTC).date();
        for (table, listing) in &mut self.listings {
            if let Some(day) = listing.days.front().copied() {
                let files = lake.files(table, day).await?;
                if offer_all(memory, &files, now, &mut found) {
                    listing.days.pop_front();
                    // A record of the year 9999 must not keep all other days from being listed.
                    if day <= today {
                        listing.newest = listing.newest.max(Some(day));
                    }
                    if listing.days.is_empty() {
                        listing.settle(memory);
                    }
                }
            } else {
                let days_max = self.settings.search_days_max;
                listing.search(lake, memory, table, days_max, now, &mut found).await?;
            }
            found.has_more |= !listing.days.is_empty() || listing.search.is_some();
        }
        Ok(found)
    }

    /// How far the tables are listed, and everything that was found is received.
    pub fn note(&mut self, memory: &Memory) {
        for (table, listing) in &self.listings {
            let Some(newest) = listing.newest else { continue };
            let day = memory.first_open_day(table).map_or(newest, |open| open.min(newest));
            // The first listing is from the oldest day on: what it has not come to is none that was listed.
            self.listed_to.insert(table.clone(), day);
        }
    }
}

impl TableListing {
    /// Begins a search for what is missing, unless that is known to be nowhere.
    fn search_for(&mut self, holes: Vec<(Stream, i64, i64)>, days: &[Date], listed_from: Option<Date>) {
        let holes: BTreeSet<_> = holes.into_iter().collect();
        self.nowhere.retain(|hole| holes.contains(hole));
        if self.search.is_none() && (self.overflowed || self.has_new(&holes)) {
            self.searches_all = std::mem::take(&mut self.overflowed);
            let older = days.iter().copied().filter(|day| listed_from.is_none_or(|from| *day < from));
            self.search = Some(older.collect());
            self.sought = holes;
        }
    }

    /// The first listing has come to its end: of the streams that were there before it, all files are known.
    fn settle(&mut self, memory: &mut Memory) {
        for (stream, newest) in std::mem::take(&mut self.first_of) {
            let first = memory.first(&stream).map_or(newest, |first| first.min(newest));
            memory.settle(&stream, first);
        }
    }

    fn has_new(&self, holes: &BTreeSet<(Stream, i64, i64)>) -> bool {
        holes.iter().any(|hole| !self.nowhere.contains(hole))
    }

    /// Looks through some older days, until nothing is missing.
    async fn search(
        &mut self,
        lake: &dyn Lake,
        memory: &mut Memory,
        table: &str,
        days_max: usize,
        now: Timestamp,
        found: &mut Found,
    ) -> Result<(), LakeError> {
        for _ in 0..days_max {
            let Some(days) = &mut self.search else { return Ok(()) };
            let next = days.last().copied();
            let holes: BTreeSet<_> = memory.holes(table).into_iter().collect();
            let Some(day) = next.filter(|_| self.searches_all || self.has_new(&holes)) else {
                if next.is_none() {
                    // One that came up meanwhile may be of a day that was passed already.
                    let left = holes.intersection(&self.sought).cloned();
                    self.nowhere = left
                        .filter(|(stream, start, end)| *start > 0 || !memory.settle(stream, end + 1))
                        .collect();
                }
                self.search = None;
                return Ok(());
            };
            let files = lake.files(table, day).await?;
            if !offer_all(memory, &files, now, found) {
                return Ok(());
            }
            self.search.iter_mut().for_each(|days| {
                days.pop();
            });
        }
        Ok(())
    }
}

/// Offers files; false if there was no room for one.
fn offer_all(memory: &mut Memory, files: &[FileName], now: Timestamp, found: &mut Found) -> bool {
    files.iter().all(|file| offer(memory, file, now, found) != Offer::Full)
}

fn offer(memory: &mut Memory, file: &FileName, now: Timestamp, found: &mut Found) -> Offer {
    let offered = memory.offer(file, now);
    if offered == Offer::Taken {
        *found.files.entry(file.table.clone()).or_default() += 1;
    }
    offered
}
