//! The settings of the program: the table that names them, the struct that holds them, and the check of the whole.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use super::error::SettingsError;
use super::layers::Sources;
use super::reader::Reader;
use super::setting::{Setting, Table};
use super::value::{self, Properties, Secret};

/// Every setting, in the order of the help.
pub const TABLE: Table = Table {
    environment: true,
    settings: &[
        Setting::optional(
            "kafka.brokers",
            "Kafka's brokers, host:port divided by commas; without them the log is in the process itself",
        ),
        Setting::secret(
            "kafka.properties",
            "librdkafka's properties for TLS and SASL, name=value per line: security.protocol=SASL_SSL",
        ),
        Setting::optional(
            "registry.url",
            "the schema registry's Confluent API; needed with kafka.brokers",
        ),
        Setting::secret(
            "postgres.url",
            "the bank's database, postgres://user:password@host:port/database; needed with kafka.brokers, for writes",
        ),
        Setting::new("postgres.connections", "10", "the most connections to the database, 1 to 200"),
        Setting::optional(
            "connect.url",
            "Kafka Connect's REST address; for riverbank connect, and for run to start the connector again when it has failed",
        ),
        Setting::secret(
            "connect.admin_url",
            "the bank's database as Connect reaches it, with a login that may change its schema; for riverbank connect",
        ),
        Setting::secret(
            "connect.capture_password",
            "the password that Debezium's login gets; for riverbank connect",
        ),
        Setting::new(
            "connect.timeout",
            "2m",
            "how long the connector may take until it runs, 1s to 1h",
        ),
        Setting::new("http.listen", "127.0.0.1:8080", "the address and port of the HTTP service"),
        Setting::optional(
            "http.advertised_url",
            "where the other instances and clients reach this one; without it, http:// and http.listen",
        ),
        Setting::new(
            "state.dir",
            "riverbank-data/state",
            "the folder of the state stores; one per instance, kept over restarts",
        ),
        Setting::new("engine.threads", "auto", "workers, 1 to 256, or auto for one per processor"),
        Setting::new(
            "engine.commit_interval",
            "100ms",
            "the longest time between commits, 1ms to 30s; idle input commits at once",
        ),
        Setting::new(
            "engine.flush_interval",
            "1s",
            "how often committed state is written to disk, 10ms to 10m",
        ),
        Setting::new(
            "engine.partitions",
            "4",
            "partitions of the topics that the program creates, 1 to 1000",
        ),
        Setting::new(
            "sink.url",
            "riverbank-data/lake",
            "where Parquet goes: s3://bucket/prefix, file:///folder or a folder",
        ),
        Setting::new(
            "sink.rows_max",
            "1000000",
            "a file is closed at this many rows, 1 to 100000000",
        ),
        Setting::new(
            "sink.bytes_max",
            "128MiB",
            "a file is closed at this many bytes of records, 1KiB to 4GiB",
        ),
        Setting::new(
            "sink.age_max",
            "60s",
            "a file is closed this long after its first record, 100ms to 1d",
        ),
        Setting::optional("s3.endpoint", "an S3-compatible store's address; without it, AWS"),
        Setting::secret(
            "s3.access_key",
            "the access key; without it, what the machine's own role gives",
        ),
        Setting::secret("s3.secret_key", "the secret key that belongs to s3.access_key"),
        Setting::new("s3.region", "us-east-1", "the store's region"),
        Setting::new("s3.allow_http", "false", "whether s3.endpoint may be http:// (no encryption)"),
        Setting::new(
            "log.level",
            "info",
            "what is logged: error, warn, info, debug, trace, or a filter such as info,topology=debug",
        ),
        Setting::new("log.format", "text", "text for people, json for machines"),
    ],
};

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
    /// The HTTP service.
    pub http: HttpSettings,
    /// The state stores.
    pub state: StateSettings,
    /// The stream processor.
    pub engine: EngineSettings,
    /// The Parquet sinks.
    pub sink: SinkSettings,
    /// The object store, where `sink.url` is `s3://`.
    pub s3: S3Settings,
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
    /// How long the connector may take until it runs.
    pub timeout: Duration,
}

/// `http.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// Where the service listens.
    pub listen: SocketAddr,
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
}

/// `sink.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkSettings {
    /// `s3://bucket/prefix`, `file:///folder/` or `memory:///`.
    pub url: Url,
    /// A file's most rows.
    pub rows_max: u64,
    /// A file's most bytes, counted in the log's records.
    pub bytes_max: u64,
    /// The longest time from a file's first record to its end.
    pub age_max: Duration,
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

/// What the settings are for: each command needs others of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The whole program.
    Run,
    /// The sinks alone, which read a Kafka that somebody else fills.
    Sink,
    /// The lake's files, and their lag behind Kafka.
    Lake,
    /// The change capture's set-up.
    Connect,
    /// The generator, writing to Postgres or to the topics: it names what it lacks itself.
    Generate,
}

