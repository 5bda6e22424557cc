//! A table's SQL, from its declaration: what `sql/` and `duckdb.sql` need for a new table.
//!
//! The files hold the text itself, and not its maker: a migration that was run somewhere never changes, and a reader of SQL finds SQL.
//! A test compares each table's declaration with what the files have of it.

use std::fmt::Write as _;
use std::sync::Arc;

use sinks::Table;
use sinks::columns::{Column, GENERATION, Kind};

/// Names that some engine takes for words of its own; they stand in quotes.
const WORDS: &[&str] = &[
    "at",
    "date",
    "from",
    "group",
    "key",
    "offset",
    "order",
    "partition",
    "row",
    "rule",
    "table",
    "to",
    "topic",
    "user",
    "value",
];

/// What a table needs, if anything.
type Statement = fn(&dyn Table) -> Option<String>;

/// New tables' migrations, one for each way of loading: the tables, their pipes or Iceberg tables; and the views of their current rows,
/// which go with all of them. Each part that begins with a comment is a file of its own.
pub fn migrations(tables: &[Arc<dyn Table>]) -> String {
    let ways: [(&str, Statement); 5] = [
        (
            "-- when: tables=loaded\n-- Tables, with the lake's columns: append-only",
            |table| Some(create_table(table)),
        ),
        (
            "-- when: stage=s3compat\n-- Pipes to which the notifier hands the files",
            |table| Some(pipe(table, "")),
        ),
        ("-- when: stage=s3\n-- Pipes which S3 itself reports new files to", |table| {
            Some(pipe(table, " AUTO_INGEST = TRUE"))
        }),
        ("-- when: tables=iceberg\n-- The same rows, by the catalog", |table| {
            Some(iceberg_table(table))
        }),
        ("-- Current rows: of each key the newest version", current_rows),
    ];
    let mut sql = String::new();
    for (comment, statement) in ways {
        // Memory takes it, here and below.
        let _ = writeln!(sql, "{comment}.\n");
        for statement in tables.iter().filter_map(|table| statement(table.as_ref())) {
            let _ = writeln!(sql, "{statement};\n");
        }
    }
    sql
}

/// The table's part of the views for DuckDB.
pub fn duckdb(table: &dyn Table) -> String {
    let (name, raw) = (table.name(), raw(table));
    let columns: Vec<_> = columns(table)
        .map(|column| format!("{} {}", quoted(&column.name), in_duckdb(column.kind)))
        .collect();
    let mut sql = format!(
        "CREATE OR REPLACE TABLE shape.{raw} (\n  {}\n);\nSET VARIABLE has_{raw} = (SELECT COUNT(*) > 0 FROM glob(lake_files('{name}')));\n\
         CREATE OR REPLACE VIEW raw.{raw} AS\nSELECT * FROM shape.{raw}\nUNION ALL BY NAME\nSELECT * FROM query(\n  \
         IF(getvariable('has_{raw}'), 'FROM lake_rows(''{name}'')', 'FROM shape.{raw}')\n);\n",
        columns.join(",\n  ")
    );
    if let Some(select) = select_current_rows(table, &format!("raw.{raw}"), str::to_owned) {
        let _ = write!(sql, "\nCREATE OR REPLACE VIEW {name} AS\n{select};\n");
    }
    sql
}

/// The table in `RAW`, with the lake's columns.
fn create_table(table: &dyn Table) -> String {
    let columns: Vec<_> = columns(table)
        .map(|column| {
            let null = if column.nullable { "" } else { " NOT NULL" };
            format!("  {} {}{null}", upper(&quoted(&column.name)), in_snowflake(column.kind))
        })
        .collect();
    format!(
        "CREATE TABLE IF NOT EXISTS {{{{database}}}}.RAW.{} (\n{}\n)\nENABLE_SCHEMA_EVOLUTION = TRUE\nCOMMENT = '{}'",
        upper(&raw(table)),
        columns.join(",\n"),
        table.description().trim_end_matches('.').replace('\'', "''")
    )
}

