//! Column names that Avro cannot tell apart, and numbers that no decimal can hold.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::{ProblemKind, SourceProblem, table_id};

/// A value that breaks a check of the column's type.
const CHECK_VIOLATION: &str = "23514";

pub(super) async fn check(
    connection: &mut PgConnection,
    table: &str,
    excluded: &[String],
) -> Result<Vec<SourceProblem>, sqlx::Error> {
    let Some(id) = table_id(connection, table).await? else {
        return Ok(Vec::new());
    };
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute WHERE attrelid::bigint = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
    )
    .bind(id)
    .fetch_all(&mut *connection)
    .await?;
    let with_nan = with_nan(connection, id).await?;
    let is_captured = |column: &String| !excluded.contains(&format!("{table}.{column}"));
    let names: Vec<String> = names.into_iter().filter(is_captured).collect();
    let mut problems = collisions(table, &names);
    for column in with_nan.into_iter().filter(is_captured) {
        problems.push(SourceProblem::new(
            ProblemKind::NanPossible,
            format!(
                "{table}.{column} can hold NaN, which ends the connector's task: ALTER TABLE {table} ADD CHECK ({column} <> 'NaN')"
            ),
        ));
    }
    Ok(problems)
}

fn collisions(table: &str, names: &[String]) -> Vec<SourceProblem> {
    let mut by_avro: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in names {
        by_avro.entry(avro_name(name)).or_default().push(format!("\"{name}\""));
    }
    let colliding = by_avro.into_iter().filter(|(_, columns)| columns.len() > 1);
    colliding
        .map(|(avro, columns)| {
            SourceProblem::new(
                ProblemKind::NameCollision,
                format!(
                    "the columns {} of {table} are both {avro} in Avro, and the connector's task fails: rename one of them, or \
                     leave one out with connect.column_exclude={table}.COLUMN",
                    columns.join(" and ")
                ),
            )
        })
        .collect()
}

/// A column's name as `field.name.adjustment.mode=avro` writes it: what is no letter, digit or underscore becomes an
/// underscore, and a digit in front gets one.
fn avro_name(column: &str) -> String {
    let mut name = String::with_capacity(column.len() + 1);
    // Java's characters are UTF-16 units.
    for unit in column.encode_utf16() {
        let c = char::from_u32(u32::from(unit))
            .filter(char::is_ascii_alphanumeric)
            .unwrap_or('_');
        if name.is_empty() && c.is_ascii_digit() {
            name.push('_');
        }
        name.push(c);
    }
    name
}

/// The numeric columns that neither a check of their own nor their type keeps from NaN. To Postgres NaN is greater than any
/// number: `amount > 0` lets it in. So each check is asked.
async fn with_nan(connection: &mut PgConnection, table: i64) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT quote_ident(a.attname) AS name, format_type(a.atttypid, a.atttypmod) AS type,
                coalesce(array_agg(pg_get_expr(k.conbin, k.conrelid)) FILTER (WHERE k.oid IS NOT NULL), '{}') AS checks
         FROM pg_attribute a
         JOIN pg_type t ON t.oid = a.atttypid
         LEFT JOIN pg_constraint k ON k.conrelid = a.attrelid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]
         WHERE a.attrelid::bigint = $1 AND a.attnum > 0 AND NOT a.attisdropped
           AND 'numeric'::regtype IN (t.oid, t.typbasetype)
         GROUP BY a.attnum, a.attname, a.atttypid, a.atttypmod ORDER BY a.attnum",
    )
    .bind(table)
    .fetch_all(&mut *connection)
    .await?;
    let mut found = Vec::new();
    for row in rows {
        let (name, kind): (String, String) = (row.try_get("name")?, row.try_get("type")?);
        let checks: Vec<String> = row.try_get("checks")?;
        if lets_nan_in(connection, &name, &kind, &checks).await? {
            found.push(name);
        }
    }
    Ok(found)
}

/// Puts NaN to the column's own checks.
async fn lets_nan_in(connection: &mut PgConnection, column: &str, kind: &str, checks: &[String]) -> Result<bool, sqlx::Error> {
    // It must be looked at, or a domain's checks are not asked.
    let mut condition = format!("{column} IS NOT NULL");
    for check in checks {
        condition.push_str(&format!(" AND coalesce(({check}), true)"));
    }
    // All parts are the catalog's own texts.
    let question = format!("SELECT {condition} FROM (SELECT 'NaN'::{kind} AS {column}) AS candidate");
    sqlx::raw_sql("BEGIN READ ONLY").execute(&mut *connection).await?;
    let answer = sqlx::query_scalar::<_, bool>(AssertSqlSafe(question))
        .fetch_one(&mut *connection)
        .await;
    sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await?;
    match answer {
        Ok(is_let_in) => Ok(is_let_in),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(CHECK_VIOLATION) => Ok(false),
        // A check that cannot be asked apart from its table.
        Err(sqlx::Error::Database(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(column: &str, expected: &str) {
        assert_eq!(avro_name(column), expected, "{column}");
    }

    #[test]
    fn names_become_what_debezium_makes_of_them() {
        check("amount", "amount");
        check("Kunden-Nr", "Kunden_Nr");
        // As the registry showed them.
        check("1a", "_1a");
        check("ä-b", "__b");
        check("$x", "_x");
        check("a.b", "a_b");
        check("_ok", "_ok");
    }

    #[test]
    fn a_collision_names_its_columns() {
        let names = ["id", "Kunden-Nr", "Kunden_Nr", "kunden_nr"].map(str::to_owned);
        let problems = collisions("public.customers", &names);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].kind, ProblemKind::NameCollision);
        assert!(problems[0].reason.contains("\"Kunden-Nr\" and \"Kunden_Nr\""), "{problems:?}");
    }
}
