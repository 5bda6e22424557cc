//! A bank in Postgres, written to by several at once, and everybody who reads it at the other end: over HTTP, in Snowflake, in the Iceberg
//! tables. On the way: Debezium, Kafka, `riverbank run`, which is killed, a real MinIO with its bucket events, and a Snowflake that refuses,
//! fails and loses answers. What is injected is drawn from a seed, which a failure prints; `SEED` repeats it.

mod support {
    pub mod chain;
    pub mod copies;
    pub mod stack;
}

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use iceberg_tables::{Catalog, Place, SqlCatalog, TableName};
use schemas::Money;
use serde_json::{Value, json};
use sinks::lake::{Depth, verify};
use support::chain::{Chain, WITHIN};
use support::copies::copy;
use support::stack::{BUCKET, eventually};
use testbed::Snowflake;

const READY: Duration = Duration::from_secs(180);
/// So many copies of Postgres there are before the program is killed, and after it is back.
const COPIES: usize = 6;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(500);
/// A file is closed after three seconds, and committed a second later; so long the reader of several tables lets them settle.
const SETTLE_S: u64 = 10;
/// What agree.py ends with while there is nothing to compare yet.
const NOT_YET: i32 = 3;

/// Printed where the test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("SEED={} repeats it", self.0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_reads_what_postgres_has() {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = Seed(given.unwrap_or_else(|| rand::random::<u32>().into()));
    let (chain, mut riverbank) = Chain::start().await;
    let readers = Readers::new(&chain);
    riverbank.spawn();
    riverbank.ready(&chain.stack.http, READY).await;
    chain.stack.capture().await;
    let mut bank = chain.write(seed.0);
    let written = async {
        let mut copies = Vec::new();
        more_copies(&chain, &mut copies, COPIES).await;
        let first = readers.agree(&chain, &mut copies, 0).await;
        riverbank.kill();
        more_copies(&chain, &mut copies, 1).await;
        let killed_ms = copies[copies.len() - 1]["before_ms"].as_i64().expect("a time");
        riverbank.spawn();
        riverbank.ready(&chain.stack.http, READY).await;
        more_copies(&chain, &mut copies, COPIES).await;
        let second = readers.agree(&chain, &mut copies, killed_ms + 1).await;
        let rows = |read: &Value| read["rows"]["silver.transactions"].as_u64().expect("a number");
        assert!(rows(&second) > rows(&first), "{first} {second}");
    };
    tokio::select! {
        () = written => {}
        () = chain.disturb(seed.0) => unreachable!("there is no end to it"),
    }
    // A row that came and went.
    sqlx::raw_sql(
        "INSERT INTO customers (id, first_name, last_name, email) VALUES (900001, 'Ada', 'Away', 'ada@example.org');
         INSERT INTO accounts (id, customer_id, account_type, currency, opening_balance) VALUES (900001, 900001, 'SAVINGS', 'EUR', 0);",
    )
    .execute(&chain.pool)
    .await
    .expect("the rows are written");
    bank.stop().await;
    sqlx::raw_sql("DELETE FROM accounts WHERE id = 900001; DELETE FROM customers WHERE id = 900001;")
        .execute(&chain.pool)
        .await
        .expect("the rows are deleted");

    // The source is quiet: everything arrives.
    riverbank.audit().await;
    let mut source = eventually("a last copy", WITHIN, || async {
        copy(&chain.pool).await.ok_or("somebody writes".to_owned())
    })
    .await;
    source["served"] = served(&chain, &riverbank.url, &source).await;
    eventually("everything is loaded", WITHIN, || arrived(&chain)).await;
    let sources = events(&chain, &riverbank.url).await;
    assert!(
        ["sink", "webhook", "kafka"].iter().all(|by| sources[*by] > 0.0),
        "{sources:?}"
    );
    assert!(chain.repeated().await > 0, "no file was reported twice");
    assert!(chain.faults_met().await > 0, "Snowflake never failed");
    riverbank.stop(Duration::from_secs(60)).await;

    let lake = chain.stack.bed.folder().join("lake");
    chain.download(&lake).await;
    readers.in_snowflake(&chain, &lake, &source);
    readers.of_files(&lake);
}

/// Takes copies of Postgres, one after another.
async fn more_copies(chain: &Chain, copies: &mut Vec<Value>, count: usize) {
    for _ in 0..count {
        tokio::time::sleep(PAUSE).await;
        let taken = eventually("a copy", WITHIN, || async {
            copy(&chain.pool).await.ok_or("somebody writes".to_owned())
        });
        copies.push(taken.await);
    }
}

/// The balances that HTTP serves, of all accounts.
async fn served(chain: &Chain, url: &str, source: &Value) -> Value {
    let mut all = serde_json::Map::new();
    for (id, row) in source["tables"]["accounts"].as_object().expect("accounts") {
        let get = || async {
            let answer = chain.stack.http.get(format!("{url}/accounts/{id}/balance")).send().await;
            let answer = answer.map_err(|error| error.to_string())?;
            let balance: Value = answer.json().await.map_err(|error| error.to_string())?;
            let money = |value: &Value| value.as_str()?.parse::<Money>().ok();
            match money(&balance["booked"]) == money(&row["balance"]) {
                true => Ok(balance),
                false => Err(format!("Postgres {row}, HTTP {balance}")),
            }
        };
        all.insert(id.clone(), eventually("HTTP says what Postgres does", WITHIN, get).await);
    }
    all.into()
}

/// How many events the notifier had of whom.
async fn events(chain: &Chain, url: &str) -> BTreeMap<String, f64> {
    let answer = chain.stack.http.get(format!("{url}/metrics")).send().await.expect("metrics");
    let text = answer.text().await.expect("text");
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("riverbank_snowpipe_events_total{source=\""));
    let pairs = lines.filter_map(|line| line.split_once("\"} "));
    pairs
        .map(|(source, count)| (source.to_owned(), count.parse().expect("a number")))
        .collect()
}

