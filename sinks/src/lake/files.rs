//! The files of a table, by their names.
//!
//! A table of years has a million names and more. So they are read day by day, some days side by side, and none is kept that is
//! not needed: a store lists a folder's names in the time of a request per thousand.

use std::collections::BTreeMap;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::LakeError;
use crate::group::protocol::Intent;
use crate::parquet::layout::FileName;

/// Folders that are listed together.
const LISTS_AT_ONCE: usize = 16;

/// The folders of a table's notes and of its Iceberg metadata, whose objects are none of the sink's files.
const NOTES: &[&str] = &["_topics", "_intents", "_retained"];
const ICEBERG: &[&str] = &["metadata"];

/// A file in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeFile {
    /// What it covers.
    pub name: FileName,
    /// Its size.
    pub bytes: u64,
    /// When it was written, in milliseconds since the epoch, by the store's clock.
    pub written_at_ms: i64,
}

/// What a table's folder holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The files, by partition, generation, start and day.
    pub files: Vec<LakeFile>,
    /// Objects whose names are none of ours. The sink's notes, in `_topics/`, `_intents/` and `_retained/`, and Iceberg's
    /// metadata, in `metadata/`, are not listed.
    pub unrecognized: Vec<String>,
}

/// An object in a day's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// A file.
    File(LakeFile),
    /// Something else.
    Unrecognized(String),
}

/// The folders of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders {
    /// The days, in order.
    pub days: Vec<Date>,
    /// The other folders but Iceberg's: the sink's notes, and what is none of ours.
    pub others: Vec<Path>,
    /// Objects beside the folders, none of which is ours.
    pub unrecognized: Vec<Path>,
}

/// Lists a table as a whole, into memory.
pub async fn list(store: &dyn ObjectStore, table: &str) -> Result<Listing, LakeError> {
    let folders = folders(store, table).await?;
    let mut listing = Listing {
        unrecognized: unrecognized(store, &folders).await?,
        ..Listing::default()
    };
    let mut all = each(store, table, folders.days);
    while let Some(listed) = all.try_next().await? {
        match listed {
            Listed::File(file) => listing.files.push(file),
            Listed::Unrecognized(path) => listing.unrecognized.push(path),
        }
    }
    listing.files.sort_by_key(|file| order(&file.name));
    listing.unrecognized.sort();
    Ok(listing)
}

/// Where a file stands among those of its table.
pub(super) fn order(name: &FileName) -> (u32, u32, i64, i64, Date, u32) {
    let FileName {
        partition,
        generation,
        start,
        end,
        day,
        schema,
        ..
    } = name;
    (*partition, *generation, *start, *end, *day, *schema)
}

/// A table's folders: one look, however many files they have.
pub async fn folders(store: &dyn ObjectStore, table: &str) -> Result<Folders, LakeError> {
    let listed = store.list_with_delimiter(Some(&Path::from(table))).await?;
    let mut folders = Folders::default();
    for folder in listed.common_prefixes {
        let name = folder.filename().unwrap_or_default();
        // One spelling only, as in the names of files.
        let day = name.strip_prefix("day=").and_then(|day| day.parse::<Date>().ok());
        match day.filter(|day| name == format!("day={day}")) {
            Some(day) => folders.days.push(day),
            None if ICEBERG.contains(&name) => {}
            None => folders.others.push(folder),
        }
    }
    folders
        .unrecognized
        .extend(listed.objects.into_iter().map(|object| object.location));
    folders.days.sort();
    Ok(folders)
}

/// The objects outside of the days' folders that are none of ours.
pub(super) async fn unrecognized(store: &dyn ObjectStore, folders: &Folders) -> Result<Vec<String>, LakeError> {
    let mut unrecognized: Vec<String> = folders.unrecognized.iter().map(ToString::to_string).collect();
    for folder in &folders.others {
        let is_of_notes = folder.filename().is_some_and(|name| NOTES.contains(&name));
        let mut objects = store.list(Some(folder));
        while let Some(object) = objects.try_next().await? {
            if !is_of_notes || object.location.extension() != Some("json") {
                unrecognized.push(object.location.to_string());
            }
        }
    }
    Ok(unrecognized)
}

/// What is in the folders of these days, in their order; within a day, in that of [`list`].
pub fn each<'a>(store: &'a dyn ObjectStore, table: &'a str, days: Vec<Date>) -> BoxStream<'a, Result<Listed, LakeError>> {
    let of_day = move |day: Date| async move {
        let folder = Path::from(format!("{table}/day={day}"));
        let mut objects: Vec<ObjectMeta> = store.list(Some(&folder)).try_collect().await?;
        objects.sort_by(|one, other| one.location.cmp(&other.location));
        let mut listed: Vec<Listed> = objects.into_iter().map(listed).collect();
        listed.sort_by_key(|listed| match listed {
            Listed::File(file) => Some(order(&file.name)),
            Listed::Unrecognized(_) => None,
        });
        Ok::<_, LakeError>(stream::iter(listed.into_iter().map(Ok)))
    };
    stream::iter(days).map(of_day).buffered(LISTS_AT_ONCE).try_flatten().boxed()
}

fn listed(object: ObjectMeta) -> Listed {
    match FileName::parse(&object.location) {
        Some(name) => Listed::File(LakeFile {
            name,
            bytes: object.size,
            written_at_ms: object.last_modified.timestamp_millis(),
        }),
        None => Listed::Unrecognized(object.location.to_string()),
    }
}

/// The start of the last range that a sink has decided upon, by partition and generation.
pub async fn last_intents(store: &dyn ObjectStore, table: &str) -> Result<BTreeMap<(u32, u32), i64>, object_store::Error> {
    let mut last = BTreeMap::new();
    let mut objects = store.list(Some(&Path::from(format!("{table}/_intents"))));
    while let Some(object) = objects.try_next().await? {
        if let Some((partition, generation, start)) = Intent::parse_path(&object.location) {
            let at = last.entry((partition, generation)).or_insert(start);
            *at = start.max(*at);
        }
    }
    Ok(last)
}
