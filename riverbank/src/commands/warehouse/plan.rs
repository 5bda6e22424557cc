//! `riverbank warehouse plan`.

use std::fmt::Write as _;
use std::process::ExitCode;

use warehouse::apply;
use warehouse::migrations::{self, Configuration, Migration};

use super::configuration::configuration;
use crate::config::Settings;
use crate::print::print;

/// Prints the SQL of this configuration, with secrets hidden.
pub fn plan(settings: Settings) -> anyhow::Result<ExitCode> {
    let configuration = configuration(&settings)?;
    let mut text = String::new();
    let bootstrap = apply::bootstrap()?;
    for migration in [bootstrap].into_iter().chain(wanted(&configuration)?) {
        writeln!(text, "-- {} ({})", migration.name, migration.checksum())?;
        writeln!(text, "{}", migration.shown(&configuration)?)?;
    }
    print(text)?;
    Ok(ExitCode::SUCCESS)
}

fn wanted(configuration: &Configuration) -> anyhow::Result<Vec<Migration>> {
    let mut all = migrations::all()?;
    all.retain(|migration| migration.is_for(configuration));
    Ok(all)
}
