//! The source schema, as ordered migrations that are part of the program.

use std::str::FromStr;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

static MIGRATIONS: Migrator = sqlx::migrate!("./postgres/migrations");

/// The role that the connector logs in as; it may replicate, read the three tables and write the heartbeat.
pub const CAPTURE_ROLE: &str = "riverbank_cdc";

/// Makes the role and gives it its rights.
const CAPTURE_ROLE_SQL: &str = include_str!("../postgres/capture_role.sql");

/// The role that the HTTP service logs in as; it may read and write the rows of the three tables.
pub const SERVICE_ROLE: &str = "riverbank_service";

/// Makes the role and gives it its rights.
const SERVICE_ROLE_SQL: &str = include_str!("../postgres/service_role.sql");

/// The narrower schema that batch stacks have (see the file's head); for a database of its own.
pub const BATCH_STACK_SQL: &str = include_str!("../postgres/batch_stack.sql");

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// Postgres is away or refuses the login: worth trying again.
    #[error("Postgres cannot be reached")]
    Unavailable(#[source] sqlx::Error),
    /// The URL is not one. What exactly is wrong with it stays unsaid: that might be a part of the password.
    #[error("not a Postgres URL")]
    BadUrl,
    /// A migration failed, or the database was migrated by a newer or an edited version: somebody must look.
    #[error("the source schema cannot be migrated")]
    Refused(#[source] MigrateError),
    /// A statement failed: the login lacks a right.
    #[error("the login {0} cannot be set up")]
    Statement(&'static str, #[source] sqlx::Error),
    /// The role in whose name the ledger posts lacks something, and the login lacks the right to give it.
    #[error("the ledger's role cannot be set up")]
    Ledger(#[source] sqlx::Error),
}

/// Brings the database at `url` up to the newest schema. The login must own the database and be able to create roles.
///
/// Safe to repeat and to call from several processes at once (an advisory lock lets one of them go first). In a database that
/// was restored on another server it also gives the ledger's role back what a dump does not carry.
pub async fn migrate(url: &str) -> Result<(), MigrationError> {
    let mut connection = open(url).await?;
    MIGRATIONS.run(&mut connection).await.map_err(MigrationError::Refused)?;
    sqlx::query("SELECT public.ledger_set_up_role()")
        .execute(&mut connection)
        .await
        .map_err(MigrationError::Ledger)?;
    connection.close().await.map_err(MigrationError::Unavailable)
}

/// Lets [`CAPTURE_ROLE`] log in with this password and capture the database at `url`: makes the role if need be, and gives
/// it the rights to what the publication `riverbank` holds. Safe to repeat; a password has no place in a migration.
pub async fn allow_capture(url: &str, password: &str) -> Result<(), MigrationError> {
    allow(url, CAPTURE_ROLE, CAPTURE_ROLE_SQL, password).await
}

/// Lets [`SERVICE_ROLE`] log in with this password and read and write the rows of the database at `url`: makes the role if need
/// be, and gives it its rights. Safe to repeat.
pub async fn allow_service(url: &str, password: &str) -> Result<(), MigrationError> {
    allow(url, SERVICE_ROLE, SERVICE_ROLE_SQL, password).await
}

async fn allow(url: &str, role: &'static str, rights: &'static str, password: &str) -> Result<(), MigrationError> {
    let failed = |error| MigrationError::Statement(role, error);
    let mut connection = open(url).await?;
    sqlx::raw_sql(rights).execute(&mut connection).await.map_err(failed)?;
    // ALTER ROLE takes no parameters, so the server itself quotes the password into the statement.
    let statement: String = sqlx::query_scalar("SELECT format('ALTER ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)")
        .bind(role)
        .bind(password)
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await
        .map_err(failed)?;
    connection.close().await.map_err(MigrationError::Unavailable)
}

async fn open(url: &str) -> Result<PgConnection, MigrationError> {
    PgConnectOptions::from_str(url)
        .map_err(|_| MigrationError::BadUrl)?
        // The statements hold a password.
        .disable_statement_logging()
        .connect()
        .await
        .map_err(MigrationError::Unavailable)
}
