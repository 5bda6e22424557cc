//! Postgres commit to HTTP answer, over the whole stack: Debezium, Kafka, and `riverbank run` as a process of its own.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use riverbank::config::{Purpose, Settings, Sources};
use testbed::Testbed;
use testbed::visible::{Deposits, Legs, open_accounts};

use super::Latency;
use crate::measure::percentile;
use crate::process::{Running, ourselves};
use crate::report::Report;

/// How long the stack may take until an account that was opened in Postgres shows.
const PATIENCE: Duration = Duration::from_secs(120);
const BUCKET: &str = "lake";
const SUBJECT: &str = "stack";

/// `riverbank run`, with the settings of the environment.
pub fn run_riverbank() -> anyhow::Result<()> {
    let settings = Settings::load(&Sources::of_process(None, BTreeMap::new()), Purpose::Run)?;
    riverbank::app::run(settings).map(drop)
}

impl Latency {
    /// Starts everything, and measures.
    pub(super) fn stack(&self, report: &mut Report) -> anyhow::Result<()> {
        report.setting("stack_rate", self.stack_rate);
        report.setting("stack_warm_up_seconds", self.stack_warm_up_seconds);
        report.setting("stack_commit_interval_ms", self.stack_commit_interval_ms);
        testbed::block_on(self.measured(report))
    }

    async fn measured(&self, report: &mut Report) -> anyhow::Result<()> {
        let bed = Testbed::builder().everything().start().await?;
        bed.minio().create_bucket(BUCKET).await?;
        bed.migrate().await?;
        let (command, url) = self.riverbank(&bed)?;
        let mut running = Running::start(command, bed.folder().join("riverbank.log"))?;
        let http = reqwest::Client::new();
        ready(&http, &url, &mut running).await?;
        bed.capture().await?;
        let pool = sqlx::PgPool::connect(&bed.postgres().url()).await?;
        open_accounts(&pool).await?;
        let deposits = Deposits::new(pool, http.clone(), &url);
        deposits.accounts_show(PATIENCE).await?;
        eprintln!("{} deposits a second", self.stack_rate);
        if self.stack_warm_up_seconds > 0 {
            let warm_up = Duration::from_secs(self.stack_warm_up_seconds);
            deposits.probe(self.stack_rate, warm_up).await?;
        }
        let before = Legs::now(&http, &url).await?;
        let time = Duration::from_secs(self.seconds.into());
        let latencies = deposits.probe(self.stack_rate, time).await?;
        let after = Legs::now(&http, &url).await?;
        running.check()?;
        let (bootstrap, registry) = (bed.kafka().bootstrap().to_owned(), bed.registry().url().to_owned());
        let legs = tokio::task::spawn_blocking(move || after.since(&before, &bootstrap, &registry)).await??;
        let latencies_us: Vec<i64> = latencies.iter().map(|latency| latency.as_micros() as i64).collect();
        for (figure, percent) in [("p50_ms", 50.0), ("p99_ms", 99.0), ("max_ms", 100.0)] {
            report.add(SUBJECT, figure, percentile(&latencies_us, percent) as f64 / 1000.0);
        }
        report.fact("stack_watched_deposits", latencies.len());
        for (leg, mean_ms) in [
            ("stack_mean_ms_to_kafka_by_debezium", legs.in_kafka_ms),
            ("stack_mean_ms_to_legs_committed", legs.legs_committed_ms),
            ("stack_mean_ms_to_balance_committed", legs.balance_committed_ms),
            ("stack_mean_ms_of_a_commit", legs.commit_ms),
        ] {
            report.fact(leg, (mean_ms * 10.0).round() / 10.0);
        }
        tokio::task::spawn_blocking(move || running.stop()).await?
    }

    /// What starts it, and where it will listen.
    fn riverbank(&self, bed: &Testbed) -> anyhow::Result<(Command, String)> {
        let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let minio = bed.minio();
        let settings = [
            ("KAFKA_BROKERS", bed.kafka().bootstrap().to_owned()),
            ("REGISTRY_URL", bed.registry().url().to_owned()),
            ("POSTGRES_URL", bed.postgres().url()),
            ("HTTP_LISTEN", listen.to_string()),
            ("STATE_DIR", bed.folder().join("riverbank").display().to_string()),
            ("ENGINE_THREADS", "1".to_owned()),
            ("ENGINE_COMMIT_INTERVAL", format!("{}ms", self.stack_commit_interval_ms)),
            ("SINK_URL", format!("s3://{BUCKET}/bank")),
            ("S3_ENDPOINT", minio.endpoint().to_owned()),
            ("S3_ACCESS_KEY", minio.access_key().to_owned()),
            ("S3_SECRET_KEY", minio.secret_key().to_owned()),
            ("S3_ALLOW_HTTP", "true".to_owned()),
        ];
        let mut command = ourselves("riverbank-run")?;
        command.envs(settings.map(|(name, value)| (format!("RIVERBANK_{name}"), value)));
        Ok((command, format!("http://{listen}")))
    }
}

async fn ready(http: &reqwest::Client, url: &str, running: &mut Running) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        running.check()?;
        let answer = http.get(format!("{url}/health/ready")).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        ensure!(started.elapsed() < PATIENCE, "riverbank is not ready within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
