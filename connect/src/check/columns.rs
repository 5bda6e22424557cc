//! Column names that Avro cannot tell apart, and numbers that no decimal can hold.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::names::table_id;
use super::problem::{ProblemKind, SourceProblem};
use crate::ColumnPatterns;

/// A value that breaks a check of the column's type.
const CHECK_VIOLATION: &str = "23514";

pub(super) async fn check(
    connection: &mut PgConnection,
    table: &str,
    excluded: &ColumnPatterns,
) -> Result<Vec<SourceProblem>, sqlx::Error> {
    let Some(id) = table_id(connection, table).await? else {
        return Ok(Vec::new());
    };
    let names = captured(connection, table, id, excluded).await?;
    let mut problems = collisions(table, &names);
    for (column, quoted) in with_nan(connection, id).await? {
        if names.contains(&column) {
            problems.push(SourceProblem::new(
                ProblemKind::NanPossible,
                format!(
                    "{table}.{quoted} can hold NaN, which ends the connector's task: ALTER TABLE {table} ADD CHECK ({quoted} <> \
                     'NaN')"
                ),
            ));
        }
    }
    Ok(problems)
}

/// The table's columns, but for those that are left out. Java's regular expressions and those of Postgres agree on what is
/// commonly written there; a pattern that Postgres cannot read leaves nothing out here.
pub(super) async fn captured(
    connection: &mut PgConnection,
    table: &str,
    id: i64,
    excluded: &ColumnPatterns,
) -> Result<Vec<String>, sqlx::Error> {
    let mut names: Vec<String> = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute WHERE attrelid::bigint = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
    )
    .bind(id)
    .fetch_all(&mut *connection)
    .await?;
    for pattern in excluded.as_slice() {
        let left = sqlx::query_scalar(
            "SELECT name FROM unnest($1::text[]) WITH ORDINALITY AS column_names (name, place)
             WHERE $2 || '.' || name !~* ('^(?:' || $3 || ')$') ORDER BY place",
        )
        .bind(&names)
        .bind(table)
        .bind(pattern)
        .fetch_all(&mut *connection)
        .await;
        match left {
            Ok(left) => names = left,
            Err(sqlx::Error::Database(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(names)
}

fn collisions(table: &str, names: &[String]) -> Vec<SourceProblem> {
    let mut by_avro: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for name in names {
        by_avro.entry(avro_name(name)).or_default().push(name);
    }
    let colliding = by_avro.into_iter().filter(|(_, columns)| columns.len() > 1);
    colliding
        .map(|(avro, columns)| {
            let quoted: Vec<String> = columns.iter().map(|name| format!("\"{name}\"")).collect();
            // The one whose name Avro has to change is the likelier of the two to be dispensable.
            let changed = columns.iter().find(|name| ***name != avro);
            let one = changed.map_or(avro.as_str(), |name| name.as_str());
            SourceProblem::new(
                ProblemKind::NameCollision,
                format!(
                    "the columns {} of {table} are both {avro} in Avro, and the connector's task fails at the table's next change: \
                     leave one of them out with RIVERBANK_CONNECT_COLUMN_EXCLUDE='{table}.{one}' riverbank connect \
                     (docs/runbooks/name-collision.md)",
                    quoted.join(" and ")
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

/// The numeric columns, as they are and quoted, that neither a check of their own nor their type keeps from NaN. To Postgres NaN is greater than any
/// number: `amount > 0` lets it in. So each check is asked.
async fn with_nan(connection: &mut PgConnection, table: i64) -> Result<Vec<(String, String)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT a.attname::text AS name, quote_ident(a.attname) AS quoted, format_type(a.atttypid, a.atttypmod) AS type,
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
        let (quoted, kind): (String, String) = (row.try_get("quoted")?, row.try_get("type")?);
        let checks: Vec<String> = row.try_get("checks")?;
        if lets_nan_in(connection, &quoted, &kind, &checks).await? {
            found.push((row.try_get("name")?, quoted));
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
