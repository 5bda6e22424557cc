//! Postgres commit to HTTP answer, over the whole stack: Debezium, Kafka, and `riverbank run` as a process of its own.

use std::time::Duration;

use testbed::Testbed;
use testbed::visible::{Deposits, Legs, open_accounts};

use super::Latency;
use crate::measure::percentile;
use crate::report::Report;
use crate::stack::{self, PATIENCE};

const SUBJECT: &str = "stack";

impl Latency {
    /// Starts everything, and measures.
    pub(super) fn stack(&self, report: &mut Report) -> anyhow::Result<()> {
        report.setting("stack_rate", self.stack_rate);
        report.setting("stack_warm_up_seconds", self.stack_warm_up_seconds);
        report.setting("stack_commit_interval_ms", self.stack_commit_interval_ms);
        testbed::block_on(self.measured(report))
    }

    async fn measured(&self, report: &mut Report) -> anyhow::Result<()> {
        let interval = ("ENGINE_COMMIT_INTERVAL", format!("{}ms", self.stack_commit_interval_ms));
        let bed = stack::start(Testbed::builder()).await?;
        let (mut running, url) = stack::run(&bed, &stack::settings(&bed, [interval])?).await?;
        let http = reqwest::Client::new();
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
}
