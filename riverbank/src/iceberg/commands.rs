//! `riverbank iceberg ls`, `compact` and `retain`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use iceberg_tables::{CatalogTarget, CommitError, CompactSettings, Compactor, MaintainError, Retention};
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::IcebergTables;
use crate::cli::{CompactArgs, IcebergRetainArgs};
use crate::config::{Settings, UsageError};
use crate::lake;
use crate::process::runtime;

/// When merged files that nothing names are deleted.
const ORPHAN_AGE: Duration = Duration::from_secs(86_400);

/// The tables of a catalog and a lake that are there: whoever looks at one makes none.
async fn existing(settings: &Settings) -> anyhow::Result<IcebergTables> {
    let off = || UsageError("iceberg.catalog is off: there are no Iceberg tables".to_owned());
    let iceberg = super::settings(settings)?.ok_or_else(off)?;
    if let CatalogTarget::Sqlite(file) = &iceberg.catalog
        && !file.is_file()
    {
        let file = file.display();
        bail!(UsageError(format!(
            "there is no file {file}: set iceberg.file (--iceberg-file) to the catalog"
        )));
    }
    let store = lake::open_existing(settings)?;
    IcebergTables::open(iceberg, settings, &store).await
}

/// The names of the lake's tables, or the one that was asked for.
fn names(asked: Option<&str>) -> anyhow::Result<Vec<String>> {
    let tables = lake::tables(asked)?;
    Ok(tables.iter().map(|table| table.name().to_owned()).collect())
}

/// Prints each table's newest snapshot; exit code 1 if one could not be read.
pub fn ls(settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    let text = runtime()?.block_on(async {
        let tables = existing(settings).await?;
        let mut text = format!(
            "{:<24} {:>9} {:>9} {:>12} {:>14} {:>14} {:>21}\n",
            "table", "snapshots", "files", "rows", "bytes", "position", "newest snapshot"
        );
        for table in names(None)? {
            let loaded = match tables.load(&table).await {
                Ok(loaded) => loaded,
                Err(error) => {
                    code = ExitCode::FAILURE;
                    writeln!(text, "{table:<24} {error}")?;
                    continue;
                }
            };
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
    Ok(code)
}

/// Merges small files, table by table; exit code 1 if one of the tables could not be compacted, or lacks files.
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
        let tables = existing(settings).await?;
        lake::check_clock(&tables.store).await?;
        let mut verdict = Verdict::of(names.len());
        print(&format!(
            "files of days before {} (--before changes that):\n",
            compaction.before
        ))?;
        for table in names {
            let compactor = Compactor::new(&table, tables.access(&table), compaction.clone());
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
                    for reason in done.broken {
                        verdict.failed = true;
                        writeln!(text, "  wrong, and left as it is: {reason}")?;
                    }
                }
                Err(error) => {
                    verdict.add(&error);
                    writeln!(text, "{table}: {error}")?;
                }
            }
            print(&text)?;
        }
        Ok(verdict.code())
    })
}

/// Drops old days, table by table; exit code 1 if one of the tables could not be changed.
pub fn retain(settings: &Settings, args: &IcebergRetainArgs) -> anyhow::Result<ExitCode> {
    let names = names(args.table.as_deref())?;
    let before = days_ago(args.days)?;
    runtime()?.block_on(async {
        let tables = existing(settings).await?;
        if !args.dry_run {
            lake::check_clock(&tables.store).await?;
        }
        let mut verdict = Verdict::of(names.len());
        for table in names {
            let retention = Retention::new(&table, tables.access(&table), before, ORPHAN_AGE);
            let done = match args.dry_run {
                true => retention.look().await,
                false => retention.run().await,
            };
            let text = match done {
                Ok(done) if args.dry_run => format!(
                    "{table}: {} files with {} rows of days before {before} would be dropped\n",
                    done.files, done.rows
                ),
                Ok(done) => format!(
                    "{table}: {} files with {} rows of days before {before} dropped; {} old files deleted\n",
                    done.files, done.rows, done.orphans
                ),
                Err(error) => {
                    verdict.add(&error);
                    format!("{table}: {error}\n")
                }
            };
            print(&text)?;
        }
        Ok(verdict.code())
    })
}

/// How it went with all tables.
struct Verdict {
    failed: bool,
    /// Tables that the catalog has, perhaps.
    there: usize,
}

impl Verdict {
    fn of(tables: usize) -> Self {
        Self {
            failed: false,
            there: tables,
        }
    }

    /// A table that is not there yet is none that failed.
    fn add(&mut self, error: &MaintainError) {
        match error {
            MaintainError::Commit(CommitError::NoTable(_)) => self.there -= 1,
            _ => self.failed = true,
        }
    }

    /// Where the catalog has none of them, it is another one, or has them in another namespace.
    fn code(&self) -> ExitCode {
        match self.failed || self.there == 0 {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        }
    }
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
