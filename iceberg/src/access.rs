//! One table, as all that change it reach it: its name in the catalog, and its objects in the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use clock::Clock;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::catalog::{Catalog, CatalogError, Loaded, TableName};
use crate::error::CommitError;
use crate::manifest::{self, Entry, ManifestFile};
use crate::metadata::Metadata;
use crate::place::Place;
use crate::schema::Columns;

/// A table in its catalog and its store.
#[derive(Clone)]
pub struct Access {
    /// Its name in the catalog.
    pub name: TableName,
    /// Where its newest metadata are known.
    pub catalog: Arc<dyn Catalog>,
    /// The lake's objects.
    pub store: Arc<dyn ObjectStore>,
    /// How those are named from outside.
    pub place: Place,
    /// Says when snapshots are made, and which have expired.
    pub clock: Arc<dyn Clock>,
}

impl Access {
    /// The object of a URL.
    pub(crate) fn path(&self, url: &str) -> Result<Path, CommitError> {
        self.place.path_of(url).ok_or_else(|| CommitError::Elsewhere(url.to_owned()))
    }

    /// Reads an object.
    pub(crate) async fn get(&self, url: &str) -> Result<bytes::Bytes, CommitError> {
        let path = self.path(url)?;
        Ok(self.store.get(&path).await?.bytes().await?)
    }

    /// Creates an object. Its name has been drawn: if one is there, it is this one, whose put was done although it failed.
    pub(crate) async fn put(&self, url: &str, bytes: Vec<u8>) -> Result<(), CommitError> {
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        match self.store.put_opts(&self.path(url)?, bytes.into(), options).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The table, which is there.
    pub(crate) async fn load(&self) -> Result<Loaded, CommitError> {
        let loaded = self.catalog.load(&self.name).await?;
        loaded.ok_or_else(|| CommitError::NoTable(self.name.clone()))
    }

    /// The table's columns.
    pub(crate) fn columns(&self, metadata: &Metadata) -> Result<Columns, CommitError> {
        let lacks = || CatalogError::Failed(format!("{} has no schema", self.name));
        Ok(metadata.columns().ok_or_else(lacks)?)
    }

    /// The manifests of the newest snapshot.
    pub(crate) async fn manifests(&self, metadata: &Metadata) -> Result<Vec<ManifestFile>, CommitError> {
        let snapshot = metadata.current_snapshot();
        match snapshot.and_then(|snapshot| snapshot["manifest-list"].as_str()) {
            Some(list) => self.list(list).await,
            None => Ok(Vec::new()),
        }
    }

    /// The manifests of a list.
    pub(crate) async fn list(&self, url: &str) -> Result<Vec<ManifestFile>, CommitError> {
        manifest::read_list(&self.get(url).await?).map_err(|error| CommitError::Manifest(url.to_owned(), error))
    }

    /// The live files of a manifest of data files that this program wrote; `None` of another's.
    pub(crate) async fn entries(&self, one: &ManifestFile) -> Result<Option<Vec<Entry>>, CommitError> {
        match one.content {
            0 => manifest::read(&self.get(&one.url).await?, one).map_err(|error| CommitError::Manifest(one.url.clone(), error)),
            _ => Ok(None),
        }
    }

    /// Which of these files are in the table, as far as manifests of this program say; with the sequence numbers of their rows.
    pub(crate) async fn live(
        &self,
        base: &Loaded,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, i64>, CommitError> {
        let mut live = BTreeMap::new();
        for one in self.manifests(&base.metadata).await? {
            let entries = self.entries(&one).await?.unwrap_or_default();
            let wanted = entries.into_iter().filter(|entry| is_wanted(&entry.url));
            live.extend(wanted.map(|entry| (entry.url, entry.sequence_number)));
        }
        Ok(live)
    }
}
