//! What goes wrong with Kafka Connect and the registry.

use std::time::Duration;

/// Why the connector does not run.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Connect refuses the configuration: correct it.
    #[error("Kafka Connect refuses the connector's settings: {reason}")]
    Refused {
        /// Connect's own words.
        reason: String,
    },
    /// The registry refuses what the connector needs of it: correct its rights or rules.
    #[error("the schema registry: {reason}")]
    Registry {
        /// Its own words.
        reason: String,
    },
    /// The connector was accepted, and its task fails again and again.
    #[error("the connector {name} fails:\n{trace}")]
    Failed {
        /// The connector's name.
        name: String,
        /// Connect's trace, which names the cause.
        trace: String,
    },
    /// Nothing is known to be wrong; it did not run within the time given.
    #[error("the connector {name} did not run within {waited:?}; last seen: {seen}")]
    NotRunning {
        /// The connector's name.
        name: String,
        /// How long was waited.
        waited: Duration,
        /// The last state or failure that was seen.
        seen: String,
    },
    /// Kafka Connect could not be asked, or answered in an unknown way.
    #[error("Kafka Connect cannot be asked: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
    },
}

impl RegisterError {
    pub(crate) fn without(self, secret: &str) -> Self {
        let hide = |text: String| match secret {
            "" => text,
            secret => text.replace(secret, "***"),
        };
        match self {
            Self::Refused { reason } => Self::Refused { reason: hide(reason) },
            Self::Registry { reason } => Self::Registry { reason: hide(reason) },
            Self::Failed { name, trace } => Self::Failed {
                name,
                trace: hide(trace),
            },
            Self::NotRunning { name, waited, seen } => Self::NotRunning {
                name,
                waited,
                seen: hide(seen),
            },
            Self::Unavailable { reason } => Self::Unavailable { reason: hide(reason) },
        }
    }
}

/// An error with its causes: reqwest's own text seldom says what happened.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
