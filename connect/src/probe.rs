//! Looks at a connector without touching it.

use std::time::Duration;

use reqwest::{Client, StatusCode};

use crate::error::{RegisterError, chain};
use crate::register::{ConnectorStatus, client};

const TIMEOUT: Duration = Duration::from_secs(5);

/// What a look at a connector found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// Connect knows the connector, and says this of it.
    Known(ConnectorStatus),
    /// Connect answers, and knows no such connector.
    Absent,
    /// Connect does not answer, or not in a way that says anything.
    Unreachable(String),
}

/// Looks at one connector, again and again.
#[derive(Debug, Clone)]
pub struct ConnectorProbe {
    client: Client,
    url: String,
}

impl ConnectorProbe {
    /// For the connector `name` of the worker at `connect_url`.
    pub fn new(connect_url: &str, name: &str) -> Result<Self, RegisterError> {
        Ok(Self {
            client: client(TIMEOUT)?,
            url: format!("{}/connectors/{name}/status", connect_url.trim_end_matches('/')),
        })
    }

    /// Looks once.
    pub async fn look(&self) -> Sighting {
        let response = match self.client.get(&self.url).send().await {
            Ok(response) => response,
            // Whoever asks need not know where Connect is.
            Err(error) => return Sighting::Unreachable(chain(&error.without_url())),
        };
        match response.status() {
            StatusCode::NOT_FOUND => Sighting::Absent,
            status if status.is_success() => match response.json().await {
                Ok(status) => Sighting::Known(status),
                Err(error) => Sighting::Unreachable(chain(&error.without_url())),
            },
            status => Sighting::Unreachable(format!("it answers {status}")),
        }
    }
}
