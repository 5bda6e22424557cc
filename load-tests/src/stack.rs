//! The whole stack as a site: Debezium, Kafka, a store, and `riverbank run` as a process of its own.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use anyhow::ensure;
use riverbank::config::{Purpose, Settings, Sources};
use testbed::{Builder, Testbed};

use crate::process::{Running, ourselves};

/// How long anything of the stack may take until it shows.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// The lake's bucket.
pub const BUCKET: &str = "lake";

/// `riverbank run`, with the settings of the environment.
pub fn run_riverbank() -> anyhow::Result<()> {
    let settings = Settings::load(&Sources::of_process(None, BTreeMap::new()), Purpose::Run)?;
    riverbank::commands::run::run(settings).map(drop)
}

/// `riverbank warehouse apply`, with the settings of the environment.
pub fn apply_warehouse() -> anyhow::Result<()> {
    let settings = Settings::load(&Sources::of_process(None, BTreeMap::new()), Purpose::Warehouse)?;
    riverbank::commands::warehouse::apply(settings).map(drop)
}

/// The servers, and what this builder has besides, with the bank's schema and an empty bucket; nothing is captured yet.
pub async fn start(builder: Builder) -> anyhow::Result<Testbed> {
    let bed = builder.everything().start().await?;
    bed.minio().create_bucket(BUCKET).await?;
    bed.migrate().await?;
    Ok(bed)
}

/// The settings of a Riverbank on them, with these besides; names as in the environment, without `RIVERBANK_`.
pub fn settings<const N: usize>(
    bed: &Testbed,
    more: [(&'static str, String); N],
) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let minio = bed.minio();
    let settings = [
        ("KAFKA_BROKERS", bed.kafka().bootstrap().to_owned()),
        ("REGISTRY_URL", bed.registry().url().to_owned()),
        ("POSTGRES_URL", bed.postgres().url()),
        ("HTTP_LISTEN", listen.to_string()),
        ("STATE_DIR", bed.folder().join("riverbank").display().to_string()),
        ("ENGINE_THREADS", "1".to_owned()),
        ("SINK_URL", lake_url()),
        ("S3_ENDPOINT", minio.endpoint().to_owned()),
        ("S3_ACCESS_KEY", minio.access_key().to_owned()),
        ("S3_SECRET_KEY", minio.secret_key().to_owned()),
        ("S3_ALLOW_HTTP", "true".to_owned()),
    ];
    Ok(settings.into_iter().chain(more).collect())
}

/// Where the lake is.
pub fn lake_url() -> String {
    format!("s3://{BUCKET}/bank")
}

/// Starts it, and waits until it is ready; also says where it listens.
pub async fn run(bed: &Testbed, settings: &BTreeMap<&'static str, String>) -> anyhow::Result<(Running, String)> {
    let url = format!("http://{}", settings["HTTP_LISTEN"]);
    let mut running = spawn(bed, "riverbank-run", settings)?;
    let (http, started) = (reqwest::Client::new(), Instant::now());
    loop {
        running.check()?;
        let answer = http.get(format!("{url}/health/ready")).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return Ok((running, url));
        }
        ensure!(started.elapsed() < PATIENCE, "riverbank is not ready within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A subcommand of this program, with these settings.
pub fn spawn(bed: &Testbed, subcommand: &str, settings: &BTreeMap<&'static str, String>) -> anyhow::Result<Running> {
    let mut command = ourselves(subcommand)?;
    command.envs(settings.iter().map(|(name, value)| (format!("RIVERBANK_{name}"), value)));
    Running::start(command, bed.folder().join(format!("{subcommand}.log")))
}