fn pipe(table: &dyn Table, how: &str) -> String {
    let (raw, name) = (upper(&raw(table)), table.name());
    format!(
        "CREATE PIPE IF NOT EXISTS {{{{database}}}}.RAW.{raw}_PIPE{how} AS\nCOPY INTO {{{{database}}}}.RAW.{raw}\n\
         FROM @{{{{database}}}}.RAW.LAKE/{name}/\nFILE_FORMAT = (FORMAT_NAME = '{{{{database}}}}.RAW.LAKE_PARQUET')\n\
         MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE\nON_ERROR = SKIP_FILE"
    )
}

fn iceberg_table(table: &dyn Table) -> String {
    let (namespace, name) = table.name().split_once('.').unwrap_or(("", table.name()));
    format!(
        "CREATE ICEBERG TABLE IF NOT EXISTS {{{{database}}}}.RAW.{}\n  EXTERNAL_VOLUME = '{{{{external_volume}}}}'\n  \
         CATALOG = '{{{{catalog_integration}}}}'\n  CATALOG_NAMESPACE = '{namespace}'\n  CATALOG_TABLE_NAME = '{name}'\n  \
         AUTO_REFRESH = TRUE",
        upper(&raw(table))
    )
}

/// The view of each key's newest version; none for a table without a key.
fn current_rows(table: &dyn Table) -> Option<String> {
    let raw = format!("{{{{database}}}}.RAW.{}", upper(&raw(table)));
    let select = select_current_rows(table, &raw, upper)?;
    let view = upper(table.name());
    Some(format!("CREATE OR REPLACE VIEW {{{{database}}}}.{view} AS\n{select}"))
}

fn select_current_rows(table: &dyn Table, from: &str, case: impl Fn(&str) -> String) -> Option<String> {
    let keys: Vec<_> = table.key_columns().iter().map(|name| case(&quoted(name))).collect();
    if keys.is_empty() {
        return None;
    }
    // What is known of a record, beside what it says.
    let own = |name: &str| {
        let last = [
            "op",
            "_raw_key",
            "_raw",
            "_error",
            "_topic",
            "_partition",
            "_offset",
            "_timestamp",
            "_generation",
        ];
        last.contains(&name)
    };
    let newest = format!("COALESCE({}, 1)", case("_generation"));
    let said = columns(table)
        .filter(|column| !own(&column.name))
        .map(|column| case(&quoted(&column.name)));
    let generation = format!("{newest} AS {}", case("_generation"));
    let at = [
        case("_topic"),
        generation,
        case("_partition"),
        case("_offset"),
        case("_timestamp"),
    ];
    let shown: Vec<_> = said.chain(at).collect();
    let (op, offset, keys) = (case("op"), case("_offset"), keys.join(", "));
    Some(format!(
        "SELECT\n  {}\nFROM {from}\nWHERE {op} <> 'undecodable'\nQUALIFY ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {newest} DESC, \
         {offset} DESC) = 1\n  AND {op} <> 'delete'",
        shown.join(",\n  ")
    ))
}

/// The columns that each file has. Files of the first versions lack the generation.
fn columns(table: &dyn Table) -> impl Iterator<Item = Column> {
    let generation = Column {
        nullable: true,
        ..GENERATION.clone()
    };
    table.columns().iter().cloned().chain([generation])
}

/// `silver_customers` of `silver.customers`.
fn raw(table: &dyn Table) -> String {
    table.name().replace('.', "_")
}

fn quoted(name: &str) -> String {
    match WORDS.contains(&name) {
        true => format!("\"{name}\""),
        false => name.to_owned(),
    }
}

fn upper(name: &str) -> String {
    name.to_ascii_uppercase()
}

fn in_snowflake(kind: Kind) -> String {
    match kind {
        Kind::Bool => "BOOLEAN".to_owned(),
        Kind::Int32 => "NUMBER(10,0)".to_owned(),
        Kind::Int64 => "NUMBER(19,0)".to_owned(),
        Kind::Float32 | Kind::Float64 => "FLOAT".to_owned(),
        Kind::Decimal { digits, scale } => format!("NUMBER({digits},{scale})"),
        Kind::Date => "DATE".to_owned(),
        // An instant, as Snowflake reads it from Parquet.
        Kind::Timestamp => "TIMESTAMP_LTZ(6)".to_owned(),
        Kind::Text => "VARCHAR".to_owned(),
        Kind::Binary => "BINARY".to_owned(),
    }
}

