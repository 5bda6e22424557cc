//! The connector's configuration: Debezium's settings, from a few of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::CAPTURE_ROLE;
use crate::patterns::{ColumnPatterns, literal};

/// Confluent's Avro converter, as the shaded package names it: byte 0, the schema's id in four bytes, Avro.
const AVRO_CONVERTER: &str = "org.apache.pulsar.kafka.shade.io.confluent.connect.avro.AvroConverter";

/// Connect's own: a number in eight bytes, big endian.
const LONG_CONVERTER: &str = "org.apache.kafka.connect.converters.LongConverter";

/// Written by the connector itself; its change moves the replication slot forward while the bank's tables are idle.
const HEARTBEAT_QUERY: &str = "INSERT INTO riverbank_heartbeat (id, beat_at) VALUES (1, now()) \
                               ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at";

/// The table that it writes to; captured like the bank's own, so that its changes tell that the whole way works.
pub const HEARTBEAT_TABLE: &str = "public.riverbank_heartbeat";

/// The largest record on the way from the source to Riverbank: a row's change with its old and its new version. Kafka's own
/// limit is 1 MiB, which a row with a document in it exceeds; then the connector's task fails.
const RECORD_BYTES_MAX: usize = 16 << 20;

/// The name of the connector of the bank's own schema.
pub const CONNECTOR: &str = "riverbank";

/// The source database, as the connector reaches it.
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The database's name.
    pub name: String,
    /// A login with REPLICATION and SELECT on the captured tables; [`CAPTURE_ROLE`] by default.
    pub user: String,
    /// Its password; or a placeholder of one of the worker's config providers, so that Connect never stores it.
    pub password: String,
}

impl Database {
    /// Names a database.
    pub fn new(host: &str, port: u16, name: &str, user: &str, password: &str) -> Self {
        Self {
            host: host.to_owned(),
            port,
            name: name.to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}:***@{}:{}/{}", self.user, self.host, self.port, self.name)
    }
}

/// What can differ from one connector to the next. The rest is fixed in [`ConnectorSettings::config`], because the
/// processors rely on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorSettings {
    /// The connector's name in Connect.
    pub name: String,
    /// Where the rows are.
    pub database: Database,
    /// The tables to capture, as `schema.table`.
    pub tables: Vec<String>,
    /// Columns to leave out, as `schema.table.column`: such as one of two whose names are the same in Avro.
    pub excluded_columns: Vec<String>,
    /// First part of every topic's name: `<prefix>.<schema>.<table>`.
    pub topic_prefix: String,
    /// The replication slot, unique in the Postgres server.
    pub slot: String,
    /// The publication; it must exist, and hold the tables.
    pub publication: String,
    /// The registry's Confluent API, as the worker reaches it.
    pub registry_url: String,
    /// The table in which an operator tells the connector what to do, as `schema.table`; `None` where there is none.
    pub signals: Option<String>,
    /// How often the connector writes the heartbeat row; `None` where there is no heartbeat table.
    pub heartbeat: Option<Duration>,
    /// How long it waits for changes before it looks again: the larger part of its latency.
    pub poll_interval: Duration,
    /// With how many partitions Connect creates a topic that does not exist yet. One keeps the order of the commits: over
    /// several, the changes of an account's transactions overtake each other.
    pub partitions: u32,
    /// And with how many replicas.
    pub replication_factor: u16,
}

impl ConnectorSettings {
    /// For the schema of this crate's migrations.
    pub fn bank(database: Database, registry_url: &str) -> Self {
        Self {
            name: CONNECTOR.to_owned(),
            database,
            tables: ["customers", "accounts", "transactions"]
                .map(|table| format!("public.{table}"))
                .to_vec(),
            excluded_columns: Vec::new(),
            topic_prefix: "bank".to_owned(),
            slot: "riverbank".to_owned(),
            publication: "riverbank".to_owned(),
            registry_url: registry_url.to_owned(),
            signals: Some("public.riverbank_signals".to_owned()),
            heartbeat: Some(Duration::from_secs(10)),
            poll_interval: Duration::from_millis(10),
            partitions: 1,
            replication_factor: 1,
        }
    }

    /// For the narrower schema of [`BATCH_STACK_SQL`](crate::BATCH_STACK_SQL): the same topics, no heartbeat table. Its
    /// nullable columns with a default show a limit of every Connect converter for Avro: a null in one arrives as the
    /// default.
    pub fn batch_stack(database: Database, registry_url: &str) -> Self {
        Self {
            name: "riverbank-batch-stack".to_owned(),
            slot: "riverbank_batch_stack".to_owned(),
            signals: None,
            heartbeat: None,
            ..Self::bank(database, registry_url)
        }
    }

