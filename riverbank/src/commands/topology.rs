//! `riverbank topology describe`: what would run, without running it.

use std::process::ExitCode;

use anyhow::Context;

use crate::cli::DescribeArgs;
use crate::print::print;

/// Prints the topology.
pub fn describe(args: DescribeArgs) -> anyhow::Result<ExitCode> {
    let topology = processors::bank(processors::BankSettings::default()).context("build the topology")?;
    let text = if args.dot { topology.to_dot() } else { topology.to_string() };
    print(format_args!("{}\n", text.trim_end()))?;
    Ok(ExitCode::SUCCESS)
}
