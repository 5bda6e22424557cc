//! Whether the source database is as change capture needs it, and still is: what somebody changes there later can end
//! capture, or let it miss rows in silence. [`check_source`] names each such thing, with the way to fix it.
//!
//! Everything is read from catalogs that every login may read.

mod columns;
mod expected;
mod ledger;
mod names;
mod problem;
mod rights;
mod tables;

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

pub use self::expected::SourceExpectations;
use self::names::table_id;
pub use self::problem::{ProblemKind, SourceProblem};
use crate::connector::HEARTBEAT_TABLE;
use crate::{ColumnPatterns, slot};

/// Tables of Riverbank's own beside the bank's: where they exist, the connector reads them.
const OWN_TABLES: [&str; 2] = [HEARTBEAT_TABLE, "public.riverbank_signals"];

/// Why the source could not be looked at; its text holds no password.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The address is not one.
    #[error("not a Postgres URL")]
    BadUrl(#[source] sqlx::Error),
    /// Postgres is away, or refuses the login or the question.
    #[error("Postgres cannot be asked: {0}")]
    Unavailable(#[from] sqlx::Error),
}

/// Opens a connection for looks at the source.
pub async fn look_into(url: &str) -> Result<PgConnection, CheckError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(CheckError::BadUrl)?
        .application_name("riverbank-watch")
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    // Names are looked up in the catalog alone, whatever the login's own path is.
    sqlx::raw_sql("SET search_path = pg_catalog; SET statement_timeout = '10s'")
        .execute(&mut connection)
        .await?;
    Ok(connection)
}

/// Looks at the database at `url` once; empty where all is well.
pub async fn check_source(url: &str, expected: &SourceExpectations) -> Result<Vec<SourceProblem>, CheckError> {
    let mut connection = look_into(url).await?;
    let problems = check_source_on(&mut connection, expected).await?;
    connection.close().await?;
    Ok(problems)
}

/// The same on a connection of [`look_into`].
pub async fn check_source_on(
    connection: &mut PgConnection,
    expected: &SourceExpectations,
) -> Result<Vec<SourceProblem>, CheckError> {
    let mut problems = Vec::new();
    let level: String = sqlx::query_scalar("SELECT current_setting('wal_level')")
        .fetch_one(&mut *connection)
        .await?;
    if level != "logical" {
        problems.push(SourceProblem::new(
            ProblemKind::WalLevel,
            format!("wal_level is {level}: set it to logical and restart Postgres"),
        ));
    }
    // Riverbank's own schema has tables beside the bank's; a source that knows nothing of Riverbank has neither those nor FULL.
    let mut own = Vec::new();
    for table in OWN_TABLES {
        if table_id(connection, table).await?.is_some() {
            own.push(table.to_owned());
        }
    }
    problems.extend(tables::check(connection, expected, &own).await?);
    problems.extend(rights::check(connection, expected, &own).await?);
    for table in &expected.tables {
        problems.extend(columns::check(connection, table, &expected.excluded_columns).await?);
    }
    problems.extend(ledger::check(connection).await?);
    if let Some(name) = &expected.slot {
        problems.extend(check_slot(connection, name).await?);
    }
    Ok(problems)
}

/// The columns of a table that are captured, by their names; none where there is no such table.
pub async fn captured_columns(
    connection: &mut PgConnection,
    table: &str,
    excluded: &ColumnPatterns,
) -> Result<Vec<String>, CheckError> {
    Ok(match table_id(connection, table).await? {
        Some(id) => columns::captured(connection, table, id, excluded).await?,
        None => Vec::new(),
    })
}

async fn check_slot(connection: &mut PgConnection, name: &str) -> Result<Option<SourceProblem>, CheckError> {
    let slot = slot::slot_state(connection, name).await?;
    Ok(match slot {
        None => Some(SourceProblem::new(
            ProblemKind::SlotMissing,
            format!("there is no replication slot {name}: what is committed from now on may never be captured"),
        )),
        Some(slot) if slot.is_lost() => Some(SourceProblem::new(
            ProblemKind::SlotLost,
            format!("the replication slot {name} is lost: Postgres no longer has the log that was not captured yet"),
        )),
        Some(_) => None,
    })
}
