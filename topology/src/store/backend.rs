//! The store port: ordered bytes in named families, written in atomic batches.

use std::any::{Any, TypeId};
use std::sync::Arc;

use broker::{Message, TopicSettings};
use clock::Millis;
use serde::{Deserialize, Serialize};
use wire::Registry;

use super::{Backing, ChangelogSettings};
use crate::error::{EngineError, ProcessError, StoreError};

/// What a backend keeps beside the data: the position that the data reflects. Written in the same batch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Per store: the changelog offset to replay from.
    pub changelog: Vec<(String, i64)>,
    /// Per input topic: the offset to read next, as of the last transaction in the data.
    pub sources: Vec<(String, i64)>,
    /// Per input topic: how far the data reflects it, to the record. A position [finer than the log's offset](crate::RecordOffset), and how
    /// many records were handed over in memory. Empty in what earlier versions wrote.
    #[serde(default)]
    pub reached: Vec<(String, i64, i64)>,
    /// The ids of the input topics, where the broker gives them: a topic that was made anew has another one.
    #[serde(default)]
    pub topics: Vec<(String, String)>,
    /// The highest event time that the task has seen. `None` before the first record, and in what earlier
    /// versions wrote.
    #[serde(default)]
    pub stream_time_ms: Option<Millis>,
    /// The same of each store that keeps a time of its own.
    #[serde(default)]
    pub store_times: Vec<(String, Millis)>,
    /// How many transactions this task has committed.
    pub sequence: u64,
    /// When the data was last known to be all that the changelogs held: the task owned them then.
    pub written_at_ms: Millis,
}

/// Writes that take effect together.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) arena: Vec<u8>,
    /// Family, key's end, value's end (`None`: a delete); each key starts where the last entry ended.
    pub(crate) entries: Vec<(u16, usize, Option<usize>)>,
    pub(crate) stored: Option<Stored>,
}

impl Batch {
    /// Adds a put, or with no value a delete.
    pub fn set(&mut self, family: u16, key: &[u8], value: Option<&[u8]>) {
        self.arena.extend_from_slice(key);
        let key_end = self.arena.len();
        let value_end = value.map(|v| {
            self.arena.extend_from_slice(v);
            self.arena.len()
        });
        self.entries.push((family, key_end, value_end));
    }

    /// Says what position the data reflects once this batch is in it.
    pub fn reflect(&mut self, stored: Stored) {
        self.stored = Some(stored);
    }

    /// The position that the data reflects once this batch is in it, if it says so.
    pub fn reflects(&self) -> Option<&Stored> {
        self.stored.as_ref()
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &[u8], Option<&[u8]>)> {
        let mut start = 0;
        self.entries.iter().map(move |&(family, key_end, value_end)| {
            let key = &self.arena[start..key_end];
            let value = value_end.map(|end| &self.arena[key_end..end]);
            start = value_end.unwrap_or(key_end);
            (family, key, value)
        })
    }

    /// The bytes of all keys and values.
    pub fn len_bytes(&self) -> usize {
        self.arena.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.stored.is_none()
    }
}

/// Keys and values of a range.
pub type Entries<'a> = Box<dyn Iterator<Item = Result<(Box<[u8]>, Box<[u8]>), StoreError>> + 'a>;

/// So many entries are removed in one batch.
const CLEARED_AT_ONCE: usize = 10_000;

/// Bytes of one task, in families that are numbered by store.
pub trait Backend: Send + Sync + 'static {
    /// The value of a key.
    fn get(&self, family: u16, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// Visits the value of each of many keys, which are given in byte order, once each.
    fn get_many(&self, family: u16, keys: &[&[u8]], visit: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StoreError> {
        for key in keys {
            visit(self.get(family, key)?.as_deref());
        }
        Ok(())
    }
    /// Writes a batch, wholly or not at all.
    fn write(&self, batch: &Batch) -> Result<(), StoreError>;
    /// The entries from the key `from` on and below `to`, in byte order, as they are at the time of this call.
    fn range(&self, family: u16, from: &[u8], to: Option<&[u8]>) -> Entries<'_>;
    /// Removes all entries of a family.
    fn clear(&self, family: u16) -> Result<(), StoreError> {
        loop {
            let mut batch = Batch::default();
            for entry in self.range(family, &[], None).take(CLEARED_AT_ONCE) {
                batch.set(family, &entry?.0, None);
            }
            if batch.is_empty() {
                return Ok(());
            }
            self.write(&batch)?;
        }
    }
    /// The position that the data reflects; `None` when nothing was ever written.
    fn stored(&self) -> Result<Option<Stored>, StoreError>;
    /// About how many bytes a family takes on disk or in memory.
    fn size_bytes(&self, family: u16) -> u64;
}

/// Opens the backend of a task.
pub trait Backends: Send + Sync + 'static {
    /// Takes what the state lies in for this process, until these backends are dropped, and returns a name of it that no copy
    /// has; asked again, the same. Fails where another process has it. `None`: the state is in memory, or nobody else's anyway.
    fn claim(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }
    /// Opens or makes the task's backend with these families. Fails while another process has it open.
    fn open(&self, task: &str, families: &[&str]) -> Result<Arc<dyn Backend>, StoreError>;
    /// Removes the task's data for good.
    fn wipe(&self, task: &str) -> Result<(), StoreError>;
    /// The tasks that have data here, open or not.
    fn tasks(&self) -> Result<Vec<String>, StoreError>;
}