    /// The whole configuration, as Connect takes it.
    pub fn config(&self) -> BTreeMap<String, String> {
        let mut config = self.source();
        config.extend(fixed());
        config.extend(self.converters());
        config.extend(self.keys());
        config.extend(self.topics());
        if let Some(table) = &self.signals {
            set(&mut config, "signal.data.collection", table);
        }
        set(&mut config, "producer.override.max.request.size", RECORD_BYTES_MAX);
        set(&mut config, "topic.creation.default.max.message.bytes", RECORD_BYTES_MAX);
        if !self.excluded_columns.is_empty() {
            set(
                &mut config,
                "column.exclude.list",
                ColumnPatterns::of_names(&self.excluded_columns),
            );
        }
        if let Some(interval) = self.heartbeat {
            set(&mut config, "heartbeat.interval.ms", interval.as_millis());
            set(&mut config, "heartbeat.action.query", HEARTBEAT_QUERY);
        }
        config
    }

    /// The tables that it reads, in this order: the heartbeat's is the first, where there is one. The only row of the first table is
    /// marked as the snapshot's first, and not as the last of its table, by which those are known that are gone.
    pub(crate) fn captured(&self) -> Vec<&str> {
        let heartbeat = self.heartbeat.map(|_| HEARTBEAT_TABLE);
        heartbeat.into_iter().chain(self.tables.iter().map(String::as_str)).collect()
    }

    fn source(&self) -> BTreeMap<String, String> {
        let mut config = BTreeMap::new();
        set(&mut config, "database.hostname", &self.database.host);
        set(&mut config, "database.port", self.database.port);
        set(&mut config, "database.dbname", &self.database.name);
        set(&mut config, "database.user", &self.database.user);
        set(&mut config, "database.password", &self.database.password);
        set(&mut config, "table.include.list", self.captured().join(","));
        set(&mut config, "slot.name", &self.slot);
        set(&mut config, "publication.name", &self.publication);
        set(&mut config, "topic.prefix", &self.topic_prefix);
        set(&mut config, "poll.interval.ms", self.poll_interval.as_millis());
        config
    }

    fn converters(&self) -> BTreeMap<String, String> {
        let mut config = BTreeMap::new();
        set(&mut config, "key.converter", LONG_CONVERTER);
        set(&mut config, "value.converter", AVRO_CONVERTER);
        set(&mut config, "value.converter.schema.registry.url", &self.registry_url);
        config
    }

    /// Keys are ids, as plain numbers: an Avro key has its schema's id in it, and Connect partitions by the key's bytes, so that
    /// with the next version of that schema a row's changes would go to another partition. What is no table (Debezium's own
    /// heartbeats, transactions) gets its time as key, since a converter is for all of a connector's topics.
    fn keys(&self) -> BTreeMap<String, String> {
        let mut config = BTreeMap::new();
        let matches = "org.apache.kafka.connect.transforms.predicates.TopicNameMatches";
        set(&mut config, "predicates", "isTable");
        set(&mut config, "predicates.isTable.type", matches);
        let schemas: BTreeSet<&str> = self.tables.iter().filter_map(|table| table.split('.').next()).collect();
        let schemas: Vec<&str> = schemas.into_iter().collect();
        let pattern = format!("{}\\.({})\\..*", self.topic_prefix.replace('.', "\\."), schemas.join("|"));
        set(&mut config, "predicates.isTable.pattern", pattern);
        set(&mut config, "transforms", "time,timeOnly,id,long");
        if let Some(table) = &self.signals {
            // What an operator tells the connector is for nobody else, and its keys are texts.
            set(&mut config, "predicates", "isTable,isSignal");
            set(&mut config, "predicates.isSignal.type", matches);
            let topic = literal(&format!("{}.{table}", self.topic_prefix));
            set(&mut config, "predicates.isSignal.pattern", topic);
            set(&mut config, "transforms", "signals,time,timeOnly,id,long");
            set(
                &mut config,
                "transforms.signals.type",
                "org.apache.kafka.connect.transforms.Filter",
            );
            set(&mut config, "transforms.signals.predicate", "isSignal");
        }
        let transforms = [
            ("time", "ValueToKey", ("fields", "ts_ms"), false),
            ("timeOnly", "ExtractField$Key", ("field", "ts_ms"), false),
            ("id", "ExtractField$Key", ("field", "id"), true),
            ("long", "Cast$Key", ("spec", "int64"), true),
        ];
        for (name, class, (setting, value), of_tables) in transforms {
            let name = format!("transforms.{name}");
            set(
                &mut config,
                &format!("{name}.type"),
                format!("org.apache.kafka.connect.transforms.{class}"),
            );
            set(&mut config, &format!("{name}.{setting}"), value);
            set(&mut config, &format!("{name}.predicate"), "isTable");
            set(&mut config, &format!("{name}.negate"), !of_tables);
        }
        config
    }

