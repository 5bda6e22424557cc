//! Capture that stands still is told, on real servers: by `/lag`, by the readiness probe, by metrics. Reads go on.

#[path = "support/dashboards.rs"]
mod dashboards;
mod support {
    #[allow(dead_code, reason = "each test file uses a part")]
    pub mod stack;
}

use std::time::Duration;

use connect::{CAPTURE_ROLE, ConnectorSettings, Database};
use dashboards::{dashboard_queries, is_of_the_source, rule_queries, unanswered};
use serde_json::Value;
use sqlx::PgPool;
use support::stack::{Riverbank, Stack, eventually};

const READY: Duration = Duration::from_secs(60);
/// With the default settings it is a minute; these are shorter.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

struct Bank {
    stack: Stack,
    instance: Riverbank,
    pool: PgPool,
}

impl Bank {
    /// A bank with one account, watched closely, whose changes are captured.
    async fn open() -> Self {
        let stack = Stack::start().await;
        let mut instance = stack.riverbank("one");
        instance.set("CONNECT_URL", stack.bed.connect().url());
        instance.set("SOURCE_SILENCE_MAX", "4s");
        instance.set("SOURCE_LOOK_INTERVAL", "300ms");
        instance.set("SOURCE_CHECK_INTERVAL", "1s");
        instance.spawn();
        instance.ready(&stack.http, READY).await;
        let pool = PgPool::connect(&stack.postgres_url()).await.expect("the database answers");
        let bank = Self { stack, instance, pool };
        // Nothing is captured yet, and that is told.
        bank.is_told("knows no connector riverbank").await;
        bank.register(&[]).await;
        bank.run(
            "INSERT INTO customers (first_name, last_name, email) VALUES ('Ada', 'Lovelace', 'ada@example.org');
             INSERT INTO accounts (customer_id, account_type, currency, opening_balance) VALUES (1, 'CHECKING', 'EUR', 100)",
        )
        .await;
        bank
    }

    /// Registers the connector, which leaves these columns out.
    async fn register(&self, excluded_columns: &[&str]) {
        let bed = &self.stack.bed;
        let database = Database::new("127.0.0.1", bed.postgres().port(), "bank", CAPTURE_ROLE, "capture");
        let settings = ConnectorSettings {
            heartbeat: Some(Duration::from_secs(1)),
            excluded_columns: excluded_columns.iter().map(|&column| column.to_owned()).collect(),
            ..ConnectorSettings::bank(database, bed.registry().url())
        };
        bed.register(&settings).await.expect("the connector runs");
    }

    async fn run(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.expect("the statement runs");
    }

