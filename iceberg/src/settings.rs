//! What can be set about the Iceberg tables.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;

use crate::catalog::{Catalog, CatalogError, RestCatalog, RestOptions, SqlCatalog};
use crate::place::Place;

/// Where the catalog is.
#[derive(Clone, PartialEq, Eq)]
pub enum CatalogTarget {
    /// A SQLite file, which is made if it is not there.
    Sqlite(PathBuf),
    /// A Postgres database, by its URL.
    Postgres(String),
    /// A REST catalog.
    Rest(RestOptions),
}

impl std::fmt::Debug for CatalogTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CatalogTarget::Sqlite(file) => f.debug_tuple("Sqlite").field(file).finish(),
            // Its URL has a password.
            CatalogTarget::Postgres(_) => f.write_str("Postgres"),
            CatalogTarget::Rest(options) => f.debug_tuple("Rest").field(options).finish(),
        }
    }
}

/// The settings of the Iceberg tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IcebergSettings {
    /// The catalog.
    pub catalog: CatalogTarget,
    /// The catalog's name, by which programs that share a SQL database tell theirs apart.
    pub name: String,
    /// A namespace above those of the tables (`bronze`, `gold`).
    pub namespace: Option<String>,
    /// From one look for finished files to the next, and from one snapshot of a table to the next one at least. Files of this process's
    /// own sink are not waited for, see [`crate::IcebergHandle::listener`].
    pub interval: Duration,
    /// From one look to the next where something is in the way that does not recover by itself.
    pub slow_interval: Duration,
    /// Whether offsets that are in no file, though later ones are, are passed over; else they stop their table.
    pub skip_gaps: bool,
    /// After how long a turn is given up: a store or a catalog does not answer.
    pub turn_timeout: Duration,
    /// How long a clean stop may take to commit what is finished. What is left then is committed by whoever comes next.
    pub stop_timeout: Duration,
}

impl IcebergSettings {
    /// The defaults, with this catalog.
    pub fn new(catalog: CatalogTarget) -> Self {
        Self {
            catalog,
            name: "riverbank".to_owned(),
            namespace: None,
            interval: Duration::from_secs(5),
            slow_interval: Duration::from_secs(60),
            skip_gaps: false,
            turn_timeout: Duration::from_secs(600),
            stop_timeout: Duration::from_secs(30),
        }
    }

    /// Opens the catalog, of the tables in this lake.
    pub async fn open_catalog(&self, store: Arc<dyn ObjectStore>, place: Place) -> Result<Arc<dyn Catalog>, CatalogError> {
        let name = &self.name;
        Ok(match &self.catalog {
            CatalogTarget::Sqlite(file) => Arc::new(SqlCatalog::sqlite(file, name, store, place).await?),
            CatalogTarget::Postgres(url) => Arc::new(SqlCatalog::postgres(url, name, store, place).await?),
            CatalogTarget::Rest(options) => Arc::new(RestCatalog::new(options.clone())?),
        })
    }
}