    /// Connect creates only topics that do not exist: whoever made them first decides.
    fn topics(&self) -> BTreeMap<String, String> {
        let mut config = BTreeMap::new();
        set(&mut config, "topic.creation.default.partitions", self.partitions);
        set(
            &mut config,
            "topic.creation.default.replication.factor",
            self.replication_factor,
        );
        config
    }
}

/// What the processors rely on, and what makes it fast.
fn fixed() -> BTreeMap<String, String> {
    [
        ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
        ("tasks.max", "1"),
        ("plugin.name", "pgoutput"),
        // The migrations make the publication: the connector's login may not.
        ("publication.autocreate.mode", "disabled"),
        ("snapshot.mode", "initial"),
        // Exact money and microseconds.
        ("decimal.handling.mode", "precise"),
        ("time.precision.mode", "adaptive_time_microseconds"),
        // A null beside a delete lets compaction forget the row.
        ("tombstones.on.delete", "true"),
        // A truncate is heard: by default it is left out.
        ("skipped.operations", "none"),
        // Which changes are one transaction, and how many it had.
        ("provide.transaction.metadata", "true"),
        ("schema.name.adjustment.mode", "avro"),
        ("field.name.adjustment.mode", "avro"),
        ("producer.override.linger.ms", "0"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

fn set(config: &mut BTreeMap<String, String>, key: &str, value: impl fmt::Display) {
    config.insert(key.to_owned(), value.to_string());
}

impl Default for Database {
    fn default() -> Self {
        Self::new("localhost", 5432, "bank", CAPTURE_ROLE, CAPTURE_ROLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_carries_our_settings_and_what_the_processors_rely_on() {
        let config = ConnectorSettings::bank(Database::default(), "http://registry/v7").config();
        let expected = [
            ("database.user", "riverbank_cdc"),
            (
                "table.include.list",
                "public.riverbank_heartbeat,public.customers,public.accounts,public.transactions",
            ),
            ("key.converter", LONG_CONVERTER),
            ("predicates.isTable.pattern", "bank\\.(public)\\..*"),
            ("transforms.id.field", "id"),
            ("transforms.long.spec", "int64"),
            ("topic.creation.default.partitions", "1"),
            ("decimal.handling.mode", "precise"),
            ("provide.transaction.metadata", "true"),
            ("heartbeat.interval.ms", "10000"),
            ("poll.interval.ms", "10"),
            ("producer.override.max.request.size", "16777216"),
            ("topic.creation.default.max.message.bytes", "16777216"),
            ("value.converter.schema.registry.url", "http://registry/v7"),
        ];
        for (key, value) in expected {
            assert_eq!(config.get(key).map(String::as_str), Some(value), "{key}");
        }
    }

    #[test]
    fn a_schema_without_the_heartbeat_table_gets_no_heartbeat() {
        let config = ConnectorSettings::batch_stack(Database::default(), "http://registry/v7").config();
        assert!(!config.keys().any(|key| key.starts_with("heartbeat")), "{config:?}");
        assert!(!config["table.include.list"].contains("heartbeat"), "{config:?}");
    }

    #[test]
    fn columns_are_left_out_by_their_names() {
        let mut settings = ConnectorSettings::bank(Database::default(), "http://registry/v7");
        assert!(!settings.config().contains_key("column.exclude.list"));
        settings.excluded_columns = vec!["public.customers.Kunden-Nr".to_owned(), "public.accounts.a$".to_owned()];
        assert_eq!(
            settings.config()["column.exclude.list"],
            r"public\.customers\.Kunden\-Nr,public\.accounts\.a\$"
        );
    }

    #[test]
    fn debug_output_hides_the_password() {
        let database = Database::new("db", 5432, "bank", "someone", "hunter2");
        assert!(!format!("{database:?}").contains("hunter2"));
    }
}
