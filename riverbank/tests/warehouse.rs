//! `riverbank warehouse`, and `riverbank sink` with the notifier, on real servers and the emulator of Snowflake.

#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::kafka::{KafkaBroker, KafkaSettings};
use broker::{Broker, CleanupPolicy, Outgoing, TopicSpec};
use clock::{Clock, SystemClock};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Url;
use testbed::Testbed;
use warehouse::snowflake::{Account, Connection, KeyPair, Retries, Session, Sql, Tokens};

const WITHIN: Duration = Duration::from_secs(120);
const TOKEN: &str = "hunter2-of-the-webhook";
const FILE_SCHEMA_TOPICS: [&str; 3] = ["bank.public.customers", "bank.public.accounts", "bank.public.transactions"];

fn command(variables: &[(&str, String)], arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riverbank"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RIVERBANK_")) {
        command.env_remove(name);
    }
    for (name, value) in variables {
        command.env(format!("RIVERBANK_{name}"), value);
    }
    command.args(arguments);
    command
}

fn text(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{out}{err}")
}

struct Bench {
    bed: Testbed,
    broker: KafkaBroker,
    port: u16,
    produced: u64,
}

impl Bench {
    async fn start() -> Self {
        let bed = Testbed::builder().kafka().minio().snowflake().start().await.unwrap();
        bed.minio().create_bucket("lake").await.unwrap();
        let broker = KafkaBroker::new(KafkaSettings {
            bootstrap: bed.kafka().bootstrap().to_owned(),
            ..KafkaSettings::default()
        });
        let spec = |name: &str, cleanup| TopicSpec {
            name: name.to_owned(),
            partitions: 1,
            accept_existing: false,
            cleanup,
            settings: broker::TopicSettings::default(),
        };
        let mut specs = FILE_SCHEMA_TOPICS
            .map(|name| spec(name, CleanupPolicy::Delete(None)))
            .to_vec();
        let of_all = sinks::tables::all();
        let others = of_all.iter().filter(|table| !FILE_SCHEMA_TOPICS.contains(&table.topic()));
        specs.extend(others.map(|table| spec(table.topic(), CleanupPolicy::Compact)));
        tokio::task::block_in_place(|| broker.ensure_topics(&specs, WITHIN)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self {
            bed,
            broker,
            port,
            produced: 0,
        }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let (minio, snowflake) = (self.bed.minio(), self.bed.snowflake());
        vec![
            ("KAFKA_BROKERS", self.bed.kafka().bootstrap().to_owned()),
            // Nothing that is read here has a schema.
            ("REGISTRY_URL", "http://127.0.0.1:1".to_owned()),
            ("SINK_URL", "s3://lake/bank".to_owned()),
            ("SINK_AGE_MAX", "300ms".to_owned()),
            ("HTTP_LISTEN", "127.0.0.1:0".to_owned()),
            ("S3_ENDPOINT", minio.endpoint().to_owned()),
            ("S3_ACCESS_KEY", minio.access_key().to_owned()),
            ("S3_SECRET_KEY", minio.secret_key().to_owned()),
            ("S3_ALLOW_HTTP", "true".to_owned()),
            ("SNOWFLAKE_ACCOUNT", snowflake.account().to_owned()),
            ("SNOWFLAKE_USER", snowflake.user().to_owned()),
            ("SNOWFLAKE_URL", snowflake.url().to_owned()),
            ("SNOWFLAKE_PRIVATE_KEY_FILE", snowflake.private_key().display().to_string()),
            ("SNOWPIPE_ENABLED", "true".to_owned()),
            ("SNOWPIPE_LISTEN", format!("127.0.0.1:{}", self.port)),
            ("SNOWPIPE_WEBHOOK_TOKEN", TOKEN.to_owned()),
            ("SNOWPIPE_BATCH_WAIT", "100ms".to_owned()),
            ("SNOWPIPE_REPORT_INTERVAL", "1s".to_owned()),
        ]
    }

    fn run(&self, arguments: &[&str]) -> Output {
        command(&self.variables(), arguments).output().expect("the program starts")
    }

    fn sql(&self) -> Sql {
        let snowflake = self.bed.snowflake();
        let pem = std::fs::read_to_string(snowflake.private_key()).unwrap();
        let account = Account::parse(snowflake.account()).unwrap();
        let tokens = Tokens::new(&account, snowflake.user(), KeyPair::from_pem(&pem, None).unwrap());
        let connection = Connection::new(Url::parse(snowflake.url()).unwrap(), tokens, Retries::default()).unwrap();
        Sql::new(Arc::new(connection), Session::default(), Duration::from_secs(60))
    }

    fn produce(&mut self, records: u64) {
        let values: Vec<_> = (self.produced..self.produced + records)
            .map(|n| format!("record {n}"))
            .collect();
        let record = |value: &String| value.clone().into_bytes();
        let bytes: Vec<Vec<u8>> = values.iter().map(record).collect();
        let outgoing = |value| Outgoing {
            topic: "bank.public.accounts",
            partition: Some(0),
            key: None,
            value: Some(value),
            timestamp_ms: SystemClock.now_ms().0,
            headers: &[],
        };
        let outgoing: Vec<_> = bytes.iter().map(|value| outgoing(value.as_slice())).collect();
        tokio::task::block_in_place(|| self.broker.producer("test").unwrap().send_all(&outgoing).unwrap());
        self.produced += records;
    }

    async fn rows(&self) -> u64 {
        let rows = self
            .sql()
            .run("SELECT COUNT(*) AS N FROM RIVERBANK.RAW.BRONZE_ACCOUNTS", &[])
            .await
            .unwrap();
        rows.column("N").unwrap()[0].unwrap().parse().unwrap()
    }

    async fn wait_for_rows(&self, sink: &mut Child, expected: u64) {
        let started = Instant::now();
        loop {
            let rows = self.rows().await;
            if rows == expected {
                return;
            }
            assert!(sink.try_wait().unwrap().is_none(), "the sink has ended");
            assert!(started.elapsed() < WITHIN, "{rows} rows of {expected}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}

/// Killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warehouse_is_set_up_filled_and_looked_at() {
    let mut bench = Bench::start().await;
    let plan = bench.run(&["warehouse", "plan"]);
    let sql = text(&plan);
    assert!(plan.status.success(), "{sql}");
    for part in [
        "CREATE PIPE IF NOT EXISTS RIVERBANK.RAW.BRONZE_ACCOUNTS_PIPE",
        "URL = 's3compat://lake/bank/'",
        "AWS_SECRET_KEY = '********'",
    ] {
        assert!(sql.contains(part), "{part} is not in\n{sql}");
    }
    assert!(!sql.contains(bench.bed.minio().secret_key()) && !sql.contains("{{"), "{sql}");
    // Snowflake has nothing yet.
    let status = bench.run(&["warehouse", "status"]);
    assert!(
        status.status.code() == Some(1) && text(&status).contains("pending"),
        "{}",
        text(&status)
    );
    let applied = text(&bench.run(&["warehouse", "apply"]));
    assert!(applied.contains("0001_roles: applied"), "{applied}");
    let again = bench.run(&["warehouse", "apply"]);
    assert!(
        again.status.success() && text(&again) == "everything is applied\n",
        "{}",
        text(&again)
    );
    let status = bench.run(&["warehouse", "status"]);
    assert!(
        status.status.success() && text(&status).contains("RUNNING"),
        "{}",
        text(&status)
    );

    bench.produce(50);
    let mut sink = command(&bench.variables(), &["sink"]);
    let mut sink = Running(sink.stdin(Stdio::null()).spawn().unwrap());
    bench.wait_for_rows(&mut sink.0, 50).await;
    // The webhook wants its token, and takes events.
    let events = format!("http://127.0.0.1:{}/snowpipe/events", bench.port);
    let post = |token: &'static str| {
        reqwest::Client::new()
            .post(&events)
            .bearer_auth(token)
            .body(r#"{"Records":[]}"#)
            .send()
    };
    assert_eq!(post("another").await.unwrap().status(), 401);
    assert_eq!(post(TOKEN).await.unwrap().status(), 200);

    bench.bed.snowflake().fail("load", "LOAD_FAILED", 1).await.unwrap();
    bench.produce(5);
    let started = Instant::now();
    let failed = loop {
        let status = bench.run(&["warehouse", "status"]);
        if text(&status).contains("not loaded: day=") {
            break status;
        }
        assert!(started.elapsed() < WITHIN, "{}", text(&status));
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed));
    bench.produce(20);
    bench.wait_for_rows(&mut sink.0, 70).await;
    kill(Pid::from_raw(sink.0.id() as i32), Signal::SIGTERM).unwrap();
    assert!(sink.0.wait().unwrap().success());
    let status = text(&bench.run(&["warehouse", "status"]));
    assert!(!status.contains("not received"), "{status}");
}

#[test]
fn a_notifier_that_cannot_work_is_refused_at_the_start() {
    let variables = [
        ("KAFKA_BROKERS", "127.0.0.1:1".to_owned()),
        ("REGISTRY_URL", "http://127.0.0.1:1".to_owned()),
        ("SNOWPIPE_ENABLED", "true".to_owned()),
        ("SNOWPIPE_LISTEN", "127.0.0.1:0".to_owned()),
        ("SNOWPIPE_PIPE", "BANK.RAW.PIPE".to_owned()),
        ("SNOWFLAKE_ACCOUNT", "https://bank".to_owned()),
        ("SNOWFLAKE_PRIVATE_KEY", "hunter2".to_owned()),
    ];
    let output = command(&variables, &["sink"]).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for part in [
        "snowpipe.pipe (RIVERBANK_SNOWPIPE_PIPE) must have {TABLE}",
        "snowflake.account (RIVERBANK_SNOWFLAKE_ACCOUNT) must be an account identifier",
        "snowflake.user is missing",
        "snowflake.private_key (RIVERBANK_SNOWFLAKE_PRIVATE_KEY) cannot be used",
        "snowpipe.webhook_token is missing",
        "sink.url (default) must be s3://",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    let output = command(&[], &["warehouse", "status"]).output().unwrap();
    assert!(text(&output).contains("snowflake.account is missing"), "{}", text(&output));
}
