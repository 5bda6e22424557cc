//! The whole program, put together from the settings.

use std::process::ExitCode;

use anyhow::bail;

use crate::config::Settings;

/// `riverbank run`: the stream processor, the HTTP service and the sinks, until SIGTERM.
pub fn run(_settings: Settings) -> anyhow::Result<ExitCode> {
    bail!("`run` has not landed in this build")
}

/// `riverbank sink`: the sinks alone.
pub fn sink(_settings: Settings) -> anyhow::Result<ExitCode> {
    bail!("`sink` has not landed in this build")
}
