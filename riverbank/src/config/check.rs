//! From the table to the checked whole: each setting is read, then those that need one another are looked at together.

use std::time::Duration;

use super::error::SettingsError;
use super::layers::Sources;
use super::reader::Reader;
use super::settings::*;
use super::snowflake::{SnowflakeSettings, SnowpipeSettings};
use super::table::TABLE;
use super::value;

/// What the settings are for: each command needs others of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The whole program.
    Run,
    /// The sinks alone, which read a Kafka that somebody else fills.
    Sink,
    /// The lake's files, and their lag behind Kafka.
    Lake,
    /// The check of the books of a running bank.
    Audit,
    /// The change capture's set-up.
    Connect,
    /// The warehouse's SQL, which is only printed.
    Plan,
    /// The warehouse itself.
    Warehouse,
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
                column_exclude: reader.optional("connect.column_exclude", value::columns).unwrap_or_default(),
                service_password: reader.optional("connect.service_password", value::secret),
                timeout: reader.get("connect.timeout", value::duration(ms(1_000), ms(3_600_000))),
            },
            source: SourceSettings {
                connector: reader.get("source.connector", value::text),
                slot: reader.get("source.slot", value::text),
                publication: reader.get("source.publication", value::text),
                silence_max: reader.get("source.silence_max", value::duration(ms(1_000), ms(86_400_000))),
                look_interval: reader.get("source.look_interval", value::duration(ms(100), ms(3_600_000))),
                check_interval: reader.get("source.check_interval", value::duration(ms(100), ms(86_400_000))),
            },
            http: HttpSettings {
                listen: reader.get("http.listen", value::listen_address),
                insecure_no_auth: reader.get("http.insecure_no_auth", value::boolean),
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
                stop_keeps_tasks: reader.get("engine.stop_keeps_tasks", value::boolean),
            },
            sink: SinkSettings {
                url: reader.get("sink.url", value::sink_url),
                rows_max: reader.get("sink.rows_max", value::count(1, 100_000_000)),
                bytes_max: reader.get("sink.bytes_max", value::bytes(1 << 10, 4 << 30)),
                age_max: reader.get("sink.age_max", value::duration(ms(100), ms(86_400_000))),
                multipart_bytes: reader.get("sink.multipart_bytes", value::bytes(5 << 20, 4 << 30)),
            },
            iceberg: IcebergSettings {
                catalog: reader.get("iceberg.catalog", iceberg_catalog),
                file: reader.get("iceberg.file", value::folder),
                postgres_url: reader.optional("iceberg.postgres_url", value::postgres_url),
                rest_url: reader.optional("iceberg.rest_url", value::http_url),
                rest_credential: reader.optional("iceberg.rest_credential", value::secret),
                rest_warehouse: reader.optional("iceberg.rest_warehouse", value::text),
                namespace: reader.optional("iceberg.namespace", value::text),
                interval: reader.get("iceberg.interval", value::duration(ms(100), ms(3_600_000))),
                skip_gaps: reader.get("iceberg.skip_gaps", value::boolean),
            },
            s3: S3Settings {
                endpoint: reader.optional("s3.endpoint", value::http_url),
                access_key: reader.optional("s3.access_key", value::secret),
                secret_key: reader.optional("s3.secret_key", value::secret),
                region: reader.get("s3.region", value::text),
                allow_http: reader.get("s3.allow_http", value::boolean),
            },
            gs: GsSettings {
                endpoint: reader.optional("gs.endpoint", value::http_url),
                service_account: reader.optional("gs.service_account", value::secret),
            },
            az: AzSettings {
                endpoint: reader.optional("az.endpoint", value::http_url),
                account: reader.optional("az.account", value::text),
                access_key: reader.optional("az.access_key", value::secret),
            },
            snowflake: SnowflakeSettings::read(reader),
            snowpipe: SnowpipeSettings::read(reader),
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
        if on_kafka
            && !reader.is_set("registry.url")
            && !matches!(
                purpose,
                Purpose::Generate | Purpose::Connect | Purpose::Plan | Purpose::Warehouse
            )
        {
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
        if purpose == Purpose::Audit {
            for needed in ["kafka.brokers", "postgres.url"] {
                if !reader.is_set(needed) {
                    reader.problem(
                        needed,
                        "is missing: riverbank audit compares the bank's database with what is in Kafka",
                    );
                }
            }
        }
        if matches!(purpose, Purpose::Run | Purpose::Sink) {
            self.check_listen(reader);
        }
        if purpose == Purpose::Run {
            self.check_run(reader, on_kafka);
        }
        match purpose {
            Purpose::Warehouse => self.snowflake.check(reader, "riverbank warehouse logs in to Snowflake"),
            Purpose::Run | Purpose::Sink if self.snowpipe.enabled => {
                self.snowflake.check(reader, "snowpipe.enabled is true");
                self.snowpipe.check(reader, &self.sink.url);
            }
            _ => {}
        }
        for (catalog, needed) in [
            (IcebergCatalog::Postgres, "iceberg.postgres_url"),
            (IcebergCatalog::Rest, "iceberg.rest_url"),
        ] {
            if self.iceberg.catalog == catalog && !reader.is_set(needed) {
                reader.problem(needed, "is missing: iceberg.catalog needs it");
            }
        }
        self.check_store(reader);
    }

    fn check_listen(&self, reader: &mut Reader) {
        if !self.http.listen.ip().to_canonical().is_loopback() && !self.http.insecure_no_auth {
            let listen = self.http.listen;
            reader.problem(
                "http.listen",
                format!(
                    "is {listen}, which others can reach, and the service has no authentication: it must be a loopback address \
                     such as 127.0.0.1:8080, unless http.insecure_no_auth (--insecure-no-auth) is given"
                ),
            );
        }
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

fn iceberg_catalog(text: &str) -> Result<IcebergCatalog, String> {
    match text {
        "off" => Ok(IcebergCatalog::Off),
        "sqlite" => Ok(IcebergCatalog::Sqlite),
        "postgres" => Ok(IcebergCatalog::Postgres),
        "rest" => Ok(IcebergCatalog::Rest),
        // It may be an address with a login.
        _ => Err("must be off, sqlite, postgres or rest".to_owned()),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        other => Err(format!("must be text or json, not \"{other}\"")),
    }
}
