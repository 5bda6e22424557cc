//! From Kafka through files on a real MinIO, its bucket events by webhook and by Kafka, and the notifier, to rows in the emulator of
//! Snowflake.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::kafka::{KafkaBroker, KafkaSettings};
use broker::{Broker, CleanupPolicy, Outgoing, TopicSpec};
use clock::{Clock, SystemClock};
use object_store::path::Path;
use sinks::group::protocol::Intent;
use sinks::{S3Options, SinkHandle, SinkRunner, SinkSettings, tables};
use testbed::{BucketEvents, Testbed};
use url::Url;
use warehouse::apply;
use warehouse::migrations::{self, Configuration, Value};
use warehouse::notifier::events::Place;
use warehouse::notifier::kafka::EventReader;
use warehouse::notifier::lake::StoreLake;
use warehouse::notifier::{Notifier, NotifierHandle, NotifierSettings, Offers, PipeRule, Source, webhook};
use warehouse::snowflake::{Account, Connection, KeyPair, Retries, Session, Snowpipe, Sql, Tokens};
use warehouse::status;
use wire::MemoryRegistry;

const TABLE: &str = "bronze.accounts";
const TOPIC: &str = "bank.public.accounts";
const EVENTS: &str = "bucket-events";
const WITHIN: Duration = Duration::from_secs(120);

