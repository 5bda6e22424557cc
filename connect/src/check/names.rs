//! Tables by their names.

use sqlx::{PgConnection, Row};

/// The schema and the table of `schema.table`.
fn split(table: &str) -> (&str, &str) {
    table.split_once('.').unwrap_or(("public", table))
}

/// A table's id; `None` where there is no such table.
pub(super) async fn table_id(connection: &mut PgConnection, table: &str) -> Result<Option<i64>, sqlx::Error> {
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
