//! Readiness: a server counts as started when it answers as its clients need it to, not when its port is open.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use sqlx::Connection;
use tokio::net::TcpStream;

use crate::TestbedError;
use crate::process::Process;

/// A cold JVM on a busy machine takes half a minute.
const READY_WITHIN: Duration = Duration::from_secs(180);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How to see that a server is ready.
#[derive(Debug, Clone)]
pub(crate) enum Probe {
    /// A GET of this URL answers with success.
    Http(String),
    /// These Kafka brokers answer with metadata.
    Kafka(String),
    /// This Postgres URL takes a login and a query.
    Postgres(String),
}

impl Probe {
    /// Waits until the server is ready; fails at once if it ends.
    pub(crate) async fn wait(&self, process: &Process) -> Result<(), TestbedError> {
        let started = Instant::now();
        loop {
            process.check()?;
            let reason = match tokio::time::timeout(ANSWER_WITHIN, self.look()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(reason)) => reason,
                Err(_) => format!("no answer within {ANSWER_WITHIN:?}"),
            };
            if started.elapsed() > READY_WITHIN {
                return Err(TestbedError::NotReady {
                    server: process.program().name,
                    waited: started.elapsed(),
                    reason,
                    log: process.program().tail(),
                });
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn look(&self) -> Result<(), String> {
        match self {
            Probe::Http(url) => http(url).await,
            Probe::Kafka(brokers) => kafka(brokers).await,
            Probe::Postgres(url) => postgres(url).await.map_err(|error| error.to_string()),
        }
    }
}

async fn http(url: &str) -> Result<(), String> {
    let response = reqwest::get(url).await.map_err(|error| error.to_string())?;
    if response.status().is_success() {
        return Ok(());
    }
    Err(format!("{url} answers {}", response.status()))
}

async fn kafka(brokers: &str) -> Result<(), String> {
    // librdkafka would report each refused connection; the port alone is asked first.
    TcpStream::connect(brokers).await.map_err(|error| error.to_string())?;
    let brokers = brokers.to_owned();
    let look = move || {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .create()
            .map_err(|error| error.to_string())?;
        let metadata = client
            .fetch_metadata(None, Duration::from_secs(2))
            .map_err(|error| error.to_string())?;
        if metadata.brokers().is_empty() {
            Err("no broker in the cluster yet".to_owned())
        } else {
            Ok(())
        }
    };
    tokio::task::spawn_blocking(look).await.map_err(|error| error.to_string())?
}

async fn postgres(url: &str) -> Result<(), sqlx::Error> {
    let mut connection = sqlx::PgConnection::connect(url).await?;
    sqlx::query("SELECT 1").execute(&mut connection).await?;
    connection.close().await
}
