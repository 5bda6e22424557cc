//! What is in the lake, by the names of its files: how many, how large, of which offsets.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::{TryStreamExt, future};
use jiff::civil::Date;
use object_store::ObjectStore;

use super::files::{self, LakeFile, Listed};
use super::verify::generations;
use super::{Depth, LakeError, check};
use crate::group::generations::Generation;

/// Footers that are read together.
const FOOTERS_AT_ONCE: usize = 32;

/// A partition's files of one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// How many files. By names alone, marks that another file has the rows are files, too.
    pub files: u64,
    /// All rows, if the footers were read.
    pub rows: Option<u64>,
    /// All bytes.
    pub bytes: u64,
    /// The first offset.
    pub start: i64,
    /// The last offset.
    pub end: i64,
    /// When the newest was written, in milliseconds since the epoch, by the store's clock.
    pub written_at_ms: i64,
}

/// What a table has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overview {
    /// By partition and generation.
    pub partitions: BTreeMap<(u32, u32), Totals>,
    /// The topics that had the table's name, as far as they are noted.
    pub generations: Vec<Generation>,
    /// How many objects are none of the sink's.
    pub unrecognized: u64,
}

/// Counts a table's files, from a day on or all. Their rows are in their footers: to count them takes a request or two for each file.
pub async fn overview(
    store: &Arc<dyn ObjectStore>,
    table: &str,
    since: Option<Date>,
    with_rows: bool,
) -> Result<Overview, LakeError> {
    let folders = files::folders(store.as_ref(), table).await?;
    let mut overview = Overview {
        unrecognized: files::unrecognized(store.as_ref(), &folders).await?.len() as u64,
        ..Overview::default()
    };
    let days = folders.days.into_iter().filter(|day| since.is_none_or(|since| *day >= since));
    let listed = files::each(store.as_ref(), table, days.collect());
    if with_rows {
        let mut unrecognized = 0;
        let files = listed.try_filter_map(|listed| {
            let file = match listed {
                Listed::File(file) => Some(file),
                Listed::Unrecognized(_) => {
                    unrecognized += 1;
                    None
                }
            };
            future::ready(Ok(file))
        });
        let checks = files.map_ok(|file| async move {
            let (checked, _) = check::check(store.clone(), file.clone(), Depth::Footers).await?;
            Ok((file, checked))
        });
        let mut checked = Box::pin(checks.try_buffered(FOOTERS_AT_ONCE));
        while let Some((file, checked)) = checked.try_next().await? {
            if let Some(checked) = checked {
                overview.add(&file, Some(checked.rows));
            }
        }
        drop(checked);
        overview.unrecognized += unrecognized;
    } else {
        let mut listed = listed;
        while let Some(listed) = listed.try_next().await? {
            match listed {
                Listed::File(file) => overview.add(&file, None),
                Listed::Unrecognized(_) => overview.unrecognized += 1,
            }
        }
    }
    overview.generations = generations(store, table).await?;
    Ok(overview)
}

impl Overview {
    fn add(&mut self, file: &LakeFile, rows: Option<u64>) {
        let name = &file.name;
        let totals = self.partitions.entry((name.partition, name.generation)).or_insert(Totals {
            files: 0,
            rows: rows.map(|_| 0),
            bytes: 0,
            start: name.start,
            end: name.end,
            written_at_ms: file.written_at_ms,
        });
        totals.files += 1;
        totals.rows = totals.rows.zip(rows).map(|(all, rows)| all + rows);
        totals.bytes += file.bytes;
        totals.start = totals.start.min(name.start);
        totals.end = totals.end.max(name.end);
        totals.written_at_ms = totals.written_at_ms.max(file.written_at_ms);
    }
}
