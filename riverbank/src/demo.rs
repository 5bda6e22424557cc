//! The whole bank in one process, on the in-process log, with a simulated bank as its source.

use std::process::ExitCode;

use anyhow::bail;

use crate::cli::DemoArgs;

/// `riverbank demo`.
pub fn demo(_args: DemoArgs) -> anyhow::Result<ExitCode> {
    bail!("`demo` has not landed in this build")
}
