//! `riverbank warehouse plan`, `apply` and `status`: the SQL that sets Snowflake up, and what Snowflake has of the lake.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use warehouse::apply::{self, Standing};
use warehouse::migrations::{self, Configuration, Migration, Value};
use warehouse::notifier::lake::StoreLake;
use warehouse::notifier::ledger::Ledger;
use warehouse::snowflake::{Connection, PipeName, Retries, Session, Snowpipe, Sql, Tokens};
use warehouse::{ddl, status};

use crate::config::{Secret, Settings, WarehouseTables};
use crate::process::runtime;
use crate::{lake, say};

/// After how long Snowflake cancels a statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(600);
/// How long the lake's store may take to answer.
const STORE_TIMEOUT: Duration = Duration::from_secs(60);
/// The most files that are listed of a kind.
const LISTED_MAX: usize = 20;

/// Variables of the migrations that follow from no setting of their own, with their defaults.
const VARIABLES: [(&str, Option<&str>); 15] = [
    ("warehouse_size", Some("XSMALL")),
    ("loader_role", Some("RIVERBANK_LOADER")),
    ("reader_role", Some("RIVERBANK_READER")),
    ("auditor_role", Some("RIVERBANK_AUDITOR")),
    ("storage_integration", Some("RIVERBANK_LAKE")),
    ("external_volume", Some("RIVERBANK_LAKE")),
    ("catalog_integration", Some("RIVERBANK_CATALOG")),
    ("lake_url", None),
    ("iceberg_url", None),
    ("s3_endpoint", None),
    ("s3_key_id", None),
    ("s3_secret_key", None),
    ("aws_role_arn", None),
    ("iceberg_catalog_uri", None),
    ("iceberg_warehouse", None),
];
/// Those that are not to be seen.
const SECRETS: [&str; 2] = ["s3_secret_key", "iceberg_token"];
/// The setting that gives a variable which nothing else does.
const VARIABLES_SETTING: &str = "snowflake.variables";

