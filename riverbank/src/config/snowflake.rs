//! The settings of the warehouse: `snowflake.*`, who logs in where, and `snowpipe.*`, how files are reported to it.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Url;
use warehouse::notifier::PipeRule;
use warehouse::snowflake::{Account, KeyPair};

use super::reader::Reader;
use super::value::{self, Properties, Secret};

/// `snowflake.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnowflakeSettings {
    /// The account.
    pub account: Option<Account>,
    /// Where it is reached, if not at the account's own address.
    pub url: Option<Url>,
    /// The user who logs in.
    pub user: Option<String>,
    /// Its private key, as PEM.
    pub private_key: Option<Secret>,
    /// What the key is encrypted with.
    pub private_key_passphrase: Option<Secret>,
    /// The role of statements; `None` is the user's default.
    pub role: Option<String>,
    /// The virtual warehouse.
    pub warehouse: String,
    /// The database.
    pub database: String,
    /// Whether Snowflake loads the files or reads the lake's Iceberg tables.
    pub tables: WarehouseTables,
    /// Variables of the migrations, over those that follow from the other settings.
    pub variables: Properties,
}

/// How the lake's rows are in Snowflake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarehouseTables {
    /// Ordinary tables, loaded by pipes.
    Loaded,
    /// The lake's Iceberg tables.
    Iceberg,
}

/// `snowpipe.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnowpipeSettings {
    /// Whether the notifier runs.
    pub enabled: bool,
    /// The pipes' names; `{DATABASE}`, `{TABLE}` and `{NAME}` stand for their parts.
    pub pipe: String,
    /// Where bucket events arrive by HTTP.
    pub listen: Option<SocketAddr>,
    /// The token that they must have.
    pub webhook_token: Option<Secret>,
    /// The Kafka topic of bucket events.
    pub topic: Option<String>,
    /// How long a file waits for others to share its request.
    pub batch_wait: Duration,
    /// Between two reconciling listings.
    pub reconcile_interval: Duration,
    /// Between two reports.
    pub report_interval: Duration,
}

impl SnowflakeSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self {
            account: reader.optional("snowflake.account", Account::parse),
            url: reader.optional("snowflake.url", value::http_url),
            user: reader.optional("snowflake.user", value::text),
            private_key: reader.optional("snowflake.private_key", value::secret),
            private_key_passphrase: reader.optional("snowflake.private_key_passphrase", value::secret),
            role: reader.optional("snowflake.role", name),
            warehouse: reader.get("snowflake.warehouse", name),
            database: reader.get("snowflake.database", name),
            tables: reader.get("snowflake.tables", tables),
            variables: reader.optional("snowflake.variables", value::properties).unwrap_or_default(),
        }
    }

    /// The key, if there is one.
    pub fn key(&self) -> Option<Result<KeyPair, warehouse::snowflake::KeyError>> {
        let passphrase = self.private_key_passphrase.as_ref().map(Secret::reveal);
        let key = self.private_key.as_ref()?;
        Some(KeyPair::from_pem(key.reveal(), passphrase))
    }

    /// That somebody can log in.
    pub(super) fn check(&self, reader: &mut Reader, why: &str) {
        for needed in ["snowflake.account", "snowflake.user", "snowflake.private_key"] {
            if !reader.is_set(needed) {
                reader.problem(needed, format!("is missing: {why}"));
            }
        }
        if let Some(Err(error)) = self.key() {
            reader.problem("snowflake.private_key", format!("cannot be used: {error}"));
        }
    }
}

impl SnowpipeSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let ms = Duration::from_millis;
        Self {
            enabled: reader.get("snowpipe.enabled", value::boolean),
            pipe: reader.get("snowpipe.pipe", pipe),
            listen: reader.optional("snowpipe.listen", value::listen_address),
            webhook_token: reader.optional("snowpipe.webhook_token", value::secret),
            topic: reader.optional("snowpipe.topic", value::text),
            batch_wait: reader.get("snowpipe.batch_wait", value::duration(ms(0), ms(600_000))),
            reconcile_interval: reader.get("snowpipe.reconcile_interval", value::duration(ms(1_000), ms(86_400_000))),
            // Reports reach back ten minutes.
            report_interval: reader.get("snowpipe.report_interval", value::duration(ms(1_000), ms(480_000))),
        }
    }

    /// The rule by which tables have pipes.
    pub fn rule(&self, database: &str) -> Result<PipeRule, String> {
        PipeRule::new(&self.pipe.replace("{DATABASE}", database))
    }

    pub(super) fn check(&self, reader: &mut Reader, sink: &Url) {
        if !self.enabled {
            return;
        }
        if sink.scheme() != "s3" {
            reader.problem(
                "sink.url",
                "must be s3://: snowpipe.enabled is true, and Snowflake reads no folders of this machine",
            );
        }
        if self.listen.is_some() && !reader.is_set("snowpipe.webhook_token") {
            reader.problem(
                "snowpipe.webhook_token",
                "is missing: snowpipe.listen is set, and events without a token are refused",
            );
        }
        if self.topic.is_some() && !reader.is_set("kafka.brokers") {
            reader.problem("kafka.brokers", "is missing: snowpipe.topic is a topic of it");
        }
    }
}

/// A name that needs no quotes in SQL, in upper case as Snowflake keeps it.
fn name(text: &str) -> Result<String, String> {
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match is_name {
        true => Ok(text.to_ascii_uppercase()),
        false => Err(format!("must be a name of letters, digits and _, not \"{text}\"")),
    }
}

fn tables(text: &str) -> Result<WarehouseTables, String> {
    match text {
        "loaded" => Ok(WarehouseTables::Loaded),
        "iceberg" => Ok(WarehouseTables::Iceberg),
        other => Err(format!("must be loaded or iceberg, not \"{other}\"")),
    }
}

fn pipe(text: &str) -> Result<String, String> {
    PipeRule::new(&text.replace("{DATABASE}", "D")).map(|_| text.to_owned())
}