impl Settings {
    /// Reads and checks the settings as a whole.
    pub fn load(sources: &Sources, purpose: Purpose) -> Result<Self, SettingsError> {
        let mut reader = Reader::new(TABLE, sources);
        let settings = Self::read(&mut reader);
        debug_assert!(reader.unread().is_empty(), "nothing reads {:?}", reader.unread());
        settings.check(&mut reader, purpose);
        reader.finish(settings)
    }

    fn read(reader: &mut Reader) -> Self {
        let ms = Duration::from_millis;
        Self {
            kafka: KafkaSettings {
                brokers: reader.optional("kafka.brokers", value::brokers),
                properties: reader.optional("kafka.properties", value::properties).unwrap_or_default(),
            },
            registry: RegistrySettings {
                url: reader.optional("registry.url", value::http_url),
            },
            postgres: PostgresSettings {
                url: reader.optional("postgres.url", value::postgres_url),
                connections: reader.get("postgres.connections", value::count(1, 200)) as u32,
            },
            connect: ConnectSettings {
                url: reader.optional("connect.url", value::http_url),
                admin_url: reader.optional("connect.admin_url", value::postgres_url),
                capture_password: reader.optional("connect.capture_password", value::secret),
                timeout: reader.get("connect.timeout", value::duration(ms(1_000), ms(3_600_000))),
            },
            http: HttpSettings {
                listen: reader.get("http.listen", value::listen_address),
                advertised: reader.optional("http.advertised_url", value::http_url),
            },
            state: StateSettings {
                dir: reader.get("state.dir", value::folder),
            },
            engine: EngineSettings {
                threads: reader.get("engine.threads", value::threads(256)),
                commit_interval: reader.get("engine.commit_interval", value::duration(ms(1), ms(30_000))),
                flush_interval: reader.get("engine.flush_interval", value::duration(ms(10), ms(600_000))),
                partitions: reader.get("engine.partitions", value::count(1, 1_000)) as u32,
            },
            sink: SinkSettings {
                url: reader.get("sink.url", value::sink_url),
                rows_max: reader.get("sink.rows_max", value::count(1, 100_000_000)),
                bytes_max: reader.get("sink.bytes_max", value::bytes(1 << 10, 4 << 30)),
                age_max: reader.get("sink.age_max", value::duration(ms(100), ms(86_400_000))),
            },
            s3: S3Settings {
                endpoint: reader.optional("s3.endpoint", value::http_url),
                access_key: reader.optional("s3.access_key", value::secret),
                secret_key: reader.optional("s3.secret_key", value::secret),
                region: reader.get("s3.region", value::text),
                allow_http: reader.get("s3.allow_http", value::boolean),
            },
            log: LogSettings {
                level: reader.get("log.level", log_level),
                format: reader.get("log.format", log_format),
            },
        }
    }

    /// What one setting asks of another.
    fn check(&self, reader: &mut Reader, purpose: Purpose) {
        let on_kafka = reader.is_set("kafka.brokers");
        if purpose == Purpose::Sink && !on_kafka {
            reader.problem("kafka.brokers", "is missing: the sinks alone have nothing to read without it");
        }
        if on_kafka && !reader.is_set("registry.url") && !matches!(purpose, Purpose::Generate | Purpose::Connect) {
            reader.problem(
                "registry.url",
                "is missing: kafka.brokers is set, and the records' schemas are in the registry",
            );
        }
        if purpose == Purpose::Connect {
            for needed in ["connect.url", "connect.admin_url", "connect.capture_password", "registry.url"] {
                if !reader.is_set(needed) {
                    reader.problem(needed, "is missing: riverbank connect needs it");
                }
            }
        }
        if purpose == Purpose::Run {
            self.check_run(reader, on_kafka);
        }
        self.check_store(reader);
    }

    fn check_run(&self, reader: &mut Reader, on_kafka: bool) {
        if on_kafka && !reader.is_set("postgres.url") {
            reader.problem(
                "postgres.url",
                "is missing: kafka.brokers is set, and writes go to the bank's database",
            );
        }
        if on_kafka && self.http.listen.ip().is_unspecified() && !reader.is_set("http.advertised_url") {
            let listen = self.http.listen;
            reader.problem(
                "http.advertised_url",
                format!("is missing: http.listen is {listen}, which tells the other instances no address to forward to"),
            );
        }
    }

    fn check_store(&self, reader: &mut Reader) {
        match (reader.is_set("s3.access_key"), reader.is_set("s3.secret_key")) {
            (true, false) => reader.problem("s3.secret_key", "is missing: s3.access_key is set"),
            (false, true) => reader.problem("s3.access_key", "is missing: s3.secret_key is set"),
            _ => {}
        }
        let plain_http = self.s3.endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http");
        if plain_http && !self.s3.allow_http {
            reader.problem("s3.allow_http", "must be true for an s3.endpoint with http://");
        }
    }
}

fn log_level(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!(
            "must be error, warn, info, debug, trace or a filter such as info,topology=debug, not \"{text}\""
        )),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("must be text or json, not \"{other}\"")),
    }
}
