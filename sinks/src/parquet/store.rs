//! What the sink asks of the object store, each with a bound on its time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use wire::Registry;

use super::compare::same_rows;
use super::digest;
use super::footer::{self, FooterError, Identity};
use super::layout::FileName;
use super::writer::{FileBytes, FileWriter};
use crate::Table;
use crate::group::generations::Generation;
use crate::group::protocol::{Days, Intent};

/// The object by which a store shows that it refuses to create what is there.
const PROBE: &str = "_riverbank/create-only";

/// Why something could not be done; every one of them is tried again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store failed.
    #[error("the store failed: {0}")]
    Failed(#[from] object_store::Error),
    /// It did not answer in time; what was asked may have been done or not.
    #[error("the store did not answer within {0:?}")]
    TimedOut(Duration),
    /// An object of this name is there, and is not the one that was decided upon: an operator must look at it.
    #[error("{path} is there already and is another one: {reason} (docs/runbooks/lake.md)")]
    Conflict {
        /// Where.
        path: Path,
        /// How it differs.
        reason: String,
    },
    /// The table cannot be written.
    #[error("{0}")]
    Table(String),
}

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

/// The store, for the sink.
#[derive(Clone)]
pub struct Lake {
    store: Arc<dyn ObjectStore>,
    timeout: Duration,
}

impl Lake {
    /// A store whose answers are waited for this long.
    pub fn new(store: Arc<dyn ObjectStore>, timeout: Duration) -> Self {
        Self { store, timeout }
    }

    /// Whether the store refuses to create an object that is there: of two such puts, the second must fail. Without that, two
    /// owners could overwrite each other's files.
    pub async fn keeps_what_is_there(&self) -> Result<bool, StoreError> {
        let probe = || {
            self.put(
                Path::from(PROBE),
                Bytes::from_static(b"the sinks rely on it that this is created once\n"),
            )
        };
        // From an earlier start, it may be there already.
        Ok(!probe().await? || !probe().await?)
    }

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
        let mut rows = 0;
        for file in content {
            match self.create(&file, compacted).await? {
                Some(identity) => rows += identity.rows,
                None => return Ok(Written::Superseded),
            }
        }
        Ok(Written::All { rows })
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
            let mut seen = vec![name.schema];
            loop {
                match self.identity(&name).await? {
                    Some(Identity {
                        superseded_by: Some(schema),
                        ..
                    }) => follow(&mut name, schema, &mut seen)?,
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
            if let Some(file) = FileName::parse(&object.location).filter(|file| file.generation == 1) {
                let end = ends.entry(file.partition).or_insert(file.end);
                *end = file.end.max(*end);
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

    async fn intent_at(&self, path: &Path, table: &str, partition: u32) -> Result<Intent, StoreError> {
        let json = self.get(path).await?;
        Intent::from_json(table, partition, &json).ok_or_else(|| StoreError::Conflict {
            path: path.clone(),
            reason: "it is no intent of a sink".to_owned(),
        })
    }

    async fn is_written(&self, intent: &Intent) -> Result<bool, StoreError> {
        for mut name in intent.files() {
            let mut seen = vec![name.schema];
            loop {
                match self.identity(&name).await? {
                    None => return Ok(false),
                    Some(Identity {
                        superseded_by: Some(schema),
                        ..
                    }) => follow(&mut name, schema, &mut seen)?,
                    Some(_) => break,
                }
            }
        }
        Ok(true)
    }

    /// Deletes intents that are written. What stays is in nobody's way.
    async fn tidy(&self, written: impl Iterator<Item = Path>) {
        for path in written {
            let deleted = bounded(self.timeout, async { Ok(self.store.delete(&path).await?) }).await;
            if let Err(error) = deleted {
                tracing::debug!(%path, %error, "an intent that is written stays");
            }
        }
    }

    /// Creates the file, or makes sure that the one which is there is it; `None` if it is superseded.
    async fn create(&self, ours: &FileBytes, compacted: bool) -> Result<Option<Identity>, StoreError> {
        let path = ours.file.path();
        if self.put(path.clone(), ours.bytes.clone()).await? {
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

    /// What a file says of itself, if it is there.
    async fn identity(&self, file: &FileName) -> Result<Option<Identity>, StoreError> {
        let path = file.path();
        let conflict = |reason: String| StoreError::Conflict {
            path: path.clone(),
            reason,
        };
        bounded(self.timeout, async {
            match footer::read(self.store.as_ref(), &path).await {
                Ok(identity) if identity.is_of(file) => Ok(Some(identity)),
                Ok(identity) => Err(conflict(format!("its footer says {identity:?}"))),
                Err(FooterError::Store(object_store::Error::NotFound { .. })) => Ok(None),
                Err(FooterError::Store(error)) => Err(error.into()),
                Err(FooterError::Damaged(reason)) => Err(conflict(reason)),
            }
        })
        .await
    }

    /// Creates an object; false if one is there.
    async fn put(&self, path: Path, bytes: Bytes) -> Result<bool, StoreError> {
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        bounded(self.timeout, async {
            match self.store.put_opts(&path, bytes.into(), options).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    async fn get(&self, path: &Path) -> Result<Bytes, StoreError> {
        bounded(self.timeout, async { Ok(self.store.get(path).await?.bytes().await?) }).await
    }

    /// The objects in a folder, in order.
    async fn names(&self, folder: &Path) -> Result<Vec<Path>, StoreError> {
        bounded(self.timeout, async {
            let objects = self.store.list(Some(folder)).map_ok(|object| object.location);
            let mut names: Vec<_> = objects.try_collect().await?;
            names.sort();
            Ok(names)
        })
        .await
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

/// Goes on at the version that a mark names. Where a version was raised and taken back while its files were written, marks can lead
/// to each other: nobody may write then, before an operator has deleted one of them.
fn follow(name: &mut FileName, schema: u32, seen: &mut Vec<u32>) -> Result<(), StoreError> {
    if seen.contains(&schema) {
        return Err(StoreError::Conflict {
            path: name.path(),
            reason: format!("it is a mark, and so is that of version {schema}: delete the one of the version that runs now"),
        });
    }
    seen.push(schema);
    name.schema = schema;
    Ok(())
}

async fn bounded<T>(timeout: Duration, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(timeout, work)
        .await
        .unwrap_or(Err(StoreError::TimedOut(timeout)))
}
