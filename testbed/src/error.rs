//! What can go wrong with a server, said so that the reader need not open the log.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Why the servers are not there.
#[derive(Debug, thiserror::Error)]
pub enum TestbedError {
    /// A program is missing, and could not be installed.
    #[error("{what} is not installed, and `{command}` failed: {reason}")]
    Missing {
        /// What is missing.
        what: String,
        /// What was run to install it; run it by hand to see why.
        command: String,
        /// How it ended.
        reason: String,
    },
    /// A server ended by itself, or a tool that prepares one failed.
    #[error("{server} ended ({how}){log}")]
    Ended {
        /// Which one.
        server: &'static str,
        /// Its exit status.
        how: String,
        /// The end of its log.
        log: LogTail,
    },
    /// A server runs and does not answer.
    #[error("{server} was not ready within {waited:?}: {reason}{log}")]
    NotReady {
        /// Which one.
        server: &'static str,
        /// How long was waited.
        waited: Duration,
        /// What the last look at it brought.
        reason: String,
        /// The end of its log.
        log: LogTail,
    },
    /// A port that must be free is not.
    #[error("port {port} for {server} is in use by another program")]
    PortTaken {
        /// Who wanted it.
        server: &'static str,
        /// The port.
        port: u16,
    },
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What it said.
        source: std::io::Error,
    },
    /// A server answers otherwise than it should.
    #[error("{server}: {reason}")]
    Unexpected {
        /// Which one.
        server: &'static str,
        /// What it did.
        reason: String,
    },
}

/// The last lines of a server's log, and where the whole of it is.
#[derive(Debug, Clone, Default)]
pub struct LogTail {
    /// The file.
    pub path: PathBuf,
    /// Its last lines.
    pub lines: String,
}

impl fmt::Display for LogTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "; end of {}:\n{}", self.path.display(), self.lines)
    }
}

/// Gives an I/O error its circumstances.
pub(crate) fn io(what: impl fmt::Display) -> impl FnOnce(std::io::Error) -> TestbedError {
    move |source| TestbedError::Io {
        what: what.to_string(),
        source,
    }
}
