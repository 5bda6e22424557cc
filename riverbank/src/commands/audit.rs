//! `riverbank audit`.

use std::process::ExitCode;

use anyhow::Context;
use connect::{ColumnPatterns, ConnectorProbe};

use crate::audit::{Audit, Check, Kept, Patience, PostgresSource, Service, Source, check_files, check_served, report};
use crate::cli::AuditArgs;
use crate::config::Settings;
use crate::open::lake;
use crate::open::log::Log;
use crate::process::runtime;

/// Checks the books of the bank that the settings name, while it runs. Exit code 1 if they do not balance.
pub fn audit(settings: Settings, args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let checks = runtime()?.block_on(run(&settings, args))?;
    report(&checks)?;
    // What could not be judged is not proved.
    Ok(match checks.iter().all(|check| check.holds() && check.unjudged == 0) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

async fn run(settings: &Settings, args: &AuditArgs) -> anyhow::Result<Vec<Check>> {
    let patience = Patience {
        settle: args.settle,
        arrive: args.arrive,
    };
    let service = Service::at(args.url.clone())?;
    let url = settings.postgres.url.as_ref().context("postgres.url is missing")?;
    let source = PostgresSource::connect(url.reveal(), &excluded(settings).await?).await?;
    let log = Log::of(settings)?;
    let opened = log.clone();
    let kept = Kept::by(settings, args.histories_from_start);
    let mut audit = tokio::task::spawn_blocking(move || Audit::new(&opened, Source::Postgres(source), kept)).await??;
    // A part that cannot be looked at takes nothing away from what was found in the others.
    let failed = |what: &str, error: anyhow::Error| {
        let mut check = Check::of(what);
        check.problems.push(format!("{error:#}"));
        vec![check]
    };
    let mut checks = audit.run(patience, Some(&service)).await?;
    let served = check_served(&mut audit, &service, args.accounts_max, patience).await;
    checks.extend(served.unwrap_or_else(|error| failed("HTTP: what is served", error)));
    drop(audit);
    let files = async { check_files(&lake::store(settings)?, &log.broker, false).await };
    checks.extend(
        files
            .await
            .unwrap_or_else(|error| failed("Parquet: the files of the lake", error)),
    );
    Ok(checks)
}

/// The columns that the connector leaves out: by its configuration, where Connect can be asked.
async fn excluded(settings: &Settings) -> anyhow::Result<ColumnPatterns> {
    let own = ColumnPatterns::of_names(&settings.connect.column_exclude);
    let Some(worker) = &settings.connect.url else { return Ok(own) };
    let probe = ConnectorProbe::new(worker.as_str(), &settings.source.connector)?;
    Ok(match probe.settings().await {
        Ok(running) => running.map_or(own, |running| running.columns()),
        Err(reason) => {
            tracing::warn!("Kafka Connect cannot be asked which columns are captured: {reason}");
            own
        }
    })
}
