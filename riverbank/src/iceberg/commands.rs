//! `riverbank iceberg ls`, `compact` and `retain`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use iceberg_tables::{Catalog, CatalogTarget, CompactSettings, Compactor, IcebergSettings, Place, Retention, TableName};
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use object_store::ObjectStore;

use crate::cli::{CompactArgs, IcebergRetainArgs};
use crate::config::Settings;
use crate::lake;
use crate::process::runtime;

/// When merged files that nothing names are deleted.
const ORPHAN_AGE: Duration = Duration::from_secs(86_400);

/// The catalog and the lake.
struct Tables {
    settings: IcebergSettings,
    catalog: Arc<dyn Catalog>,
    store: Arc<dyn ObjectStore>,
    place: Place,
}

impl Tables {
    async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let iceberg = super::settings(settings)?.context("iceberg.catalog is off: there are no Iceberg tables")?;
        if let CatalogTarget::Sqlite(file) = &iceberg.catalog {
            anyhow::ensure!(
                file.is_file(),
                "there is no file {}: set iceberg.file (--iceberg-file) to the catalog",
                file.display()
            );
        }
        let (store, place) = (lake::open_existing(settings)?, Place::new(settings.sink.url.as_str()));
        let catalog = iceberg.open_catalog(store.clone(), place.clone()).await?;
        Ok(Self {
            settings: iceberg,
            catalog,
            store,
            place,
        })
    }

    fn name(&self, table: &str) -> TableName {
        TableName::of(table, self.settings.namespace.as_deref())
    }
}

/// The names of the lake's tables, or the one that was asked for.
fn names(asked: Option<&str>) -> anyhow::Result<Vec<String>> {
    let tables = lake::tables(asked)?;
    Ok(tables.iter().map(|table| table.name().to_owned()).collect())
}

/// Prints each table's newest snapshot.
pub fn ls(settings: &Settings) -> anyhow::Result<ExitCode> {
    let text = runtime()?.block_on(async {
        let tables = Tables::open(settings).await?;
        let mut text = format!(
            "{:<24} {:>9} {:>9} {:>12} {:>14} {:>14} {:>21}\n",
            "table", "snapshots", "files", "rows", "bytes", "position", "newest snapshot"
        );
        for table in names(None)? {
            let loaded = tables.catalog.load(&tables.name(&table)).await?;
            let metadata = loaded.as_ref().map(|loaded| &loaded.metadata);
            let snapshot = metadata.and_then(|metadata| metadata.current_snapshot());
            let of = |name: &str| {
                snapshot
                    .and_then(|one| one["summary"][name].as_str())
                    .unwrap_or("-")
                    .to_owned()
            };
            let at = snapshot.and_then(|one| jiff::Timestamp::from_millisecond(one["timestamp-ms"].as_i64()?).ok());
            writeln!(
                text,
                "{table:<24} {:>9} {:>9} {:>12} {:>14} {:>14} {:>21}",
                metadata.map_or(0, |metadata| metadata.snapshots().len()),
                of("total-data-files"),
                of("total-records"),
                of("total-files-size"),
                of("riverbank.watermark"),
                at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}")),
            )?;
        }
        anyhow::Ok(text)
    })?;
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Merges small files, table by table; exit code 1 if one of the tables could not be compacted.
pub fn compact(settings: &Settings, args: &CompactArgs) -> anyhow::Result<ExitCode> {
    let names = names(args.table.as_deref())?;
    let compaction = CompactSettings {
        before: match args.before {
            Some(day) => day,
            None => days_ago(1)?,
        },
        target_bytes: args.target_bytes,
        files_min: args.files_min as usize,
        orphan_age: ORPHAN_AGE,
    };
    runtime()?.block_on(async {
        let tables = Tables::open(settings).await?;
        let mut code = ExitCode::SUCCESS;
        print(&format!(
            "files of days before {} (--before changes that):\n",
            compaction.before
        ))?;
        for table in names {
            let (catalog, store, place) = (tables.catalog.clone(), tables.store.clone(), tables.place.clone());
            let compactor = Compactor::new(&table, tables.name(&table), catalog, store, place, compaction.clone());
            let mut text = String::new();
            match compactor.run().await {
                Ok(done) => {
                    writeln!(
                        text,
                        "{table}: {} files became {}, with {} rows; {} bytes became {}; {} old files deleted",
                        done.files_before, done.files_after, done.rows, done.bytes_before, done.bytes_after, done.orphans
                    )?;
                    if done.given_up > 0 {
                        let given_up = done.given_up;
                        writeln!(
                            text,
                            "  {given_up} merged files were given up: others have changed what they were of"
                        )?;
                    }
                    for reason in done.left {
                        writeln!(text, "  left as it is: {reason}")?;
                    }
                }
                Err(error) => {
                    code = ExitCode::FAILURE;
                    writeln!(text, "{table}: {error}")?;
                }
            }
            print(&text)?;
        }
        Ok(code)
    })
}

/// Drops old days, table by table; exit code 1 if one of the tables could not be changed.
pub fn retain(settings: &Settings, args: &IcebergRetainArgs) -> anyhow::Result<ExitCode> {
    let names = names(args.table.as_deref())?;
    let before = days_ago(args.days)?;
    runtime()?.block_on(async {
        let tables = Tables::open(settings).await?;
        let mut code = ExitCode::SUCCESS;
        for table in names {
            let (catalog, store, place) = (tables.catalog.clone(), tables.store.clone(), tables.place.clone());
            let retention = Retention::new(&table, tables.name(&table), catalog, store, place, before, ORPHAN_AGE);
            let text = match retention.run().await {
                Ok(done) => format!(
                    "{table}: {} files with {} rows of days before {before} dropped; {} old files deleted\n",
                    done.files, done.rows, done.orphans
                ),
                Err(error) => {
                    code = ExitCode::FAILURE;
                    format!("{table}: {error}\n")
                }
            };
            print(&text)?;
        }
        Ok(code)
    })
}

/// The UTC day that was so many days ago.
fn days_ago(days: u32) -> anyhow::Result<Date> {
    let today = TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date();
    today.checked_sub(i64::from(days).days()).context("--days")
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .context("write to standard output")
}
