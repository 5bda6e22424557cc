//! `riverbank sink`.

use std::process::ExitCode;
use std::time::Duration;

use crate::config::Settings;
use crate::lake_writers::LakeWriters;
use crate::open::log::Log;
use crate::process::{own_metrics, runtime, until_signal};
use crate::sink_service::SinkService;

/// The sinks alone, with their metrics and health.
pub fn sink(settings: Settings) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let log = Log::of(&settings)?;
        let stop = until_signal()?;
        let instance = uuid::Uuid::new_v4().simple().to_string();
        let metrics = own_metrics()?;
        let service = SinkService::start(settings.http.listen, &metrics).await?;
        let lake = LakeWriters::start(&settings, &log, &instance[..12], &metrics).await?;
        while !stop.is_cancelled() {
            let [of_sinks, of_tables, of_snowpipe] = lake.troubles();
            if let Some(trouble) = service.report(of_sinks, of_tables, of_snowpipe) {
                tracing::warn!(trouble = if trouble.is_empty() { "none" } else { &trouble }, "the sink");
            }
            let _ = tokio::time::timeout(Duration::from_secs(1), stop.cancelled()).await;
        }
        let stopped = tokio::task::spawn_blocking(move || lake.stop()).await;
        service.stop().await?;
        stopped??;
        Ok(ExitCode::SUCCESS)
    })
}
