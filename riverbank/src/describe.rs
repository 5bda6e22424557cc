//! `riverbank topology describe`: what would run, without running it.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::DescribeArgs;

/// Prints the topology.
pub fn describe(args: DescribeArgs) -> anyhow::Result<ExitCode> {
    let topology = processors::bank(processors::SourcePartitions::default()).context("build the topology")?;
    let text = if args.dot { topology.to_dot() } else { topology.to_string() };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end()).context("write to standard output")?;
    Ok(ExitCode::SUCCESS)
}
