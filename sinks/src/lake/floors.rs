//! Floors, read and noted ([`crate::group::floors`] says what they are).

use std::collections::BTreeMap;

use clock::{Clock, SystemClock};
use futures::TryStreamExt;
use jiff::Timestamp;
use jiff::civil::Date;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};

use super::LakeError;
use crate::group::floors::{folder, parse, path_of};

/// The floors of a table, by partition and generation.
pub type Floors = BTreeMap<(u32, u32), i64>;

/// What stands in a note, for people: its name says all that counts.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// Files of days before this one were removed.
    before: Date,
    noted_at: Timestamp,
}

/// The floors that are noted.
pub async fn floors(store: &dyn ObjectStore, table: &str) -> Result<Floors, Error> {
    Ok(notes(store, table)
        .await?
        .into_iter()
        .fold(Floors::new(), |mut floors, (log, floor)| {
            let highest = floors.entry(log).or_insert(floor);
            *highest = floor.max(*highest);
            floors
        }))
}

async fn notes(store: &dyn ObjectStore, table: &str) -> Result<Vec<((u32, u32), i64)>, Error> {
    let notes = store.list(Some(&folder(table)));
    notes
        .try_filter_map(async |note| Ok(parse(&note.location)))
        .try_collect()
        .await
}

/// Notes floors, and deletes the notes of lower ones.
pub(super) async fn note(store: &dyn ObjectStore, table: &str, floors: &Floors, before: Date) -> Result<(), LakeError> {
    let known = notes(store, table).await?;
    let note = Note {
        before,
        noted_at: SystemClock.now(),
    };
    let json = serde_json::to_vec_pretty(&note).map_err(|error| LakeError::Notes(error.to_string()))?;
    for ((partition, generation), floor) in floors {
        let path = path_of(table, *partition, *generation, *floor);
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        match store.put_opts(&path, json.clone().into(), options).await {
            // Of another run: the same was noted.
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for (log, lower) in known {
        if floors.get(&log).is_some_and(|floor| *floor > lower) {
            let path = path_of(table, log.0, log.1, lower);
            // What stays is in nobody's way.
            if let Err(error) = store.delete(&path).await {
                tracing::debug!(%path, %error, "a lower floor stays noted");
            }
        }
    }
    Ok(())
}
