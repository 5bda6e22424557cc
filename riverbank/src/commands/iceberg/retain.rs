//! `riverbank iceberg retain`.

use std::process::ExitCode;

use iceberg_tables::Retention;

use super::existing::{ORPHAN_AGE, days_ago, existing, names};
use super::verdict::Verdict;
use crate::cli::IcebergRetainArgs;
use crate::config::Settings;
use crate::open::lake;
use crate::print::print;
use crate::process::runtime;

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
            print(text)?;
        }
        Ok(verdict.code())
    })
}
