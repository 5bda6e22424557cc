//! A simulated bank.

pub mod args;

use std::process::ExitCode;

use anyhow::bail;

pub use args::GenerateArgs;

/// `riverbank generate`.
pub fn generate(_args: GenerateArgs) -> anyhow::Result<ExitCode> {
    bail!("`generate` has not landed in this build")
}
