//! The files of a range: written, or found to be there already.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use wire::Registry;

use super::compare::same_rows;
use super::digest;
use super::footer::Identity;
use super::layout::FileName;
use super::marks::Marks;
use super::store::{Lake, StoreError};
use super::survey::follow;
use super::writer::{FileBytes, FileWriter};
use crate::Table;
use crate::group::protocol::{Days, Intent};

/// Files of one range that are uploaded together. A range mostly has one; a late partition's has a file for each day that it catches up,
/// and small ones cost a round trip each.
const FILES_AT_ONCE: usize = 4;

/// What became of a range that was to be written.
#[derive(Debug)]
pub enum Written {
    /// All of its files are there.
    All {
        /// Rows in them.
        rows: u64,
    },
    /// From the same start, something else was decided, and that holds.
    Other(Intent),
    /// Somebody else has written it and is farther on.
    Behind,
    /// Another version of the program writes it with another shape.
    Superseded,
}

/// A file of an intent, and what is there.
pub type Found = (FileName, Option<Identity>);

impl Lake {
    /// Writes the intent, then its files, or makes sure that those which are there are they. The intents before it are deleted.
    pub async fn write(self, intent: Intent, content: Vec<FileBytes>, compacted: bool) -> Result<Written, StoreError> {
        let path = intent.path();
        if !self.put(path.clone(), intent.to_json().into()).await? {
            let other = self.intent_at(&path, &intent.table, intent.partition).await?;
            if other != intent {
                return Ok(Written::Other(other));
            }
        }
        let folder = Intent::folder(&intent.table, intent.partition, intent.place.generation);
        let all = self.names(&folder).await?;
        // Who has gone on before has deleted its intent of this start: what is decided now would not be what was written.
        if all.last().is_some_and(|last| *last > path) {
            return Ok(Written::Behind);
        }
        self.tidy(all.into_iter().filter(|before| *before < path)).await;
        let lake = &self;
        let creations = content
            .into_iter()
            .map(|file| async move { lake.create(&file, compacted).await });
        let created: Vec<_> = stream::iter(creations).buffer_unordered(FILES_AT_ONCE).try_collect().await?;
        let rows: Option<Vec<u64>> = created.into_iter().map(|identity| Some(identity?.rows)).collect();
        Ok(rows.map_or(Written::Superseded, |rows| Written::All { rows: rows.iter().sum() }))
    }

    /// The files of an intent as far as they are there, by the names that hold. A file that is not there, and was decided upon
    /// with another version of the shape, is superseded by this version's: its rows could not be made any more.
    pub async fn find(
        self,
        intent: Intent,
        table: Arc<dyn Table>,
        registry: Arc<dyn Registry>,
    ) -> Result<Vec<Found>, StoreError> {
        let mut all = Vec::new();
        for mut name in intent.files() {
            let mut marks = Marks::from(&name);
            loop {
                match self.identity(&name).await? {
                    Some(Identity {
                        superseded_by: Some(schema),
                        ..
                    }) => follow(&mut marks, &mut name, schema)?,
                    None if name.schema != table.schema_version() => {
                        self.supersede(&intent, &name, &table, &registry).await?;
                    }
                    Some(there) => {
                        is_as_decided(&intent, &name, &there, table.is_compacted())?;
                        break all.push((name, Some(there)));
                    }
                    None => break all.push((name, None)),
                }
            }
        }
        if all.iter().any(|(_, there)| there.is_none()) {
            // The crash may have come before that. Whoever looks at the store alone then knows of it.
            self.put(intent.path(), intent.to_json().into()).await?;
        }
        Ok(all)
    }

    /// Puts a mark where a file would have been, create-only: an owner of another version that still writes it is refused. If it
    /// was faster, its file holds.
    async fn supersede(
        &self,
        intent: &Intent,
        name: &FileName,
        table: &Arc<dyn Table>,
        registry: &Arc<dyn Registry>,
    ) -> Result<(), StoreError> {
        let identity = Identity {
            table: name.table.clone(),
            topic: table.topic().to_owned(),
            partition: name.partition,
            start: name.start,
            end: name.end,
            schema: name.schema,
            rows: 0,
            topic_id: intent.place.topic_id,
            generation: name.generation,
            days: match &intent.days {
                Days::Split(days) => Some(days.keys().copied().collect()),
                Days::Whole(_) => None,
            },
            digest: None,
            superseded_by: Some(table.schema_version()),
        };
        let mark = FileWriter::superseded(table.clone(), table.rows(registry.clone()), &identity);
        let mark = mark.map_err(|error| StoreError::Table(error.to_string()))?;
        self.put(name.path(), mark).await?;
        Ok(())
    }

    /// Creates the file, or makes sure that the one which is there is it; `None` if it is superseded.
    async fn create(&self, ours: &FileBytes, compacted: bool) -> Result<Option<Identity>, StoreError> {
        let path = ours.file.path();
        if self.put_file(&path, ours.bytes.clone()).await? {
            return Ok(Some(ours.identity.clone()));
        }
        let conflict = |reason: String| StoreError::Conflict {
            path: path.clone(),
            reason,
        };
        let there = self.identity(&ours.file).await?;
        let there = there.ok_or_else(|| conflict("it was deleted meanwhile".to_owned()))?;
        if there.superseded_by.is_some() {
            return Ok(None);
        }
        if let (Some(theirs), Some(own)) = (there.topic_id, ours.identity.topic_id)
            && theirs != own
        {
            return Err(conflict(format!("it is of topic {theirs}, not of {own}")));
        }
        match (&there.digest, &ours.identity.digest) {
            (Some(theirs), Some(own)) if theirs == own => return Ok(Some(there)),
            (Some(_), Some(_)) if !compacted => return Err(conflict("it has other records".to_owned())),
            _ => {}
        }
        let bytes = self.get(&path).await?;
        same_rows(bytes, ours.bytes.clone(), compacted).map_err(conflict)?;
        Ok(Some(there))
    }
}

/// Whether a file that is there has the topic and the records that were decided upon. Of a compacted log, a later attempt may have
/// had fewer.
fn is_as_decided(intent: &Intent, name: &FileName, there: &Identity, compacted: bool) -> Result<(), StoreError> {
    let conflict = |reason: String| {
        Err(StoreError::Conflict {
            path: name.path(),
            reason,
        })
    };
    if let (Some(theirs), Some(own)) = (there.topic_id, intent.place.topic_id)
        && theirs != own
    {
        return conflict(format!("it is of topic {theirs}, not of {own}"));
    }
    match (&there.digest, intent.digest(name.day)) {
        (Some(theirs), Some(own)) if !compacted && digest::short(theirs) != own => {
            conflict("it has other records than were decided upon".to_owned())
        }
        _ => Ok(()),
    }
}
