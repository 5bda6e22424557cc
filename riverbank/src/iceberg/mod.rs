//! The Iceberg tables over the sinks' files, as the settings have them.

mod commands;

use std::sync::Arc;

use anyhow::Context;
use iceberg_tables::{Catalog, CatalogTarget, IcebergHandle, IcebergSettings, Place, RestOptions, SqlCatalog, TableName};
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

/// The demo's tables have the rows of their files.
pub async fn check(settings: &Settings, store: &Arc<dyn ObjectStore>) -> anyhow::Result<Vec<Check>> {
    let (file, place) = (&settings.iceberg.file, Place::new(settings.sink.url.as_str()));
    let catalog = SqlCatalog::sqlite(file, NAME, store.clone(), place).await?;
    let mut checks = Vec::new();
    for table in sinks::tables::all() {
        let name = TableName::of(table.name(), settings.iceberg.namespace.as_deref());
        let loaded = catalog.load(&name).await?;
        let snapshot = loaded.as_ref().and_then(|loaded| loaded.metadata.current_snapshot());
        let rows = snapshot.and_then(|snapshot| snapshot["summary"]["total-records"].as_str()?.parse::<u64>().ok());
        let rows = rows.unwrap_or(0);
        let report = verify(store, table.name(), Depth::Footers).await?;
        let in_files = report.rows();
        let mut check = Check::of(format!("{name}: {rows} rows in the Iceberg table, as in its files"));
        if rows != in_files {
            check.problems.push(format!("the files have {in_files} rows"));
        }
        checks.push(check);
    }
    Ok(checks)
}
