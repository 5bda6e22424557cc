//! The settings of the program, as its parts take them. [`Settings::load`] reads and checks them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::snowflake::{SnowflakeSettings, SnowpipeSettings};
use super::value::{Properties, Secret};

/// Everything that can be set, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The log.
    pub kafka: KafkaSettings,
    /// The schema registry.
    pub registry: RegistrySettings,
    /// The bank's database.
    pub postgres: PostgresSettings,
    /// The change capture.
    pub connect: ConnectSettings,
    /// The watch over the source.
    pub source: SourceSettings,
    /// The HTTP service.
    pub http: HttpSettings,
    /// The state stores.
    pub state: StateSettings,
    /// The stream processor.
    pub engine: EngineSettings,
    /// The Parquet sinks.
    pub sink: SinkSettings,
    /// The Iceberg tables over the sinks' files.
    pub iceberg: IcebergSettings,
    /// The object store, where `sink.url` is `s3://`.
    pub s3: S3Settings,
    /// The object store, where `sink.url` is `gs://`.
    pub gs: GsSettings,
    /// The object store, where `sink.url` is `az://` or `abfss://`.
    pub az: AzSettings,
    /// The warehouse.
    pub snowflake: SnowflakeSettings,
    /// The Snowpipe notifier.
    pub snowpipe: SnowpipeSettings,
    /// The log of the program itself.
    pub log: LogSettings,
}

/// `kafka.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `host:port,host:port…`; `None` is the log in the process itself.
    pub brokers: Option<String>,
    /// Properties of the client, for TLS and SASL; empty for most.
    pub properties: Properties,
}

/// `registry.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySettings {
    /// The Confluent API; always there where `kafka.brokers` is.
    pub url: Option<Url>,
}

/// `postgres.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresSettings {
    /// `postgres://user:password@host:port/database`.
    pub url: Option<Secret>,
    /// The most connections of the pool.
    pub connections: u32,
}

/// `connect.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectSettings {
    /// Kafka Connect's REST address.
    pub url: Option<Url>,
    /// The bank's database, as both this program and Connect reach it; its login owns the schema.
    pub admin_url: Option<Secret>,
    /// The password that Debezium's login gets.
    pub capture_password: Option<Secret>,
    /// Columns that are not captured, as `schema.table.column`.
    pub column_exclude: Vec<String>,
    /// The password that the service's login gets.
    pub service_password: Option<Secret>,
    /// How long the connector may take until it runs.
    pub timeout: Duration,
}

/// `source.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSettings {
    /// The connector's name in Kafka Connect.
    pub connector: String,
    /// Its replication slot.
    pub slot: String,
    /// Its publication.
    pub publication: String,
    /// How long the source may go unheard before that is reported.
    pub silence_max: Duration,
    /// Between two looks at the connector and its slot.
    pub look_interval: Duration,
    /// Between two checks of the source's tables.
    pub check_interval: Duration,
}

/// `http.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where the service listens.
    pub listen: SocketAddr,
    /// Whether `listen` may be an address that others reach, although nobody has to log in.
    pub insecure_no_auth: bool,
    /// Where others reach it, if that was set; [`HttpSettings::advertised_url`] says it in any case.
    pub advertised: Option<Url>,
}

impl HttpSettings {
    /// Where others reach the service, given the address that it listens on (which may have chosen its port).
    pub fn advertised_url(&self, bound: SocketAddr) -> Url {
        let own = || Url::parse(&format!("http://{bound}")).expect("a socket address makes an address");
        self.advertised.clone().unwrap_or_else(own)
    }
}

/// `state.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSettings {
    /// The folder of the state stores.
    pub dir: PathBuf,
}

/// `engine.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSettings {
    /// How many workers; `auto` is resolved.
    pub threads: usize,
    /// The longest time between commits under load.
    pub commit_interval: Duration,
    /// How often committed state goes to disk.
    pub flush_interval: Duration,
    /// Partitions of the topics that the program creates.
    pub partitions: u32,
    /// Whether an instance that is stopped keeps its tasks for a restart within the session.
    pub stop_keeps_tasks: bool,
}

/// `sink.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkSettings {
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, `abfss://…`, `file:///folder/` or `memory:///`.
    pub url: Url,
    /// A file's most rows.
    pub rows_max: u64,
    /// A file's most bytes, counted in the log's records.
    pub bytes_max: u64,
    /// The longest time from a file's first record to its end.
    pub age_max: Duration,
    /// From how many bytes on a file is uploaded in parts.
    pub multipart_bytes: u64,
}

/// `iceberg.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IcebergSettings {
    /// Which catalog.
    pub catalog: IcebergCatalog,
    /// The file of a SQLite catalog.
    pub file: PathBuf,
    /// The database of a Postgres catalog; there where it is one.
    pub postgres_url: Option<Secret>,
    /// The address of a REST catalog; there where it is one.
    pub rest_url: Option<Url>,
    /// `id:secret`.
    pub rest_credential: Option<Secret>,
    /// The warehouse that a REST catalog is asked for.
    pub rest_warehouse: Option<String>,
    /// A namespace above those of the tables.
    pub namespace: Option<String>,
    /// Between two snapshots of a table at least, and between two looks for files of other processes.
    pub interval: Duration,
    /// Whether offsets that are in no file are passed over.
    pub skip_gaps: bool,
}

/// Where Iceberg tables are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcebergCatalog {
    /// Nowhere: there are none.
    Off,
    /// A file.
    Sqlite,
    /// A database.
    Postgres,
    /// A REST catalog.
    Rest,
}

/// `s3.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Settings {
    /// The store's address; `None` is AWS.
    pub endpoint: Option<Url>,
    /// With `secret_key`, or neither.
    pub access_key: Option<Secret>,
    /// With `access_key`, or neither.
    pub secret_key: Option<Secret>,
    /// The region.
    pub region: String,
    /// Whether the endpoint may be unencrypted.
    pub allow_http: bool,
}

/// `gs.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GsSettings {
    /// The store's address; `None` is Google's.
    pub endpoint: Option<Url>,
    /// A service account's key, as JSON; `None` is what the environment or the machine gives.
    pub service_account: Option<Secret>,
}

/// `az.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzSettings {
    /// The store's address; `None` is the account's at Azure.
    pub endpoint: Option<Url>,
    /// The storage account, unless `sink.url` names it.
    pub account: Option<String>,
    /// Its key; `None` is what the environment or the machine gives.
    pub access_key: Option<Secret>,
}

/// `log.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// A filter in the form of `tracing_subscriber::EnvFilter`; checked.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}
