//! The sinks as a process of its own, as `riverbank run` has them, without anything besides.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use broker::{KafkaBroker, KafkaSettings};
use sinks::{S3Options, SinkRunner, SinkSettings};
use wire::FileRegistry;

use crate::process::block_signals;

/// A file that no further record comes for ends after this long.
const AGE_MAX: Duration = Duration::from_secs(1);

/// The command line.
#[derive(Debug, Clone, clap::Args)]
pub struct SinkProgram {
    /// Kafka's bootstrap servers.
    #[arg(long)]
    pub brokers: String,
    /// The folder of the schemas.
    #[arg(long)]
    pub registry: PathBuf,
    /// The lake's URL.
    #[arg(long)]
    pub lake: String,
    /// The store's address.
    #[arg(long)]
    pub endpoint: Option<String>,
    /// Its access key.
    #[arg(long, env = "S3_ACCESS_KEY")]
    pub access_key: Option<String>,
    /// The secret of that.
    #[arg(long, env = "S3_SECRET_KEY")]
    pub secret_key: Option<String>,
    /// The consumer group.
    #[arg(long)]
    pub group: String,
    /// The tables.
    #[arg(long, value_delimiter = ',')]
    pub tables: Vec<String>,
    /// A file ends at so many rows.
    #[arg(long)]
    pub rows_max: u64,
}

impl SinkProgram {
    /// Runs until SIGTERM.
    pub fn run(&self) -> anyhow::Result<()> {
        let stop = block_signals()?;
        let s3 = S3Options {
            endpoint: self.endpoint.clone(),
            access_key: self.access_key.clone(),
            secret_key: self.secret_key.clone(),
            region: Some("us-east-1".to_owned()),
            allow_http: true,
        };
        let broker = KafkaBroker::new(KafkaSettings {
            bootstrap: self.brokers.clone(),
            ..KafkaSettings::default()
        });
        let settings = SinkSettings {
            group: self.group.clone(),
            rows_max: self.rows_max,
            age_max: AGE_MAX,
            ..SinkSettings::default()
        };
        let mut tables = sinks::tables::all();
        tables.retain(|table| self.tables.iter().any(|name| name == table.name()));
        let runner = SinkRunner::new(
            settings,
            Arc::new(broker),
            registry(&self.registry)?,
            sinks::open(&self.lake, &s3)?,
            tables,
        );
        let sink = runner.start(&prometheus::Registry::new())?;
        stop.wait()?;
        Ok(sink.stop()?)
    }
}

fn registry(folder: &Path) -> anyhow::Result<Arc<FileRegistry>> {
    Ok(Arc::new(FileRegistry::open(folder)?))
}
