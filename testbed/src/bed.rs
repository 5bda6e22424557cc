//! The testbed: the servers that a test asked for, started together.

use std::path::{Path, PathBuf};

use crate::error::io;
use crate::folder::Folder;
use crate::installed::{Installed, Part};
use crate::ports::{Lease, Ports, Turn};
use crate::process::{Lifetime, Program};
use crate::ready::Probe;
use crate::servers::{BucketEvents, Kafka, KafkaConnect, Minio, Postgres, Prometheus, Registry, Snowflake};
use crate::site::Site;
use crate::{Server, TestbedError};

/// What to start, and where.
#[derive(Debug, Default, Clone)]
#[must_use = "nothing starts before start()"]
pub struct Builder {
    kafka: bool,
    registry: bool,
    postgres: bool,
    connect: bool,
    minio: bool,
    bucket_events: BucketEvents,
    snowflake: bool,
    prometheus: Option<PathBuf>,
    lasting: Option<(PathBuf, Ports)>,
}

impl Builder {
    /// Kafka: one broker in KRaft mode.
    pub fn kafka(mut self) -> Self {
        self.kafka = true;
        self
    }

    /// A schema registry, with BACKWARD compatibility.
    pub fn registry(mut self) -> Self {
        self.registry = true;
        self
    }

    /// Postgres, with logical replication and an empty database `bank`.
    pub fn postgres(mut self) -> Self {
        self.postgres = true;
        self
    }

    /// Kafka Connect with Debezium; brings Kafka and the registry, which it cannot do without.
    pub fn connect(mut self) -> Self {
        self.connect = true;
        self.kafka().registry()
    }

    /// MinIO, without any bucket.
    pub fn minio(mut self) -> Self {
        self.minio = true;
        self
    }

    /// The emulator of Snowflake, without any object of its own.
    pub fn snowflake(mut self) -> Self {
        self.snowflake = true;
        self
    }

    /// MinIO, which reports what happens in its buckets.
    pub fn minio_with_events(mut self, events: BucketEvents) -> Self {
        self.bucket_events = events;
        self.minio()
    }

    /// Prometheus, with this configuration file.
    pub fn prometheus(mut self, config: impl Into<PathBuf>) -> Self {
        self.prometheus = Some(config.into());
        self
    }

    /// Everything that Riverbank needs.
    pub fn everything(self) -> Self {
        self.connect().postgres().minio()
    }

    /// Servers that stay when this process ends, in a folder that stays, on these ports. The next testbed on the same
    /// folder finds them, or starts them again on their data.
    pub fn lasting(mut self, folder: impl Into<PathBuf>, ports: Ports) -> Self {
        self.lasting = Some((folder.into(), ports));
        self
    }

    /// Starts the servers, all at once, and waits until each is ready (three minutes at most). Installs first what is
    /// missing.
    pub async fn start(self) -> Result<Testbed, TestbedError> {
        let prepare = move || {
            // Many JVMs that start at once on a few cores keep each other from being ready in time.
            let turn = self.parts().contains(&Part::Jvm).then(Turn::wait).transpose()?;
            Ok((self.prepare()?, turn))
        };
        let (bed, _turn) = tokio::task::spawn_blocking(prepare)
            .await
            .map_err(|error| io("prepare the servers")(std::io::Error::other(error)))??;
        bed.start().await?;
        Ok(bed)
    }

    /// [`start`](Self::start), for tests that are not async.
    pub fn start_blocking(self) -> Result<Testbed, TestbedError> {
        block_on(self.start())
    }

    /// The servers of a lasting testbed as they are, started or not: to look at them, or to stop them.
    pub fn find(self) -> Result<Testbed, TestbedError> {
        self.prepare()
    }

    fn parts(&self) -> Vec<Part> {
        let jvm = self.kafka || self.registry || self.connect;
        let wanted = [
            (jvm, Part::Jvm),
            (self.postgres, Part::Postgres),
            (self.minio, Part::Minio),
            (self.snowflake, Part::Snowflake),
            (self.prometheus.is_some(), Part::Prometheus),
        ];
        wanted
            .into_iter()
            .filter_map(|(is_wanted, part)| is_wanted.then_some(part))
            .collect()
    }

