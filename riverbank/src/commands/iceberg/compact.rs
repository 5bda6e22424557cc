//! `riverbank iceberg compact`.

use std::fmt::Write as _;
use std::process::ExitCode;

use iceberg_tables::{CompactSettings, Compactor};

use super::existing::{ORPHAN_AGE, days_ago, existing, names};
use super::verdict::Verdict;
use crate::cli::CompactArgs;
use crate::config::Settings;
use crate::open::lake;
use crate::print::print;
use crate::process::runtime;

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
        print(format_args!(
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
            print(text)?;
        }
        Ok(verdict.code())
    })
}
