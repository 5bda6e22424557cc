//! Publication, replica identity and keys.

use std::collections::BTreeMap;

use sqlx::{PgConnection, Row};

use super::expected::SourceExpectations;
use super::names::table_id;
use super::problem::{ProblemKind, SourceProblem};

/// What the publication holds of a table.
struct Published {
    has_row_filter: bool,
    lacks_columns: bool,
}

pub(super) async fn check(
    connection: &mut PgConnection,
    expected: &SourceExpectations,
    own: &[String],
) -> Result<Vec<SourceProblem>, sqlx::Error> {
    let mut problems = Vec::new();
    let is_own = !own.is_empty();
    let name = &expected.publication;
    match publication(connection, name).await? {
        None => problems.push(SourceProblem::new(
            ProblemKind::PublicationMissing,
            format!(
                "there is no publication {name}: CREATE PUBLICATION {name} FOR TABLE {}",
                expected.tables.join(", ")
            ),
        )),
        Some((holds_all_tables, lacking)) => {
            if !lacking.is_empty() {
                problems.push(SourceProblem::new(
                    ProblemKind::PublicationPartial,
                    format!(
                        "the publication {name} leaves out every {}: ALTER PUBLICATION {name} SET (publish = 'insert, update, \
                         delete, truncate'); what was left out meanwhile comes with a whole snapshot alone (docs/runbooks/lost-slot.md)",
                        lacking.join(", ")
                    ),
                ));
            }
            let published = published(connection, name).await?;
            problems.extend(compare(expected, own, holds_all_tables, &published));
        }
    }
    for table in &expected.tables {
        match table_id(connection, table).await? {
            None => problems.push(SourceProblem::new(
                ProblemKind::TableMissing,
                format!("there is no table {table}"),
            )),
            Some(id) => {
                problems.extend(check_identity(connection, table, id, is_own).await?);
                problems.extend(check_parts(connection, table, id, name).await?);
            }
        }
    }
    Ok(problems)
}

/// A partitioned table's changes come under its partitions' names, unless the publication says otherwise; those of tables that
/// inherit from it never come.
async fn check_parts(
    connection: &mut PgConnection,
    table: &str,
    id: i64,
    publication: &str,
) -> Result<Option<SourceProblem>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT c.relkind = 'p' AS is_partitioned,
                coalesce((SELECT pubviaroot FROM pg_publication WHERE pubname = $2), false) AS via_root,
                (SELECT string_agg(inhrelid::regclass::text, ', ' ORDER BY inhrelid) FROM pg_inherits WHERE inhparent = c.oid) AS parts
         FROM pg_class AS c WHERE c.oid::bigint = $1",
    )
    .bind(id)
    .bind(publication)
    .fetch_one(connection)
    .await?;
    let parts: Option<String> = row.try_get("parts")?;
    let reason = match (row.try_get("is_partitioned")?, row.try_get("via_root")?, parts) {
        (true, false, _) => format!(
            "{table} is partitioned, and its changes come under the names of its partitions, which nobody reads: ALTER PUBLICATION \
             {publication} SET (publish_via_partition_root = true), and take the partitions out of it; then take a whole snapshot"
        ),
        (false, _, Some(parts)) => format!(
            "rows of tables that inherit from {table} ({parts}) are shown with it in Postgres, and are not captured: move them into \
             {table}"
        ),
        _ => return Ok(None),
    };
    Ok(Some(SourceProblem::new(ProblemKind::Parts, reason)))
}

/// Whether it holds all tables, and the operations that it leaves out.
async fn publication(connection: &mut PgConnection, name: &str) -> Result<Option<(bool, Vec<&'static str>)>, sqlx::Error> {
    let row =
        sqlx::query("SELECT puballtables, pubinsert, pubupdate, pubdelete, pubtruncate FROM pg_publication WHERE pubname = $1")
            .bind(name)
            .fetch_optional(connection)
            .await?;
    let Some(row) = row else { return Ok(None) };
    let mut lacking = Vec::new();
    for (column, operation) in [
        ("pubinsert", "insert"),
        ("pubupdate", "update"),
        ("pubdelete", "delete"),
        ("pubtruncate", "truncate"),
    ] {
        if !row.try_get::<bool, _>(column)? {
            lacking.push(operation);
        }
    }
    Ok(Some((row.try_get("puballtables")?, lacking)))
}

