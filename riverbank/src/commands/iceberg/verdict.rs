//! The exit code of a command that works table by table.

use std::process::ExitCode;

use iceberg_tables::{CommitError, MaintainError};

/// How it went with all tables.
pub(super) struct Verdict {
    pub failed: bool,
    /// Tables that the catalog has, perhaps.
    there: usize,
}

impl Verdict {
    pub fn of(tables: usize) -> Self {
        Self {
            failed: false,
            there: tables,
        }
    }

    /// A table that is not there yet is none that failed.
    pub fn add(&mut self, error: &MaintainError) {
        match error {
            MaintainError::Commit(CommitError::NoTable(_)) => self.there -= 1,
            _ => self.failed = true,
        }
    }

    /// Where the catalog has none of them, it is another one, or has them in another namespace.
    pub fn code(&self) -> ExitCode {
        match self.failed || self.there == 0 {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        }
    }
}
