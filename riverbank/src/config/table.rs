//! The settings of the program, by name: one row each.

use super::setting::{Setting, Table};

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
        Setting::optional(
            "connect.column_exclude",
            "columns that are not captured, schema.table.column divided by commas: such as one of two with one name in Avro",
        ),
        Setting::secret(
            "connect.service_password",
            "the password that the login riverbank_service gets, which may read and write the bank's rows; for riverbank connect; \
             without it, that login is left alone",
        ),
        Setting::new(
            "connect.timeout",
            "2m",
            "how long the connector may take until it runs, 1s to 1h",
        ),
        Setting::new(
            "source.connector",
            "riverbank",
            "the connector's name in Kafka Connect, which is watched over where connect.url is set",
        ),
        Setting::new(
            "source.slot",
            "riverbank",
            "the connector's replication slot, whose state is reported",
        ),
        Setting::new(
            "source.publication",
            "riverbank",
            "the publication, which must hold the captured tables",
        ),
        Setting::new(
            "source.silence_max",
            "60s",
            "how long the source may go unheard before that is reported, 1s to 1d",
        ),
        Setting::new(
            "source.look_interval",
            "5s",
            "between two looks at the connector and its slot, 100ms to 1h",
        ),
        Setting::new(
            "source.check_interval",
            "60s",
            "between two checks of publication, replica identity, keys and columns, 100ms to 1d",
        ),
        Setting::new(
            "http.listen",
            "127.0.0.1:8080",
            "the address and port of the HTTP service; a loopback address, unless http.insecure_no_auth is given",
        ),
        Setting::switch(
            "http.insecure_no_auth",
            "insecure-no-auth",
            "listen on any address although there is no authentication: whoever reaches it reads and writes everything",
        ),
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
            "engine.stop_keeps_tasks",
            "false",
            "an instance that is stopped keeps its tasks for a restart within 6 s; else other instances have them at once",
        ),
        Setting::new(
            "sink.url",
            "riverbank-data/lake",
            "where Parquet goes: s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, abfss://…, file:///folder or a folder",
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
        Setting::new(
            "sink.multipart_bytes",
            "64MiB",
            "from this size on a file is uploaded in parts, on s3:// and gs://, 5MiB to 4GiB",
        ),
        Setting::new(
            "iceberg.catalog",
            "off",
            "the catalog of Iceberg tables over the sinks' files: off, sqlite, postgres or rest",
        ),
        Setting::new(
            "iceberg.file",
            "riverbank-data/iceberg.db",
            "the catalog's file, where iceberg.catalog is sqlite",
        ),
        Setting::secret(
            "iceberg.postgres_url",
            "the catalog's database, postgres://user:password@host:port/database, where iceberg.catalog is postgres",
        ),
        Setting::optional("iceberg.rest_url", "the catalog's address, where iceberg.catalog is rest"),
        Setting::secret(
            "iceberg.rest_credential",
            "id:secret, for which the REST catalog gives a token",
        ),
        Setting::optional("iceberg.rest_warehouse", "the warehouse that the REST catalog is asked for"),
        Setting::optional(
            "iceberg.namespace",
            "a namespace above those of the tables, which are bronze, silver, gold",
        ),
        Setting::new(
            "iceberg.interval",
            "5s",
            "between two snapshots of a table at least, and between two looks for files of other processes, 100ms to 1h",
        ),
        Setting::new(
            "iceberg.skip_gaps",
            "false",
            "whether offsets that are in no file, though later ones are, are passed over; else they stop their table",
        ),
        Setting::optional("s3.endpoint", "an S3-compatible store's address; without it, AWS"),
        Setting::secret(
            "s3.access_key",
            "the access key; without it, what the machine's own role gives",
        ),
        Setting::secret("s3.secret_key", "the secret key that belongs to s3.access_key"),
        Setting::new("s3.region", "us-east-1", "the store's region"),
        Setting::new("s3.allow_http", "false", "whether s3.endpoint may be http:// (no encryption)"),
        Setting::optional(
            "gs.endpoint",
            "Google Cloud Storage's address, for an emulator; without it, Google's",
        ),
        Setting::secret(
            "gs.service_account",
            "a service account's key, as JSON; without it, what GOOGLE_* variables or the machine's own account give",
        ),
        Setting::optional(
            "az.endpoint",
            "Azure Blob Storage's address; without it, the account's at Azure",
        ),
        Setting::optional("az.account", "the storage account, unless sink.url names it (abfss://)"),
        Setting::secret(
            "az.access_key",
            "its access key; without it, what AZURE_* variables or the machine's own identity give",
        ),
        Setting::optional(
            "snowflake.account",
            "Snowflake's account identifier, such as myorg-bank; for riverbank warehouse and snowpipe.enabled",
        ),
        Setting::optional(
            "snowflake.url",
            "where Snowflake is reached; without it, https:// and the account's own host",
        ),
        Setting::optional("snowflake.user", "the user who logs in to Snowflake, by a key pair"),
        Setting::secret(
            "snowflake.private_key",
            "the user's private key, PKCS#8 in PEM, encrypted or not; better from a file that RIVERBANK_SNOWFLAKE_PRIVATE_KEY_FILE names",
        ),
        Setting::secret(
            "snowflake.private_key_passphrase",
            "the passphrase of snowflake.private_key, where it is encrypted",
        ),
        Setting::optional(
            "snowflake.role",
            "the role of riverbank warehouse's statements; without it, the user's default role",
        ),
        Setting::new(
            "snowflake.warehouse",
            "RIVERBANK",
            "the virtual warehouse that queries run in",
        ),
        Setting::new("snowflake.database", "RIVERBANK", "the database in Snowflake"),
        Setting::new(
            "snowflake.tables",
            "loaded",
            "loaded: tables that pipes load; iceberg: the lake's Iceberg tables, by a catalog integration",
        ),
        Setting::secret(
            "snowflake.variables",
            "other variables of warehouse/sql (its README lists them), name=value per line: aws_role_arn=arn:aws:iam::1:role/lake",
        ),
        Setting::new(
            "snowpipe.enabled",
            "false",
            "whether run and sink report each new file to Snowpipe; for S3-compatible stores, AWS S3 does it by itself",
        ),
        Setting::new(
            "snowpipe.pipe",
            "{DATABASE}.RAW.{TABLE}_PIPE",
            "a table's pipe: {TABLE} is the table's name, upper case with _ for dots, {NAME} the part behind the first dot",
        ),
        Setting::optional(
            "snowpipe.listen",
            "the address and port where the store's bucket events arrive by HTTP, POST /snowpipe/events",
        ),
        Setting::secret(
            "snowpipe.webhook_token",
            "the token that they must have; needed with snowpipe.listen",
        ),
        Setting::optional("snowpipe.topic", "the Kafka topic that the store writes its bucket events to"),
        Setting::new(
            "snowpipe.batch_wait",
            "5s",
            "how long a file waits for others to share its request, 0s to 10m",
        ),
        Setting::new(
            "snowpipe.reconcile_interval",
            "5m",
            "between two listings for files of which no event told, 1s to 1d",
        ),
        Setting::new(
            "snowpipe.report_interval",
            "3m",
            "between two looks at what became of the files, 1s to 8m",
        ),
        Setting::new(
            "log.level",
            "info",
            "what is logged: error, warn, info, debug, trace, or a filter such as info,topology=debug",
        ),
        Setting::new("log.format", "text", "text for people, json for machines"),
    ],
};
