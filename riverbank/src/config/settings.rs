//! Every setting of the program, once: its section, name, type, default, form and meaning.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use warehouse::snowflake::Account;

use super::choices::{IcebergCatalog, LogFormat, WarehouseTables};
use super::declare::{declare_settings, key, read, row};
use super::reader::Reader;
use super::setting::{Setting, Table};
use super::value::{
    Properties, Secret, boolean, brokers, bytes, columns, count, duration, folder, http_url, listen_address, log_level, one_of,
    pipe_rule, postgres_url, properties, secret, sink_url, sql_name, text, threads,
};

declare_settings! {
    /// The log.
    kafka: KafkaSettings {
        /// Kafka's brokers, host:port divided by commas; without them the log is in the process itself.
        brokers: Option<String> = optional(brokers);
        /// Properties of librdkafka for TLS and SASL, name=value per line: security.protocol=SASL_SSL.
        properties: Properties = secret_list(properties);
    }

    /// The schema registry.
    registry: RegistrySettings {
        /// The schema registry's Confluent API; needed with kafka.brokers.
        url: Option<Url> = optional(http_url);
    }

    /// The bank's database.
    postgres: PostgresSettings {
        /// The bank's database, postgres://user:password@host:port/database; needed with kafka.brokers, for writes.
        url: Option<Secret> = secret(postgres_url);
        /// The most connections to the database, 1 to 200.
        connections: u32 = default("10", count(1, 200));
    }

    /// The change capture.
    connect: ConnectSettings {
        /// Kafka Connect's REST address; for riverbank connect, and for run to start the connector again when it has failed.
        url: Option<Url> = optional(http_url);
        /// The bank's database as Connect reaches it, with a login that may change its schema; for riverbank connect.
        admin_url: Option<Secret> = secret(postgres_url);
        /// The password that Debezium's login gets; for riverbank connect.
        capture_password: Option<Secret> = secret(secret);
        /// Columns that are not captured, schema.table.column divided by commas: such as one of two with one name in Avro.
        column_exclude: Vec<String> = list(columns);
        /// The password that the login riverbank_service gets, which may read and write the bank's rows; for riverbank connect; without it,
        /// that login is left alone.
        service_password: Option<Secret> = secret(secret);
        /// How long the connector may take until it runs, 1s to 1h.
        timeout: Duration = default("2m", duration("1s", "1h"));
    }

    /// The watch over the source.
    source: SourceSettings {
        /// The connector's name in Kafka Connect, which is watched over where connect.url is set.
        connector: String = default("riverbank", text);
        /// The connector's replication slot, whose state is reported.
        slot: String = default("riverbank", text);
        /// The publication, which must hold the captured tables.
        publication: String = default("riverbank", text);
        /// How long the source may go unheard before that is reported, 1s to 1d.
        silence_max: Duration = default("60s", duration("1s", "1d"));
        /// Between two looks at the connector and its slot, 100ms to 1h.
        look_interval: Duration = default("5s", duration("100ms", "1h"));
        /// Between two checks of publication, replica identity, keys and columns, 100ms to 1d.
        check_interval: Duration = default("60s", duration("100ms", "1d"));
    }

    /// The HTTP service.
    http: HttpSettings {
        /// The address and port of the HTTP service; a loopback address, unless http.insecure_no_auth is given.
        listen: SocketAddr = default("127.0.0.1:8080", listen_address);
        /// Listen on any address although there is no authentication: whoever reaches it reads and writes everything.
        insecure_no_auth: bool = switch("insecure-no-auth", boolean);
        /// Where the other instances and clients reach this one; without it, http:// and http.listen.
        advertised_url: Option<Url> = optional(http_url);
    }

    /// The state stores.
    state: StateSettings {
        /// The folder of the state stores; one per instance, kept over restarts.
        dir: PathBuf = default("riverbank-data/state", folder);
    }

    /// The stream processor.
    engine: EngineSettings {
        /// Workers, 1 to 256, or auto for one per processor.
        threads: usize = default("auto", threads(256));
        /// The longest time between commits, 1ms to 30s; idle input commits at once.
        commit_interval: Duration = default("100ms", duration("1ms", "30s"));
        /// How often committed state is written to disk, 10ms to 10m.
        flush_interval: Duration = default("1s", duration("10ms", "10m"));
        /// Partitions of the topics that the program creates, 1 to 1000.
        partitions: u32 = default("4", count(1, 1_000));
        /// An instance that is stopped keeps its tasks for a restart within 6 s; else other instances have them at once.
        stop_keeps_tasks: bool = default("false", boolean);
        /// After an upgrade: tables of Gold that an earlier version did not have begin with what changes from then on.
        gold_from_now_on: bool = default("false", boolean);
    }

    /// What the bank computes.
    bank: BankSettings {
        /// A pending transaction's hold is released this long after the transaction's own time, 0s to 3650d; 0s is never.
        hold_expiry: Duration = default("7d", duration("0s", "3650d"));
        /// Postings are kept this long for statements and balances of the past, 0s to 36500d; 0s is for good. The topic and the lake keep them in any case.
        postings_kept: Duration = default("0s", duration("0s", "36500d"));
    }

    /// The Parquet sinks.
    sink: SinkSettings {
        /// Where Parquet goes: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, abfss://…, file:///folder or a folder.
        url: Url = default("riverbank-data/lake", sink_url);
        /// A file is closed at this many rows, 1 to 100000000.
        rows_max: u64 = default("1000000", count(1, 100_000_000));
        /// A file is closed at this many bytes of records, 1KiB to 4GiB.
        bytes_max: u64 = default("128MiB", bytes(1 << 10, 4 << 30));
        /// A file is closed this long after its first record, 100ms to 1d.
        age_max: Duration = default("60s", duration("100ms", "1d"));
        /// From this size on a file is uploaded in parts, on s3:// and gs://, 5MiB to 4GiB.
        multipart_bytes: u64 = default("64MiB", bytes(5 << 20, 4 << 30));
    }

    /// The Iceberg tables over the sinks' files.
    iceberg: IcebergSettings {
        /// The catalog of Iceberg tables over the sinks' files: off, sqlite, postgres or rest.
        catalog: IcebergCatalog = default("off", one_of);
        /// The catalog's file, where iceberg.catalog is sqlite.
        file: PathBuf = default("riverbank-data/iceberg.db", folder);
        /// The catalog's database, postgres://user:password@host:port/database, where iceberg.catalog is postgres.
        postgres_url: Option<Secret> = secret(postgres_url);
        /// The catalog's address, where iceberg.catalog is rest.
        rest_url: Option<Url> = optional(http_url);
        /// The credential for which the REST catalog gives a token, id:secret.
        rest_credential: Option<Secret> = secret(secret);
        /// The warehouse that the REST catalog is asked for.
        rest_warehouse: Option<String> = optional(text);
        /// A namespace above those of the tables, which are bronze, silver, gold.
        namespace: Option<String> = optional(text);
        /// Between two snapshots of a table at least, and between two looks for files of other processes, 100ms to 1h.
        interval: Duration = default("5s", duration("100ms", "1h"));
        /// Whether offsets that are in no file, though later ones are, are passed over; else they stop their table.
        skip_gaps: bool = default("false", boolean);
    }

    /// The object store, where `sink.url` is `s3://`.
    s3: S3Settings {
        /// An S3-compatible store's address; without it, AWS.
        endpoint: Option<Url> = optional(http_url);
        /// The access key; without it, what the machine's own role gives.
        access_key: Option<Secret> = secret(secret);
        /// The secret key that belongs to s3.access_key.
        secret_key: Option<Secret> = secret(secret);
        /// The store's region.
        region: String = default("us-east-1", text);
        /// Whether s3.endpoint may be http:// (no encryption).
        allow_http: bool = default("false", boolean);
    }

    /// The object store, where `sink.url` is `gs://`.
    gs: GsSettings {
        /// Google Cloud Storage's address, for an emulator; without it, Google's.
        endpoint: Option<Url> = optional(http_url);
        /// A service account's key, as JSON; without it, what GOOGLE_* variables or the machine's own account give.
        service_account: Option<Secret> = secret(secret);
    }

    /// The object store, where `sink.url` is `az://` or `abfss://`.
    az: AzSettings {
        /// Azure Blob Storage's address; without it, the account's at Azure.
        endpoint: Option<Url> = optional(http_url);
        /// The storage account, unless sink.url names it (abfss://).
        account: Option<String> = optional(text);
        /// Its access key; without it, what AZURE_* variables or the machine's own identity give.
        access_key: Option<Secret> = secret(secret);
    }

    /// The warehouse.
    snowflake: SnowflakeSettings {
        /// Snowflake's account identifier, such as myorg-bank; for riverbank warehouse and snowpipe.enabled.
        account: Option<Account> = optional(Account::parse);
        /// Where Snowflake is reached; without it, https:// and the account's own host.
        url: Option<Url> = optional(http_url);
        /// The user who logs in to Snowflake, by a key pair.
        user: Option<String> = optional(text);
        /// The user's private key, PKCS#8 in PEM, encrypted or not; better from a file that RIVERBANK_SNOWFLAKE_PRIVATE_KEY_FILE names.
        private_key: Option<Secret> = secret(secret);
        /// The passphrase of snowflake.private_key, where it is encrypted.
        private_key_passphrase: Option<Secret> = secret(secret);
        /// The role of riverbank warehouse's statements; without it, the user's default role.
        role: Option<String> = optional(sql_name);
        /// The virtual warehouse that queries run in.
        warehouse: String = default("RIVERBANK", sql_name);
        /// The database in Snowflake.
        database: String = default("RIVERBANK", sql_name);
        /// How rows get there: loaded is tables that pipes load, iceberg the lake's Iceberg tables, by a catalog integration.
        tables: WarehouseTables = default("loaded", one_of);
        /// Other variables of warehouse/sql (its README lists them), name=value per line: aws_role_arn=arn:aws:iam::1:role/lake.
        variables: Properties = secret_list(properties);
    }

    /// The Snowpipe notifier.
    snowpipe: SnowpipeSettings {
        /// Whether run and sink report each new file to Snowpipe; for S3-compatible stores, AWS S3 does it by itself.
        enabled: bool = default("false", boolean);
        /// A table's pipe: {TABLE} is the table's name, upper case with _ for dots, {NAME} the part behind the first dot.
        pipe: String = default("{DATABASE}.RAW.{TABLE}_PIPE", pipe_rule);
        /// The address and port where the store's bucket events arrive by HTTP, POST /snowpipe/events.
        listen: Option<SocketAddr> = optional(listen_address);
        /// The token that they must have; needed with snowpipe.listen.
        webhook_token: Option<Secret> = secret(secret);
        /// The Kafka topic that the store writes its bucket events to.
        topic: Option<String> = optional(text);
        /// How long a file waits for others to share its request, 0s to 10m.
        batch_wait: Duration = default("5s", duration("0s", "10m"));
        /// Between two listings for files that no event reported, 1s to 1d.
        reconcile_interval: Duration = default("5m", duration("1s", "1d"));
        /// Between two looks at what became of the files, 1s to 8m.
        report_interval: Duration = default("3m", duration("1s", "8m"));
    }

    /// The log of the program itself.
    log: LogSettings {
        /// What is logged: error, warn, info, debug, trace, or a filter such as info,topology=debug.
        level: String = default("info", log_level);
        /// How a line looks: text for people, json for machines.
        format: LogFormat = default("text", one_of);
    }
}

impl BankSettings {
    /// How long after a transaction's own time its hold expires; `None`: never.
    pub fn holds_expire_after(&self) -> Option<Duration> {
        Some(self.hold_expiry).filter(|expiry| !expiry.is_zero())
    }
}

impl HttpSettings {
    /// Where others reach the service, given the address that it listens on (which may have chosen its port).
    pub fn advertised_url(&self, bound: SocketAddr) -> Url {
        let own = || Url::parse(&format!("http://{bound}")).expect("a socket address makes an address");
        self.advertised_url.clone().unwrap_or_else(own)
    }
}
