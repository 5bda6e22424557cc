//! The freshness scenario: how long after its commit in Postgres a row can be read, at each place on its way to the analysts.

mod watch;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use sqlx::PgPool;
use testbed::Testbed;
use testbed::visible::{ACCOUNTS, Deposits, open_accounts};
use tokio::task::JoinSet;

use crate::measure::percentile;
use crate::process::Running;
use crate::report::Report;
use crate::stack::{self, PATIENCE};
use watch::{Times, Watch};

/// Settings of the scenario.
#[derive(Debug, Clone, clap::Args)]
pub struct Freshness {
    /// Commits in Postgres a second.
    #[arg(long, default_value_t = 20)]
    rate: u32,
    /// For how long their rows are watched, in seconds.
    #[arg(long, default_value_t = 180)]
    seconds: u64,
    /// For how long commits flow before that, in seconds: the Java servers compile themselves first.
    #[arg(long, default_value_t = 60)]
    warm_up_seconds: u64,
    /// How old a file of the lake becomes before it is written, in milliseconds (sink.age_max).
    #[arg(long, default_value_t = 5_000)]
    age_max_ms: u64,
    /// Between two looks of the Iceberg tables' committer, in milliseconds (iceberg.interval).
    #[arg(long, default_value_t = 1_000)]
    iceberg_interval_ms: u64,
    /// How long a file waits for others before it is reported to Snowpipe, in milliseconds (snowpipe.batch_wait).
    #[arg(long, default_value_t = 500)]
    batch_wait_ms: u64,
    /// Leaves Snowflake out, whose emulator takes a good part of a small machine.
    #[arg(long)]
    without_snowflake: bool,
}

/// A commit, and the id of its row.
struct Committed {
    id: i64,
    at: Instant,
}

impl Freshness {
    /// Measures, and prints the report.
    pub fn run(&self) -> anyhow::Result<()> {
        let mut report = Report::new("freshness");
        for (name, value) in [
            ("rate", u64::from(self.rate)),
            ("seconds", self.seconds),
            ("warm_up_seconds", self.warm_up_seconds),
            ("age_max_ms", self.age_max_ms),
            ("iceberg_interval_ms", self.iceberg_interval_ms),
            ("batch_wait_ms", self.batch_wait_ms),
        ] {
            report.setting(name, value);
        }
        report.setting("without_snowflake", self.without_snowflake);
        testbed::block_on(self.measure(&mut report))?;
        report.print();
        Ok(())
    }

    async fn measure(&self, report: &mut Report) -> anyhow::Result<()> {
        let with_snowflake = !self.without_snowflake;
        let servers = match with_snowflake {
            true => Testbed::builder().snowflake(),
            false => Testbed::builder(),
        };
        let bed = stack::start(servers).await?;
        let mut settings = self.settings(&bed)?;
        if with_snowflake {
            settings.extend(self.snowflake(&bed));
            applied(stack::spawn(&bed, "warehouse-apply", &settings)?).await?;
        }
        let (mut running, url) = stack::run(&bed, &settings).await?;
        bed.capture().await?;
        let pool = PgPool::connect(&bed.postgres().url()).await?;
        open_accounts(&pool).await?;
        Deposits::new(pool.clone(), reqwest::Client::new(), &url)
            .accounts_show(PATIENCE)
            .await?;
        eprintln!("{} commits a second", self.rate);
        let watch = Watch::start(&bed, with_snowflake)?;
        self.commit(&pool, Duration::from_secs(self.warm_up_seconds)).await?;
        let committed = self.commit(&pool, Duration::from_secs(self.seconds)).await?;
        running.check()?;
        let ids: Vec<i64> = committed.iter().map(|one| one.id).collect();
        add(report, &committed, watch.finish(&ids).await?)?;
        tokio::task::spawn_blocking(move || running.stop()).await?
    }

    fn settings(&self, bed: &Testbed) -> anyhow::Result<BTreeMap<&'static str, String>> {
        stack::settings(
            bed,
            [
                ("SINK_AGE_MAX", ms(self.age_max_ms)),
                ("ICEBERG_CATALOG", "sqlite".to_owned()),
                ("ICEBERG_FILE", watch::catalog(bed).display().to_string()),
                ("ICEBERG_INTERVAL", ms(self.iceberg_interval_ms)),
            ],
        )
    }

    fn snowflake(&self, bed: &Testbed) -> [(&'static str, String); 6] {
        let snowflake = bed.snowflake();
        [
            ("SNOWFLAKE_ACCOUNT", snowflake.account().to_owned()),
            ("SNOWFLAKE_USER", snowflake.user().to_owned()),
            ("SNOWFLAKE_URL", snowflake.url().to_owned()),
            ("SNOWFLAKE_PRIVATE_KEY_FILE", snowflake.private_key().display().to_string()),
            ("SNOWPIPE_ENABLED", "true".to_owned()),
            ("SNOWPIPE_BATCH_WAIT", ms(self.batch_wait_ms)),
        ]
    }

    /// Commits deposits at the rate. Returns when the answers came.
    async fn commit(&self, pool: &PgPool, time: Duration) -> anyhow::Result<Vec<Committed>> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / self.rate.max(1));
        let started = Instant::now();
        let (mut deposits, mut number) = (JoinSet::new(), 0);
        while started.elapsed() < time {
            ticks.tick().await;
            number += 1;
            let (pool, account) = (pool.clone(), number % ACCOUNTS + 1);
            deposits.spawn(async move {
                let insert = "INSERT INTO transactions (account_id, txn_type, amount) VALUES ($1, 'DEPOSIT', 0.01) RETURNING id";
                let id = sqlx::query_scalar(insert).bind(account).fetch_one(&pool).await?;
                anyhow::Ok(Committed { id, at: Instant::now() })
            });
        }
        let mut committed = Vec::new();
        while let Some(one) = deposits.join_next().await {
            committed.push(one.context("a deposit panicked")??);
        }
        Ok(committed)
    }
}

/// As settings have it.
fn ms(milliseconds: u64) -> String {
    format!("{milliseconds}ms")
}

/// Waits until the warehouse is set up.
async fn applied(mut process: Running) -> anyhow::Result<()> {
    let started = Instant::now();
    while !process.is_done()? {
        ensure!(
            started.elapsed() < PATIENCE,
            "the warehouse is not set up within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// The figures of each place.
fn add(report: &mut Report, committed: &[Committed], seen: Vec<(&'static str, Times)>) -> anyhow::Result<()> {
    report.fact("rows", committed.len());
    for (place, times) in seen {
        let mut waits_ms = Vec::with_capacity(committed.len());
        for one in committed {
            let Some(at) = times.get(&one.id) else {
                bail!("row {} was not seen: {place}", one.id);
            };
            waits_ms.push(at.saturating_duration_since(one.at).as_millis() as i64);
        }
        waits_ms.sort_unstable();
        for (figure, percent) in [("p50_s", 50.0), ("p99_s", 99.0), ("max_s", 100.0)] {
            report.add(place, figure, percentile(&waits_ms, percent) as f64 / 1000.0);
        }
    }
    Ok(())
}
