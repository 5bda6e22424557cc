//! Large files, in parts side by side.
//!
//! No store lets the completion of a multipart upload be create-only through one interface, so a file is uploaded to a name of
//! its own in `_uploads/`, and copied within the store onto its place, create-only; then the upload is deleted. S3 copies by a multipart
//! upload of one part, whose completion takes `If-None-Match`; GCS by `x-goog-if-generation-match: 0`. Azure's copies may be
//! unfinished when they are answered, so there files are put whole (`target`).
//!
//! Why parts? One connection to a store brings 50 to 100 MB/s at best, and a put that breaks off begins again. A part of
//! 8 MiB is above what S3 demands (5 MiB), and 10,000 of them are more than the largest file.
//!
//! A crash leaves an object in `_uploads/`, which the next start deletes when it is a day old, or parts that show nowhere, which the
//! store's life-cycle rule for incomplete uploads ends (docs/lake.md).

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use clock::{Clock, Millis, SystemClock};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt};
use uuid::Uuid;

use super::store::{Lake, StoreError, bounded};

/// The size of a part, but for the last one.
const PART_BYTES: usize = 8 << 20;
/// Parts of one file on their way.
const PARTS_AT_ONCE: usize = 4;
/// Where files are until they are copied onto their places.
const UPLOADS: &str = "_uploads";
/// The object by which a store shows that it refuses to copy onto what is there.
const PROBE: &str = "_riverbank/create-only-copy";
/// How old what a crash has left must be.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 3_600);
/// The most leftovers that one start deletes.
const LEFTOVERS_MAX: usize = 1_000;

impl Lake {
    /// Creates a file; false if one is there.
    pub(super) async fn put_file(&self, path: &Path, bytes: Bytes) -> Result<bool, StoreError> {
        if (bytes.len() as u64) < self.multipart_bytes || !self.copies.load(Ordering::Acquire) {
            return self.put(path.clone(), bytes).await;
        }
        let size = bytes.len() as u64;
        let upload = upload_path();
        self.upload(&upload, bytes).await?;
        // The copy is within the store, and of so many bytes all the same.
        let created = bounded(self.time_for(size), self.copy(&upload, path)).await;
        self.tidy([upload].into_iter()).await;
        created
    }

    async fn upload(&self, path: &Path, bytes: Bytes) -> Result<(), StoreError> {
        let size = bytes.len();
        let mut upload = bounded(self.timeout, async { Ok(self.store.put_multipart(path).await?) }).await?;
        let sent = bounded(self.time_for(size as u64), async {
            let parts = (0..size)
                .step_by(PART_BYTES)
                .map(|from| bytes.slice(from..size.min(from + PART_BYTES)));
            let parts = stream::iter(parts).map(|part| upload.put_part(part.into()));
            parts.buffer_unordered(PARTS_AT_ONCE).try_for_each(async |()| Ok(())).await?;
            upload.complete().await?;
            Ok(())
        })
        .await;
        if sent.is_err() {
            // So that no parts are left that nobody sees; it may be too late, or the store away.
            let aborted = bounded(self.timeout, async { Ok(upload.abort().await?) }).await;
            if let Err(error) = aborted {
                tracing::debug!(%path, %error, "an incomplete upload stays");
            }
        }
        sent
    }

    /// Copies onto a place where nothing is; false if something is there.
    async fn copy(&self, from: &Path, to: &Path) -> Result<bool, StoreError> {
        match self.store.copy_if_not_exists(from, to).await {
            Ok(()) => Ok(true),
            Err(Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the store refuses to copy onto an object that is there.
    pub(super) async fn keeps_what_is_copied_to(&self) -> Result<bool, StoreError> {
        let (upload, probe) = (upload_path(), Path::from(PROBE));
        self.upload(
            &upload,
            Bytes::from_static(b"the sinks rely on it that nothing is copied onto this\n"),
        )
        .await?;
        let copy = || bounded(self.timeout, self.copy(&upload, &probe));
        let keeps = async { Ok(!copy().await? || !copy().await?) }.await;
        self.tidy([upload.clone()].into_iter()).await;
        match keeps {
            Err(StoreError::Failed(Error::NotSupported { .. } | Error::NotImplemented { .. })) => Ok(false),
            keeps => keeps,
        }
    }

    /// Deletes what crashes have left.
    pub(super) async fn drop_leftovers(&self) {
        let before = SystemClock.now_ms() - LEFTOVER_AGE;
        let listed = bounded(self.timeout, async {
            let objects = self.store.list(Some(&Path::from(UPLOADS)));
            let old = objects.try_filter_map(async |object| {
                let is_old = Millis(object.last_modified.timestamp_millis()) < before;
                Ok(is_old.then_some(object.location))
            });
            Ok(old.take(LEFTOVERS_MAX).try_collect::<Vec<_>>().await?)
        });
        match listed.await {
            Ok(old) => self.tidy(old.into_iter()).await,
            Err(error) => tracing::debug!(%error, "what crashes have left was not looked for"),
        }
    }
}

/// A name that nobody else takes.
fn upload_path() -> Path {
    Path::from(format!("{UPLOADS}/{}", Uuid::new_v4()))
}
