//! What the tests of the source schema share.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Executor, PgConnection, PgPool};
use testbed::Testbed;

/// A database with the newest schema, and connections to it as its owner.
pub async fn bank() -> (Testbed, PgPool) {
    let bed = Testbed::builder().postgres().start().await.expect("postgres");
    connect::migrate(&bed.postgres().url()).await.expect("migrations");
    let pool = owner(&bed).await;
    (bed, pool)
}

/// A database with the first `count` migrations alone: as somebody has it who runs an older version.
pub async fn older_bank(count: usize) -> (Testbed, PgPool) {
    let bed = Testbed::builder().postgres().start().await.expect("postgres");
    let pool = owner(&bed).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("postgres/migrations");
    let mut migrator = Migrator::new(folder).await.expect("the migrations");
    migrator.migrations.to_mut().truncate(count);
    migrator.run(&pool).await.expect("the first migrations");
    (bed, pool)
}

async fn owner(bed: &Testbed) -> PgPool {
    // A server picks one of two kinds of plan by its statistics, which no test controls: here every other session gets the one, and
    // the rest the other.
    let sessions = Arc::new(AtomicUsize::new(0));
    let pool = PgPoolOptions::new().max_connections(8).after_connect(move |session, _| {
        let kinds = ["force_generic_plan", "force_custom_plan"];
        let kind = kinds[sessions.fetch_add(1, Ordering::Relaxed) % 2];
        Box::pin(async move { run(session, &format!("SET plan_cache_mode = {kind}")).await.map(|_| ()) })
    });
    pool.connect(&bed.postgres().url()).await.expect("connections")
}

/// A session of a client who may read and write the bank's rows, owns nothing of it, and has a schema of their own.
pub async fn client(bed: &Testbed, pool: &PgPool) -> PgConnection {
    for statement in [
        "CREATE ROLE client LOGIN PASSWORD 'client'",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON customers, accounts, transactions TO client",
        "CREATE SCHEMA client AUTHORIZATION client",
        "GRANT TEMPORARY ON DATABASE bank TO client",
    ] {
        run(pool, statement).await.expect(statement);
    }
    let options = PgConnectOptions::from_str(&bed.postgres().url()).expect("a URL");
    options
        .username("client")
        .password("client")
        .connect()
        .await
        .expect("a session")
}

/// Runs a statement; returns how many rows it touched.
pub async fn run<'c>(on: impl Executor<'c, Database = sqlx::Postgres>, statement: &str) -> Result<u64, sqlx::Error> {
    // The texts are the tests' own.
    let statement = sqlx::AssertSqlSafe(statement.to_owned());
    sqlx::raw_sql(statement).execute(on).await.map(|done| done.rows_affected())
}

/// The name of the rule that refused a statement.
pub fn constraint(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|e| e.constraint()).map(str::to_owned)
}

/// The code of an error.
pub fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|e| e.code()).map(|code| code.into_owned())
}

/// What an account holds, as text.
pub async fn balance(pool: &PgPool, id: i64) -> String {
    let query = sqlx::query_scalar("SELECT balance::text FROM accounts WHERE id = $1");
    query.bind(id).fetch_one(pool).await.expect("a balance")
}
