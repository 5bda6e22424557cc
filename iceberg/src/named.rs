//! Which of the lake's files a table needs: what may be deleted is asked here.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use sinks::parquet::layout::FileName;

use crate::access::Access;
use crate::catalog::CatalogError;
use crate::manifest::{self, ManifestError};
use crate::metadata::Metadata;
use crate::place::Place;
use crate::progress::{Progress, Unknown};

/// How many manifests are read at the same time.
const AT_ONCE: usize = 8;
/// How often the table is loaded again when its manifests change meanwhile.
const TRIES: u32 = 3;

/// It is not known what a table needs: nothing may be deleted.
#[derive(Debug, thiserror::Error)]
pub enum NamedError {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store.
    #[error("the store failed: {0}")]
    Store(#[from] object_store::Error),
    /// A manifest.
    #[error("{0}: {1}")]
    Manifest(String, ManifestError),
    /// A manifest that cannot be read from here.
    #[error("{0} is not in the lake: which files it names is not known")]
    Elsewhere(String),
    /// The offsets.
    #[error(transparent)]
    Progress(#[from] Unknown),
}

/// What a table needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// The files that a snapshot names which the table still has, relative to the lake.
    pub files: BTreeSet<Path>,
    /// How far the table is: what comes after it is named by no snapshot, and is needed all the same.
    pub progress: Progress,
}

impl Named {
    /// Whether the table goes on without this file of the sink's: it was taken in, and no snapshot names it any more.
    pub fn can_spare(&self, file: &FileName) -> bool {
        let at = self.progress.0.get(&file.partition);
        let is_taken =
            at.is_some_and(|at| file.generation < at.generation || (file.generation == at.generation && file.end < at.next));
        is_taken && !self.files.contains(&file.path())
    }
}

/// The files of the lake that any snapshot of a table names which has not expired. Nothing, if the catalog has no such table.
pub async fn named_files(access: &Access) -> Result<Named, NamedError> {
    let mut tries = 0;
    loop {
        let Some(loaded) = access.catalog.load(&access.name).await? else {
            return Ok(Named::default());
        };
        match of_metadata(&loaded.metadata, &access.store, &access.place).await {
            // A commit has put other manifests in the place of these meanwhile.
            Err(NamedError::Store(object_store::Error::NotFound { .. })) if tries < TRIES => tries += 1,
            result => return result,
        }
    }
}

/// The same, of metadata that were read.
pub async fn of_metadata(metadata: &Metadata, store: &Arc<dyn ObjectStore>, place: &Place) -> Result<Named, NamedError> {
    let get = async |url: String| {
        // A list or a manifest that another writer has put elsewhere may name the lake's files.
        let path = place.path_of(&url).ok_or_else(|| NamedError::Elsewhere(url.clone()))?;
        let bytes = store.get(&path).await?.bytes().await?;
        Ok::<_, NamedError>((url, bytes))
    };
    let wrong = |url: String| move |error: ManifestError| NamedError::Manifest(url, error);
    let lists = metadata.snapshots().iter().filter_map(|one| one["manifest-list"].as_str());
    let mut lists = stream::iter(lists.map(|list| get(list.to_owned()))).buffer_unordered(AT_ONCE);
    let mut manifests = BTreeSet::new();
    while let Some((url, bytes)) = lists.try_next().await? {
        let list = manifest::read_list(&bytes).map_err(wrong(url))?;
        manifests.extend(list.into_iter().map(|one| one.url));
    }
    drop(lists);
    let mut manifests = stream::iter(manifests.into_iter().map(get)).buffer_unordered(AT_ONCE);
    let mut files = BTreeSet::new();
    while let Some((url, bytes)) = manifests.try_next().await? {
        let urls = manifest::urls(&bytes).map_err(wrong(url))?;
        files.extend(urls.iter().filter_map(|url| place.path_of(url)));
    }
    let progress = Progress::read(metadata)?;
    Ok(Named { files, progress })
}
