//! `riverbank lake describe`.

use std::process::ExitCode;

use crate::print::print;

/// Prints what every table holds, column by column.
pub fn describe() -> anyhow::Result<ExitCode> {
    print(sinks::tables::describe())?;
    Ok(ExitCode::SUCCESS)
}
