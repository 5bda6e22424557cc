//! The Iceberg tables over the sinks' files, as the settings have them.

mod commands;

use std::sync::Arc;

use anyhow::Context;
use iceberg_tables::catalog::Loaded;
use iceberg_tables::{
    Access, Catalog, CatalogError, CatalogTarget, IcebergHandle, IcebergSettings, Place, RestOptions, TableName,
};
use object_store::ObjectStore;
use sinks::lake::{Depth, verify};

pub use commands::{compact, ls, retain};

use crate::audit::Check;
use crate::config::Settings;
use crate::config::settings::IcebergCatalog;
use crate::lake;

/// The catalog's own name in a database that others may share.
const NAME: &str = "riverbank";

/// Starts to keep the tables, if they are asked for.
pub fn start(settings: &Settings, metrics: &prometheus::Registry) -> anyhow::Result<Option<IcebergHandle>> {
    let Some(iceberg) = self::settings(settings)? else {
        return Ok(None);
    };
    let (store, url) = (lake::open(settings)?, settings.sink.url.as_str());
    let tables = sinks::tables::all();
    Ok(Some(IcebergHandle::start(iceberg, store, url, tables, metrics)?))
}

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
        }
    }

    /// What the catalog has of it.
    async fn load(&self, table: &str) -> Result<Option<Loaded>, CatalogError> {
        let access = self.access(table);
        access.catalog.load(&access.name).await
    }
}

/// The demo's tables have the rows of their files.
pub async fn check(settings: &Settings, store: &Arc<dyn ObjectStore>) -> anyhow::Result<Vec<Check>> {
    let iceberg = self::settings(settings)?.context("the demo has no Iceberg tables")?;
    let tables = IcebergTables::open(iceberg, settings, store).await?;
    let mut checks = Vec::new();
    for table in sinks::tables::all() {
        let loaded = tables.load(table.name()).await?;
        let snapshot = loaded.as_ref().and_then(|loaded| loaded.metadata.current_snapshot());
        let rows = snapshot.and_then(|snapshot| snapshot["summary"]["total-records"].as_str()?.parse::<u64>().ok());
        let rows = rows.unwrap_or(0);
        let report = verify(store, table.name(), Depth::Footers).await?;
        let in_files = report.rows();
        let mut check = Check::of(format!(
            "{}: {rows} rows in the Iceberg table, as in its files",
            tables.access(table.name()).name
        ));
        if rows != in_files {
            check.problems.push(format!("the files have {in_files} rows"));
        }
        checks.push(check);
    }
    Ok(checks)
}