async fn wait_for(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < WITHIN, "{what}: not within {WITHIN:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

struct Bench {
    bed: Testbed,
    broker: Arc<dyn Broker>,
    hook: Option<tokio::net::TcpListener>,
    connection: Arc<Connection>,
    produced: u64,
}

impl Bench {
    async fn start() -> Self {
        let hook = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/snowpipe/events", hook.local_addr().unwrap());
        let events = BucketEvents {
            webhook: Some((url, "the-token".to_owned())),
            topic: Some(EVENTS.to_owned()),
        };
        let bed = Testbed::builder()
            .kafka()
            .snowflake()
            .minio_with_events(events)
            .start()
            .await
            .unwrap();
        let broker: Arc<dyn Broker> = Arc::new(KafkaBroker::new(KafkaSettings {
            bootstrap: bed.kafka().bootstrap().to_owned(),
            ..KafkaSettings::default()
        }));
        let spec = |name: &str| TopicSpec {
            name: name.to_owned(),
            partitions: 1,
            accept_existing: true,
            cleanup: CleanupPolicy::Delete(None),
            settings: broker::TopicSettings::default(),
        };
        let (made, specs) = (broker.clone(), [spec(TOPIC), spec(EVENTS)]);
        tokio::task::spawn_blocking(move || made.ensure_topics(&specs, WITHIN))
            .await
            .unwrap()
            .unwrap();
        bed.minio().create_bucket("lake").await.unwrap();
        bed.minio().notify("lake").await.unwrap();
        let snowflake = bed.snowflake();
        let pem = std::fs::read_to_string(snowflake.private_key()).unwrap();
        let tokens = Tokens::new(
            &Account::parse(snowflake.account()).unwrap(),
            snowflake.user(),
            KeyPair::from_pem(&pem, None).unwrap(),
        );
        let retries = Retries {
            first_wait: Duration::from_millis(50),
            wait_max: Duration::from_secs(1),
            ..Retries::default()
        };
        let url = Url::parse(snowflake.url()).unwrap();
        let connection = Arc::new(Connection::new(url, tokens, retries).unwrap());
        Self {
            bed,
            broker,
            hook: Some(hook),
            connection,
            produced: 0,
        }
    }

    fn store(&self) -> Arc<dyn object_store::ObjectStore> {
        let minio = self.bed.minio();
        let s3 = S3Options {
            endpoint: Some(minio.endpoint().to_owned()),
            access_key: Some(minio.access_key().to_owned()),
            secret_key: Some(minio.secret_key().to_owned()),
            region: Some("us-east-1".to_owned()),
            allow_http: true,
        };
        sinks::open("s3://lake/of-the/bank", &s3).unwrap()
    }

    fn sql(&self) -> Sql {
        Sql::new(self.connection.clone(), Session::default(), Duration::from_secs(60))
    }

    fn configuration(&self) -> Configuration {
        let minio = self.bed.minio();
        let endpoint = minio.endpoint().trim_start_matches("http://").to_owned();
        let values = [
            ("database", "BANK"),
            ("warehouse", "BANK"),
            ("warehouse_size", "XSMALL"),
            ("loader_role", "LOADER"),
            ("reader_role", "READER"),
            ("auditor_role", "AUDITOR"),
            ("lake_url", "s3compat://lake/of-the/bank/"),
            ("s3_endpoint", &endpoint),
            ("s3_key_id", minio.access_key()),
            ("s3_secret_key", minio.secret_key()),
        ];
        let value = |text: &str| Value {
            text: Some(text.to_owned()),
            setting: "a test",
            secret: false,
        };
        Configuration {
            values: values.into_iter().map(|(name, text)| (name, value(text))).collect(),
            facts: [("tables", "loaded"), ("stage", "s3compat")].into(),
        }
    }

    async fn apply(&self, files: &[migrations::Migration]) -> Result<usize, apply::ApplyError> {
        apply::apply(&self.sql(), files, &self.configuration(), |_, _| ()).await
    }

    /// Writes records that no schema reads: each is a row, with its bytes.
    async fn produce(&mut self, records: u64) {
        let (broker, first) = (self.broker.clone(), self.produced);
        let write = move || {
            let values: Vec<_> = (first..first + records).map(|n| format!("record {n}")).collect();
            let record = |value: &'_ String| value.clone().into_bytes();
            let bytes: Vec<Vec<u8>> = values.iter().map(record).collect();
            let outgoing: Vec<_> = bytes
                .iter()
                .map(|value| Outgoing {
                    topic: TOPIC,
                    partition: Some(0),
                    key: None,
                    value: Some(value),
                    timestamp_ms: SystemClock.now_ms().0,
                    headers: &[],
                })
                .collect();
            broker.producer("test").unwrap().send_all(&outgoing).unwrap();
        };
        tokio::task::spawn_blocking(write).await.unwrap();
        self.produced += records;
    }

    fn sink(&self, offers: Offers) -> SinkHandle {
        let settings = SinkSettings {
            age_max: Duration::from_millis(300),
            session_timeout: Duration::from_secs(6),
            ..SinkSettings::default()
        };
        let mut tables = tables::bronze();
        tables.retain(|table| table.name() == TABLE);
        SinkRunner::new(
            settings,
            self.broker.clone(),
            Arc::new(MemoryRegistry::default()),
            self.store(),
            tables,
        )
        .with_listener(Arc::new(move |intent: &Intent| {
            for file in intent.files() {
                offers.offer(Source::Sink, file);
            }
        }))
        .start(&prometheus::Registry::new())
        .unwrap()
    }

    fn notifier(&mut self, metrics: &prometheus::Registry) -> (NotifierHandle, EventReader) {
        let rule = PipeRule::new("BANK.RAW.{TABLE}_PIPE").unwrap();
        let settings = NotifierSettings {
            batch_wait: Duration::from_millis(100),
            report_interval: Duration::from_secs(1),
            // Events alone, but for the listing at the start.
            reconcile_interval: Duration::from_secs(86_400),
            save_interval: Duration::from_secs(1),
            ..NotifierSettings::new(&rule, [TABLE]).unwrap()
        };
        let notifier = Notifier::new(
            settings,
            Arc::new(StoreLake::new(self.store(), Duration::from_secs(10))),
            Arc::new(Snowpipe::new(self.connection.clone())),
            ledger(),
            metrics,
        )
        .unwrap();
        let place = Place::of(&Url::parse("s3://lake/of-the/bank").unwrap()).unwrap();
        let offers = notifier.offers();
        let router = webhook::router(place.clone(), "the-token".to_owned(), offers.clone());
        let hook = self.hook.take().unwrap();
        tokio::spawn(async move { axum::serve(hook, router).await });
        let events = EventReader::start(self.broker.clone(), EVENTS.to_owned(), place, offers).unwrap();
        (notifier.start(), events)
    }

    async fn rows(&self) -> u64 {
        let rows = self
            .sql()
            .run(
                "SELECT COUNT(*) AS N, COUNT(DISTINCT _OFFSET) AS D FROM BANK.RAW.BRONZE_ACCOUNTS",
                &[],
            )
            .await
            .unwrap();
        let number = |name: &str| rows.column(name).unwrap()[0].unwrap().parse::<u64>().unwrap();
        assert_eq!(number("N"), number("D"), "no row is there twice");
        number("N")
    }
}

fn ledger() -> Path {
    Path::from("_riverbank/snowpipe/TEST.BANK.json")
}

/// The values of a metric with one label, by its value.
fn counts(metrics: &prometheus::Registry, name: &str) -> BTreeMap<String, f64> {
    let text = prometheus::TextEncoder::new().encode_to_string(&metrics.gather()).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    let pair = |line: &str| {
        let (label, value) = line.split_once("} ").unwrap();
        let label = label.split('"').nth(1).unwrap().to_owned();
        (label, value.parse().unwrap())
    };
    lines.map(pair).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_on_minio_become_rows_by_their_events() {
    let mut bench = Bench::start().await;
    let all = migrations::all().unwrap();
    let applied = bench.apply(&all).await.unwrap();
    assert!(applied > 5, "{applied}");
    assert_eq!(bench.apply(&all).await.unwrap(), 0);

    bench.produce(100).await;
    let metrics = prometheus::Registry::new();
    let (notifier, events) = bench.notifier(&metrics);
    let sink = bench.sink(notifier.offers());
    wait_for("the first rows", async || bench.rows().await == 100).await;

    // What is new is known without a listing, by each of the ways.
    let listed = counts(&metrics, "riverbank_snowpipe_listed_files_total");
    let snowflake = bench.bed.snowflake();
    for (endpoint, kind) in [
        ("insertFiles", "429"),
        ("insertFiles", "lost"),
        ("insertFiles", "503"),
        ("insertReport", "500"),
    ] {
        snowflake.fail(endpoint, kind, 1).await.unwrap();
    }
    for _ in 0..5 {
        bench.produce(40).await;
        let produced = bench.produced;
        wait_for("the rows", async || bench.rows().await == produced).await;
    }
    assert_eq!(counts(&metrics, "riverbank_snowpipe_listed_files_total"), listed);
    let named = counts(&metrics, "riverbank_snowpipe_events_total");
    assert!(
        ["sink", "webhook", "kafka"].iter().all(|source| named[*source] >= 5.0),
        "{named:?}"
    );
    wait_for("every file is known to be loaded", async || {
        notifier.lag().iter().all(|table| table.waiting == 0 && table.awaited == 0)
    })
    .await;
    assert_eq!(notifier.trouble(), None);

    // A file that does not load is reported as such, and loses nothing else.
    bench.bed.snowflake().fail("load", "LOAD_FAILED", 1).await.unwrap();
    bench.produce(10).await;
    let failed = || counts(&metrics, "riverbank_snowpipe_failed_files_total")[TABLE];
    wait_for("the failure", async || failed() == 1.0).await;
    bench.produce(10).await;
    let loaded = bench.produced - 10;
    wait_for("the rows behind it", async || bench.rows().await == loaded).await;
    let pipe = PipeRule::new("BANK.RAW.{TABLE}_PIPE").unwrap().pipe(TABLE).unwrap();
    let now = SystemClock.now();
    let snowpipe = Snowpipe::new(bench.connection.clone());
    let failures = status::failures(&snowpipe, &pipe, now - Duration::from_secs(3_600), now)
        .await
        .unwrap();
    assert!(
        failures.len() == 1 && failures[0].reason().contains("on request"),
        "{failures:?}"
    );
    let state = status::pipe(&bench.sql(), &pipe).await.unwrap();
    assert_eq!((state.execution_state.as_str(), state.error), ("RUNNING", None));

    tokio::task::spawn_blocking(move || sink.stop()).await.unwrap().unwrap();
    tokio::task::spawn_blocking(move || drop(events)).await.unwrap();
    notifier.stop().await;
    let lake = StoreLake::new(bench.store(), Duration::from_secs(10));
    let progress = status::progress(&lake, &ledger(), TABLE, &pipe).await.unwrap();
    assert_eq!(progress.not_received, Vec::<String>::new());
}

#[tokio::test]
async fn a_migration_that_was_changed_is_refused() {
    let bed = Testbed::builder().snowflake().start().await.unwrap();
    let snowflake = bed.snowflake();
    let pem = std::fs::read_to_string(snowflake.private_key()).unwrap();
    let tokens = Tokens::new(
        &Account::parse(snowflake.account()).unwrap(),
        snowflake.user(),
        KeyPair::from_pem(&pem, None).unwrap(),
    );
    let url = Url::parse(snowflake.url()).unwrap();
    let connection = Connection::new(url, tokens, Retries::default()).unwrap();
    let sql = Sql::new(Arc::new(connection), Session::default(), Duration::from_secs(60));
    let value = |text: &str| Value {
        text: Some(text.to_owned()),
        setting: "a test",
        secret: false,
    };
    let values = [("database", "BANK"), ("warehouse", "BANK"), ("warehouse_size", "XSMALL")];
    let configuration = Configuration {
        values: values.into_iter().map(|(name, text)| (name, value(text))).collect(),
        ..Configuration::default()
    };
    let first = (
        "0001_a.sql",
        "CREATE SCHEMA IF NOT EXISTS BANK.A;\nCREATE TABLE IF NOT EXISTS BANK.A.T (X INT);\n",
    );
    let second = ("0002_b.sql", "CREATE TABLE IF NOT EXISTS BANK.A.U (X INT);\n");
    let apply = async |files: &[(&str, &str)]| {
        let files = migrations::read(files).unwrap();
        apply::apply(&sql, &files, &configuration, |_, _| ()).await
    };
    assert_eq!(apply::applied(&sql, &configuration).await.unwrap(), []);
    assert_eq!(apply(&[first]).await.unwrap(), 1);
    // A statement fails, and what came before it is noted.
    let broken = ("0003_c.sql", "CREATE TABLE BANK.NOWHERE.T (X INT);\n");
    let error = apply(&[first, second, broken]).await.unwrap_err().to_string();
    assert!(error.starts_with("0003_c: Snowflake refuses to run"), "{error}");
    let names: Vec<_> = apply::applied(&sql, &configuration)
        .await
        .unwrap()
        .into_iter()
        .map(|one| one.name)
        .collect();
    assert_eq!(names, ["0001_a", "0002_b"]);
    let changed = ("0001_a.sql", "CREATE SCHEMA IF NOT EXISTS BANK.B;\n");
    let error = apply(&[changed, second]).await.unwrap_err().to_string();
    assert!(error.starts_with("0001_a changed after it was applied"), "{error}");
    let files = migrations::read(&[changed]).unwrap();
    let applied = apply::applied(&sql, &configuration).await.unwrap();
    let standings = apply::standings(&files, &configuration, &applied);
    assert!(matches!(
        &standings[..],
        [(_, apply::Standing::Changed { .. }), (_, apply::Standing::Unknown { .. })]
    ));
}
