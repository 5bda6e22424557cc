//! The log and the registry that a process works on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, InProcessBroker, KafkaBroker, KafkaSettings};
use wire::{FileRegistry, HttpRegistry, Registry};

use crate::config::Settings;

/// How long Kafka may take to answer a command, or to show another record.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Both of them.
#[derive(Clone)]
pub struct Log {
    /// The log.
    pub broker: Arc<dyn Broker>,
    /// The schemas of what is in it.
    pub registry: Arc<dyn Registry>,
}

impl Log {
    /// Kafka and its registry as the settings name them, or else both in this process.
    pub fn of(settings: &Settings) -> anyhow::Result<Self> {
        match (kafka(settings), &settings.registry.url) {
            (Some(kafka), Some(registry)) => Ok(Self {
                broker: Arc::new(kafka),
                registry: Arc::new(HttpRegistry::new(registry.as_str())?),
            }),
            _ => Self::in_process(settings.state.dir.join("schemas")),
        }
    }

    /// Both in this process; the schemas in this folder.
    pub fn in_process(folder: PathBuf) -> anyhow::Result<Self> {
        Ok(Self {
            broker: Arc::new(InProcessBroker::default()),
            registry: Arc::new(FileRegistry::open(folder)?),
        })
    }
}

/// Kafka, where the settings name it; a log in another process cannot be asked.
pub fn kafka(settings: &Settings) -> Option<KafkaBroker> {
    let bootstrap = settings.kafka.brokers.clone()?;
    Some(KafkaBroker::new(KafkaSettings {
        bootstrap,
        extra: settings.kafka.properties.reveal().clone(),
    }))
}
