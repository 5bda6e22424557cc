//! What each command needs of its process: a runtime, an end, figures of its own.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A runtime for the HTTP service and the database; the engine has threads of its own.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start a runtime")
}

/// Cancelled by SIGTERM and Ctrl-C.
pub fn until_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        told.cancel();
    });
    Ok(stop)
}

/// A registry of metrics with those of this process.
pub fn own_metrics() -> anyhow::Result<prometheus::Registry> {
    let metrics = prometheus::Registry::new();
    process_metrics(&metrics)?;
    Ok(metrics)
}

/// Memory, processor time and file handles of this process.
pub fn process_metrics(metrics: &prometheus::Registry) -> anyhow::Result<()> {
    metrics.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
    Ok(())
}