/// A store's definition with its types forgotten, and the way to make one.
#[derive(Clone)]
pub(crate) struct StoreDef {
    pub name: &'static str,
    pub backing: Backing,
    /// What its changelog's topic is made with, as it was given.
    pub changelog: ChangelogSettings,
    /// Its rows expire: another store has them by their times.
    pub expires: bool,
    pub types: TypeId,
    #[allow(clippy::type_complexity)]
    pub make: Arc<dyn Fn(&StoreContext<'_>) -> Result<Box<dyn AnyStore>, EngineError> + Send + Sync>,
}

/// What the changelog of a store is called.
pub(crate) fn changelog_name(application: &str, store: &str) -> String {
    format!("{application}-{store}-changelog")
}

impl StoreDef {
    /// Whether another definition of this name is of the same store.
    pub fn is_same(&self, other: &Self) -> bool {
        self.types == other.types && self.backing == other.backing && self.changelog == other.changelog
    }

    /// The topic that its changes go to, if they go to one.
    pub fn changelog_topic(&self, application: &str) -> Option<String> {
        (self.backing != Backing::Nowhere).then(|| self.subjects(application))
    }

    /// The topic after which its schemas are named, whether there is one or not.
    pub fn subjects(&self, application: &str) -> String {
        match self.backing {
            Backing::Changelog | Backing::Nowhere => changelog_name(application, self.name),
            Backing::Topic(topic) => topic.to_owned(),
        }
    }

    /// What its changelog's topic is made with, checked.
    pub fn settings(&self) -> Result<TopicSettings, String> {
        let name = self.name;
        match self.backing {
            Backing::Topic(topic) if !self.changelog.is_empty() => Err(format!(
                "store {name} cannot have settings for its changelog: that is the topic {topic}, which others read"
            )),
            Backing::Nowhere if !self.changelog.is_empty() => Err(format!("store {name} has settings for a changelog, but none")),
            _ => {
                let settings = TopicSettings::new(self.changelog.iter().copied());
                settings.map_err(|error| format!("the changelog of store {name} cannot have {error}"))
            }
        }
    }
}

/// What a store is made from.
pub(crate) struct StoreContext<'a> {
    pub backend: Arc<dyn Backend>,
    pub family: u16,
    pub registry: &'a Arc<dyn Registry>,
    /// The topic after which its schemas are named.
    pub subjects: String,
}

/// The part of a flush that one store does: fills the batch, off the worker's thread.
pub(crate) trait FlushPart: Send {
    fn fill(&self, batch: &mut Batch) -> Result<(), StoreError>;
    /// Called when the batch is in the backend.
    fn done(&self);
}

/// Receives a change for the changelog: key, value and timestamp.
pub(crate) type EmitChange<'a> = dyn FnMut(&[u8], Option<&[u8]>, Millis) -> Result<(), ProcessError> + 'a;

/// Look-ups in the backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LookedUp {
    pub single: usize,
    pub together: usize,
}

/// A task's store with its types forgotten.
pub(crate) trait AnyStore: Send {
    fn name(&self) -> &'static str;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    /// Starts a record: what it writes from here on can be undone.
    fn begin_record(&mut self, timestamp_ms: Millis);
    /// Takes back all that the record wrote.
    fn undo_record(&mut self);
    /// How many keys the open transaction has written.
    fn uncommitted_len(&self) -> usize;
    /// How many keys are committed, and not yet in the backend.
    fn unflushed_len(&self) -> usize;
    /// Looks up the keys that were named for that, together.
    fn read_ahead(&mut self) -> Result<(), StoreError>;
    /// How many keys were looked up in the backend since this was last asked: one by one, and together.
    fn take_looked_up(&mut self) -> LookedUp;
    /// Hands every uncommitted change to `emit` that it has not: the changelog's key, value and timestamp.
    fn changelog(&mut self, emit: &mut EmitChange<'_>) -> Result<(), ProcessError>;
    /// The same in the midst of a transaction, if few of its keys are written more than once: a commit then has less to send.
    fn changelog_so_far(&mut self, emit: &mut EmitChange<'_>) -> Result<(), ProcessError>;
    /// The transaction has committed.
    fn promote(&mut self);
    /// The transaction has not committed.
    fn discard(&mut self);
    /// Takes the committed layer for a flush; `None` if there is nothing. Not called again before it is done.
    fn flush(&mut self) -> Option<Box<dyn FlushPart>>;
    /// Adds a changelog record, which has a key, to a batch of the restore.
    fn restore(&mut self, message: &Message, batch: &mut Batch) -> Result<(), StoreError>;
    /// The highest event time that is committed, of a store that keeps one.
    fn committed_time_ms(&self) -> Option<Millis> {
        None
    }
    /// Goes on from what was kept of it.
    fn set_stream_time(&mut self, stream_time_ms: Millis) {
        let _ = stream_time_ms;
    }
    /// The task's stream time is committed with what the store has: see [`super::Expiring`].
    fn pass_time(&mut self, stream_time_ms: Millis) {
        let _ = stream_time_ms;
    }
    /// The view of the committed state, as [`super::View`] of its types.
    fn view(&self) -> Arc<dyn Any + Send + Sync>;
}

/// The highest event time of each store that keeps one.
pub(crate) fn store_times(stores: &[Box<dyn AnyStore>]) -> Vec<(String, Millis)> {
    let times = stores
        .iter()
        .map(|store| Some((store.name().to_owned(), store.committed_time_ms()?)));
    times.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_earlier_versions_stored_is_read() {
        let first = r#"{"changelog":[["a",7]],"sources":[["in",3]],"sequence":2,"written_at_ms":5}"#;
        let stored: Stored = serde_json::from_str(first).unwrap();
        let expected = Stored {
            changelog: vec![("a".to_owned(), 7)],
            sources: vec![("in".to_owned(), 3)],
            sequence: 2,
            written_at_ms: Millis(5),
            ..Stored::default()
        };
        assert_eq!(stored, expected);
        assert_eq!((stored.stream_time_ms, stored.store_times), (None, Vec::new()));
    }
}
