//! The whole bank in one process, on the in-process log, with a simulated bank as its source.
//!
//! The same engine, sinks and HTTP service as `riverbank run`; the log, the registry and the system of record are the in-process implementations that live
//! in the process. When it ends it audits itself: whoever runs it sees that the books balance, or gets exit code 1.

mod folder;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use api::model::{day, instant, month};
use processors::gold::day_of;
use schemas::CustomerId;
use simulator::{DriveError, Pace, Profile, RecordTarget, SimulatedBank, Totals, drive};
use tokio_util::sync::CancellationToken;
use topology::clock::Micros;

use crate::audit::{Audit, Check, Kept, Patience, Service, Source, check_files, check_iceberg, check_served, report};
use crate::cli::DemoArgs;
use crate::config::{Purpose, Settings, Sources};
use crate::open::iceberg::{self, IcebergTables};
use crate::open::log::Log;
use crate::open::{lake, records};
use crate::print::print;
use crate::process::{process_metrics, runtime, until_signal};
use crate::running::Running;
use folder::Folder;

const READY_MAX: Duration = Duration::from_secs(60);
const STATUS_EVERY: Duration = Duration::from_secs(5);
const HOUR_US: i64 = 3_600_000_000;
/// How long the last operations may take to arrive everywhere.
const PATIENCE: Patience = Patience {
    settle: Duration::from_secs(30),
    arrive: Duration::ZERO,
};

/// `riverbank demo`.
pub fn demo(args: DemoArgs) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(run(args))
}