/// Prints the SQL of this configuration, with secrets hidden.
pub fn plan(settings: Settings) -> anyhow::Result<ExitCode> {
    let configuration = configuration(&settings)?;
    let mut text = String::new();
    let bootstrap = apply::bootstrap()?;
    for migration in [bootstrap].into_iter().chain(wanted(&configuration)?) {
        writeln!(text, "-- {} ({})", migration.name, migration.checksum())?;
        writeln!(text, "{}", migration.shown(&configuration)?)?;
    }
    say(format_args!("{text}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what these tables need of SQL, from their declarations.
pub fn ddl(names: &[String], duckdb: bool) -> anyhow::Result<ExitCode> {
    let tables: Vec<_> = names
        .iter()
        .map(|name| lake::tables(Some(name)))
        .collect::<anyhow::Result<_>>()?;
    let tables = tables.concat();
    let text = match duckdb {
        true => tables
            .iter()
            .map(|table| ddl::duckdb(table.as_ref()))
            .collect::<Vec<_>>()
            .join("\n"),
        false => ddl::migrations(&tables),
    };
    say(format_args!("{text}"))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the migrations that are not applied yet.
pub fn apply(settings: Settings) -> anyhow::Result<ExitCode> {
    let configuration = configuration(&settings)?;
    let sql = sql(&settings, Arc::new(connection(&settings, Retries::default())?));
    let mut said = Ok(());
    let count = runtime()?.block_on(apply::apply(
        &sql,
        &migrations::all()?,
        &configuration,
        |migration, statements| {
            let line = say(format_args!("{}: applied, {statements} statements\n", migration.name));
            if said.is_ok() {
                said = line;
            }
        },
    ))?;
    said?;
    if count == 0 {
        say(format_args!("everything is applied\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

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
    say(format_args!("{}", report.text))?;
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
        let now = Timestamp::now();
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
        let store = StoreLake::new(lake::open(settings)?, STORE_TIMEOUT);
        let progress = status::progress(&store, &ledger(settings)?, table, pipe).await?;
        let oldest = progress.oldest.map(|at| {
            let age = Duration::try_from(Timestamp::now() - at).unwrap_or_default();
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

/// The connection to Snowflake.
pub fn connection(settings: &Settings, retries: Retries) -> anyhow::Result<Connection> {
    let snowflake = &settings.snowflake;
    let account = snowflake.account.as_ref().context("snowflake.account is missing")?;
    let user = snowflake.user.as_ref().context("snowflake.user is missing")?;
    let key = snowflake.key().context("snowflake.private_key is missing")?;
    let tokens = Tokens::new(account, user, key.context("snowflake.private_key")?);
    let url = snowflake.url.clone().unwrap_or_else(|| account.url());
    Ok(Connection::new(url, tokens, retries)?)
}

/// Where the notifier of this configuration notes how far it is.
pub fn ledger(settings: &Settings) -> anyhow::Result<object_store::path::Path> {
    let account = settings.snowflake.account.as_ref().context("snowflake.account is missing")?;
    Ok(Ledger::path(&account.in_token(), &settings.snowflake.database))
}

fn sql(settings: &Settings, connection: Arc<Connection>) -> Sql {
    let session = Session {
        role: settings.snowflake.role.clone(),
        // Definitions need no virtual warehouse, and the one of the settings may not be there yet.
        ..Session::default()
    };
    Sql::new(connection, session, STATEMENT_TIMEOUT)
}

/// The pipe of each table.
pub fn pipes(settings: &Settings) -> anyhow::Result<BTreeMap<String, PipeName>> {
    let rule = settings
        .snowpipe
        .rule(&settings.snowflake.database)
        .map_err(anyhow::Error::msg)?;
    let tables = sinks::tables::all();
    let pipe = |name: &str| rule.pipe(name).map(|pipe| (name.to_owned(), pipe));
    let pipes: Result<_, String> = tables.iter().map(|table| pipe(table.name())).collect();
    pipes.map_err(anyhow::Error::msg).context("snowpipe.pipe")
}

fn wanted(configuration: &Configuration) -> anyhow::Result<Vec<Migration>> {
    let mut all = migrations::all()?;
    all.retain(|migration| migration.is_for(configuration));
    Ok(all)
}

/// What the migrations need of the settings.
fn configuration(settings: &Settings) -> anyhow::Result<Configuration> {
    let (snowflake, s3) = (&settings.snowflake, &settings.s3);
    let on_aws = s3.endpoint.is_none();
    let (bucket, prefix) = (settings.sink.url.host_str(), settings.sink.url.path().trim_matches('/'));
    let scheme = if on_aws { "s3" } else { "s3compat" };
    let prefix = if prefix.is_empty() {
        String::new()
    } else {
        format!("{prefix}/")
    };
    let lake = bucket
        .filter(|_| settings.sink.url.scheme() == "s3")
        .map(|bucket| format!("{scheme}://{bucket}/{prefix}"));
    let endpoint = s3.endpoint.as_ref().and_then(|url| {
        let host = url.host_str()?;
        Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    });
    let revealed = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.reveal().to_owned());
    let mut values = BTreeMap::new();
    let mut put = |name: &'static str, text: Option<String>, setting: &'static str| {
        let secret = SECRETS.contains(&name);
        values.insert(name, Value { text, setting, secret });
    };
    for (name, default) in VARIABLES {
        put(name, default.map(str::to_owned), VARIABLES_SETTING);
    }
    put("iceberg_token", None, VARIABLES_SETTING);
    put("database", Some(snowflake.database.clone()), "snowflake.database");
    put("warehouse", Some(snowflake.warehouse.clone()), "snowflake.warehouse");
    put("lake_url", lake.clone(), "sink.url to an s3:// address");
    put("iceberg_url", lake, "sink.url to an s3:// address");
    put("s3_endpoint", endpoint, "s3.endpoint");
    put("s3_key_id", revealed(&s3.access_key), "s3.access_key");
    put("s3_secret_key", revealed(&s3.secret_key), "s3.secret_key");
    for (name, text) in snowflake.variables.reveal() {
        let known = values.get_mut(name.as_str());
        let known = known.with_context(|| format!("{VARIABLES_SETTING}: {name} is no variable of warehouse/sql"))?;
        (known.text, known.setting) = (Some(text.clone()), VARIABLES_SETTING);
    }
    let facts = match snowflake.tables {
        WarehouseTables::Loaded => BTreeSet::from([("tables", "loaded"), ("stage", scheme)]),
        WarehouseTables::Iceberg => BTreeSet::from([("tables", "iceberg")]),
    };
    Ok(Configuration { values, facts })
}
