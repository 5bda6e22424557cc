//! `riverbank warehouse ddl`.

use std::process::ExitCode;

use warehouse::ddl;

use crate::open::lake;
use crate::print::print;

/// Prints what these tables need of SQL, from their declarations.
pub fn ddl(names: &[String], duckdb: bool) -> anyhow::Result<ExitCode> {
    let tables: Vec<_> = names
        .iter()
        .map(|name| lake::tables(Some(name)))
        .collect::<anyhow::Result<_>>()?;
    let tables = tables.concat();
    let text = match duckdb {
        true => tables
            .iter()
            .map(|table| ddl::duckdb(table.as_ref()))
            .collect::<Vec<_>>()
            .join("\n"),
        false => ddl::migrations(&tables),
    };
    print(text)?;
    Ok(ExitCode::SUCCESS)
}
