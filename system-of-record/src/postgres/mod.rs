//! The bank's database. Its own constraints and triggers keep the rules; here their names become [`Rule`](crate::Rule)s.
//!
//! A conflict with another transaction (a deadlock, say) is tried again. When the connection breaks during a commit, Postgres is
//! asked by the transaction's id what became of it. Who waits for a row that somebody holds does so for a bounded time, and with
//! few of the connections (`gates.rs`), so that other rows are served meanwhile; the probe of the service's health has a connection
//! of its own.

mod gates;
mod refusals;
mod statements;
mod together;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBuilder};
use schemas::{AccountId, CustomerId, TransactionId};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection, PgPool};
use tokio::sync::Semaphore;

use crate::{Account, Busy, Change, Customer, Entity, Row, SystemOfRecord, SystemOfRecordError, Transaction, checks};
use gates::{Gates, Passed, rows_of};
use refusals::Stop;

/// How often a commit is tried again that others get in the way of.
const TURNS: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(5))
    .with_max_times(4)
    .with_jitter();
/// How often, and how long apart, Postgres is asked what became of a commit.
const ASKED_MAX: u32 = 10;
const ASKED_EVERY: Duration = Duration::from_millis(500);
/// How long the first try of a commit waits for a lock; longer waits are for a part of the connections only.
const FIRST_LOCK_TIMEOUT: Duration = Duration::from_millis(100);
/// A commit of more changes than this first locks all of its accounts, in the order of their ids: two large ones, statement by
/// statement, would wait for each other until one is thrown back, again and again.
const UNORDERED_MAX: usize = 8;
/// How long the probe waits for its connection, and for a lock.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1_500);

/// How the database is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// Connections at most; further requests wait for one.
    pub connections_max: u32,
    /// How long a request waits for a connection, then it is refused.
    pub acquire_timeout: Duration,
    /// How long a statement waits for a row that another session holds (and, before that, a request for its turn at the row).
    pub lock_timeout: Duration,
    /// How long a statement may take in the server before it is ended. More than `lock_timeout`.
    pub statement_timeout: Duration,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self {
            connections_max: 16,
            acquire_timeout: Duration::from_secs(3),
            lock_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
        }
    }
}

/// The database. Cheap to clone; clones share the connections.
#[derive(Debug, Clone)]
pub struct Postgres {
    pool: PgPool,
    /// One connection that no request ever takes.
    probe: PgPool,
    gates: Gates,
    /// Room for commits that wait for locks: half of the connections.
    patient: Arc<Semaphore>,
    lock_timeout: Duration,
}

