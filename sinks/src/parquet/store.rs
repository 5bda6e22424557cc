//! What the sink asks of the object store, each with a bound on its time.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode, PutOptions};

use super::footer::{self, FooterError, Identity};
use super::layout::FileName;
use super::writer::FileBytes;

/// Why something could not be done; every one of them is tried again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store failed.
    #[error("the store failed: {0}")]
    Failed(#[from] object_store::Error),
    /// It did not answer in time; what was asked may have been done or not.
    #[error("the store did not answer within {0:?}")]
    TimedOut(Duration),
    /// A file of this name is there, and is not the one that was decided upon: an operator must look at it.
    #[error("{path} is there already and is another file: {reason}")]
    Conflict {
        /// Where.
        path: Path,
        /// How it differs.
        reason: String,
    },
}

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

    /// Creates the file, or makes sure that the one which is there is it. Returns what is in the store now.
    pub async fn create(self, file: FileName, content: FileBytes, compacted: bool) -> Result<Identity, StoreError> {
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        let path = file.path();
        let put = self.store.put_opts(&path, content.bytes.into(), options);
        match bounded(self.timeout, async { Ok(put.await) }).await? {
            Ok(_) => Ok(content.identity),
            Err(object_store::Error::AlreadyExists { .. }) => {
                let there = self.identity(&file).await?;
                same_rows(&file, &content.identity, &there, compacted)?;
                Ok(there)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The file, if it is there.
    pub async fn find(self, file: FileName) -> Result<Option<Identity>, StoreError> {
        match self.identity(&file).await {
            Ok(identity) => Ok(Some(identity)),
            Err(StoreError::Failed(object_store::Error::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The highest offset that a table's files cover in a partition.
    pub async fn last_offset(self, table: String, partition: u32) -> Result<Option<i64>, StoreError> {
        bounded(self.timeout, async {
            let mut objects = self.store.list(Some(&Path::from(table.as_str())));
            let mut last = None;
            while let Some(object) = objects.try_next().await? {
                let file = FileName::parse(&object.location).filter(|file| file.partition == partition);
                last = last.max(file.map(|file| file.end));
            }
            Ok(last)
        })
        .await
    }

    async fn identity(&self, file: &FileName) -> Result<Identity, StoreError> {
        let path = file.path();
        bounded(self.timeout, async {
            match footer::read(self.store.as_ref(), &path).await {
                Ok(identity) if identity.is_of(file) => Ok(identity),
                Ok(identity) => Err(StoreError::Conflict {
                    path: path.clone(),
                    reason: format!("its footer says {identity:?}"),
                }),
                Err(FooterError::Store(error)) => Err(error.into()),
                Err(FooterError::Damaged(reason)) => Err(StoreError::Conflict {
                    path: path.clone(),
                    reason,
                }),
            }
        })
        .await
    }
}

/// Two files from one decision have the same rows, unless the log has dropped some in between.
fn same_rows(file: &FileName, ours: &Identity, there: &Identity, compacted: bool) -> Result<(), StoreError> {
    let same = if compacted {
        there.rows >= ours.rows
    } else {
        there.rows == ours.rows
    };
    if same {
        return Ok(());
    }
    let reason = format!("it has {} rows, and the log gave {}", there.rows, ours.rows);
    Err(StoreError::Conflict {
        path: file.path(),
        reason,
    })
}

async fn bounded<T>(timeout: Duration, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(timeout, work)
        .await
        .unwrap_or(Err(StoreError::TimedOut(timeout)))
}
