//! The catalog of the Iceberg tables over the sinks' files.

use std::sync::Arc;

use anyhow::Context;
use clock::SystemClock;
use iceberg_tables::catalog::Loaded;
use iceberg_tables::{Access, Catalog, CatalogError, CatalogTarget, IcebergSettings, Place, RestOptions, TableName};
use object_store::ObjectStore;

use crate::config::IcebergCatalog;
use crate::config::Settings;

/// The catalog's own name in a database that others may share.
const NAME: &str = "riverbank";

/// The settings of the tables, if they are asked for.
pub fn settings(settings: &Settings) -> anyhow::Result<Option<IcebergSettings>> {
    let of = |catalog| IcebergSettings {
        name: NAME.to_owned(),
        namespace: settings.iceberg.namespace.clone(),
        interval: settings.iceberg.interval,
        skip_gaps: settings.iceberg.skip_gaps,
        ..IcebergSettings::new(catalog)
    };
    Ok(target(settings)?.map(of))
}

fn target(settings: &Settings) -> anyhow::Result<Option<CatalogTarget>> {
    let iceberg = &settings.iceberg;
    Ok(match iceberg.catalog {
        IcebergCatalog::Off => None,
        IcebergCatalog::Sqlite => {
            if let Some(folder) = iceberg.file.parent() {
                std::fs::create_dir_all(folder).with_context(|| format!("iceberg.file: make {}", folder.display()))?;
            }
            Some(CatalogTarget::Sqlite(iceberg.file.clone()))
        }
        IcebergCatalog::Postgres => {
            let url = iceberg.postgres_url.as_ref().context("iceberg.postgres_url is not set")?;
            Some(CatalogTarget::Postgres(url.reveal().to_owned()))
        }
        IcebergCatalog::Rest => {
            let url = iceberg.rest_url.as_ref().context("iceberg.rest_url is not set")?;
            Some(CatalogTarget::Rest(RestOptions {
                url: url.to_string(),
                warehouse: iceberg.rest_warehouse.clone(),
                token: None,
                credential: iceberg.rest_credential.as_ref().map(|secret| secret.reveal().to_owned()),
            }))
        }
    })
}

/// The tables of an open catalog, and the lake that they are of.
pub struct IcebergTables {
    /// The lake.
    pub store: Arc<dyn ObjectStore>,
    catalog: Arc<dyn Catalog>,
    place: Place,
    namespace: Option<String>,
}

impl IcebergTables {
    /// Opens the catalog, once for all tables.
    pub async fn open(iceberg: IcebergSettings, settings: &Settings, store: &Arc<dyn ObjectStore>) -> anyhow::Result<Self> {
        let (store, place) = (store.clone(), Place::new(settings.sink.url.as_str()));
        let catalog = iceberg.open_catalog(store.clone(), place.clone()).await?;
        Ok(Self {
            store,
            catalog,
            place,
            namespace: iceberg.namespace,
        })
    }

    /// A table of the lake, such as `bronze.accounts`.
    pub fn access(&self, table: &str) -> Access {
        Access {
            name: TableName::of(table, self.namespace.as_deref()),
            catalog: self.catalog.clone(),
            store: self.store.clone(),
            place: self.place.clone(),
            clock: Arc::new(SystemClock),
        }
    }

    /// What the catalog has of it.
    pub async fn load(&self, table: &str) -> Result<Option<Loaded>, CatalogError> {
        let access = self.access(table);
        access.catalog.load(&access.name).await
    }
}
