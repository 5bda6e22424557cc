//! `riverbank run`.

use std::process::ExitCode;

use anyhow::bail;

use crate::config::Settings;
use crate::open::log::Log;
use crate::open::records::records;
use crate::process::{own_metrics, runtime, until_signal};
use crate::running::{RESTART_CHECK_INTERVAL, Running};
use crate::source;

/// The stream processor, the HTTP service and the sinks, until SIGTERM.
pub fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let log = Log::of(&settings)?;
        let records = records(&settings, &log).await?;
        let stop = until_signal()?;
        source::supervise(&settings);
        let mut running = Running::start(&settings, &log, records.clone(), own_metrics()?).await?;
        loop {
            tracing::info!(address = %running.address, "riverbank runs");
            let reason = tokio::select! {
                () = stop.cancelled() => None,
                reason = running.must_restart(&log) => Some(reason),
                reason = running.ended() => {
                    running.stop().await?;
                    bail!(reason);
                }
            };
            let Some(reason) = reason else {
                running.stop().await?;
                return Ok(ExitCode::SUCCESS);
            };
            running.stop_for_restart().await?;
            tracing::warn!(reason, "starting again, with the topics as they are now");
            running = loop {
                match Running::start(&settings, &log, records.clone(), own_metrics()?).await {
                    Ok(running) => break running,
                    Err(error) => tracing::error!("cannot start again yet: {error:#}"),
                }
                tokio::select! {
                    () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
                    () = tokio::time::sleep(RESTART_CHECK_INTERVAL) => {}
                }
            };
        }
    })
}
