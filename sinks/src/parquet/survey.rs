//! What the store knows of a partition: generations, intents, and the ends of files.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path;

use super::footer::Identity;
use super::layout::FileName;
use super::marks::Marks;
use super::store::{Lake, StoreError, bounded};
use crate::Table;
use crate::group::floors;
use crate::group::generations::Generation;
use crate::group::protocol::Intent;

/// What the store knows of a partition, where the group does not say enough.
#[derive(Debug)]
pub struct Survey {
    /// The table's generations.
    pub generations: Vec<Generation>,
    /// The last intent of the topic's generation, and whether all of its files are there.
    pub intent: Option<(Intent, bool)>,
    /// The last offset of each partition's files; asked only where nothing else says it.
    pub ends: Option<BTreeMap<u32, i64>>,
}

impl Lake {
    /// What the store knows of a partition.
    pub async fn survey(
        self,
        table: Arc<dyn Table>,
        partition: u32,
        id: Option<broker::TopicId>,
        lists: bool,
    ) -> Result<Survey, StoreError> {
        let generations = self.generations(table.name()).await?;
        let number = match generations.as_slice() {
            [] => Some(1),
            all => Generation::of(all, id, partition).map(|generation| generation.generation),
        };
        let mut intent = None;
        if let Some(number) = number
            && let Some(last) = self.last_intent(table.name(), partition, number).await?
        {
            let is_written = self.is_written(&last).await?;
            intent = Some((last, is_written));
        }
        let lists = lists && generations.is_empty() && (id.is_some() || intent.is_none());
        let ends = match lists {
            true => Some(self.ends(table.name()).await?),
            false => None,
        };
        Ok(Survey {
            generations,
            intent,
            ends,
        })
    }

    /// A table's generations, in order.
    pub async fn generations(&self, table: &str) -> Result<Vec<Generation>, StoreError> {
        let mut all = Vec::new();
        for path in self.names(&Generation::folder(table)).await? {
            let json = self.get(&path).await?;
            let generation: Result<Generation, _> = serde_json::from_slice(&json);
            all.push(generation.map_err(|error| StoreError::Conflict {
                path,
                reason: error.to_string(),
            })?);
        }
        all.sort_by_key(|generation| generation.generation);
        Ok(all)
    }

    /// Notes a generation, if none of its number is there. Returns whether it was noted.
    pub async fn accept(&self, table: &str, generation: &Generation) -> Result<bool, StoreError> {
        let json = serde_json::to_vec_pretty(generation).map_err(|error| StoreError::Table(error.to_string()))?;
        self.put(generation.path(table), json.into()).await
    }

    /// The last offset that the files of each partition cover. Lists them all.
    pub async fn ends(&self, table: &str) -> Result<BTreeMap<u32, i64>, StoreError> {
        let mut objects = self.store.list(Some(&Path::from(table)));
        let mut ends = BTreeMap::new();
        // Each step by itself: a table of years takes minutes, and is listed once.
        while let Some(object) = bounded(self.timeout, async { Ok(objects.try_next().await?) }).await? {
            let file = FileName::parse(&object.location).map(|file| (file.partition, file.generation, file.end));
            // What retention has removed was there.
            let floor =
                || floors::parse(&object.location).map(|((partition, generation), floor)| (partition, generation, floor - 1));
            if let Some((partition, _, last)) = file.or_else(floor).filter(|(_, generation, _)| *generation == 1) {
                let end = ends.entry(partition).or_insert(last);
                *end = last.max(*end);
            }
        }
        Ok(ends)
    }

    /// The last intent of a partition, if not all of its files are there.
    pub async fn pending(&self, table: &str, partition: u32, generation: u32) -> Result<Option<Intent>, StoreError> {
        match self.last_intent(table, partition, generation).await? {
            Some(last) if !self.is_written(&last).await? => Ok(Some(last)),
            _ => Ok(None),
        }
    }

    async fn last_intent(&self, table: &str, partition: u32, generation: u32) -> Result<Option<Intent>, StoreError> {
        let names = self.names(&Intent::folder(table, partition, generation)).await?;
        match names.last() {
            Some(last) => Ok(Some(self.intent_at(last, table, partition).await?)),
            None => Ok(None),
        }
    }

    pub(super) async fn intent_at(&self, path: &Path, table: &str, partition: u32) -> Result<Intent, StoreError> {
        let json = self.get(path).await?;
        Intent::from_json(table, partition, &json).ok_or_else(|| StoreError::Conflict {
            path: path.clone(),
            reason: "it is no intent of a sink".to_owned(),
        })
    }

    async fn is_written(&self, intent: &Intent) -> Result<bool, StoreError> {
        for mut name in intent.files() {
            let mut marks = Marks::from(&name);
            loop {
                match self.identity(&name).await? {
                    None => return Ok(false),
                    Some(Identity {
                        superseded_by: Some(schema),
                        ..
                    }) => follow(&mut marks, &mut name, schema)?,
                    Some(_) => break,
                }
            }
        }
        Ok(true)
    }
}

/// Goes on at the file that a mark names.
pub(super) fn follow(marks: &mut Marks, name: &mut FileName, schema: u32) -> Result<(), StoreError> {
    let path = name.path();
    marks.follow(name, schema).map_err(|circle| StoreError::Conflict {
        path,
        reason: circle.to_string(),
    })
}
