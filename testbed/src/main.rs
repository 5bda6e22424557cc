//! `make up` and `make down`: the same servers as in tests, on fixed ports and in a lasting folder, with Riverbank on them.

#![allow(clippy::print_stdout, reason = "what it prints is what it is asked for")]

mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The bank on real servers, started natively and left running.
#[derive(Debug, Parser)]
#[command(name = "testbed", max_term_width = 130)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Where configuration, data and logs are
    #[arg(long, global = true, value_name = "DIR", env = "TESTBED_DIR", default_value_os_t = default_folder())]
    dir: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start what does not run, bring the schema up to date, register the connector, start Riverbank; safe to repeat
    Up {
        /// Start the servers alone
        #[arg(long)]
        without_riverbank: bool,
    },
    /// Stop everything in good order
    Down {
        /// Delete the data, too
        #[arg(long)]
        wipe: bool,
    },
    /// Say what runs
    Status,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = testbed::block_on(async {
        match cli.command {
            Command::Up { without_riverbank } => up::up(&cli.dir, !without_riverbank).await,
            Command::Down { wipe } => up::down(&cli.dir, wipe),
            Command::Status => up::status(&cli.dir),
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("testbed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Not below root's home: Postgres runs as another user then, who could not reach its data.
fn default_folder() -> PathBuf {
    let user = std::env::var("USER").unwrap_or_else(|_| "anyone".to_owned());
    PathBuf::from(format!("/var/tmp/riverbank-{user}"))
}
