//! The bank's database. Its own constraints and triggers keep the rules; here their names become [`Rule`](super::Rule)s.
//!
//! A conflict with another transaction (a deadlock, say) is tried again. When the connection breaks during a commit, Postgres is
//! asked by the transaction's id what became of it.

mod refusals;
mod statements;

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use schemas::{AccountId, CustomerId, TransactionId};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection, PgPool};

use super::{Account, Change, Customer, Row, SystemOfRecord, SystemOfRecordError, Transaction, checks};
use refusals::{Stop, unavailable};

/// How often a commit is tried that others get in the way of.
const TRIES_MAX: u32 = 5;
/// How often, and how long apart, Postgres is asked what became of a commit.
const ASKED_MAX: u32 = 10;
const ASKED_EVERY: Duration = Duration::from_millis(500);

/// How the database is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// Connections at most; further requests wait for one.
    pub connections_max: u32,
    /// How long a request waits for a connection, then it finds the database unavailable.
    pub acquire_timeout: Duration,
    /// How long a statement may take in the server (waiting for others' locks included) before it is ended.
    pub statement_timeout: Duration,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self {
            connections_max: 16,
            acquire_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(10),
        }
    }
}

/// The database. Cheap to clone; clones share the connections.
#[derive(Debug, Clone)]
pub struct Postgres {
    pool: PgPool,
}

impl Postgres {
    /// Reads the URL; connects with the first request, so that a database that is away at the start is merely not ready.
    pub fn connect_lazy(url: &str, settings: &PostgresSettings) -> Result<Self, SystemOfRecordError> {
        // The error's text may hold the password.
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| SystemOfRecordError::Internal("the database's URL is not one of Postgres".to_owned()))?;
        let timeout_ms = settings.statement_timeout.as_millis().to_string();
        let options = options
            .application_name("riverbank")
            .options([("statement_timeout", timeout_ms.as_str()), ("timezone", "UTC")])
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(settings.connections_max)
            .acquire_timeout(settings.acquire_timeout)
            .connect_lazy_with(options);
        Ok(Self { pool })
    }

    async fn try_commit(&self, changes: &[Change]) -> Result<Vec<Row>, Stop> {
        let mut transaction = self.pool.begin().await.map_err(Stop::Database)?;
        let id: String = sqlx::query_scalar("SELECT pg_current_xact_id()::text")
            .fetch_one(&mut *transaction)
            .await
            .map_err(Stop::Database)?;
        let mut rows = Vec::with_capacity(changes.len());
        for change in changes {
            let row = write(&mut transaction, change, &rows).await?;
            rows.push(row);
        }
        match transaction.commit().await {
            Ok(()) => Ok(rows),
            Err(error) if error.as_database_error().is_some() => Err(Stop::Database(error)),
            Err(error) => self.ask_what_became(&id, changes, &rows, error).await.map(|()| rows),
        }
    }

    /// Whether a transaction whose commit broke off is in force.
    async fn ask_what_became(&self, id: &str, changes: &[Change], rows: &[Row], broke_off: sqlx::Error) -> Result<(), Stop> {
        for _ in 0..ASKED_MAX {
            let status = sqlx::query_scalar::<_, Option<String>>("SELECT pg_xact_status($1::text::xid8)");
            match status.bind(id).fetch_one(&self.pool).await.as_ref().map(Option::as_deref) {
                Ok(Some("committed")) => match self.is_in_force(changes, rows).await {
                    Ok(true) => return Ok(()),
                    Ok(false) => return Err(Stop::Database(broke_off)),
                    Err(_) => tokio::time::sleep(ASKED_EVERY).await,
                },
                Ok(Some("aborted")) => return Err(Stop::Database(broke_off)),
                _ => tokio::time::sleep(ASKED_EVERY).await,
            }
        }
        Err(Stop::Told(SystemOfRecordError::OutcomeUnknown(broke_off.to_string())))
    }

    /// Whether what a transaction wrote is there. Its id alone proves nothing after a crash: Postgres gives ids, and numbers of a
    /// sequence, that never reached the disk a second time, so the id may be another transaction's by now. Times tell them apart.
    async fn is_in_force(&self, changes: &[Change], rows: &[Row]) -> Result<bool, sqlx::Error> {
        let made = |change: &Change| {
            matches!(
                change,
                Change::InsertCustomer(_) | Change::InsertAccount(_) | Change::InsertTransaction(_)
            )
        };
        let gone = |change: &Change| matches!(change, Change::DeleteCustomer { .. } | Change::DeleteTransaction { .. });
        let written = || changes.iter().zip(rows);
        // The best witness there is: a new row, a changed one, one that is gone.
        let witness = written().find(|(change, _)| made(change));
        let witness = witness.or_else(|| written().find(|(change, _)| !gone(change)));
        let Some((change, row)) = witness.or_else(|| written().next()) else {
            return Ok(true);
        };
        let (table, created_us, updated_us) = match row {
            Row::Customer(row) => ("customers", row.created_at, row.updated_at),
            Row::Account(row) => ("accounts", row.created_at, row.updated_at),
            Row::Transaction(row) => ("transactions", row.created_at, row.updated_at),
        };
        let (condition, at_us) = match (made(change), gone(change)) {
            (true, _) => (
                "EXISTS (SELECT FROM {} WHERE id = $1 AND (extract(epoch FROM created_at) * 1000000)::bigint = $2)",
                created_us,
            ),
            (_, true) => ("NOT EXISTS (SELECT FROM {} WHERE id = $1 AND $2 > 0)", updated_us),
            _ => (
                "EXISTS (SELECT FROM {} WHERE id = $1 AND (extract(epoch FROM updated_at) * 1000000)::bigint >= $2)",
                updated_us,
            ),
        };
        let query = format!("SELECT {}", condition.replace("{}", table));
        sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .bind(row.id())
            .bind(at_us)
            .fetch_one(&self.pool)
            .await
    }
}

