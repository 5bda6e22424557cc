//! Looks at a connector without touching it.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::ColumnPatterns;
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

/// A connector's configuration, as far as the look at its source asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct RunningSettings {
    /// The columns that it leaves out, in its own words.
    #[serde(rename = "column.exclude.list")]
    pub excluded_columns: Option<String>,
    /// Whom it logs in as.
    #[serde(rename = "database.user")]
    pub login: Option<String>,
}

impl RunningSettings {
    /// The columns that it leaves out.
    pub fn columns(&self) -> ColumnPatterns {
        ColumnPatterns::of_list(self.excluded_columns.as_deref().unwrap_or_default())
    }
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
            url: format!("{}/connectors/{name}", connect_url.trim_end_matches('/')),
        })
    }

    /// Looks once.
    pub async fn look(&self) -> Sighting {
        match self.get("/status").await {
            Ok(Some(status)) => Sighting::Known(status),
            Ok(None) => Sighting::Absent,
            Err(reason) => Sighting::Unreachable(reason),
        }
    }

    /// The connector's configuration; `None` where Connect knows no such connector. An error says why Connect cannot be asked.
    pub async fn settings(&self) -> Result<Option<RunningSettings>, String> {
        self.get("/config").await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, String> {
        // Whoever asks need not know where Connect is.
        let said = |error: reqwest::Error| chain(&error.without_url());
        let response = self.client.get(format!("{}{path}", self.url)).send().await.map_err(said)?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => response.json().await.map(Some).map_err(said),
            status => Err(format!("it answers {status}")),
        }
    }
}
