//! `riverbank health`: asks a running instance whether it is ready, so that a container's health check needs no other
//! program in the image.

use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::cli::HealthArgs;

/// Asks `/health/ready` once. Success is exit code 0; otherwise the error holds what the instance answered.
pub fn health(args: HealthArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(ask(args))
}

async fn ask(args: HealthArgs) -> anyhow::Result<ExitCode> {
    let url = args.url.join("/health/ready").context("make the address of the probe")?;
    let client = reqwest::Client::builder()
        .timeout(args.timeout)
        .build()
        .context("make an HTTP client")?;
    let response = client.get(url.clone()).send().await.with_context(|| format!("ask {url}"))?;
    let status = response.status();
    if status.is_success() {
        return Ok(ExitCode::SUCCESS);
    }
    let body = response.text().await.unwrap_or_default();
    bail!("{url} answered {status}: {}", body.trim());
}
