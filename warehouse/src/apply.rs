//! Applies migrations, each once: what is applied stands in `<DATABASE>.OPS.MIGRATIONS`.
//!
//! Statements are idempotent, so a migration that was interrupted is simply run again. One that was changed after it was applied is
//! refused before anything is run: what stands in the database is then no longer what the files say.

use crate::migrations::{self, Configuration, Migration, MigrationError};
use crate::snowflake::{ApiError, Sql};

/// Snowflake's codes for an object that is not there, or that the role may not see.
const MISSING: [&str; 2] = ["002003", "002043"];

/// A migration that is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its name.
    pub name: String,
    /// Its checksum when it was applied.
    pub checksum: String,
    /// When, as Snowflake writes it.
    pub applied_at: String,
}

/// Where a migration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is applied, as it is now.
    Applied {
        /// When.
        at: String,
    },
    /// It is to be applied.
    Pending,
    /// It was applied, and has been changed since.
    Changed {
        /// When.
        at: String,
    },
    /// It is applied, and this version, or this configuration, does not have it.
    Unknown {
        /// When.
        at: String,
    },
}

/// Why migrations could not be applied. What was applied before it stays so.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A file or a setting is wrong.
    #[error(transparent)]
    Migration(#[from] MigrationError),
    /// Snowflake did not do it.
    #[error("{migration}: {source}")]
    Snowflake {
        /// The migration, or what was asked.
        migration: String,
        /// Why.
        source: ApiError,
    },
    /// Migrations were changed after they were applied.
    #[error(
        "{} changed after it was applied to this database: a change belongs into a migration of its own, and nothing is run",
        .0.join(", ")
    )]
    Changed(Vec<String>),
    /// The answer has not the columns that were asked for.
    #[error("OPS.MIGRATIONS has not the columns NAME, CHECKSUM and APPLIED_AT")]
    Columns,
}

/// What must be there before anything can be noted: queries need a virtual warehouse, notes a table.
const BOOTSTRAP: &str = "\
CREATE WAREHOUSE IF NOT EXISTS {{warehouse}} WAREHOUSE_SIZE = {{warehouse_size}} AUTO_SUSPEND = 60 AUTO_RESUME = TRUE
  INITIALLY_SUSPENDED = TRUE COMMENT = 'Riverbank: queries; pipes need no warehouse';
CREATE DATABASE IF NOT EXISTS {{database}};
CREATE SCHEMA IF NOT EXISTS {{database}}.OPS COMMENT = 'Data quality, and what was applied';
CREATE TABLE IF NOT EXISTS {{database}}.OPS.MIGRATIONS
  (NAME VARCHAR NOT NULL, CHECKSUM VARCHAR NOT NULL, APPLIED_AT TIMESTAMP_LTZ NOT NULL);
";

/// The statements that make the place where applied migrations are noted, as a migration that is noted nowhere; they do no harm where
/// it is there.
pub fn bootstrap() -> Result<Migration, MigrationError> {
    let mut read = migrations::read(&[("0000_bootstrap.sql", BOOTSTRAP)])?;
    Ok(read.remove(0))
}

/// What is applied, in the order of names; nothing where the database is not there yet.
pub async fn applied(sql: &Sql, configuration: &Configuration) -> Result<Vec<Applied>, ApplyError> {
    let query = configuration
        .fill("SELECT NAME, CHECKSUM, TO_VARCHAR(APPLIED_AT) AS APPLIED_AT FROM {{database}}.OPS.MIGRATIONS ORDER BY NAME")?;
    let rows = match in_warehouse(sql, configuration)?.run(&query, &[]).await {
        Ok(rows) => rows,
        Err(ApiError::Refused { reason, .. }) if MISSING.iter().any(|code| reason.contains(code)) => return Ok(Vec::new()),
        Err(source) => {
            return Err(ApplyError::Snowflake {
                migration: "what is applied".to_owned(),
                source,
            });
        }
    };
    let column = |name| rows.column(name).ok_or(ApplyError::Columns);
    let all = column("NAME")?
        .into_iter()
        .zip(column("CHECKSUM")?)
        .zip(column("APPLIED_AT")?);
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let one = |((name, checksum), at)| Applied {
        name: text(name),
        checksum: text(checksum),
        applied_at: text(at),
    };
    Ok(all.map(one).collect())
}

/// Queries, other than definitions, run in the virtual warehouse, which the bootstrap makes.
fn in_warehouse(sql: &Sql, configuration: &Configuration) -> Result<Sql, MigrationError> {
    Ok(sql.in_warehouse(&configuration.fill("{{warehouse}}")?))
}

/// Where each migration stands that is for the configuration, or is applied.
pub fn standings(migrations: &[Migration], configuration: &Configuration, applied: &[Applied]) -> Vec<(String, Standing)> {
    let mut all: Vec<_> = migrations
        .iter()
        .filter(|migration| migration.is_for(configuration))
        .map(|migration| {
            let there = applied.iter().find(|applied| applied.name == migration.name);
            let standing = match there {
                None => Standing::Pending,
                Some(there) if there.checksum == migration.checksum() => Standing::Applied {
                    at: there.applied_at.clone(),
                },
                Some(there) => Standing::Changed {
                    at: there.applied_at.clone(),
                },
            };
            (migration.name.clone(), standing)
        })
        .collect();
    let unknown = |there: &&Applied| !all.iter().any(|(name, _)| *name == there.name);
    let unknown: Vec<_> = applied.iter().filter(unknown).cloned().collect();
    all.extend(
        unknown
            .into_iter()
            .map(|there| (there.name, Standing::Unknown { at: there.applied_at })),
    );
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Runs the migrations that are not applied yet, in order, and says each when it is done. Returns how many there were.
pub async fn apply(
    sql: &Sql,
    migrations: &[Migration],
    configuration: &Configuration,
    mut done: impl FnMut(&Migration, usize),
) -> Result<usize, ApplyError> {
    // All of them first: a value that is missing must not show halfway.
    let mut work = Vec::new();
    for migration in migrations.iter().filter(|migration| migration.is_for(configuration)) {
        work.push((migration, migration.statements(configuration)?));
    }
    let bootstrap = bootstrap()?.statements(configuration)?;
    let note = configuration.fill("INSERT INTO {{database}}.OPS.MIGRATIONS SELECT ?, ?, CURRENT_TIMESTAMP()")?;
    let applied = applied(sql, configuration).await?;
    let changed: Vec<_> = standings(migrations, configuration, &applied)
        .into_iter()
        .filter_map(|(name, standing)| matches!(standing, Standing::Changed { .. }).then_some(name))
        .collect();
    if !changed.is_empty() {
        return Err(ApplyError::Changed(changed));
    }
    work.retain(|(migration, _)| !applied.iter().any(|there| there.name == migration.name));
    if work.is_empty() {
        return Ok(0);
    }
    for statement in &bootstrap {
        run(sql, "bootstrap", statement, &[]).await?;
    }
    let sql = &in_warehouse(sql, configuration)?;
    for (migration, statements) in &work {
        for statement in statements {
            run(sql, &migration.name, statement, &[]).await?;
        }
        run(sql, &migration.name, &note, &[&migration.name, &migration.checksum()]).await?;
        done(migration, statements.len());
    }
    Ok(work.len())
}

async fn run(sql: &Sql, migration: &str, statement: &str, bindings: &[&str]) -> Result<(), ApplyError> {
    let ran = sql.run(statement, bindings).await;
    ran.map(drop).map_err(|source| ApplyError::Snowflake {
        migration: migration.to_owned(),
        source,
    })
}
