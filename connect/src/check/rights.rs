//! What the connector's login may read.

use sqlx::PgConnection;

use super::columns::captured;
use super::expected::SourceExpectations;
use super::names::table_id;
use super::problem::{ProblemKind, SourceProblem};

pub(super) async fn check(
    connection: &mut PgConnection,
    expected: &SourceExpectations,
    own: &[String],
) -> Result<Vec<SourceProblem>, sqlx::Error> {
    let role = sqlx::query_scalar("SELECT quote_ident(rolname) FROM pg_roles WHERE rolname = $1")
        .bind(&expected.capture_role)
        .fetch_optional(&mut *connection)
        .await?;
    let Some(role): Option<String> = role else {
        return Ok(Vec::new());
    };
    let (mut may_read_some, mut problems) = (false, Vec::new());
    for table in expected.tables.iter().chain(own) {
        let Some(id) = table_id(connection, table).await? else {
            continue;
        };
        // Rights to all columns that are captured do as well.
        let columns = captured(connection, table, id, &expected.excluded_columns).await?;
        let may_read: bool = sqlx::query_scalar(
            "SELECT bool_and(has_column_privilege($1, $2::bigint::oid, name, 'SELECT')) IS NOT FALSE FROM unnest($3::text[]) AS name",
        )
        .bind(&expected.capture_role)
        .bind(id)
        .bind(columns)
        .fetch_one(&mut *connection)
        .await?;
        may_read_some |= may_read;
        // Its changes are captured whole: only a snapshot reads the table as this login.
        let hides: bool = sqlx::query_scalar(
            "SELECT c.relrowsecurity AND NOT (r.rolsuper OR r.rolbypassrls)
                    AND (c.relforcerowsecurity OR NOT pg_has_role(r.oid, c.relowner, 'USAGE'))
             FROM pg_class AS c CROSS JOIN pg_roles AS r WHERE c.oid::bigint = $1 AND r.rolname = $2",
        )
        .bind(id)
        .bind(&expected.capture_role)
        .fetch_one(&mut *connection)
        .await?;
        if hides {
            problems.push(SourceProblem::new(
                ProblemKind::RowSecurity,
                format!(
                    "row security of {table} hides rows from the connector's login {role}: a snapshot shows a part of the table, as if \
                     the rest were gone: ALTER ROLE {role} BYPASSRLS"
                ),
            ));
        }
        if !may_read {
            problems.push(SourceProblem::new(
                ProblemKind::NotReadable,
                format!(
                    "the connector's login {role} may not read {table} (a table that was made anew has nobody's rights): its \
                     changes arrive, but a snapshot of it fails, an incremental one without a word: GRANT SELECT ON {table} TO {role}"
                ),
            ));
        }
    }
    // Roles belong to the server: on a source of somebody's own, this one may be another database's.
    let is_the_login = may_read_some || !own.is_empty();
    Ok(if is_the_login { problems } else { Vec::new() })
}
