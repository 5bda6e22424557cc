//! The whole chain: the stack with bucket events and the emulator of Snowflake, a bank that is written to, and what disturbs it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use broker::kafka::{KafkaBroker, KafkaSettings};
use broker::{Broker, CleanupPolicy, TopicSpec};
use futures::TryStreamExt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use object_store::{ObjectStore, ObjectStoreExt};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Url;
use serde_json::json;
use sinks::S3Options;
use sinks::parquet::layout::FileName;
use sqlx::PgPool;
use testbed::{BucketEvents, Testbed};
use warehouse::notifier::PipeRule;
use warehouse::snowflake::snowpipe::Pipes;
use warehouse::snowflake::{Account, Connection, KeyPair, Retries, Session, Snowpipe, Sql, StagedFile, Tokens};

use super::stack::{BUCKET, Riverbank, Stack};

/// How long anything may take.
pub const WITHIN: Duration = Duration::from_secs(300);
const EVENTS: &str = "bucket-events";
const TOKEN: &str = "of-the-webhook";
/// More than usual happens to customers, so that every table's rows go on.
const BANK: &str = "
rate: 80
connections: 4
customers: 20
day: 1s
mix:
  remove: 60
  customer_change: 120
  customer_add: 60
  customer_remove: 40
  account_open: 60
  account_change: 20
  account_block: 20
  account_close: 10
  account_remove: 40
";

/// The servers, and what knows of them.
pub struct Chain {
    pub stack: Stack,
    pub pool: PgPool,
    pub store: Arc<dyn ObjectStore>,
    pub sql: Sql,
    snowpipe: Snowpipe,
    hook: String,
    faults: AtomicU64,
}

impl Chain {
    /// Starts everything; the warehouse is set up, and nothing is written yet.
    pub async fn start() -> (Self, Riverbank) {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let hook = format!("http://{}/snowpipe/events", port.expect("a port is free"));
        let events = BucketEvents {
            webhook: Some((hook.clone(), TOKEN.to_owned())),
            topic: Some(EVENTS.to_owned()),
        };
        let stack = Stack::with(Testbed::builder().snowflake().minio_with_events(events)).await;
        make_topic(stack.bed.kafka().bootstrap()).await;
        stack
            .bed
            .minio()
            .notify(BUCKET)
            .await
            .expect("the bucket reports its objects");
        let mut riverbank = stack.riverbank("one");
        riverbank.set("CONFIG", settings(&stack, &hook).display().to_string());
        riverbank.set("SINK_AGE_MAX", "3s");
        let key = stack.bed.snowflake().private_key().display().to_string();
        riverbank.set("SNOWFLAKE_PRIVATE_KEY_FILE", key);
        let (is_set_up, said) = riverbank.says(&["warehouse", "apply"]).await;
        assert!(is_set_up, "{said}");
        let connection = connection(&stack);
        let chain = Self {
            pool: PgPool::connect(&stack.postgres_url()).await.expect("the database answers"),
            store: store(&stack),
            sql: Sql::new(connection.clone(), Session::default(), Duration::from_secs(60)),
            snowpipe: Snowpipe::new(connection),
            hook,
            faults: AtomicU64::new(0),
            stack,
        };
        (chain, riverbank)
    }

    /// The Iceberg tables' catalog.
    pub fn catalog(&self) -> PathBuf {
        self.stack.bed.folder().join("iceberg.db")
    }

    /// Has the simulated bank write into Postgres until it is stopped.
    pub fn write(&self, seed: u64) -> Writer {
        let config = self.stack.bed.folder().join("bank.yaml");
        std::fs::write(&config, BANK).expect("the bank's settings are written");
        let log = self.stack.bed.folder().join("bank.log");
        let file = std::fs::File::create(&log).expect("a log is made");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_riverbank"), "generate", "--config"])
            .arg(config)
            .args(["--seed", &seed.to_string(), "--into", &self.stack.postgres_url()])
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a handle can be doubled"))
            .stderr(file)
            .spawn();
        Writer {
            child: child.expect("the bank starts"),
            log,
        }
    }

    /// Has Snowflake fail, and files reported again, by events and by another reporter, without an end.
    pub async fn disturb(&self, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        loop {
            tokio::time::sleep(Duration::from_millis(random.random_range(100..500))).await;
            let snowflake = self.stack.bed.snowflake();
            match random.random_range(0..5) {
                0..=2 => {
                    let endpoint = ["insertFiles", "insertFiles", "insertReport", "loadHistoryScan"][random.random_range(0..4)];
                    let kind = ["429", "500", "503", "lost", "dropped"][random.random_range(0..5)];
                    snowflake.fail(endpoint, kind, 1).await.expect("the emulator answers");
                    self.faults.fetch_add(1, Ordering::Relaxed);
                }
                by_event => {
                    let mut files = self.files().await;
                    if files.is_empty() {
                        continue;
                    }
                    let file = files.swap_remove(random.random_range(0..files.len()));
                    match by_event {
                        3 => self.report_event(&file).await,
                        _ => self.report(&file).await,
                    }
                }
            }
        }
    }

    /// The lake's files, as they are.
    async fn files(&self) -> Vec<FileName> {
        let objects: Vec<_> = self.store.list(None).try_collect().await.expect("the lake is listed");
        objects
            .iter()
            .filter_map(|object| FileName::parse(&object.location))
            .collect()
    }