    fn prepare(self) -> Result<Testbed, TestbedError> {
        let installed = Installed::ensure(&self.parts())?;
        let (folder, ports, lease, lifetime) = match &self.lasting {
            Some((path, ports)) => (Folder::lasting(path)?, *ports, None, Lifetime::Detached),
            None => {
                let (ports, lease) = Lease::take()?;
                (Folder::temporary()?, ports, Some(lease), Lifetime::Starter)
            }
        };
        let site = Site {
            root: folder.path().to_owned(),
            ports,
            installed,
            lifetime,
        };
        // In the order in which they are dropped: clients before what they use.
        Ok(Testbed {
            prometheus: self
                .prometheus
                .map(|config| Prometheus::prepare(&site, &config))
                .transpose()?,
            connect: self.connect.then(|| KafkaConnect::prepare(&site)).transpose()?,
            registry: self.registry.then(|| Registry::prepare(&site)).transpose()?,
            kafka: self.kafka.then(|| Kafka::prepare(&site)).transpose()?,
            postgres: self.postgres.then(|| Postgres::prepare(&site)).transpose()?,
            snowflake: self.snowflake.then(|| Snowflake::prepare(&site)).transpose()?,
            minio: self.minio.then(|| Minio::prepare(&site, self.bucket_events)).transpose()?,
            folder,
            lifetime,
            _lease: lease,
        })
    }
}

/// Real servers on loopback. When it is dropped, they are killed and their folder is removed; if that happens in a panic,
/// the folder stays, and its path is printed.
#[derive(Debug)]
pub struct Testbed {
    prometheus: Option<Prometheus>,
    connect: Option<KafkaConnect>,
    registry: Option<Registry>,
    kafka: Option<Kafka>,
    postgres: Option<Postgres>,
    snowflake: Option<Snowflake>,
    minio: Option<Minio>,
    folder: Folder,
    lifetime: Lifetime,
    _lease: Option<Lease>,
}

impl Testbed {
    /// Says what to start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    async fn start(&self) -> Result<(), TestbedError> {
        // All processes first, so that the JVMs warm up side by side; each waits for those that it needs.
        tokio::try_join!(
            started(self.kafka.as_deref()),
            started(self.registry.as_deref()),
            started(self.postgres.as_deref()),
            started(self.connect.as_deref()),
            started(self.minio.as_deref()),
            started(self.snowflake.as_deref()),
            started(self.prometheus.as_deref()),
        )?;
        match &self.postgres {
            Some(postgres) => postgres.finish().await,
            None => Ok(()),
        }
    }

    /// Kafka. Panics, like all of these, if the builder was not asked for it.
    pub fn kafka(&self) -> &Kafka {
        wanted(&self.kafka, "kafka")
    }

    /// The schema registry.
    pub fn registry(&self) -> &Registry {
        wanted(&self.registry, "registry")
    }

    /// Postgres.
    pub fn postgres(&self) -> &Postgres {
        wanted(&self.postgres, "postgres")
    }

    /// Kafka Connect.
    pub fn connect(&self) -> &KafkaConnect {
        wanted(&self.connect, "connect")
    }

    /// The object store.
    pub fn minio(&self) -> &Minio {
        wanted(&self.minio, "minio")
    }

    /// The emulator of Snowflake.
    pub fn snowflake(&self) -> &Snowflake {
        wanted(&self.snowflake, "snowflake")
    }

    /// Prometheus.
    pub fn prometheus(&self) -> &Prometheus {
        wanted(&self.prometheus, "prometheus")
    }

    /// Every server that was asked for, by name, in an order in which they can be stopped.
    pub fn servers(&self) -> Vec<(&'static str, &Server)> {
        let all: [(&'static str, Option<&Server>); 7] = [
            ("prometheus", self.prometheus.as_deref()),
            ("connect", self.connect.as_deref()),
            ("registry", self.registry.as_deref()),
            ("kafka", self.kafka.as_deref()),
            ("postgres", self.postgres.as_deref()),
            ("snowflake", self.snowflake.as_deref()),
            ("minio", self.minio.as_deref()),
        ];
        all.into_iter().filter_map(|(name, server)| Some((name, server?))).collect()
    }

    /// Another program beside the servers, under the same control, with a folder of its own. It counts as ready when a GET
    /// of `ready_url` succeeds. Nothing is started yet.
    pub fn program(
        &self,
        name: &'static str,
        exe: &Path,
        args: &[&str],
        env: &[(&str, String)],
        ready_url: &str,
    ) -> Result<Server, TestbedError> {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).map_err(io(format!("create {}", folder.display())))?;
        let mut program = Program::new(name, exe, &folder, self.lifetime).args(args);
        for (name, value) in env {
            program = program.env(name, value);
        }
        Ok(Server::new(program, Probe::Http(ready_url.to_owned()), &[]))
    }

    /// The folder with the servers' configuration, data and logs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Runs a future to its end from code that is not async.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime can be made")
        .block_on(future)
}

async fn started(server: Option<&Server>) -> Result<(), TestbedError> {
    match server {
        Some(server) => server.start().await,
        None => Ok(()),
    }
}

fn wanted<'b, S>(server: &'b Option<S>, name: &str) -> &'b S {
    server
        .as_ref()
        .unwrap_or_else(|| panic!("this testbed was built without .{name}()"))
}
