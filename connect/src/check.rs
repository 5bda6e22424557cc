//! Whether the source database is as change capture needs it, and still is: what somebody changes there later can end
//! capture, or let it miss rows in silence. [`check_source`] names each such thing, with the way to mend it.
//!
//! Everything is read from catalogs that every login may read.

mod columns;
mod ledger;
mod rights;
mod tables;

use std::fmt;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, Row};

use crate::connector::HEARTBEAT_TABLE;
use crate::{ColumnPatterns, ConnectorSettings, RunningSettings, slot};

/// Tables of Riverbank's own beside the bank's: where they exist, the connector reads them.
const OWN_TABLES: [&str; 2] = [HEARTBEAT_TABLE, "public.riverbank_signals"];

/// What the source must look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceExpectations {
    /// The publication.
    pub publication: String,
    /// The captured tables, as `schema.table`.
    pub tables: Vec<String>,
    /// Columns that the connector leaves out.
    pub excluded_columns: ColumnPatterns,
    /// The connector's login. One that does not exist, or may read nothing of a source that knows nothing of Riverbank, is not
    /// looked at: another login is the connector's then.
    pub capture_role: String,
    /// The replication slot; `None` before the connector has made it.
    pub slot: Option<String>,
}

impl SourceExpectations {
    /// What a connector with these settings needs.
    pub fn of(settings: &ConnectorSettings) -> Self {
        Self {
            publication: settings.publication.clone(),
            tables: settings.tables.clone(),
            excluded_columns: ColumnPatterns::of_names(&settings.excluded_columns),
            capture_role: settings.database.user.clone(),
            slot: Some(settings.slot.clone()),
        }
    }

    /// The same before the connector's first start, which makes the slot.
    pub fn before_the_first_start(self) -> Self {
        Self { slot: None, ..self }
    }

    /// With what a connector that is there has been told: it is what counts, whatever the program's own settings are.
    pub fn as_running(self, running: &RunningSettings) -> Self {
        Self {
            excluded_columns: running.columns(),
            capture_role: running.login.clone().unwrap_or(self.capture_role),
            ..self
        }
    }
}

/// The kinds of trouble in the source, as metrics name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// `wal_level` is not `logical`.
    WalLevel,
    /// There is no such publication.
    PublicationMissing,
    /// The publication leaves out operations, rows or columns.
    PublicationPartial,
    /// A captured table does not exist.
    TableMissing,
    /// A captured table is not in the publication: nothing of it arrives.
    NotPublished,
    /// The publication holds a table that is not captured; it may be a captured one under another name.
    NotCaptured,
    /// Old rows come without what the processors need.
    ReplicaIdentity,
    /// The primary key is not the integer `id`.
    Key,
    /// Two columns have one name in Avro.
    NameCollision,
    /// A numeric column can hold NaN, which no decimal can.
    NanPossible,
    /// The connector's login may not read a captured table.
    NotReadable,
    /// Row security hides rows of a captured table from the connector's login.
    RowSecurity,
    /// Rows of a captured table lie in partitions or child tables whose changes do not come.
    Parts,
    /// A trigger of the ledger is disabled or gone.
    LedgerOff,
    /// The replication slot does not exist.
    SlotMissing,
    /// The replication slot has lost its place in the log.
    SlotLost,
}

impl ProblemKind {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::WalLevel,
        Self::PublicationMissing,
        Self::PublicationPartial,
        Self::TableMissing,
        Self::NotPublished,
        Self::NotCaptured,
        Self::ReplicaIdentity,
        Self::Key,
        Self::NameCollision,
        Self::NanPossible,
        Self::NotReadable,
        Self::RowSecurity,
        Self::Parts,
        Self::LedgerOff,
        Self::SlotMissing,
        Self::SlotLost,
    ];

    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WalLevel => "wal_level",
            Self::PublicationMissing => "publication_missing",
            Self::PublicationPartial => "publication_partial",
            Self::TableMissing => "table_missing",
            Self::NotPublished => "not_published",
            Self::NotCaptured => "not_captured",
            Self::ReplicaIdentity => "replica_identity",
            Self::Key => "key",
            Self::NameCollision => "name_collision",
            Self::NanPossible => "nan_possible",
            Self::NotReadable => "not_readable",
            Self::RowSecurity => "row_security",
            Self::Parts => "parts",
            Self::LedgerOff => "ledger_off",
            Self::SlotMissing => "slot_missing",
            Self::SlotLost => "slot_lost",
        }
    }

    /// Whether a connector that is started on such a source fails, at once or with the first row.
    pub const fn stops_capture(self) -> bool {
        matches!(self, Self::WalLevel | Self::PublicationMissing | Self::NameCollision)
    }

    /// Whether all is well as long as nobody writes such a value: worth knowing, no trouble yet.
    pub const fn is_advice(self) -> bool {
        matches!(self, Self::NanPossible)
    }
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceProblem {
    /// Its kind.
    pub kind: ProblemKind,
    /// What it is and what to do about it, for people.
    pub reason: String,
}

impl SourceProblem {
    pub(crate) fn new(kind: ProblemKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for SourceProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

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

/// The schema and the table of `schema.table`.
fn split(table: &str) -> (&str, &str) {
    table.split_once('.').unwrap_or(("public", table))
}

/// A table's id; `None` where there is no such table.
async fn table_id(connection: &mut PgConnection, table: &str) -> Result<Option<i64>, sqlx::Error> {
    let (schema, name) = split(table);
    let row = sqlx::query(
        "SELECT c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')",
    )
    .bind(schema)
    .bind(name)
    .fetch_optional(connection)
    .await?;
    row.map(|row| row.try_get(0)).transpose()
}
