//! `riverbank rules describe`.

use std::process::ExitCode;

use crate::print::print;

/// Prints every data rule, and what happens to rows that break it.
pub fn describe() -> anyhow::Result<ExitCode> {
    print(schemas::rules::describe())?;
    Ok(ExitCode::SUCCESS)
}
