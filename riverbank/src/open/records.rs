//! The system of record.

use std::sync::Arc;

use anyhow::Context;
use system_of_record::{InProcess, Postgres, PostgresSettings, SystemOfRecord};
use topology::clock::SystemClock;

use super::log::Log;
use crate::config::Settings;

/// The bank's database, if the settings name one, or else the in-process system of record. The database may be away for now.
pub async fn records(settings: &Settings, log: &Log) -> anyhow::Result<Arc<dyn SystemOfRecord>> {
    let Some(url) = &settings.postgres.url else {
        return Ok(in_process(log).await?);
    };
    let limits = PostgresSettings {
        connections_max: settings.postgres.connections,
        ..PostgresSettings::default()
    };
    Ok(Arc::new(
        Postgres::connect_lazy(url.reveal(), &limits).context("postgres.url")?,
    ))
}

/// The system of record in this process, which writes its own change log.
pub async fn in_process(log: &Log) -> anyhow::Result<Arc<InProcess>> {
    let log = log.clone();
    let start = move || InProcess::start(log.broker, log.registry, Arc::new(SystemClock));
    Ok(Arc::new(tokio::task::spawn_blocking(start).await??))
}
