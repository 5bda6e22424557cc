//! The tables' reference page, made from their declarations.

use std::fmt::Write as _;

use crate::Table;
use crate::columns::{Column, GENERATION};

const HEAD: &str = "\
# The lake's tables

Made from the tables' declarations (`sinks/src/tables/`) by `riverbank lake describe`.

Every record of a table's topic is one row. Files are added and never changed, so a table has all versions of what it holds. Where it
has a key, the current row of a key is the one with its highest `_generation` and, in it, its highest `_offset`, of those whose `op` is not
`undecodable`; if that one's `op` is `delete`, the key is gone. A table without a key has rows that each stand for themselves.

Timestamps are UTC, in microseconds. Files of the first versions lack `_generation`: there it is 1.
";

/// A page in Markdown that says what every table holds, column by column.
pub fn describe() -> String {
    let mut page = HEAD.to_owned();
    for table in super::all() {
        section(table.as_ref(), &mut page);
    }
    page
}

fn section(table: &dyn Table, page: &mut String) {
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Memory takes it.
        let _ = writeln!(page, "{text}");
    };
    let (name, topic) = (table.name(), table.topic());
    let compacted = if table.is_compacted() { ", which is compacted" } else { "" };
    line(format_args!("\n## `{name}`\n\n{}\n", table.description()));
    line(format_args!("- Topic: `{topic}`{compacted}."));
    match table.key_columns() {
        [] => line(format_args!("- Key: none.")),
        keys => line(format_args!("- Key: `{}`.", keys.join("`, `"))),
    }
    line(format_args!(
        "- Version of its shape: {} (`-s{0}` in its files' names).",
        table.schema_version()
    ));
    if table.takes_new_columns() {
        line(format_args!(
            "- Columns that the source has besides are in the files, too, before `_op`, and a column that the source has as another type is of that type."
        ));
    }
    line(format_args!("\n| column | type | null | meaning |\n|---|---|---|---|"));
    for column in table.columns().iter().chain([&GENERATION]) {
        let Column {
            name,
            kind,
            nullable,
            doc,
        } = column;
        let null = if *nullable { "yes" } else { "" };
        line(format_args!("| `{name}` | {kind} | {null} | {doc} |"));
    }
}
