//! The names of files that are not in the table yet: from intents and, where those do not say enough, from listings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::TryStreamExt;
use jiff::civil::Date;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use sinks::group::protocol::Intent;
use sinks::lake::{self, Floors};
use sinks::parquet::layout::FileName;

use super::error::FindError;
use crate::progress::Progress;

/// A file's name without its table, partition and generation: start, end, day, version of the shape.
pub(super) type Short = (i64, i64, Date, u32);
/// A partition and a generation of its topic.
pub(super) type Log = (u32, u32);

/// Names, by partition and generation.
pub(super) struct Names {
    store: Arc<dyn ObjectStore>,
    pub(super) table: String,
    /// What listings have shown.
    known: BTreeMap<Log, BTreeSet<Short>>,
    /// Logs without an intent that were listed once.
    listed: BTreeSet<Log>,
    /// What retention has removed, as of the last look.
    floors: Option<Floors>,
}

impl Names {
    pub(super) fn new(store: Arc<dyn ObjectStore>, table: &str) -> Self {
        Self {
            store,
            table: table.to_owned(),
            known: BTreeMap::new(),
            listed: BTreeSet::new(),
            floors: None,
        }
    }

    /// Looks for what retention has removed, unless that was done.
    pub(super) async fn look_at_floors(&mut self) -> Result<(), FindError> {
        if self.floors.is_none() {
            self.refresh_floors().await?;
        }
        Ok(())
    }

    /// Looks again for what retention has removed, and forgets its names: files of it may be there still, and are about to go.
    pub(super) async fn refresh_floors(&mut self) -> Result<(), FindError> {
        let floors = lake::floors(self.store.as_ref(), &self.table).await?;
        for (log, names) in &mut self.known {
            if let Some(floor) = floors.get(log) {
                names.retain(|name| name.1 >= *floor);
            }
        }
        self.known.retain(|_, names| !names.is_empty());
        self.floors = Some(floors);
        Ok(())
    }

    /// The lowest offset that retention has left.
    pub(super) fn floor(&self, log: Log) -> Option<i64> {
        self.floors.as_ref()?.get(&log).copied()
    }

    /// The partitions of which names are known.
    pub(super) fn partitions(&self) -> BTreeSet<u32> {
        self.known.keys().map(|(partition, _)| *partition).collect()
    }

    /// Where a partition's first known file is, in a generation after this one.
    pub(super) fn first(&self, partition: u32, after: u32) -> Option<(u32, i64)> {
        self.known.iter().find_map(|((of, generation), names)| {
            let is_it = *of == partition && *generation > after;
            names.first().filter(|_| is_it).map(|first| (*generation, first.0))
        })
    }

    /// Where the first known file behind an offset begins.
    pub(super) fn later(&self, log: Log, next: i64) -> Option<i64> {
        let names = self.known.get(&log).into_iter().flatten();
        names.map(|name| name.0).find(|start| *start > next)
    }

    /// The names of files from an offset on.
    pub(super) fn from(&self, log: Log, next: i64, count: usize) -> Vec<FileName> {
        let known = self.known.get(&log).into_iter().flatten();
        let names = known.skip_while(|name| name.0 < next).take(count);
        names.map(|name| self.name(log, *name)).collect()
    }

    /// Whether a log without an intent is to be listed: once.
    pub(super) fn is_first_look(&mut self, log: Log) -> bool {
        self.listed.insert(log)
    }

    /// Forgets the names of a range, which are looked for anew.
    pub(super) fn drop_range(&mut self, log: Log, start: i64) {
        if let Some(known) = self.known.get_mut(&log) {
            known.retain(|name| name.0 != start);
        }
    }

    /// The names that are known of the range at an offset.
    pub(super) fn at(&self, log: Log, next: i64) -> Result<Vec<Short>, FindError> {
        let names = self.known.get(&log).into_iter().flatten().take_while(|name| name.0 <= next);
        let names: Vec<Short> = names.filter(|name| name.1 >= next).copied().collect();
        let ends: BTreeSet<i64> = names.iter().map(|name| name.1).collect();
        match names.iter().any(|name| name.0 < next) || ends.len() > 1 {
            true => Err(self.overlap(log.0, next)),
            false => Ok(names),
        }
    }

    pub(super) fn overlap(&self, partition: u32, at: i64) -> FindError {
        FindError::Overlap {
            table: self.table.clone(),
            partition,
            at,
        }
    }

    /// The names of the range that the sink has decided upon last.
    pub(super) async fn decided(&self, (partition, generation): Log, start: i64) -> Result<Vec<Short>, FindError> {
        let path = Intent::path_of(&self.table, partition, generation, start);
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

    pub(super) fn name(&self, (partition, generation): Log, (start, end, day, schema): Short) -> FileName {
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
    pub(super) async fn intents(&self) -> Result<BTreeMap<Log, i64>, FindError> {
        Ok(sinks::lake::last_intents(self.store.as_ref(), &self.table).await?)
    }

    /// Lists the folders of the days from the one before this one on, or all; then the floors, as what was listed may be gone.
    pub(super) async fn list(&mut self, progress: &Progress, from: Option<Date>) -> Result<(), FindError> {
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
                if let Some(name) =
                    FileName::parse(&object.location).filter(|name| is_new(name.partition, name.generation, name.end, progress))
                {
                    let names = self.known.entry((name.partition, name.generation)).or_default();
                    names.insert((name.start, name.end, name.day, name.schema));
                }
            }
        }
        self.refresh_floors().await
    }

    /// Forgets the names of what is in the table.
    pub(super) fn forget(&mut self, progress: &Progress) {
        for ((partition, generation), names) in &mut self.known {
            names.retain(|name| is_new(*partition, *generation, name.1, progress));
        }
        self.known.retain(|_, names| !names.is_empty());
    }
}

/// Whether a file that ends at an offset is not in the table yet.
fn is_new(partition: u32, generation: u32, end: i64, progress: &Progress) -> bool {
    progress.0.get(&partition).is_none_or(|at| {
        let is_later = generation > at.generation;
        is_later || (generation == at.generation && end >= at.next)
    })
}
