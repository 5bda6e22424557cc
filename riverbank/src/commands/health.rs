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
    // What is said of it must not hold a login.
    let shown = {
        let mut shown = url.clone();
        let _ = (shown.set_username(""), shown.set_password(None));
        shown
    };
    let client = reqwest::Client::builder()
        .timeout(args.timeout)
        .build()
        .context("make an HTTP client")?;
    let response = client.get(url).send().await;
    let response = response
        .map_err(reqwest::Error::without_url)
        .with_context(|| format!("ask {shown}"))?;
    let status = response.status();
    if status.is_success() {
        return Ok(ExitCode::SUCCESS);
    }
    let body = response.text().await.unwrap_or_default();
    bail!("{shown} answered {status}: {}", body.trim());
}