impl Postgres {
    /// Reads the URL; connects with the first request, so that a database that is away at the start is merely not ready.
    pub fn connect_lazy(url: &str, settings: &PostgresSettings) -> Result<Self, SystemOfRecordError> {
        // The error's text may hold the password.
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| SystemOfRecordError::Internal("the database's URL is not one of Postgres".to_owned()))?;
        let options = options.application_name("riverbank").disable_statement_logging();
        let pool = |connections_max: u32, acquire_timeout: Duration, lock_timeout: Duration| {
            let [statement_ms, lock_ms] = [settings.statement_timeout, lock_timeout].map(|time| time.as_millis().to_string());
            let options = options.clone().options([
                ("statement_timeout", statement_ms.as_str()),
                ("lock_timeout", lock_ms.as_str()),
                ("timezone", "UTC"),
            ]);
            PgPoolOptions::new()
                .max_connections(connections_max)
                .acquire_timeout(acquire_timeout)
                .connect_lazy_with(options)
        };
        Ok(Self {
            pool: pool(settings.connections_max, settings.acquire_timeout, settings.lock_timeout),
            probe: pool(1, PROBE_TIMEOUT, PROBE_TIMEOUT),
            gates: Gates::new(settings.connections_max, settings.lock_timeout),
            patient: Arc::new(Semaphore::new((settings.connections_max / 2).max(1) as usize)),
            lock_timeout: settings.lock_timeout,
        })
    }

    /// Waits for this commit's turn at the rows that it will lock. Says which accounts are among them.
    async fn pass_gates(&self, changes: &[Change]) -> Result<(Passed, Vec<i64>), Stop> {
        let (mut keys, transactions) = rows_of(changes);
        if !transactions.is_empty() {
            // Which accounts their money is on, read without a lock: should it change meanwhile, a gate is passed in vain.
            let accounts: Vec<i64> = sqlx::query_scalar::<_, Option<i64>>(
                "SELECT unnest(ARRAY[account_id, related_account_id]) AS id FROM transactions WHERE id = ANY ($1)",
            )
            .bind(transactions)
            .fetch_all(&self.pool)
            .await?
            .into_iter()
            .flatten()
            .collect();
            keys.extend(accounts.into_iter().map(|id| (Entity::Account, id)));
        }
        let accounts = keys
            .iter()
            .filter(|(entity, _)| *entity == Entity::Account)
            .map(|(_, id)| *id)
            .collect();
        let passed = self.gates.pass(keys).await;
        let passed = passed.map_err(|busy| Stop::Told(SystemOfRecordError::Busy(busy)))?;
        Ok((passed, accounts))
    }

    /// Moves a table's identity beyond the ids that its rows brought along.
    async fn pass_over_ids(&self, table: &'static str) -> Result<(), Stop> {
        tracing::warn!(table, "rows came with ids of their own; its identity passes over them");
        let moved = sqlx::query("SELECT public.pass_over_ids($1)")
            .bind(table)
            .execute(&self.pool)
            .await;
        match moved {
            Ok(_) => Ok(()),
            // The function is not there, or not for this role.
            Err(error) if refusals::code(&error).is_some_and(|code| code.starts_with("42")) => {
                Err(Stop::Told(SystemOfRecordError::Internal(format!(
                    "rows came into {table} with ids of their own, and its identity cannot pass over them ({error}): as its \
                     owner, SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"
                ))))
            }
            Err(error) => Err(Stop::Database(error)),
        }
    }

    /// Commits; again where others were in the way, or where imported ids were.
    async fn commit_in_turn(&self, changes: &[Change]) -> Result<Vec<Row>, Stop> {
        let (_passed, accounts) = self.pass_gates(changes).await?;
        let mut waits = TURNS.build();
        let mut passed_over = Vec::new();
        let mut room = None;
        let mut together = true;
        loop {
            let lock_timeout = match room {
                Some(_) => self.lock_timeout,
                None => self.lock_timeout.min(FIRST_LOCK_TIMEOUT),
            };
            let stop = match self.try_commit(changes, &accounts, lock_timeout, together).await {
                Ok(rows) => return Ok(rows),
                // One after the other, the first that is at fault is told, as ever. What may be in force is never written again.
                Err(Stop::Told(told))
                    if together && changes.len() > 1 && !matches!(told, SystemOfRecordError::OutcomeUnknown(_)) =>
                {
                    together = false;
                    continue;
                }
                Err(stop) => stop,
            };
            match stop.taken_id() {
                Some(table) if !passed_over.contains(&table) => {
                    passed_over.push(table);
                    self.pass_over_ids(table).await?;
                }
                // Somebody holds a row for longer than a write takes: it is waited for where that keeps nobody else waiting.
                _ if stop.is_locked() && room.is_none() => {
                    let waits = tokio::time::timeout(self.lock_timeout, self.patient.acquire()).await;
                    room = Some(waits.map_err(|_| SystemOfRecordError::from(Busy::Locked))?);
                }
                _ if stop.is_passing() => match waits.next() {
                    // The one who came first is let through first.
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(stop),
                },
                _ => return Err(stop),
            }
        }
    }

    /// The error for the caller. That no connection was available may mean either of two things; the probe knows which.
    async fn for_caller(&self, stop: Stop) -> SystemOfRecordError {
        if stop.is_without_connection() && self.check().await.is_ok() {
            return Busy::Connections.into();
        }
        stop.into_error()
    }

    /// Commits; where `together`, new transactions that stand together by one statement.
    async fn try_commit(
        &self,
        changes: &[Change],
        accounts: &[i64],
        lock_timeout: Duration,
        together: bool,
    ) -> Result<Vec<Row>, Stop> {
        let mut transaction = self.pool.begin().await.map_err(Stop::Database)?;
        let (id, _): (String, String) = sqlx::query_as("SELECT pg_current_xact_id()::text, set_config('lock_timeout', $1, true)")
            .bind(lock_timeout.as_millis().to_string())
            .fetch_one(&mut *transaction)
            .await
            .map_err(Stop::Database)?;
        if changes.len() > UNORDERED_MAX {
            statements::lock_accounts(&mut transaction, accounts).await?;
        }
        let mut rows = Vec::with_capacity(changes.len());
        while let Some(change) = changes.get(rows.len()) {
            let new = if together {
                together::first(&changes[rows.len()..], &rows)
            } else {
                Vec::new()
            };
            if new.len() > 1 {
                let written = together::insert(&mut transaction, &new).await;
                rows.extend(written.map_err(|stop| stop.told_of(change))?);
            } else {
                rows.push(write(&mut transaction, change, &rows).await?);
            }
        }
        match transaction.commit().await {
            Ok(()) => Ok(rows),
            Err(error) if error.as_database_error().is_some() => Err(Stop::Database(error)),
            Err(error) => self.ask_what_became(&id, changes, &rows, error).await.map(|()| rows),
        }
    }

    async fn acquire(&self) -> Result<PoolConnection<sqlx::Postgres>, Stop> {
        self.pool.acquire().await.map_err(Stop::Database)
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
        let gone = |change: &Change| {
            matches!(
                change,
                Change::DeleteCustomer { .. } | Change::DeleteAccount { .. } | Change::DeleteTransaction { .. }
            )
        };
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
        match self.commit_in_turn(changes).await {
            Ok(rows) => Ok(rows),
            Err(stop) => Err(self.for_caller(stop).await),
        }
    }

    async fn customer(&self, id: CustomerId) -> Result<Option<Customer>, SystemOfRecordError> {
        match self.acquire().await {
            Ok(mut connection) => statements::customer(&mut connection, id).await.map_err(Stop::into_error),
            Err(stop) => Err(self.for_caller(stop).await),
        }
    }

    async fn account(&self, id: AccountId) -> Result<Option<Account>, SystemOfRecordError> {
        match self.acquire().await {
            Ok(mut connection) => statements::account(&mut connection, id).await.map_err(Stop::into_error),
            Err(stop) => Err(self.for_caller(stop).await),
        }
    }

    async fn transaction(&self, id: TransactionId) -> Result<Option<Transaction>, SystemOfRecordError> {
        match self.acquire().await {
            Ok(mut connection) => statements::transaction(&mut connection, id).await.map_err(Stop::into_error),
            Err(stop) => Err(self.for_caller(stop).await),
        }
    }

    async fn check(&self) -> Result<(), SystemOfRecordError> {
        sqlx::query("SELECT 1 FROM customers, accounts, transactions LIMIT 0")
            .execute(&self.probe)
            .await
            .map(|_| ())
            .map_err(|error| Stop::Database(error).into_error())
    }
}
