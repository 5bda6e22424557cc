//! An instance of the program, asked over HTTP.

use std::time::Duration;

use anyhow::Context;
use api::model::Balance;
use api::routes::{LagReport, PartitionLag};
use reqwest::{Client, StatusCode, Url};
use topology::Micros;

use super::source::Position;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// An instance, asked over HTTP.
#[derive(Debug, Clone)]
pub struct Service {
    client: Client,
    url: Url,
}

/// How far an instance is behind a position of the source's log.
pub(super) enum Progress {
    /// It has processed what came before, or cannot say.
    Arrived,
    /// Not yet; why.
    Waiting(String),
}

impl Service {
    /// The instance at this address. Nothing is asked yet.
    pub fn at(url: Url) -> anyhow::Result<Self> {
        let client = Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .build()
            .context("make an HTTP client")?;
        Ok(Self { client, url })
    }

    /// Whether it has processed what the source committed before.
    pub(super) async fn progress(&self, position: Position) -> anyhow::Result<Progress> {
        let LagReport { source, inputs } = self.lag().await?;
        let heard = source.and_then(|source| {
            let at = source.heard_at.as_deref()?.parse::<jiff::Timestamp>().ok()?;
            Some((source.heard_lsn?, at, source.troubles))
        });
        let Some((heard_lsn, heard_at, troubles)) = heard else {
            return Ok(Progress::Arrived);
        };
        // By the clock, too: the log of a restored server starts lower.
        if heard_lsn < position.lsn || Micros::from(heard_at) < position.at_us {
            return Ok(Progress::Waiting(match troubles.is_empty() {
                true => format!("it was heard from {heard_lsn}, at {heard_at}"),
                false => format!("it was heard from {heard_lsn}, at {heard_at}; {}", troubles.join("; ")),
            }));
        }
        // What waits and was not fetched yet has no time.
        let is_behind = |input: &PartitionLag| {
            let oldest = input
                .oldest_waiting
                .as_deref()
                .and_then(|at| at.parse::<jiff::Timestamp>().ok());
            input.lag_records > 0 && oldest.is_none_or(|oldest| oldest < heard_at)
        };
        let waiting: i64 = inputs.iter().map(|input| input.lag_records).sum();
        Ok(match inputs.iter().any(is_behind) {
            true => Progress::Waiting(format!("{waiting} records wait")),
            false => Progress::Arrived,
        })
    }

    pub(super) async fn lag(&self) -> anyhow::Result<LagReport> {
        let response = self.client.get(self.url.join("/lag")?).send().await;
        let response = response.and_then(reqwest::Response::error_for_status);
        Ok(response
            .map_err(reqwest::Error::without_url)
            .context("ask the service for its lag")?
            .json()
            .await?)
    }

    /// An account's balance; `None` where it knows no such account.
    pub async fn balance(&self, id: i64) -> Result<Option<Balance>, String> {
        let text = |error: reqwest::Error| error.without_url().to_string();
        let url = self
            .url
            .join(&format!("/accounts/{id}/balance"))
            .map_err(|error| error.to_string())?;
        let response = self.client.get(url).send().await.map_err(text)?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => response.json().await.map(Some).map_err(text),
            status => Err(format!("{status} {}", response.text().await.unwrap_or_default())),
        }
    }
}