/// The publication's tables. Filters and lists of columns exist from Postgres 15 on; as JSON, they may be absent.
async fn published(connection: &mut PgConnection, name: &str) -> Result<BTreeMap<String, Published>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT p.schemaname || '.' || p.tablename AS name,
                to_jsonb(p) ->> 'rowfilter' IS NOT NULL AS filtered,
                coalesce(jsonb_array_length(nullif(to_jsonb(p) -> 'attnames', 'null')) < (
                    SELECT count(*) FROM pg_attribute a
                    WHERE a.attrelid = format('%I.%I', p.schemaname, p.tablename)::regclass
                      AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                ), false) AS partial
         FROM pg_publication_tables p WHERE p.pubname = $1",
    )
    .bind(name)
    .fetch_all(connection)
    .await?;
    let mut published = BTreeMap::new();
    for row in rows {
        let holds = Published {
            has_row_filter: row.try_get("filtered")?,
            lacks_columns: row.try_get("partial")?,
        };
        published.insert(row.try_get("name")?, holds);
    }
    Ok(published)
}

fn compare(
    expected: &SourceExpectations,
    own: &[String],
    holds_all_tables: bool,
    published: &BTreeMap<String, Published>,
) -> Vec<SourceProblem> {
    let name = &expected.publication;
    let mut problems = Vec::new();
    let needed: Vec<&String> = expected.tables.iter().chain(own).collect();
    for table in &needed {
        match published.get(*table) {
            None => problems.push(SourceProblem::new(
                ProblemKind::NotPublished,
                format!(
                    "{table} is not in the publication {name}, so none of its changes arrive (a table that was renamed and made \
                     anew is not in it): ALTER PUBLICATION {name} ADD TABLE {table}; then take a snapshot of it"
                ),
            )),
            Some(holds) if holds.has_row_filter || holds.lacks_columns => problems.push(SourceProblem::new(
                ProblemKind::PublicationPartial,
                format!(
                    "the publication {name} holds {table} with a row filter or without some of its columns: ALTER PUBLICATION {name} DROP \
                     TABLE {table}, then ADD TABLE {table}; what was left out meanwhile comes with a whole snapshot alone \
                     (docs/runbooks/lost-slot.md)"
                ),
            )),
            Some(_) => {}
        }
    }
    if !holds_all_tables {
        for table in published.keys().filter(|table| !needed.contains(table)) {
            problems.push(SourceProblem::new(
                ProblemKind::NotCaptured,
                format!(
                    "the publication {name} holds {table}, which is not captured: is it a captured table under a new name? If \
                     not, ALTER PUBLICATION {name} DROP TABLE {table}"
                ),
            ));
        }
    }
    problems
}

async fn check_identity(
    connection: &mut PgConnection,
    table: &str,
    id: i64,
    is_own: bool,
) -> Result<Vec<SourceProblem>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT c.relreplident::text AS identity,
                coalesce((
                    SELECT array_agg(a.attname || ' ' || t.typname ORDER BY a.attnum)
                    FROM pg_index i
                    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
                    JOIN pg_type t ON t.oid = a.atttypid
                    WHERE i.indrelid = c.oid AND i.indisprimary
                ), '{}') AS key
         FROM pg_class c WHERE c.oid::bigint = $1",
    )
    .bind(id)
    .fetch_one(connection)
    .await?;
    let (identity, key): (String, Vec<String>) = (row.try_get("identity")?, row.try_get("key")?);
    let mut problems = Vec::new();
    let is_integer_id = matches!(&key[..], [only] if ["id int8", "id int4", "id int2"].contains(&only.as_str()));
    if !is_integer_id {
        let has = if key.is_empty() { "none".to_owned() } else { key.join(", ") };
        problems.push(SourceProblem::new(
            ProblemKind::Key,
            format!("the primary key of {table} must be the integer column id; it has {has}"),
        ));
    }
    let is_enough = match identity.as_str() {
        "f" => true,
        // With a primary key, old rows come with that key: enough where rows are told apart by it alone.
        "d" => !is_own && !key.is_empty(),
        _ => false,
    };
    if !is_enough {
        problems.push(SourceProblem::new(
            ProblemKind::ReplicaIdentity,
            format!("old rows of {table} are not written to the log in full: ALTER TABLE {table} REPLICA IDENTITY FULL"),
        ));
    }
    Ok(problems)
}
