//! The pages of `docs/runbooks/`, walked on real servers as an operator walks them. Each ends with books that balance.

#[allow(dead_code, reason = "each test file uses a part")]
mod support {
    pub mod bank;
    pub mod stack;
}

use std::path::Path;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use support::bank::{Bank, READY};
use support::stack::{Stack, eventually};
use testbed::{Registry, Testbed};
use tokio::process::Command;

/// More than the heartbeat's interval.
const SILENCE_MAX: &str = "15s";
const STOPS: Duration = Duration::from_secs(60);

/// A bank with an account of 100, watched and captured as `riverbank connect` does it.
async fn open() -> Bank {
    let bank = Bank::watched(Stack::start().await, SILENCE_MAX).await;
    bank.connect_command(&[]).await.expect("the connector runs");
    bank.run(
        "INSERT INTO customers (first_name, last_name, email) VALUES ('Ada', 'Lovelace', 'ada@example.org');
         INSERT INTO accounts (customer_id, account_type, currency, opening_balance) VALUES (1, 'CHECKING', 'EUR', 100)",
    )
    .await;
    bank.balance(1, "100.00", "the account").await;
    bank
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_connector_cannot_pass_on_is_let_through() {
    let mut bank = open().await;
    large_row(&bank).await;
    name_collision(&bank).await;
    bank.instance.audit().await;
    bank.instance.stop(STOPS).await;
}

/// `large-row.md`.
async fn large_row(bank: &Bank) {
    bank.run(
        "ALTER TABLE customers ADD note TEXT;
         INSERT INTO customers (first_name, last_name, email, note)
             VALUES ('Grace', 'Hopper', 'grace@example.org', repeat('x', 17 * 1024 * 1024));
         INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 20)",
    )
    .await;
    let source = bank.is_told("RecordTooLargeException").await;
    assert!(source.to_string().contains("max.request.size configuration"), "{source}");
    assert_eq!(bank.served(1).await.expect("reads go on"), "100.00");

    for topic in [
        "bank.public.customers",
        "silver.customers",
        "silver.rejected",
        "riverbank-dead-letters",
    ] {
        let limit = ["--add-config", "max.message.bytes=33554432"];
        let args = [&["--alter", "--entity-type", "topics", "--entity-name", topic], &limit[..]].concat();
        let configured = bank.stack.bed.kafka().tool("kafka.admin.ConfigCommand", &args);
        configured.expect("the topic takes its limit");
    }
    let config = bank.connect(Method::GET, "/config").await;
    let mut config: Value = serde_json::from_str(&config).expect("settings");
    config["producer.override.max.request.size"] = "33554432".into();
    bank.tell_connect(Method::PUT, "/config", Some(&config)).await;
    bank.restart_task("what waited behind the row", || bank.differences()).await;
    bank.all_is_well().await;
}

