//! What is wrong with the settings: all of it at once, each problem with the setting's name and where its value came
//! from.

use std::fmt;
use std::path::PathBuf;

/// Where a setting's value came from; a later one overrides an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The table.
    Default,
    /// The settings file.
    File(PathBuf),
    /// An environment variable, by name.
    Environment(String),
    /// A flag, by name.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting's key, or the name that is no setting's.
    pub setting: String,
    /// Where the value came from, if there was one.
    pub origin: Option<Origin>,
    /// What is wrong, as the end of a sentence that began with the name.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "{} ({origin}) {}", self.setting, self.message),
            None => write!(f, "{} {}", self.setting, self.message),
        }
    }
}

/// The settings cannot be used. The caller prints it, one line, and ends with exit code 2: trying again helps nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// Every problem that was found, never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settings: ")?;
        for (i, problem) in self.problems.iter().enumerate() {
            let divider = if i == 0 { "" } else { "; " };
            // A value may hold a line break; the message stays one line.
            write!(f, "{divider}{}", problem.to_string().replace(['\n', '\r'], " "))?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsError {}

/// What was asked for is not there to be asked for, as these settings are. Ends with exit code 2 as well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);