/// Whether Snowflake and the Iceberg tables have as many rows as the lake's files.
async fn arrived(chain: &Chain) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let (file, place) = (chain.catalog(), Place::new(&format!("s3://{BUCKET}/bank")));
    let catalog = SqlCatalog::sqlite(&file, "riverbank", chain.store.clone(), place).await;
    let catalog = catalog.map_err(|error| said(&error))?;
    let query = "SELECT TABLE_NAME, COUNT(*) AS N FROM RIVERBANK.OPS.LANDED GROUP BY TABLE_NAME";
    let loaded = chain.sql.run(query, &[]).await.map_err(|error| said(&error))?;
    let names = loaded.column("TABLE_NAME").ok_or("no names")?.into_iter().flatten();
    let counts = loaded.column("N").ok_or("no counts")?.into_iter().flatten();
    let loaded: BTreeMap<&str, &str> = names.zip(counts).collect();
    for table in sinks::tables::all() {
        let files = verify(&chain.store, table.name(), Depth::Footers)
            .await
            .map_err(|error| said(&error))?;
        let files = files
            .partitions
            .iter()
            .map(|partition| partition.rows)
            .sum::<u64>()
            .to_string();
        let found = catalog
            .load(&TableName::of(table.name(), None))
            .await
            .map_err(|error| said(&error))?;
        let snapshot = found.as_ref().and_then(|found| found.metadata.current_snapshot());
        let iceberg = snapshot
            .and_then(|snapshot| snapshot["summary"]["total-records"].as_str())
            .unwrap_or("0");
        let snowflake = loaded.get(table.name()).copied().unwrap_or("0");
        if [iceberg, snowflake] != [files.as_str(); 2] {
            return Err(format!(
                "{}: {files} rows in files, {iceberg} in the Iceberg table, {snowflake} in Snowflake",
                table.name()
            ));
        }
    }
    Ok(())
}

/// Those who read at the end: Python programs, each with its packages.
struct Readers {
    packages: String,
    catalog: Value,
    folder: tempfile::TempDir,
}

impl Readers {
    fn new(chain: &Chain) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // The documented program itself.
        let page = include_str!("../../docs/consistent-reads.md");
        let program = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
        std::fs::write(folder.path().join("consistent.py"), program.expect("a program")).expect("it is written");
        let packages = testbed::python("iceberg").expect("pyiceberg is installed");
        let minio = chain.stack.bed.minio();
        Self {
            packages: format!("{}:{}", packages.display(), folder.path().display()),
            catalog: json!({
                "type": "sql",
                "uri": format!("sqlite:///{}", chain.catalog().display()),
                "s3.endpoint": minio.endpoint(),
                "s3.access-key-id": minio.access_key(),
                "s3.secret-access-key": minio.secret_key(),
                "s3.region": "us-east-1",
            }),
            folder,
        }
    }

    /// Runs a command of agree.py: its exit code, what it printed, and what else it said.
    fn run(&self, command: &str, mut arguments: Value) -> (Option<i32>, String, String) {
        arguments["catalog"] = self.catalog.clone();
        let file = self.folder.path().join("arguments.json");
        std::fs::write(&file, arguments.to_string()).expect("the arguments are written");
        let output = Command::new("python3")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/agree.py"))
            .arg(command)
            .arg(file)
            .env("PYTHONPATH", &self.packages)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("PYICEBERG_HOME")
            .output()
            .expect("Python starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// The Iceberg tables, as the documented program reads them, are what Postgres was at one moment from this time on.
    async fn agree(&self, chain: &Chain, copies: &mut Vec<Value>, not_before_ms: i64) -> Value {
        let started = Instant::now();
        loop {
            let arguments = json!({ "copies": copies, "not_before_ms": not_before_ms, "settle_s": SETTLE_S });
            match tokio::task::block_in_place(|| self.run("moment", arguments)) {
                (Some(0), said, _) => return serde_json::from_str(&said).expect("JSON"),
                (Some(NOT_YET), ..) if started.elapsed() < WITHIN => {
                    more_copies(chain, copies, 1).await;
                }
                (code, said, errors) => panic!("{code:?} after {:?}: {said}{errors}", started.elapsed()),
            }
        }
    }

    /// Every Iceberg table has the rows of the lake's files.
    fn of_files(&self, lake: &Path) {
        let (code, said, errors) = self.run("files", json!({ "lake": lake }));
        assert_eq!(code, Some(0), "{said}{errors}");
        let rows: BTreeMap<String, u64> = serde_json::from_str(&said).expect("JSON");
        assert!(rows.len() >= 8 && rows.values().all(|rows| *rows > 0), "{rows:?}");
    }

    /// What Snowflake has is what Postgres, HTTP and the files have.
    fn in_snowflake(&self, chain: &Chain, lake: &Path, source: &Value) {
        let snowflake = chain.stack.bed.snowflake();
        let file = self.folder.path().join("source.json");
        std::fs::write(&file, source.to_string()).expect("the source is written");
        let output = Command::new(snowflake.python())
            .args(["-m", "unittest", "tests.chain"])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../testbed/snowflake"))
            .envs(Snowflake::environment())
            .env("SNOWFLAKE_URL", snowflake.url())
            .env("SNOWFLAKE_ACCOUNT", snowflake.account())
            .env("SNOWFLAKE_USER", snowflake.user())
            .env("SNOWFLAKE_PRIVATE_KEY", snowflake.private_key())
            .env("SOURCE", file)
            .env("LAKE", lake)
            .output()
            .expect("Python starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
    }
}