    async fn get(&self, path: &str) -> Result<(u16, String), String> {
        let answer = self.stack.http.get(format!("{}{path}", self.instance.url)).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.map_err(|error| error.to_string())?))
    }

    async fn json(&self, path: &str) -> Result<Value, String> {
        let (status, text) = self.get(path).await?;
        match status {
            200 => serde_json::from_str(&text).map_err(|error| format!("{error}: {text}")),
            _ => Err(format!("{status}: {text}")),
        }
    }

    async fn connect(&self, method: reqwest::Method, path: &str) {
        let url = format!("{}/connectors/riverbank{path}", self.stack.bed.connect().url());
        let answer = self.stack.http.request(method, url).send().await.expect("Connect answers");
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Waits until the source is heard and nothing is wrong with it.
    async fn all_is_well(&self) -> Value {
        eventually("all is well", READY, || async {
            let source = self.json("/lag").await?["source"].clone();
            let is_well = source["silence_seconds"].as_f64().is_some_and(|silence| silence < 4.0)
                && source["connector"]["state"] == "RUNNING"
                && source["connector"]["tasks"][0]["state"] == "RUNNING"
                && source["slot"]["active"] == true
                && source["troubles"].as_array().is_some_and(Vec::is_empty);
            if is_well { Ok(source) } else { Err(source.to_string()) }
        })
        .await
    }

    /// Waits until `/lag` and the readiness probe say this, while reads go on.
    async fn is_told(&self, reason: &str) -> Value {
        eventually(reason, TOLD_WITHIN, || async {
            let source = self.json("/lag").await?["source"].clone();
            let troubles = source["troubles"].as_array().ok_or("no troubles")?;
            if !troubles
                .iter()
                .any(|trouble| trouble.as_str().is_some_and(|text| text.contains(reason)))
            {
                return Err(source.to_string());
            }
            let (status, text) = self.get("/health/ready").await?;
            // An old answer is an answer.
            if status == 200 && text.contains(reason) {
                Ok(source)
            } else {
                Err(format!("{status}: {text}"))
            }
        })
        .await
    }

    async fn balance(&self) -> Value {
        self.json("/accounts/1/balance").await.expect("reads go on")
    }

    async fn has_metric(&self, line: &str) {
        eventually(line, TOLD_WITHIN, || async {
            let (_, text) = self.get("/metrics").await?;
            let found = text.lines().any(|served| served == line);
            if found { Ok(()) } else { Err(text) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capture_that_stands_still_is_told_and_reads_go_on() {
    let mut bank = Bank::open().await;
    let source = bank.all_is_well().await;
    assert!(source["heard_lsn"].as_i64().is_some_and(|lsn| lsn > 0), "{source}");
    assert!(
        source["slot"]["retained_bytes"].as_i64().is_some_and(|bytes| bytes >= 0),
        "{source}"
    );
    bank.has_metric(r#"riverbank_connector_state{connector="riverbank",state="running"} 1"#)
        .await;
    bank.has_metric(r#"riverbank_connector_task_state{connector="riverbank",state="running",task="0"} 1"#)
        .await;
    bank.has_metric(r#"riverbank_slot_wal_status{slot="riverbank",status="reserved"} 1"#)
        .await;
    bank.has_metric(r#"riverbank_source_problems{problem="not_published"} 0"#)
        .await;
    // What rules and dashboard ask of the source is served. Nothing limits this slot.
    let (_, text) = bank.get("/metrics").await.expect("metrics");
    let queries = dashboard_queries().into_iter().chain(rule_queries()).filter(is_of_the_source);
    let absent: Vec<String> = unanswered(&queries.collect::<Vec<_>>(), &text)
        .into_iter()
        .filter(|lacks| !lacks.contains("riverbank_slot_safe_bytes"))
        .collect();
    assert_eq!(absent, Vec::<String>::new());

    // On an idle bank, what a balance is as of goes on.
    let account = eventually("the account shows", READY, || async {
        bank.json("/accounts/1/balance").await
    })
    .await;
    let heard_at = account["as_of"]["source_heard_at"].as_str().expect("it is heard").to_owned();
    eventually("the source is heard again", TOLD_WITHIN, || async {
        let now = bank.balance().await["as_of"].clone();
        assert_eq!(now["source_lsn"], account["as_of"]["source_lsn"]);
        let is_later = now["source_heard_at"].as_str().is_some_and(|at| at > heard_at.as_str());
        if is_later { Ok(()) } else { Err(now.to_string()) }
    })
    .await;

    // Somebody stops the connector.
    bank.connect(reqwest::Method::PUT, "/stop").await;
    bank.is_told("the connector riverbank is STOPPED").await;
    bank.is_told("nobody reads the replication slot riverbank").await;
    let source = bank.is_told("the source was last heard").await;
    assert!(
        source["silence_seconds"].as_f64().is_some_and(|silence| silence > 4.0),
        "{source}"
    );
    assert_eq!(bank.balance().await["booked"], "100.00");
    bank.has_metric(r#"riverbank_connector_state{connector="riverbank",state="stopped"} 1"#)
        .await;
    bank.has_metric(r#"riverbank_slot_active{slot="riverbank"} 0"#).await;
    // The audit waits for what is on its way, and says what has not come.
    bank.run("INSERT INTO transactions (account_id, txn_type, amount, status) VALUES (1, 'DEPOSIT', 20, 'PENDING')")
        .await;
    let (holds, said) = bank.instance.audited(&["--arrive", "2s", "--settle", "1s"]).await;
    assert!(
        !holds && said.contains("of the source is not in silver.transactions"),
        "{said}"
    );
    assert!(
        said.contains("has not arrived after 2s") && said.contains("is STOPPED"),
        "{said}"
    );
    bank.connect(reqwest::Method::PUT, "/resume").await;
    bank.instance.audit().await;
    bank.all_is_well().await;

    // Two columns come to have one name in Avro: that is told until the connector leaves one out, whose settings count.
    bank.run(r#"ALTER TABLE customers ADD "Kunden-Nr" text, ADD "Kunden_Nr" text"#)
        .await;
    bank.is_told("of public.customers are both Kunden_Nr in Avro").await;
    bank.register(&["public.customers.Kunden-Nr"]).await;
    bank.all_is_well().await;

    // Connect dies.
    bank.stack.bed.connect().kill().expect("Connect can be killed");
    bank.is_told("Kafka Connect cannot be asked for the connector riverbank")
        .await;
    bank.is_told("the source was last heard").await;
    assert_eq!(bank.balance().await["booked"], "100.00");
    bank.stack.bed.connect().start().await.expect("Connect comes back");
    bank.all_is_well().await;

    // A table is renamed and made anew.
    bank.run("ALTER TABLE customers RENAME TO customers_old; CREATE TABLE customers (LIKE customers_old INCLUDING ALL)")
        .await;
    bank.is_told("public.customers is not in the publication riverbank").await;
    bank.is_told("GRANT SELECT ON public.customers TO riverbank_cdc").await;
    bank.has_metric(r#"riverbank_source_problems{problem="not_published"} 1"#)
        .await;
    bank.instance.stop(Duration::from_secs(60)).await;
}

/// `docs/runbooks/lost-slot.md`, step by step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_slot_is_told_and_what_the_runbook_says_mends_it() {
    let mut bank = Bank::open().await;
    bank.all_is_well().await;
    eventually("the account shows", READY, || async {
        bank.json("/accounts/1/balance").await
    })
    .await;
    bank.connect(reqwest::Method::PUT, "/stop").await;
    bank.is_told("nobody reads the replication slot riverbank").await;
    bank.run("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'").await;
    bank.run("SELECT pg_reload_conf()").await;
    bank.run("INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 20)")
        .await;
    for _ in 0..5 {
        bank.run("CREATE TABLE filler (); DROP TABLE filler; SELECT pg_switch_wal()")
            .await;
    }
    bank.run("CHECKPOINT").await;
    bank.is_told("the replication slot riverbank is lost").await;
    bank.has_metric(r#"riverbank_slot_wal_status{slot="riverbank",status="lost"} 1"#)
        .await;
    assert_eq!(bank.balance().await["booked"], "100.00");

    bank.run("SELECT pg_drop_replication_slot('riverbank')").await;
    bank.is_told("there is no replication slot riverbank").await;
    bank.connect(reqwest::Method::DELETE, "/offsets").await;
    bank.connect(reqwest::Method::PUT, "/resume").await;
    let bed = &bank.stack.bed;
    let connect = tokio::process::Command::new(env!("CARGO_BIN_EXE_riverbank"))
        .arg("connect")
        .env("RIVERBANK_CONNECT_URL", bed.connect().url())
        .env("RIVERBANK_CONNECT_ADMIN_URL", bed.postgres().url())
        .env("RIVERBANK_CONNECT_CAPTURE_PASSWORD", "capture")
        .env("RIVERBANK_REGISTRY_URL", bed.registry().url())
        .output()
        .await
        .expect("the program starts");
    assert!(connect.status.success(), "{}", String::from_utf8_lossy(&connect.stderr));
    bank.all_is_well().await;
    eventually("what was missed shows", READY, || async {
        let balance = bank.json("/accounts/1/balance").await?;
        if balance["booked"] == "120.00" {
            Ok(())
        } else {
            Err(balance.to_string())
        }
    })
    .await;
    bank.instance.audit().await;
    bank.instance.stop(Duration::from_secs(60)).await;
}