async fn write(connection: &mut PgConnection, change: &Change, made: &[Row]) -> Result<Row, Stop> {
    let written = statements::write(connection, change, made).await;
    written.map_err(|stop| stop.told_of(change))
}

#[async_trait]
impl SystemOfRecord for Postgres {
    async fn commit(&self, changes: &[Change]) -> Result<Vec<Row>, SystemOfRecordError> {
        checks::check(changes)?;
        let mut tries = 1;
        loop {
            match self.try_commit(changes).await {
                Ok(rows) => return Ok(rows),
                Err(stop) if stop.is_passing() && tries < TRIES_MAX => {
                    tries += 1;
                    // The one who came first is let through first.
                    tokio::time::sleep(Duration::from_millis(u64::from(tries) * 5)).await;
                }
                Err(stop) => return Err(stop.into_error()),
            }
        }
    }

    async fn customer(&self, id: CustomerId) -> Result<Option<Customer>, SystemOfRecordError> {
        let mut connection = self.pool.acquire().await.map_err(unavailable)?;
        statements::customer(&mut connection, id).await.map_err(Stop::into_error)
    }

    async fn account(&self, id: AccountId) -> Result<Option<Account>, SystemOfRecordError> {
        let mut connection = self.pool.acquire().await.map_err(unavailable)?;
        statements::account(&mut connection, id).await.map_err(Stop::into_error)
    }

    async fn transaction(&self, id: TransactionId) -> Result<Option<Transaction>, SystemOfRecordError> {
        let mut connection = self.pool.acquire().await.map_err(unavailable)?;
        statements::transaction(&mut connection, id).await.map_err(Stop::into_error)
    }

    async fn check(&self) -> Result<(), SystemOfRecordError> {
        sqlx::query("SELECT 1 FROM customers, accounts, transactions LIMIT 0")
            .execute(&self.pool)
            .await
            .map(|_| ())
            .map_err(|error| Stop::Database(error).into_error())
    }
}