fn in_duckdb(kind: Kind) -> String {
    match kind {
        Kind::Bool => "BOOLEAN".to_owned(),
        Kind::Int32 => "INTEGER".to_owned(),
        Kind::Int64 => "BIGINT".to_owned(),
        Kind::Float32 => "FLOAT".to_owned(),
        Kind::Float64 => "DOUBLE".to_owned(),
        Kind::Decimal { digits, scale } => format!("DECIMAL({digits},{scale})"),
        Kind::Date => "DATE".to_owned(),
        Kind::Timestamp => "TIMESTAMPTZ".to_owned(),
        Kind::Text => "VARCHAR".to_owned(),
        Kind::Binary => "BLOB".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::migrations::{self, statements::split};

    /// A statement without its comments, and with its white space as it makes no difference.
    fn plain(statement: &str) -> String {
        let lines = statement.lines().map(|line| line.split("--").next().unwrap_or_default());
        let lines = lines.filter(|line| !line.starts_with("COMMENT = '"));
        let text = lines.collect::<Vec<_>>().join(" ");
        let text = text
            .split(" COMMENT = '")
            .enumerate()
            .fold(String::new(), |all, (index, part)| {
                let part = if index == 0 {
                    part
                } else {
                    part.split_once('\'').map_or(part, |(_, rest)| rest)
                };
                all + part
            });
        let words: Vec<_> = text.split_whitespace().collect();
        words.join(" ").replace("( ", "(").replace(" )", ")")
    }

    fn missing(of: &str, has: &BTreeSet<String>) -> Vec<String> {
        let all = split(of).unwrap();
        let is_there = |one: &String| has.contains(one) || has.contains(&without_later_columns(one, has));
        all.iter().map(|one| plain(one)).filter(|one| !is_there(one)).collect()
    }

    /// A table's statement as it was before migrations added columns to it.
    fn without_later_columns(statement: &str, has: &BTreeSet<String>) -> String {
        const ADD: &str = " ADD COLUMN IF NOT EXISTS ";
        let additions = has.iter().filter_map(|one| one.strip_prefix("ALTER TABLE ")?.split_once(ADD));
        additions.fold(statement.to_owned(), |statement, (table, column)| {
            match statement.contains(&format!(" {table} (")) {
                true => statement.replace(&format!(" {column},"), ""),
                false => statement,
            }
        })
    }

    #[test]
    fn the_migrations_have_every_table_as_it_is_declared() {
        let written: BTreeSet<_> = migrations::all()
            .unwrap()
            .iter()
            .flat_map(|migration| split(migration.template()).unwrap())
            .map(|statement| plain(&statement))
            .collect();
        let planted = missing(
            "CREATE TABLE IF NOT EXISTS {{database}}.RAW.NOWHERE (ID NUMBER(19,0));\n",
            &written,
        );
        assert_eq!(planted.len(), 1, "a table that is nowhere is missed");
        for table in sinks::tables::all() {
            let missing = missing(&super::migrations(std::slice::from_ref(&table)), &written);
            assert!(missing.is_empty(), "{}: not in sql/:\n{}", table.name(), missing.join("\n\n"));
        }
    }

    #[test]
    fn duckdb_has_every_table_as_it_is_declared() {
        let written: BTreeSet<_> = split(include_str!("../duckdb.sql"))
            .unwrap()
            .iter()
            .map(|one| plain(one))
            .collect();
        for table in sinks::tables::all() {
            let missing = missing(&duckdb(table.as_ref()), &written);
            assert!(
                missing.is_empty(),
                "{}: not in duckdb.sql:\n{}",
                table.name(),
                missing.join("\n\n")
            );
        }
    }
}