    /// The same event again.
    async fn report_event(&self, file: &FileName) {
        let key = format!("bank/{}", file.path());
        let event = json!({"Records": [{
            "eventName": "s3:ObjectCreated:Put",
            "s3": {"bucket": {"name": BUCKET}, "object": {"key": key}},
        }]});
        let send = self.stack.http.post(&self.hook).bearer_auth(TOKEN).json(&event).send();
        // Nobody listens while the program is down.
        if let Ok(answer) = send.await {
            assert!(answer.status().is_success(), "{}", answer.status());
        }
    }

    /// The same file, told to Snowflake by somebody else.
    async fn report(&self, file: &FileName) {
        let rule = PipeRule::new("RIVERBANK.RAW.{TABLE}_PIPE").expect("a rule");
        let pipe = rule.pipe(&file.table).expect("a pipe");
        let path = file.path().to_string();
        let path = path.strip_prefix(&format!("{}/", file.table)).expect("a file of its table");
        let file = StagedFile {
            path: path.to_owned(),
            size: None,
        };
        // Where it fails, nobody misses it.
        let _ = self.snowpipe.insert_files(&pipe, &[file]).await;
    }

    /// How many of the faults have happened.
    pub async fn faults_met(&self) -> u64 {
        let nothing_is_held = json!({ "held": false });
        let answer = self.stack.bed.snowflake().control("hold", &nothing_is_held).await;
        let left = answer.expect("the emulator answers")["faults_left"]
            .as_u64()
            .expect("a number");
        self.faults.load(Ordering::Relaxed).saturating_sub(left)
    }

    /// How many paths pipes were given that they had already.
    pub async fn repeated(&self) -> u64 {
        let rule = PipeRule::new("RIVERBANK.RAW.{TABLE}_PIPE").expect("a rule");
        let mut repeated = 0;
        for table in sinks::tables::all() {
            let pipe = json!({ "pipe": rule.pipe(table.name()).expect("a pipe").as_str() });
            let state = self
                .stack
                .bed
                .snowflake()
                .control("pipe", &pipe)
                .await
                .expect("the emulator answers");
            repeated += state["skipped"].as_u64().expect("a number");
        }
        repeated
    }

    /// Copies the lake into a folder.
    pub async fn download(&self, folder: &Path) {
        let objects: Vec<_> = self.store.list(None).try_collect().await.expect("the lake is listed");
        for object in objects {
            let bytes = self
                .store
                .get(&object.location)
                .await
                .expect("the object is there")
                .bytes()
                .await;
            let file = folder.join(object.location.as_ref());
            std::fs::create_dir_all(file.parent().expect("a folder")).expect("the folder is made");
            std::fs::write(&file, bytes.expect("the object is read")).expect("the file is written");
        }
    }
}

/// The simulated bank at work, killed with the test.
pub struct Writer {
    child: Child,
    log: PathBuf,
}

impl Writer {
    /// Ends it, with the commit that it is at.
    pub async fn stop(&mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).expect("the bank can be signalled");
        let started = Instant::now();
        let status = loop {
            match self.child.try_wait().expect("the bank can be asked") {
                Some(status) => break status,
                None if started.elapsed() > WITHIN => panic!("the bank does not end"),
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        assert!(status.success(), "the bank ended with {status}: {said}");
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // An error says that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the program does beside what every instance of the stack does, as a file of settings.
fn settings(stack: &Stack, hook: &str) -> PathBuf {
    let (snowflake, folder) = (stack.bed.snowflake(), stack.bed.folder());
    let listen = Url::parse(hook).expect("an address");
    let text = format!(
        "engine:
  partitions: 2
iceberg:
  catalog: sqlite
  file: {}
  interval: 1s
snowflake:
  account: {}
  user: {}
  url: {}
snowpipe:
  enabled: true
  listen: 127.0.0.1:{}
  webhook_token: {TOKEN}
  topic: {EVENTS}
  batch_wait: 500ms
  reconcile_interval: 10s
  report_interval: 2s
",
        folder.join("iceberg.db").display(),
        snowflake.account(),
        snowflake.user(),
        snowflake.url(),
        listen.port().expect("a port"),
    );
    let file = folder.join("riverbank.yaml");
    std::fs::write(&file, text).expect("the settings are written");
    file
}

async fn make_topic(bootstrap: &str) {
    let broker = KafkaBroker::new(KafkaSettings {
        bootstrap: bootstrap.to_owned(),
        ..KafkaSettings::default()
    });
    let spec = TopicSpec {
        name: EVENTS.to_owned(),
        partitions: 1,
        accept_existing: true,
        cleanup: CleanupPolicy::Delete(None),
        settings: broker::TopicSettings::default(),
    };
    let made = tokio::task::spawn_blocking(move || broker.ensure_topics(&[spec], WITHIN));
    made.await.expect("no panic").expect("the topic is made");
}

fn store(stack: &Stack) -> Arc<dyn ObjectStore> {
    let minio = stack.bed.minio();
    let s3 = S3Options {
        endpoint: Some(minio.endpoint().to_owned()),
        access_key: Some(minio.access_key().to_owned()),
        secret_key: Some(minio.secret_key().to_owned()),
        region: Some("us-east-1".to_owned()),
        allow_http: true,
    };
    sinks::open(&format!("s3://{BUCKET}/bank"), &s3).expect("the lake opens")
}

fn connection(stack: &Stack) -> Arc<Connection> {
    let snowflake = stack.bed.snowflake();
    let pem = std::fs::read_to_string(snowflake.private_key()).expect("the key is read");
    let account = Account::parse(snowflake.account()).expect("an account");
    let tokens = Tokens::new(&account, snowflake.user(), KeyPair::from_pem(&pem, None).expect("a key"));
    let url = Url::parse(snowflake.url()).expect("an address");
    Arc::new(Connection::new(url, tokens, Retries::default()).expect("a client"))
}
