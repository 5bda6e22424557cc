//! The files of a table, by their names.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::path::Path;

use super::LakeError;
use crate::group::protocol::Intent;
use crate::parquet::layout::FileName;

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
    /// Objects whose names are none of ours. The sink's notes, in `_topics/` and `_intents/`, and Iceberg's
    /// metadata, in `metadata/`, are not listed.
    pub strangers: Vec<String>,
}

/// Lists a table.
pub async fn list(store: &dyn ObjectStore, table: &str) -> Result<Listing, LakeError> {
    let mut listing = Listing::default();
    let mut objects = store.list(Some(&Path::from(table)));
    while let Some(object) = objects.try_next().await? {
        match FileName::parse(&object.location) {
            Some(name) => listing.files.push(LakeFile {
                name,
                bytes: object.size,
                written_at_ms: object.last_modified.timestamp_millis(),
            }),
            None if is_note(&object.location) => {}
            None => listing.strangers.push(object.location.to_string()),
        }
    }
    listing.files.sort_by_key(|LakeFile { name, .. }| {
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
    });
    listing.strangers.sort();
    Ok(listing)
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

/// Whether it is one of what the sink notes for itself, or of the metadata of the Iceberg table over the same files.
fn is_note(path: &Path) -> bool {
    let folder = path.parts().nth(1);
    let is_in = |folders: &[&str]| folder.as_ref().is_some_and(|folder| folders.contains(&folder.as_ref()));
    match path.extension() {
        Some("json") => is_in(&["_topics", "_intents", "metadata"]),
        Some("avro") => is_in(&["metadata"]),
        _ => false,
    }
}
