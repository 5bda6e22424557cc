//! `riverbank generate`: reads the knobs, opens the target, keeps it busy until the end or Ctrl-C, prints the totals.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::args::GenerateArgs;
use super::bank::SimulatedBank;
use super::drive::{Pace, drive};
use super::postgres::PostgresTeller;
use super::profile::{Plan, Target};
use super::teller::Teller;
use crate::config::{Problem, Purpose, Secret, Settings, SettingsError, Sources};
use crate::{say, telemetry};

/// Runs the command.
pub fn generate(args: GenerateArgs) -> anyhow::Result<ExitCode> {
    let plan = Plan::load(&args.sources())?;
    let settings = Settings::load(&Sources::of_process(None, Default::default()), Purpose::Generate)?;
    telemetry::init(&settings.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    runtime.block_on(run(plan, settings))?;
    Ok(ExitCode::SUCCESS)
}

async fn run(plan: Plan, settings: Settings) -> anyhow::Result<()> {
    match plan.into.clone() {
        Target::Database(url) => into_postgres(plan, url).await,
        Target::Settings => match settings.postgres.url {
            Some(url) => into_postgres(plan, url).await,
            None => Err(missing(
                "postgres.url",
                "is missing: `into` is postgres, which means the database of this setting",
            )
            .into()),
        },
        Target::Topics => bail!("`generate --into topics` has not landed in this build"),
    }
}

fn missing(setting: &str, message: &str) -> SettingsError {
    SettingsError {
        problems: vec![Problem {
            setting: setting.to_owned(),
            origin: None,
            message: message.to_owned(),
        }],
    }
}

async fn into_postgres(plan: Plan, url: Secret) -> anyhow::Result<()> {
    let teller = PostgresTeller::connect(&url, plan.connections as u32).await?;
    keep_busy(plan, teller).await
}

async fn keep_busy(plan: Plan, teller: impl Teller) -> anyhow::Result<()> {
    let seed = plan.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let lanes = SimulatedBank::lanes(seed, plan.profile, plan.connections);
    say(format_args!("seed {seed}, {} connections; Ctrl-C ends it\n", lanes.len()))?;
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone()).context("listen for signals")?;
    let pace = Pace {
        rate: plan.rate,
        count: plan.count,
        run_for: plan.run_for,
        stop,
    };
    let totals = drive(lanes, Arc::new(teller), pace).await?;
    say(format_args!("{totals}"))
}

/// Ctrl-C and SIGTERM end the run between two commits.
fn stop_on_signal(stop: CancellationToken) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}