/// `name-collision.md`.
async fn name_collision(bank: &Bank) {
    const COLLISION: &str = r#"the columns "Kunden-Nr" and "Kunden_Nr" of public.customers are both Kunden_Nr in Avro"#;
    const EXCLUDE: (&str, &str) = ("CONNECT_COLUMN_EXCLUDE", "public.customers.Kunden-Nr");
    bank.run(r#"ALTER TABLE customers ADD "Kunden-Nr" TEXT, ADD "Kunden_Nr" TEXT"#)
        .await;
    bank.is_told(COLLISION).await;
    bank.has_metric(r#"riverbank_source_problems{problem="name_collision"} 1"#)
        .await;
    let error = bank.connect_command(&[]).await.expect_err("it is refused");
    assert!(error.replace('\\', "").contains(COLLISION), "{error}");
    bank.run(
        "INSERT INTO customers (first_name, last_name, email) VALUES ('Mary', 'Somerville', 'mary@example.org');
         INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 5)",
    )
    .await;
    bank.is_told("field name duplication Kunden_Nr").await;
    assert_eq!(bank.served(1).await.expect("reads go on"), "120.00");

    bank.connect_command(&[EXCLUDE]).await.expect("the connector runs");
    bank.restart_task("what waited behind the columns", || bank.differences())
        .await;
    bank.all_is_well().await;

    // The column gets another name, all is captured, and the setting goes.
    bank.run(r#"ALTER TABLE customers RENAME "Kunden-Nr" TO customer_number"#)
        .await;
    bank.all_is_well().await;
    bank.connect_command(&[]).await.expect("the connector runs");
    bank.run(
        "UPDATE customers SET customer_number = '7' WHERE id = 1;
         INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 6)",
    )
    .await;
    bank.balances("both columns under names of their own").await;
}

/// `failed-task.md`: a `NaN`, in a source whose columns let one in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nan_holds_the_capture_until_its_column_may_be_empty() {
    let mut bank = Bank::watched(Stack::start_narrow().await, SILENCE_MAX).await;
    bank.run(
        "INSERT INTO customers (first_name, last_name, email) VALUES ('Ada', 'Lovelace', 'ada@example.org');
         INSERT INTO accounts (customer_id, account_type, balance, currency) VALUES (1, 'CHECKING', 100, 'EUR')",
    )
    .await;
    bank.stack.capture().await;
    bank.run("INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 7)")
        .await;
    bank.balance(1, "107.00", "a deposit").await;
    bank.run(
        "INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 'NaN');
         INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 20)",
    )
    .await;
    bank.is_told(r#"Invalid value: null used for required field: "amount""#).await;
    assert_eq!(bank.served(1).await.expect("reads go on"), "107.00");

    bank.run("UPDATE transactions SET amount = 1 WHERE amount = 'NaN'").await;
    bank.run("ALTER TABLE transactions ALTER amount DROP NOT NULL").await;
    bank.restart_task("the right amount, and what waited behind it", || {
        bank.has_balance(1, "128.00")
    })
    .await;
    bank.has_metric(r#"riverbank_rejected_records_total{rule="not_null"} 1"#)
        .await;
    bank.run("ALTER TABLE transactions ALTER amount SET NOT NULL, ADD CHECK (amount <> 'NaN')")
        .await;
    eventually("nothing is advised for the amount", READY, || async {
        let advice = bank.all_is_well().await["advice"].to_string();
        if advice.contains("transactions.amount") {
            Err(advice)
        } else {
            Ok(())
        }
    })
    .await;
    bank.refused("INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 'NaN')")
        .await;
    bank.run("INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 2)")
        .await;
    bank.balance(1, "130.00", "the door is closed").await;
    bank.instance.audit().await;
    bank.instance.stop(STOPS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_and_a_database_that_were_lost_are_replaced() {
    let mut bank = open().await;
    registry_restored(&mut bank).await;
    registry_rebuilt(&mut bank).await;
    database_restored(&mut bank).await;
}

/// Its storage is gone, and somebody else's schema comes first.
async fn lose(registry: &Registry, http: &reqwest::Client) {
    registry.lose_storage().expect("its storage is gone");
    registry.start().await.expect("it starts");
    let schema = r#"{"type":"record","name":"somebody.Other","fields":[{"name":"id","type":"long"}]}"#;
    let url = format!("{}/subjects/other-value/versions", registry.url());
    let answer = http.post(url).json(&json!({ "schema": schema })).send().await;
    assert_eq!(answer.expect("it answers").status(), StatusCode::OK);
}

/// The program does not start on such a registry, and says why in the words of `registry.md`.
async fn is_refused(bank: &mut Bank) {
    let told = bank.instance.refuses(READY).await;
    for part in [
        "schema 1 of the registry is somebody.Other, and was riverbank.",
        "this is another registry than that one, or it has lost its storage",
        "docs/runbooks/registry.md",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

/// `registry.md`: its storage is restored; and a schema that was deleted has its id again.
async fn registry_restored(bank: &mut Bank) {
    let (registry, http) = (bank.stack.bed.registry(), bank.stack.http.clone());
    let backup = http.get(format!("{}/export", registry.admin_url())).send().await;
    let backup = backup.expect("it answers").bytes().await.expect("a backup");

    bank.stop_capture().await;
    lose(registry, &http).await;
    bank.instance.stop(STOPS).await;
    is_refused(bank).await;

    let registry = bank.stack.bed.registry();
    registry.lose_storage().expect("its storage is gone");
    registry.start().await.expect("it starts");
    let import = http.post(format!("{}/import", registry.admin_url()));
    let import = import.header("content-type", "application/zip").body(backup).send().await;
    assert_eq!(import.expect("it answers").status(), StatusCode::NO_CONTENT);
    let subject = format!("{}/subjects/riverbank-legs-value", registry.url());
    for url in [subject.clone(), format!("{subject}?permanent=true")] {
        let answer = http.delete(url).send().await;
        assert_eq!(answer.expect("it answers").status(), StatusCode::OK);
    }
    bank.instance.spawn();
    bank.instance.ready(&http, READY).await;
    bank.connect(Method::PUT, "/resume").await;
    bank.connect_command(&[]).await.expect("the connector runs");
    bank.run("INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 20)")
        .await;
    bank.balances("after the registry was restored").await;
    bank.all_is_well().await;
    bank.instance.audit().await;
}

/// `registry.md`: there is no backup, so everything is made anew.
async fn registry_rebuilt(bank: &mut Bank) {
    bank.stop_capture().await;
    lose(bank.stack.bed.registry(), &bank.stack.http).await;
    bank.instance.stop(STOPS).await;
    is_refused(bank).await;

    let kafka = bank.stack.bed.kafka();
    let topics = r"(riverbank-(?!connect-)|silver\.|gold\.|bank\.public\.).*";
    kafka
        .tool("org.apache.kafka.tools.TopicCommand", &["--delete", "--topic", topics])
        .expect("the topics are deleted");
    bank.instance.forget();
    eventually("the groups are deleted", READY, || async {
        let tool = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        let groups = ["--group", "riverbank", "--group", "riverbank-sinks", "--delete"];
        kafka.tool(tool, &groups).map_err(|error| error.to_string())
    })
    .await;
    bank.connect(Method::DELETE, "/offsets").await;
    bank.connect(Method::PUT, "/resume").await;
    bank.connect_command(&[]).await.expect("the connector runs");
    bank.instance.set("SINK_URL", "s3://lake/bank-2");
    bank.instance.spawn();
    bank.instance.ready(&bank.stack.http, READY).await;
    bank.balances("from the snapshot").await;
    bank.run("INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'WITHDRAWAL', 30)")
        .await;
    bank.balances("and on").await;
    bank.all_is_well().await;
    bank.instance.audit().await;
}

/// `restored-database.md`: a dump, on another server, whose log starts lower.
async fn database_restored(bank: &mut Bank) {
    let server = bank.stack.bed.postgres();
    let (Some(dump), Some(restore)) = (server.program("pg_dump"), server.program("pg_restore")) else {
        eprintln!("this Postgres came as a server alone: there is nothing to make a dump with");
        return;
    };
    for _ in 0..4 {
        bank.run("CREATE TABLE filler (); DROP TABLE filler; SELECT pg_switch_wal()")
            .await;
    }
    bank.run(
        "INSERT INTO accounts (customer_id, account_type, currency, opening_balance) VALUES (1, 'SAVINGS', 'EUR', 60);
         INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 10), (1, 'DEPOSIT', 11)",
    )
    .await;
    let file = bank.stack.bed.folder().join("bank.dump");
    run(
        &dump,
        &["--format=custom", "--dbname", &bank.url],
        &["--file".as_ref(), &file],
    )
    .await;
    bank.run(
        "INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 500);
         INSERT INTO accounts (customer_id, account_type, currency, opening_balance) VALUES (1, 'SAVINGS', 'EUR', 77);
         INSERT INTO transactions (account_id, txn_type, amount, related_account_id) VALUES (1, 'TRANSFER', 3, 3)",
    )
    .await;
    bank.balances("what the dump lacks").await;

    bank.stop_capture().await;
    let other = Testbed::builder().postgres().start().await.expect("the server starts");
    let url = other.postgres().url();
    let pool = PgPool::connect(&url).await.expect("the database answers");
    sqlx::raw_sql("CREATE ROLE riverbank_ledger; CREATE ROLE riverbank_cdc REPLICATION; CREATE ROLE riverbank_service")
        .execute(&pool)
        .await
        .expect("the roles are made");
    run(&restore, &["--exit-on-error", "--dbname", &url], &[&file]).await;
    (bank.pool, bank.url) = (pool, url);
    // The bank goes on with it at once.
    bank.run(
        "DELETE FROM transactions WHERE amount = 10;
         UPDATE transactions SET amount = 12 WHERE amount = 11;
         INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 1)",
    )
    .await;

    bank.instance.stop(STOPS).await;
    bank.instance.set("POSTGRES_URL", &bank.url);
    bank.instance.spawn();
    bank.instance.ready(&bank.stack.http, READY).await;
    bank.is_told("there is no replication slot riverbank").await;
    bank.refused("SELECT pg_drop_replication_slot('riverbank')").await;
    bank.connect(Method::DELETE, "/offsets").await;
    bank.connect(Method::DELETE, "").await;
    bank.connect_command(&[]).await.expect("the connector runs");
    bank.balances("as the restored database has it").await;
    eventually("the account that the dump lacks is gone", READY, || async {
        match bank.get("/accounts/3/balance").await? {
            (404, _) => Ok(()),
            (status, text) => Err(format!("{status}: {text}")),
        }
    })
    .await;
    assert!(bank.counter("riverbank_source_regressions_total ").await > 0.0);
    assert!(bank.counter("riverbank_rows_swept_total ").await > 0.0);
    // What is new has the ids of what is gone.
    bank.run(
        "INSERT INTO accounts (customer_id, account_type, currency, opening_balance) VALUES (1, 'SAVINGS', 'EUR', 5);
         INSERT INTO transactions (account_id, txn_type, amount) VALUES (3, 'DEPOSIT', 4)",
    )
    .await;
    bank.balances("on the new server").await;
    bank.all_is_well().await;
    bank.instance.audit().await;
    bank.instance.stop(STOPS).await;
}

/// Runs one of Postgres's programs.
async fn run(program: &Path, args: &[&str], files: &[&Path]) {
    let output = Command::new(program).args(args).args(files).output().await;
    let output = output.expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
