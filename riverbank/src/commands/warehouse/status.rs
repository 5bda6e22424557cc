//! `riverbank warehouse status`.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clock::{Clock, SystemClock};
use warehouse::apply::{self, Standing};
use warehouse::migrations::{self, Configuration};
use warehouse::notifier::lake::StoreLake;
use warehouse::snowflake::{PipeName, Retries, Snowpipe, Sql};
use warehouse::status;

use super::configuration::configuration;
use crate::config::{Settings, WarehouseTables};
use crate::open::lake;
use crate::open::snowflake::{connection, ledger, pipes, sql};
use crate::print::print;
use crate::process::runtime;

/// How long the lake's store may take to answer.
const STORE_TIMEOUT: Duration = Duration::from_secs(60);
/// The most files that are listed of a kind.
const LISTED_MAX: usize = 20;

/// Prints where the migrations stand, each pipe's state and lag, and the files that were not loaded in the last days. Exit code 1 if
/// something is not as it should be.
pub fn status(settings: Settings, days: u32) -> anyhow::Result<ExitCode> {
    let configuration = configuration(&settings)?;
    let connection = Arc::new(connection(&settings, Retries::default())?);
    let runtime = runtime()?;
    let mut report = Report::default();
    runtime.block_on(async {
        let sql = sql(&settings, connection.clone());
        report.migrations(&configuration, &sql).await?;
        if settings.snowflake.tables == WarehouseTables::Loaded {
            let snowpipe = Snowpipe::new(connection);
            for (table, pipe) in pipes(&settings)? {
                report.pipe(&table, &pipe, &sql, &snowpipe, days).await?;
                report.progress(&settings, &table, &pipe).await?;
            }
        }
        anyhow::Ok(())
    })?;
    print(report.text)?;
    Ok(match report.problems {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The text, and how much in it is not as it should be.
#[derive(Default)]
struct Report {
    text: String,
    problems: usize,
}

impl Report {
    async fn migrations(&mut self, configuration: &Configuration, sql: &Sql) -> anyhow::Result<()> {
        let applied = apply::applied(sql, configuration).await?;
        writeln!(self.text, "{:<24} migration", "applied")?;
        for (name, standing) in apply::standings(&migrations::all()?, configuration, &applied) {
            let (at, note) = match &standing {
                Standing::Applied { at } => (at.as_str(), ""),
                Standing::Pending => ("no", "  pending: riverbank warehouse apply"),
                Standing::Changed { at } => (at.as_str(), "  changed since it was applied"),
                Standing::Unknown { at } => (at.as_str(), "  not of this version or configuration"),
            };
            self.problems += usize::from(matches!(standing, Standing::Pending | Standing::Changed { .. }));
            writeln!(self.text, "{:<24} {name}{note}", at.chars().take(23).collect::<String>())?;
        }
        Ok(())
    }

    async fn pipe(&mut self, table: &str, pipe: &PipeName, sql: &Sql, snowpipe: &Snowpipe, days: u32) -> anyhow::Result<()> {
        writeln!(self.text, "\n{table}: pipe {pipe}")?;
        match status::pipe(sql, pipe).await {
            Ok(state) => {
                let last = state.last_ingested_timestamp.as_deref().unwrap_or("never");
                let (name, pending) = (&state.execution_state, state.pending_file_count);
                writeln!(self.text, "  {name}, {pending} files wait in it, the last one came: {last}")?;
                self.problems += usize::from(name != "RUNNING");
                for error in [state.error, state.channel_error_message].into_iter().flatten() {
                    writeln!(self.text, "  wrong: {error}")?;
                    self.problems += 1;
                }
            }
            Err(error) => {
                writeln!(self.text, "  wrong: {error}")?;
                self.problems += 1;
                return Ok(());
            }
        }
        let now = SystemClock.now();
        let since = now - Duration::from_secs(u64::from(days) * 86_400);
        let failed = status::failures(snowpipe, pipe, since, now).await?;
        self.problems += failed.len();
        for file in failed.iter().take(LISTED_MAX) {
            let (path, reason) = (&file.path, file.reason());
            let (inserted, parsed) = (file.rows_inserted, file.rows_parsed);
            writeln!(
                self.text,
                "  not loaded: {path}: {:?}, {inserted} of {parsed} rows are in the table: {reason}",
                file.status
            )?;
        }
        if failed.len() > LISTED_MAX {
            writeln!(self.text, "  … and {} more", failed.len() - LISTED_MAX)?;
        }
        Ok(())
    }

    async fn progress(&mut self, settings: &Settings, table: &str, pipe: &PipeName) -> anyhow::Result<()> {
        if !settings.snowpipe.enabled {
            return Ok(());
        }
        let store = StoreLake::new(lake::store(settings)?, STORE_TIMEOUT);
        let progress = status::progress(&store, &ledger(settings)?, table, pipe).await?;
        let oldest = progress.oldest.map(|at| {
            let age = Duration::try_from(SystemClock.now() - at).unwrap_or_default();
            format!(
                ", the oldest of {} ago",
                humantime::format_duration(Duration::from_secs(age.as_secs()))
            )
        });
        writeln!(
            self.text,
            "  {} files are received and not yet known to be loaded{}",
            progress.not_reported,
            oldest.unwrap_or_default()
        )?;
        for file in progress.not_received.iter().take(LISTED_MAX) {
            writeln!(self.text, "  not received, as far as is noted: {file}")?;
        }
        Ok(())
    }
}
