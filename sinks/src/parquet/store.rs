//! What the sink asks of the object store, each with a bound on its time.
//!
//! `survey` asks where a partition stands, `files` writes ranges, `upload` large files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use super::footer::{self, FooterError, Identity};
use super::layout::FileName;

/// The object by which a store shows that it refuses to create what is there.
const PROBE: &str = "_riverbank/create-only";

/// The slowest line that a large object may take: what a request may take grows with its bytes.
const BYTES_A_SECOND_MIN: u64 = 1 << 20;

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

/// The store, for the sink.
#[derive(Clone)]
pub struct Lake {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) timeout: Duration,
    /// From how many bytes on a file is uploaded in parts.
    pub(super) multipart_bytes: u64,
    /// Whether the store was seen to refuse a copy onto what is there.
    pub(super) copies: Arc<AtomicBool>,
}

impl Lake {
    /// A store whose answers are waited for this long.
    pub fn new(store: Arc<dyn ObjectStore>, timeout: Duration) -> Self {
        Self {
            store,
            timeout,
            multipart_bytes: u64::MAX,
            copies: Arc::default(),
        }
    }

    /// The same, where files of so many bytes and more are uploaded in parts, once the store was seen to be fit for it.
    pub fn with_parts_from(self, multipart_bytes: u64) -> Self {
        Self { multipart_bytes, ..self }
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
        let keeps = !probe().await? || !probe().await?;
        if keeps && self.multipart_bytes < u64::MAX {
            let copies = self.keeps_what_is_copied_to().await?;
            if !copies {
                tracing::warn!("the store does not refuse to copy onto an object that is there: large files are put whole");
            }
            self.copies.store(copies, Ordering::Release);
            self.drop_leftovers().await;
        }
        Ok(keeps)
    }

    /// Creates an object; false if one is there.
    pub(super) async fn put(&self, path: Path, bytes: Bytes) -> Result<bool, StoreError> {
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        bounded(self.time_for(bytes.len() as u64), async {
            match self.store.put_opts(&path, bytes.into(), options).await {
                Ok(_) => Ok(true),
                Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
        .await
    }

    /// How long a request of so many bytes may take.
    pub(super) fn time_for(&self, bytes: u64) -> Duration {
        self.timeout + Duration::from_secs(bytes / BYTES_A_SECOND_MIN)
    }

    /// Deletes objects that are of no more use. What stays is in nobody's way.
    pub(super) async fn tidy(&self, useless: impl Iterator<Item = Path>) {
        for path in useless {
            let deleted = bounded(self.timeout, async { Ok(self.store.delete(&path).await?) }).await;
            if let Err(error) = deleted {
                tracing::debug!(%path, %error, "an object of no more use stays");
            }
        }
    }

    /// What a file says of itself, if it is there.
    pub(super) async fn identity(&self, file: &FileName) -> Result<Option<Identity>, StoreError> {
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

    pub(super) async fn get(&self, path: &Path) -> Result<Bytes, StoreError> {
        bounded(self.timeout, async { Ok(self.store.get(path).await?.bytes().await?) }).await
    }

    /// The objects in a folder, in order.
    pub(super) async fn names(&self, folder: &Path) -> Result<Vec<Path>, StoreError> {
        bounded(self.timeout, async {
            let objects = self.store.list(Some(folder)).map_ok(|object| object.location);
            let mut names: Vec<_> = objects.try_collect().await?;
            names.sort();
            Ok(names)
        })
        .await
    }
}

pub(super) async fn bounded<T>(timeout: Duration, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(timeout, work)
        .await
        .unwrap_or(Err(StoreError::TimedOut(timeout)))
}
