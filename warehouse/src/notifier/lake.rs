//! What the notifier asks of the store that the lake is in.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use jiff::Timestamp;
use jiff::civil::Date;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use sinks::group::protocol::Intent;
use sinks::parquet::footer::{self, FooterError};
use sinks::parquet::layout::FileName;

/// What a file's footer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub written_at: Timestamp,
    /// The days on which its range has files; `None` if this is the only one.
    pub days: Option<BTreeSet<Date>>,
    /// It is only a mark: the rows are in a file of this version of the shape.
    pub superseded_by: Option<u32>,
}

/// Why the store did not answer; it is asked again.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The store failed.
    #[error("the store failed: {0}")]
    Store(#[from] Error),
    /// It did not answer in time.
    #[error("the store did not answer within {0:?}")]
    TimedOut(Duration),
    /// An object is not what its name says.
    #[error("{path}: {reason}")]
    Damaged {
        /// Where.
        path: String,
        /// How.
        reason: String,
    },
}

/// The lake, for the notifier.
#[async_trait]
pub trait Lake: Send + Sync + 'static {
    /// The days of which a table has folders, in order.
    async fn days(&self, table: &str) -> Result<Vec<Date>, LakeError>;
    /// The files of a table's day.
    async fn files(&self, table: &str, day: Date) -> Result<Vec<FileName>, LakeError>;
    /// The files of each partition's last intent, written or not.
    async fn newest(&self, table: &str) -> Result<Vec<FileName>, LakeError>;
    /// Reads a file's footer; `None` where there is no such file.
    async fn look(&self, file: &FileName) -> Result<Option<Seen>, LakeError>;
    /// Reads a note of the notifier's own.
    async fn read_note(&self, path: &Path) -> Result<Option<Bytes>, LakeError>;
    /// Writes it, over the one that is there.
    async fn write_note(&self, path: &Path, bytes: Bytes) -> Result<(), LakeError>;
}

/// The lake in an object store.
#[derive(Debug, Clone)]
pub struct StoreLake {
    store: Arc<dyn ObjectStore>,
    timeout: Duration,
}

impl StoreLake {
    /// A store whose answers are waited for this long.
    pub fn new(store: Arc<dyn ObjectStore>, timeout: Duration) -> Self {
        Self { store, timeout }
    }

    async fn bounded<T>(&self, work: impl Future<Output = Result<T, LakeError>>) -> Result<T, LakeError> {
        let done = tokio::time::timeout(self.timeout, work).await;
        done.unwrap_or(Err(LakeError::TimedOut(self.timeout)))
    }

    async fn get(&self, path: &Path) -> Result<Option<Bytes>, LakeError> {
        match self.store.get(path).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

#[async_trait]
impl Lake for StoreLake {
    async fn days(&self, table: &str) -> Result<Vec<Date>, LakeError> {
        self.bounded(async {
            let listed = self.store.list_with_delimiter(Some(&Path::from(table))).await?;
            let day = |folder: &Path| folder.parts().next_back()?.as_ref().strip_prefix("day=")?.parse().ok();
            let days: BTreeSet<Date> = listed.common_prefixes.iter().filter_map(day).collect();
            Ok(days.into_iter().collect())
        })
        .await
    }

    async fn files(&self, table: &str, day: Date) -> Result<Vec<FileName>, LakeError> {
        self.bounded(async {
            let folder = Path::from(format!("{table}/day={day}"));
            let objects: Vec<_> = self.store.list(Some(&folder)).try_collect().await?;
            let mut files: Vec<_> = objects
                .iter()
                .filter_map(|object| FileName::parse(&object.location))
                .collect();
            files.sort();
            Ok(files)
        })
        .await
    }

    async fn newest(&self, table: &str) -> Result<Vec<FileName>, LakeError> {
        self.bounded(async {
            let mut files = Vec::new();
            for ((partition, generation), start) in sinks::lake::last_intents(self.store.as_ref(), table).await? {
                let path = Intent::path_of(table, partition, generation, start);
                // The sink may have gone on meanwhile.
                let Some(json) = self.get(&path).await? else { continue };
                let intent = Intent::from_json(table, partition, &json).ok_or_else(|| LakeError::Damaged {
                    path: path.to_string(),
                    reason: "it is no intent of a sink".to_owned(),
                })?;
                files.extend(intent.files());
            }
            Ok(files)
        })
        .await
    }

    async fn look(&self, file: &FileName) -> Result<Option<Seen>, LakeError> {
        let path = file.path();
        let damaged = |reason: String| LakeError::Damaged {
            path: path.to_string(),
            reason,
        };
        self.bounded(async {
            let object = match self.store.head(&path).await {
                Ok(object) => object,
                Err(Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let identity = match footer::read(self.store.as_ref(), &path).await {
                Ok(identity) => identity,
                Err(FooterError::Store(Error::NotFound { .. })) => return Ok(None),
                Err(FooterError::Store(error)) => return Err(error.into()),
                Err(FooterError::Damaged(reason)) => return Err(damaged(reason)),
            };
            if !identity.is_of(file) {
                return Err(damaged("its footer is that of another file".to_owned()));
            }
            Ok(Some(Seen {
                size: object.size,
                written_at: Timestamp::from_millisecond(object.last_modified.timestamp_millis()).unwrap_or(Timestamp::UNIX_EPOCH),
                days: identity.days.map(BTreeSet::from_iter),
                superseded_by: identity.superseded_by,
            }))
        })
        .await
    }

    async fn read_note(&self, path: &Path) -> Result<Option<Bytes>, LakeError> {
        self.bounded(self.get(path)).await
    }

    async fn write_note(&self, path: &Path, bytes: Bytes) -> Result<(), LakeError> {
        self.bounded(async {
            self.store.put(path, bytes.into()).await?;
            Ok(())
        })
        .await
    }
}
