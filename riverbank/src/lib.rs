//! The program: the only place where the parts are put together.
//!
//! The rooms beside this one know little of each other; here they meet. [`cli`] says what can be asked, [`config`] what
//! can be set, [`app`] and [`demo`] build the whole from the settings, [`generate`] simulates the bank that feeds it.
//!
//! Why a library with a thin `main.rs`? So that tests read settings, simulate banks and run the program in their own
//! process through the same functions as the command line.

pub mod app;
pub mod assembly;
pub mod audit;
pub mod capture;
pub mod cli;
pub mod config;
pub mod demo;
pub mod describe;
pub mod generate;
pub mod health;
pub mod iceberg;
pub mod lake;
pub mod log;
pub mod process;
pub mod rejections;
pub mod sink_service;
pub mod snowflake;
pub mod snowpipe;
pub mod source;
mod source_counters;
pub mod telemetry;
pub mod upgrade;

/// Writes to standard output at once, for whoever watches.
pub(crate) fn say(text: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    use std::io::Write;

    use anyhow::Context;

    let mut out = std::io::stdout().lock();
    out.write_fmt(text)
        .and_then(|()| out.flush())
        .context("write to standard output")
}
