//! The tables that there are, which each command begins with.

use std::time::Duration;

use anyhow::{Context, bail};
use clock::{Clock, SystemClock};
use iceberg_tables::CatalogTarget;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::config::{Settings, UsageError};
use crate::open::iceberg::{self, IcebergTables};
use crate::open::lake;

/// When merged files that nothing names are deleted.
pub(super) const ORPHAN_AGE: Duration = Duration::from_secs(86_400);

/// The tables of a catalog and a lake that are there: whoever looks at one makes none.
pub(super) async fn existing(settings: &Settings) -> anyhow::Result<IcebergTables> {
    let off = || UsageError("iceberg.catalog is off: there are no Iceberg tables".to_owned());
    let tables = iceberg::settings(settings)?.ok_or_else(off)?;
    if let CatalogTarget::Sqlite(file) = &tables.catalog
        && !file.is_file()
    {
        let file = file.display();
        bail!(UsageError(format!(
            "there is no file {file}: set iceberg.file (--iceberg-file) to the catalog"
        )));
    }
    let store = lake::existing_store(settings)?;
    IcebergTables::open(tables, settings, &store).await
}

/// The names of the lake's tables, or the one that was asked for.
pub(super) fn names(asked: Option<&str>) -> anyhow::Result<Vec<String>> {
    let tables = lake::tables(asked)?;
    Ok(tables.iter().map(|table| table.name().to_owned()).collect())
}

/// The UTC day that was so many days ago.
pub(super) fn days_ago(days: u32) -> anyhow::Result<Date> {
    let today = TimeZone::UTC.to_datetime(SystemClock.now()).date();
    today.checked_sub(i64::from(days).days()).context("--days")
}
