//! The settings as a whole: what each one needs of the others, and what a command needs of them.

use super::choices::IcebergCatalog;
use super::error::SettingsError;
use super::layers::Sources;
use super::reader::Reader;
use super::settings::{Settings, TABLE};

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
        settings.check(&mut reader, purpose);
        reader.finish(settings)
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