async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let stop = until_signal()?;
    let folder = Folder::open(args.data.as_deref())?;
    let settings = settings(&args, &folder)?;
    let log = Log::in_process(folder.path().join("schemas"))?;
    let metrics = prometheus::Registry::new();
    process_metrics(&metrics)?;
    let records = records::in_process(&log).await?;
    print(format_args!(
        "Starting the bank: log, state stores, Parquet and system of record in this process\n"
    ))?;
    let running = Running::start(&settings, &log, records.clone(), metrics).await?;
    ready(&running).await?;

    let busy = {
        let target = Arc::new(RecordTarget::new(records.clone()));
        let lanes = SimulatedBank::lanes(args.seed, Profile::demonstration(), 4);
        let pace = Pace {
            rate: Some(args.rate),
            count: None,
            run_for: args.run_for,
            stop: stop.clone(),
        };
        tokio::spawn(drive(lanes, target, pace))
    };
    let kept = Kept::by(&settings, true);
    let mut audit = Audit::new(&log, Source::InProcess(records.clone()), kept)?;
    welcome(&args, &running, &folder).await?;
    let totals = watch(busy, &running, &mut audit, &stop).await?;

    print(format_args!("\n{totals}\nChecking the books:\n"))?;
    let service = Service::at(address(&running)?)?;
    let mut checks = audit.run(PATIENCE, None).await?;
    checks.extend(check_served(&mut audit, &service, usize::MAX, PATIENCE).await?);
    running.stop().await?;
    let lake = lake::store(&settings)?;
    checks.extend(check_files(&lake, &log.broker, true).await?);
    let tables = iceberg::settings(&settings)?.context("the demo has no Iceberg tables")?;
    let tables = IcebergTables::open(tables, &settings, &lake).await?;
    checks.extend(check_iceberg(&tables).await?);
    let balanced = checks.iter().all(Check::holds);
    report(&checks)?;
    folder.close(balanced)?;
    Ok(if balanced { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// As `run` has them, with everything in the demo's folder.
fn settings(args: &DemoArgs, folder: &Folder) -> anyhow::Result<Settings> {
    let flags = [
        ("http.listen", args.listen.to_string()),
        ("http.insecure_no_auth", args.insecure_no_auth.to_string()),
        ("state.dir", folder.path().join("state").display().to_string()),
        ("sink.url", folder.path().join("lake").display().to_string()),
        // Files soon, for whoever looks.
        ("sink.age_max", "5s".to_owned()),
        ("iceberg.catalog", "sqlite".to_owned()),
        ("iceberg.file", folder.path().join("iceberg.db").display().to_string()),
        ("iceberg.interval", "2s".to_owned()),
        ("engine.threads", "1".to_owned()),
    ];
    let flags: BTreeMap<String, String> = flags.map(|(key, value)| (key.to_owned(), value)).into();
    Ok(Settings::load(
        &Sources {
            flags,
            ..Sources::default()
        },
        Purpose::Run,
    )?)
}

async fn ready(running: &Running) -> anyhow::Result<()> {
    let started = tokio::time::Instant::now();
    while !running.queries().readiness().ready {
        if started.elapsed() > READY_MAX {
            bail!(
                "not ready after {READY_MAX:?}: {}",
                running.queries().readiness().reasons.join("; ")
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn address(running: &Running) -> anyhow::Result<reqwest::Url> {
    Ok(format!("http://{}", running.address).parse()?)
}

/// Waits for a balance to show, then says where to look.
async fn welcome(args: &DemoArgs, running: &Running, folder: &Folder) -> anyhow::Result<()> {
    let started = tokio::time::Instant::now();
    let mut found = Vec::new();
    while found.len() < 2 && started.elapsed() < READY_MAX {
        let page = running.queries().page(processors::stores::BALANCES, None, 2, |_, _| true);
        found = page.map(|page| page.value).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let accounts: Vec<String> = found.iter().map(|(id, _)| format!("account_id={id}")).collect();
    let accounts = accounts.join("&");
    let (account, balance) = found.into_iter().next().context("no balance appeared")?;
    let customer = balance.customer_id;
    let day = day(day_of(balance.source_ts));
    let (month, then) = (month(Micros(balance.source_ts)), instant(Micros(balance.source_ts)));
    let [from, to] = [0, HOUR_US].map(|later| instant(Micros(balance.source_ts - balance.source_ts.rem_euclid(HOUR_US) + later)));
    let url = format!("http://{}", running.address);
    let lake = folder.path().join("lake");
    let lake = lake.display();
    let catalog = folder.path().join("iceberg.db");
    let catalog = catalog.display();
    print(format_args!(
        "
Riverbank is open (seed {}, {} operations a second)

  API, to try out       {url}/docs
  a live balance        {url}/accounts/{account}/balance
  several at one moment {url}/balances?{accounts}
  its account           {url}/accounts/{account}
  its history           {url}/accounts/{account}/history
  its days              {url}/accounts/{account}/daily
  its statement         {url}/accounts/{account}/statements/{month}
  what it is made of    {url}/accounts/{account}/balance/explain
  what it was           {url}/accounts/{account}/balance?effective_at={then}&recorded_at={then}
  beside the source's   {url}/accounts/{account}/reconciliation
  its owner's position  {url}/customers/{customer}/position
  the bank on a day     {url}/kpis/daily?day={day}
  and minute by minute  {url}/kpis/minutes?from={from}&to={to}
  all accounts          {url}/accounts
  the topology          {url}/topology
  lag                   {url}/lag
  metrics               {url}/metrics
  readiness             {url}/health/ready
  Parquet files         {lake}
  DuckDB on them        duckdb -cmd \"SET VARIABLE lake = '{lake}'\" -cmd '.read warehouse/duckdb.sql' -c 'FROM gold.kpi_balances'
  Iceberg catalog       sqlite:///{catalog}
  key figures           make report LAKE={lake}

{}\n",
        args.seed,
        args.rate,
        match args.run_for {
            Some(time) => format!("Ends by itself after {}, or with Ctrl-C.", humantime::format_duration(time)),
            None => "Ctrl-C ends it.".to_owned(),
        }
    ))
}

/// A customer whose name or address has changed, and how many versions there are; `None` while nobody's has.
fn customer_with_versions(running: &Running) -> anyhow::Result<Option<(CustomerId, i64)>> {
    let store = processors::stores::CUSTOMER_NEWEST;
    let found = running.queries().page(store, None, 1, |_, count| *count > 1)?;
    Ok(found.value.into_iter().next())
}

/// Tells now and then how it goes, until the simulated bank ends.
async fn watch(
    mut busy: tokio::task::JoinHandle<Result<Totals, DriveError>>,
    running: &Running,
    audit: &mut Audit,
    stop: &CancellationToken,
) -> anyhow::Result<Totals> {
    let mut ticks = tokio::time::interval(STATUS_EVERY);
    ticks.tick().await;
    let mut renamed = None;
    loop {
        tokio::select! {
            ended = &mut busy => return Ok(ended??),
            _ = ticks.tick() => {
                audit.follow()?;
                let waiting: i64 = running.queries().lag().iter().map(|lag| lag.records).sum();
                let trouble = running.queries().readiness().reasons;
                if renamed.is_none() {
                    renamed = customer_with_versions(running)?;
                    if let Some((id, count)) = renamed {
                        print(format_args!("  customer {id} has had {count} names or addresses: http://{}/customers/{id}/history\n", running.address))?;
                    }
                }
                if !stop.is_cancelled() {
                    print(format_args!("  {} postings in the journal, {waiting} records wait {}\n", audit.postings(), trouble.join("; ")))?;
                }
            }
        }
    }
}
