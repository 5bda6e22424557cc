//! Capture that stands still is reported, on real servers: by `/lag`, by the readiness probe, by metrics. Reads go on.

#[path = "support/dashboards.rs"]
mod dashboards;
#[allow(dead_code, reason = "each test file uses a part")]
mod support {
    pub mod bank;
    pub mod stack;
}

use std::time::Duration;

use connect::ConnectorSettings;
use dashboards::{dashboard_queries, is_of_the_source, rule_queries, unanswered};
use reqwest::Method;
use support::bank::{Bank, READY, TOLD_WITHIN};
use support::stack::{Stack, eventually};

/// A bank with one account, watched closely, whose changes are captured.
async fn open() -> Bank {
    let bank = Bank::watched(Stack::start().await, "4s").await;
    // Nothing is captured yet, and that is reported.
    bank.is_told("knows no connector riverbank").await;
    register(&bank, &[]).await;
    bank.run(
        "INSERT INTO customers (first_name, last_name, email) VALUES ('Ada', 'Lovelace', 'ada@example.org');
         INSERT INTO accounts (customer_id, account_type, currency, opening_balance) VALUES (1, 'CHECKING', 'EUR', 100)",
    )
    .await;
    bank
}

/// Registers the connector, which leaves these columns out.
async fn register(bank: &Bank, excluded_columns: &[&str]) {
    let settings = ConnectorSettings {
        heartbeat: Some(Duration::from_secs(1)),
        excluded_columns: excluded_columns.iter().map(|&column| column.to_owned()).collect(),
        ..bank.stack.connector()
    };
    bank.stack.bed.register(&settings).await.expect("the connector runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capture_that_stands_still_is_told_and_reads_go_on() {
    let mut bank = open().await;
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
        let now = bank.json("/accounts/1/balance").await?["as_of"].clone();
        assert_eq!(now["source_lsn"], account["as_of"]["source_lsn"]);
        let is_later = now["source_heard_at"].as_str().is_some_and(|at| at > heard_at.as_str());
        if is_later { Ok(()) } else { Err(now.to_string()) }
    })
    .await;

    // Somebody stops the connector.
    bank.connect(Method::PUT, "/stop").await;
    bank.is_told("the connector riverbank is STOPPED").await;
    bank.is_told("nobody reads the replication slot riverbank").await;
    let source = bank.is_told("the source was last heard").await;
    assert!(
        source["silence_seconds"].as_f64().is_some_and(|silence| silence > 4.0),
        "{source}"
    );
    assert_eq!(bank.served(1).await.expect("reads go on"), "100.00");
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
    bank.connect(Method::PUT, "/resume").await;
    bank.instance.audit().await;
    bank.all_is_well().await;

    // Two columns come to have one name in Avro: that is reported until the connector leaves one out, whose settings count.
    bank.run(r#"ALTER TABLE customers ADD "Kunden-Nr" text, ADD "Kunden_Nr" text"#)
        .await;
    bank.is_told("of public.customers are both Kunden_Nr in Avro").await;
    register(&bank, &["public.customers.Kunden-Nr"]).await;
    bank.all_is_well().await;

    // Connect dies.
    bank.stack.bed.connect().kill().expect("Connect can be killed");
    bank.is_told("Kafka Connect cannot be asked for the connector riverbank")
        .await;
    bank.is_told("the source was last heard").await;
    assert_eq!(bank.served(1).await.expect("reads go on"), "100.00");
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
    let mut bank = open().await;
    bank.all_is_well().await;
    eventually("the account shows", READY, || async {
        bank.json("/accounts/1/balance").await
    })
    .await;
    bank.connect(Method::PUT, "/stop").await;
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
    assert_eq!(bank.served(1).await.expect("reads go on"), "100.00");

    bank.run("SELECT pg_drop_replication_slot('riverbank')").await;
    bank.is_told("there is no replication slot riverbank").await;
    bank.connect(Method::DELETE, "/offsets").await;
    bank.connect(Method::PUT, "/resume").await;
    bank.connect_command(&[]).await.expect("the connector runs");
    bank.all_is_well().await;
    bank.balance(1, "120.00", "what was missed shows").await;
    bank.instance.audit().await;
    bank.instance.stop(Duration::from_secs(60)).await;
}
