//! Takes batches to the bank's database, each as one database transaction, on as many connections as there are lanes.
//!
//! What is not known is asked: when the connection breaks while a transaction commits, Postgres is asked by the
//! transaction's own id whether it did (`pg_xact_status`), so that no batch is posted twice.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use parking_lot::RwLock;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection, PgPool};

use super::operation::{Batch, Draft, Operation};
use super::postgres_ids::{Fresh, Ids, Missing};
use super::teller::{Teller, TellerError, Verdict};
use crate::config::Secret;

/// How long a lane waits for a connection before it tries again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often, and how long apart, Postgres is asked what became of a commit.
const ASKED_MAX: u32 = 30;
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// The bank's database.
#[derive(Debug)]
pub struct PostgresTeller {
    pool: PgPool,
    ids: RwLock<Ids>,
}

/// Why a batch stopped.
enum Stop {
    Missing(Missing),
    Database(sqlx::Error),
}

impl From<Missing> for Stop {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl PostgresTeller {
    /// Connects, and sees that the bank's tables are there.
    pub async fn connect(url: &Secret, connections: u32) -> anyhow::Result<Self> {
        let options = PgConnectOptions::from_str(url.reveal())
            .context("postgres.url")?
            .disable_statement_logging();
        let place = format!("{}:{}", options.get_host(), options.get_port());
        // Tried once without the pool, which would hide the reason behind its own time-out.
        options
            .connect()
            .await
            .with_context(|| format!("connect to Postgres at {place}"))?;
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_lazy_with(options);
        sqlx::query("SELECT 1 FROM customers, accounts, transactions LIMIT 0")
            .execute(&pool)
            .await
            .with_context(|| format!("the database at {place} lacks the bank's tables, or the login may not read them"))?;
        Ok(Self {
            pool,
            ids: RwLock::default(),
        })
    }

    async fn try_commit(&self, batch: &Batch) -> Result<(), Stop> {
        let mut transaction = self.pool.begin().await?;
        let id: String = sqlx::query_scalar("SELECT pg_current_xact_id()::text")
            .fetch_one(&mut *transaction)
            .await?;
        let mut fresh = Fresh::default();
        for operation in &batch.operations {
            self.write(&mut transaction, operation, &mut fresh).await?;
        }
        match transaction.commit().await {
            Err(error) if error.as_database_error().is_none() => self.ask_what_became(&id, error).await?,
            ended => ended?,
        }
        self.ids.write().keep(fresh);
        Ok(())
    }

    /// Whether a transaction whose commit broke off is in force; if not, the error with which it broke off.
    async fn ask_what_became(&self, id: &str, broke_off: sqlx::Error) -> Result<(), sqlx::Error> {
        for _ in 0..ASKED_MAX {
            let status = sqlx::query_scalar("SELECT pg_xact_status($1::text::xid8)")
                .bind(id)
                .fetch_one(&self.pool)
                .await;
            match status.as_ref().map(|status: &Option<String>| status.as_deref()) {
                Ok(Some("committed")) => return Ok(()),
                Ok(Some("aborted")) => return Err(broke_off),
                _ => tokio::time::sleep(ASKED_EVERY).await,
            }
        }
        Err(sqlx::Error::Protocol(format!(
            "it is not known whether transaction {id} was committed: {broke_off}"
        )))
    }

