//! Standard output.

use std::fmt::Display;
use std::io::Write;

use anyhow::Context;

/// Writes to standard output at once, for whoever watches.
pub fn print(text: impl Display) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    write!(out, "{text}")
        .and_then(|()| out.flush())
        .context("write to standard output")
}
