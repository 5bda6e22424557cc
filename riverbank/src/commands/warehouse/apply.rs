//! `riverbank warehouse apply`.

use std::process::ExitCode;
use std::sync::Arc;

use warehouse::snowflake::Retries;
use warehouse::{apply, migrations};

use super::configuration::configuration;
use crate::config::Settings;
use crate::open::snowflake::{connection, sql};
use crate::print::print;
use crate::process::runtime;

/// Runs the migrations that are not applied yet.
pub fn apply(settings: Settings) -> anyhow::Result<ExitCode> {
    let configuration = configuration(&settings)?;
    let sql = sql(&settings, Arc::new(connection(&settings, Retries::default())?));
    let mut said = Ok(());
    let count = runtime()?.block_on(apply::apply(
        &sql,
        &migrations::all()?,
        &configuration,
        |migration, statements| {
            let line = print(format_args!("{}: applied, {statements} statements\n", migration.name));
            if said.is_ok() {
                said = line;
            }
        },
    ))?;
    said?;
    if count == 0 {
        print("everything is applied\n")?;
    }
    Ok(ExitCode::SUCCESS)
}
