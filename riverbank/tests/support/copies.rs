//! Copies of a bank's rows in Postgres, each of a moment at which no transaction was open.

use serde_json::{Map, Value, json};
use sqlx::PgPool;

/// What is copied of each table, e-mail addresses as Silver has them. Money is text, and times are microseconds: JSON has neither.
const TABLES: [(&str, &str); 3] = [
    ("customers", "id, first_name, last_name, lower(email) AS email"),
    (
        "accounts",
        "id, customer_id, account_type, currency, opening_balance::text, balance::text, status, \
         (extract(epoch FROM closed_at) * 1000000)::bigint AS closed_at",
    ),
    (
        "transactions",
        "id, account_id, txn_type, amount::text, related_account_id, status",
    ),
];
const TIMES: &str = "(extract(epoch FROM created_at) * 1000000)::bigint AS created_at, \
                     (extract(epoch FROM updated_at) * 1000000)::bigint AS updated_at";

/// All rows, by table and id, and a whole millisecond (`before_ms`) that all their commits are before, and all later ones are not. `None`
/// while somebody writes: waiting for a lock here could be a deadlock with whoever waits for another one.
pub async fn copy(pool: &PgPool) -> Option<Value> {
    let mut transaction = pool.begin().await.expect("a transaction begins");
    let lock = "LOCK TABLE transactions, accounts, customers IN SHARE MODE NOWAIT";
    match sqlx::query(lock).execute(&mut *transaction).await {
        Ok(_) => {}
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => return None,
        Err(error) => panic!("the tables are not locked: {error}"),
    }
    let now = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + 1";
    let before_ms: i64 = sqlx::query_scalar(now).fetch_one(&mut *transaction).await.expect("the time");
    let mut tables = Map::new();
    for (table, columns) in TABLES {
        let rows = format!(
            "SELECT coalesce(jsonb_object_agg(id, to_jsonb(t)), '{{}}')::text FROM (SELECT {columns}, {TIMES} FROM {table}) t"
        );
        let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(rows))
            .fetch_one(&mut *transaction)
            .await
            .expect("the rows are read");
        tables.insert(table.to_owned(), serde_json::from_str(&rows).expect("JSON"));
    }
    // Whoever waits for the lock commits after that millisecond has begun.
    let wait = "SELECT pg_sleep(0.002)";
    sqlx::query(wait).execute(&mut *transaction).await.expect("a moment passes");
    transaction.commit().await.expect("the locks are released");
    Some(json!({ "before_ms": before_ms, "tables": tables }))
}
