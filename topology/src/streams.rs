//! A topology at work, in one line: what most programs need of [`Engine`].

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, InProcessBroker};
use tokio::signal::unix::{SignalKind, signal};
use wire::{MemoryRegistry, Registry};

use crate::clock::SystemClock;
use crate::error::EngineError;
use crate::graph::Topology;
use crate::runtime::{Engine, EngineParts, EngineSettings, Metrics};
use crate::store::{Backends, MemoryBackends};

/// How often it is asked whether the engine has ended by itself.
const ENDED_CHECK: Duration = Duration::from_secs(1);

/// A topology with what it runs on. Without a word about that: a log in this process, state in memory, schemas in memory.
///
/// ```no_run
/// use topology::dsl::Builder;
/// use topology::{Streams, Topic};
///
/// # fn main() -> Result<(), topology::EngineError> {
/// let b = Builder::new("copy");
/// b.stream(Topic::<i64, i64>::named("in")).to(Topic::<i64, i64>::named("out"));
/// Streams::new(b.build()?).kafka("localhost:9092").state_dir("/var/lib/copy").run()
/// # }
/// ```
pub struct Streams {
    topology: Topology,
    settings: EngineSettings,
    broker: Option<Arc<dyn Broker>>,
    registry: Option<Arc<dyn Registry>>,
    backends: Option<Arc<dyn Backends>>,
    metrics: prometheus::Registry,
    address: String,
}

impl Streams {
    /// A topology, with the defaults.
    pub fn new(topology: Topology) -> Self {
        Self {
            topology,
            settings: EngineSettings::default(),
            broker: None,
            registry: None,
            backends: None,
            metrics: prometheus::Registry::new(),
            address: String::new(),
        }
    }

    /// On Kafka: `host:port`, several separated by commas.
    #[cfg(feature = "kafka")]
    pub fn kafka(self, bootstrap: impl Into<String>) -> Self {
        let settings = broker::KafkaSettings {
            bootstrap: bootstrap.into(),
            ..broker::KafkaSettings::default()
        };
        self.broker(Arc::new(broker::KafkaBroker::new(settings)))
    }

    /// On this log.
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Self {
        self.broker = Some(broker);
        self
    }

    /// With schemas in this registry; types with a fixed format need none.
    pub fn registry(mut self, registry: Arc<dyn Registry>) -> Self {
        self.registry = Some(registry);
        self
    }

    /// With state in RocksDB beneath this folder, which belongs to one process at a time: a restart goes on at once. Else state is restored
    /// from its changelogs at each start.
    #[cfg(feature = "rocksdb")]
    pub fn state_dir(self, folder: impl Into<std::path::PathBuf>) -> Self {
        use crate::store::{RocksBackends, RocksSettings};
        self.backends(Arc::new(RocksBackends::new(folder, RocksSettings::default())))
    }

    /// With state there.
    pub fn backends(mut self, backends: Arc<dyn Backends>) -> Self {
        self.backends = Some(backends);
        self
    }

    /// With these settings.
    pub fn settings(mut self, settings: EngineSettings) -> Self {
        self.settings = settings;
        self
    }

    /// With metrics in this registry, each with the prefix `streams_`.
    pub fn metrics(mut self, registry: prometheus::Registry) -> Self {
        self.metrics = registry;
        self
    }

    /// Where other instances reach this one's queries.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = address.into();
        self
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// As [`Engine::start`].
    pub fn start(self) -> Result<Engine, EngineError> {
        let parts = EngineParts {
            broker: self.broker.unwrap_or_else(|| Arc::new(InProcessBroker::new())),
            backends: self.backends.unwrap_or_else(|| Arc::new(MemoryBackends::default())),
            registry: self.registry.unwrap_or_else(|| Arc::new(MemoryRegistry::default())),
            clock: Arc::new(SystemClock),
            metrics: Metrics::register("streams", &self.metrics)?,
        };
        Engine::start(self.topology, self.settings, parts, &self.address)
    }

    /// Runs it until SIGTERM, Ctrl-C, or its end, and stops it cleanly. Blocks: in an async program, [`Streams::start`] it on a thread that
    /// may.
    ///
    /// # Errors
    ///
    /// As [`Engine::start`], or where signals cannot be heard.
    pub fn run(self) -> Result<(), EngineError> {
        let machine = |source| EngineError::Machine {
            what: "listen for signals",
            source,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(machine)?;
        let engine = self.start()?;
        let outcome = runtime.block_on(async {
            let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            while engine.ended().is_none() {
                tokio::select! {
                    _ = interrupt.recv() => break,
                    _ = terminate.recv() => break,
                    () = tokio::time::sleep(ENDED_CHECK) => {}
                }
            }
            Ok(())
        });
        engine.stop();
        outcome.map_err(machine)
    }
}
