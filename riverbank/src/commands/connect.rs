//! `riverbank connect`: makes the source ready and its changes flow. A deployment runs it before each start; what is
//! right already stays as it is.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use connect::{CAPTURE_ROLE, ConnectorSettings, Database, MigrationError, SourceExpectations};
use reqwest::Url;

use crate::config::Settings;

/// Between two attempts to reach Postgres.
const PAUSE: Duration = Duration::from_secs(1);
const POSTGRES_PORT: u16 = 5432;

/// Runs the command.
pub fn connect(settings: Settings) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(run(settings))?;
    Ok(ExitCode::SUCCESS)
}

async fn run(settings: Settings) -> anyhow::Result<()> {
    let checked = "the settings' check has seen to it";
    let admin = settings.connect.admin_url.expect(checked);
    let password = settings.connect.capture_password.expect(checked);
    let worker = settings.connect.url.expect(checked);
    let registry = settings.registry.url.expect(checked);
    let timeout = settings.connect.timeout;

    migrate(admin.reveal(), timeout)
        .await
        .context("migrate the source database")?;
    connect::allow_capture(admin.reveal(), password.reveal())
        .await
        .context("set the password of Debezium's login")?;
    if let Some(password) = &settings.connect.service_password {
        connect::allow_service(admin.reveal(), password.reveal())
            .await
            .context("set the password of the service's login")?;
    }
    tracing::info!("the source database is up to date");

    let database = database(admin.reveal(), password.reveal()).context("connect.admin_url")?;
    let mut connector = ConnectorSettings::bank(database, registry.as_str());
    connector.name = settings.source.connector;
    connector.slot = settings.source.slot;
    connector.excluded_columns = settings.connect.column_exclude.clone();
    check(admin.reveal(), &connector).await?;
    connect::register(worker.as_str().trim_end_matches('/'), &connector, timeout)
        .await
        .context("register the connector")?;
    tracing::info!(connector = connector.name, "the connector runs");
    Ok(())
}

/// Says what is wrong with the source; what would end the connector's task is an error before that is started.
async fn check(admin: &str, connector: &ConnectorSettings) -> anyhow::Result<()> {
    // The connector may be new, and make its slot.
    let expected = SourceExpectations::of(connector).before_the_first_start();
    let problems = connect::check_source(admin, &expected).await.context("check the source")?;
    for problem in &problems {
        tracing::warn!(problem = problem.kind.as_str(), "the source: {problem}");
    }
    let mut fatal = problems.iter().filter(|problem| problem.kind.stops_capture());
    match fatal.next() {
        Some(problem) => anyhow::bail!("the source cannot be captured: {problem}"),
        None => Ok(()),
    }
}

/// Migrates as soon as the database can be reached, or fails after `timeout`.
async fn migrate(admin: &str, timeout: Duration) -> Result<(), MigrationError> {
    let started = Instant::now();
    loop {
        match connect::migrate(admin).await {
            Err(error @ MigrationError::Unavailable(_)) if started.elapsed() < timeout => {
                tracing::warn!(error = &error as &dyn std::error::Error, "waiting for Postgres");
                tokio::time::sleep(PAUSE).await;
            }
            ended => return ended,
        }
    }
}

/// The same database as the administrator's, with Debezium's login.
fn database(admin: &str, password: &str) -> anyhow::Result<Database> {
    let url = Url::parse(admin).context("not an address")?;
    let host = url.host_str().context("it names no host")?;
    let name = url.path().trim_start_matches('/');
    anyhow::ensure!(!name.is_empty(), "it names no database");
    Ok(Database::new(
        host,
        url.port().unwrap_or(POSTGRES_PORT),
        name,
        CAPTURE_ROLE,
        password,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debezium_logs_in_where_the_administrator_does() {
        let expected = Database::new("db", 5432, "bank", CAPTURE_ROLE, "pw");
        assert_eq!(database("postgres://owner:secret@db/bank", "pw").expect("right"), expected);
        let other_port = Database { port: 5433, ..expected };
        assert_eq!(
            database("postgres://owner:secret@db:5433/bank?sslmode=disable", "pw").expect("right"),
            other_port
        );
        let error = database("postgres://owner:secret@db", "pw").expect_err("no database");
        assert!(!format!("{error:#}").contains("secret"));
    }
}