    async fn write(&self, connection: &mut PgConnection, operation: &Operation, fresh: &mut Fresh) -> Result<(), Stop> {
        match operation {
            Operation::AddCustomer { customer, person } => {
                let insert = "INSERT INTO customers (first_name, last_name, email) VALUES ($1, $2, $3) RETURNING id";
                let query = sqlx::query_scalar(insert)
                    .bind(&person.first_name)
                    .bind(&person.last_name)
                    .bind(&person.email);
                fresh.customers.push((*customer, query.fetch_one(connection).await?));
            }
            Operation::ChangeCustomer { customer, person } => {
                let id = self.ids.read().customer(fresh, *customer)?;
                let update = "UPDATE customers SET first_name = $1, last_name = $2, email = $3 WHERE id = $4";
                let query = sqlx::query(update)
                    .bind(&person.first_name)
                    .bind(&person.last_name)
                    .bind(&person.email)
                    .bind(id);
                query.execute(connection).await?;
            }
            Operation::RemoveCustomer { customer } => {
                let id = self.ids.read().customer(fresh, *customer)?;
                sqlx::query("DELETE FROM customers WHERE id = $1")
                    .bind(id)
                    .execute(connection)
                    .await?;
            }
            Operation::OpenAccount {
                account,
                customer,
                account_type,
                currency,
                opening_balance,
            } => {
                let owner = self.ids.read().customer(fresh, *customer)?;
                let insert = "INSERT INTO accounts (customer_id, account_type, currency, opening_balance, balance) \
                              VALUES ($1, $2, $3, $4::text::numeric, $4::text::numeric) RETURNING id";
                let query = sqlx::query_scalar(insert)
                    .bind(owner)
                    .bind(account_type.as_str())
                    .bind(currency.as_str());
                let id = query.bind(opening_balance.to_string()).fetch_one(connection).await?;
                fresh.accounts.push((*account, id));
            }
            Operation::CloseAccount { account } => {
                let id = self.ids.read().account(fresh, *account)?;
                let update = "UPDATE accounts SET status = 'INACTIVE', closed_at = now() WHERE id = $1";
                sqlx::query(update).bind(id).execute(connection).await?;
            }
            Operation::Post { transaction, draft } => {
                let insert = "INSERT INTO transactions (account_id, txn_type, amount, related_account_id, status) \
                              VALUES ($1, $2, $3::text::numeric, $4, $5) RETURNING id";
                let (account, related) = self.accounts(fresh, draft)?;
                let query = sqlx::query_scalar(insert).bind(account).bind(draft.txn_type.as_str());
                let query = query.bind(draft.amount.to_string()).bind(related).bind(draft.status.as_str());
                fresh.transactions.push((*transaction, query.fetch_one(connection).await?));
            }
            Operation::ChangeTransaction { transaction, draft, .. } => {
                let id = self.ids.read().transaction(fresh, *transaction)?;
                let update = "UPDATE transactions SET amount = $1::text::numeric, status = $2 WHERE id = $3";
                let query = sqlx::query(update)
                    .bind(draft.amount.to_string())
                    .bind(draft.status.as_str())
                    .bind(id);
                query.execute(connection).await?;
            }
            Operation::RemoveTransaction { transaction } => {
                let id = self.ids.read().transaction(fresh, *transaction)?;
                sqlx::query("DELETE FROM transactions WHERE id = $1")
                    .bind(id)
                    .execute(connection)
                    .await?;
            }
        }
        Ok(())
    }

    fn accounts(&self, fresh: &Fresh, draft: &Draft) -> Result<(i64, Option<i64>), Missing> {
        let ids = self.ids.read();
        let related = draft.related.map(|related| ids.account(fresh, related)).transpose()?;
        Ok((ids.account(fresh, draft.account)?, related))
    }
}

impl Teller for PostgresTeller {
    async fn commit(&self, batch: &Batch) -> Result<Verdict, TellerError> {
        match self.try_commit(batch).await {
            Ok(()) => Ok(Verdict::Committed),
            Err(Stop::Missing(missing)) => Ok(Verdict::Refused(missing.to_string())),
            Err(Stop::Database(error)) => judge(&error),
        }
    }
}

/// What an error says of the batch. It was rolled back in any case: a broken commit's fate has been asked for.
fn judge(error: &sqlx::Error) -> Result<Verdict, TellerError> {
    if matches!(
        error,
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::WorkerCrashed
    ) {
        return Err(TellerError::Again(error.to_string()));
    }
    let Some(database) = error.as_database_error() else {
        return Err(TellerError::GiveUp(error.to_string()));
    };
    let code = database.code().unwrap_or_default();
    match code.get(..2).unwrap_or_default() {
        // A constraint of the bank, its ledger's own among them.
        "23" => Ok(Verdict::Refused(database.message().to_owned())),
        // Deadlocks and conflicts; too little of something; the server is starting, stopping or out of reach.
        "40" | "53" | "57" | "08" => Err(TellerError::Again(database.message().to_owned())),
        _ => Err(TellerError::GiveUp(format!("{} ({code})", database.message()))),
    }
}
