//! The simulated bank on a real Postgres that is killed meanwhile, and the change capture's set-up on real servers.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use simulator::{Pace, Profile, RecordTarget, SimulatedBank, Totals, drive};
use sqlx::PgPool;
use system_of_record::{Postgres, PostgresSettings};
use testbed::Testbed;

/// The rows that the totals speak of are the rows that are there, and the books balance.
async fn check(bank: &PgPool, totals: &Totals) {
    let applied = |kind: &str| totals.applied.get(kind).copied().unwrap_or_default() as i64;
    let count = async |sql: &'static str| sqlx::query_scalar::<_, i64>(sql).fetch_one(bank).await.expect("a count");
    let posted = applied("deposits") + applied("withdrawals") + applied("transfers");
    let transactions = posted - applied("transactions removed");
    assert_eq!(count("SELECT count(*) FROM transactions").await, transactions, "{totals}");
    let customers = applied("customers added") - applied("customers removed");
    assert_eq!(count("SELECT count(*) FROM customers").await, customers, "{totals}");
    let accounts = applied("accounts opened") - applied("accounts removed");
    assert_eq!(count("SELECT count(*) FROM accounts").await, accounts, "{totals}");
    let blocked = applied("accounts blocked") - applied("accounts reopened");
    let inactive = count("SELECT count(*) FROM accounts WHERE status = 'INACTIVE'").await;
    assert_eq!(inactive, applied("accounts closed") + blocked, "{totals}");
    let emptied = count("SELECT count(*) FROM accounts WHERE status = 'INACTIVE' AND balance = 0").await;
    assert!(emptied >= applied("accounts closed"), "{totals}");
    let off = "SELECT count(*) FROM accounts a WHERE balance <> opening_balance + coalesce((SELECT sum(CASE WHEN \
               t.txn_type = 'DEPOSIT' OR t.related_account_id = a.id THEN amount ELSE -amount END) FROM transactions t \
               WHERE t.status = 'COMPLETED' AND a.id IN (t.account_id, t.related_account_id)), 0)";
    assert_eq!(count(off).await, 0, "balances that are not the sum of their transactions");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_gets_every_operation_once() {
    let bed = Testbed::builder().postgres().start().await.expect("postgres");
    bed.migrate().await.expect("the bank's tables");
    let url = bed.postgres().url();
    let seed = rand::random::<u32>().into();
    println!("seed {seed}");

    let postgres = Postgres::connect_lazy(&url, &PostgresSettings::default()).expect("an address");
    let target = RecordTarget::new(Arc::new(postgres));
    let lanes = SimulatedBank::lanes(
        seed,
        Profile {
            customers: 40,
            ..Profile::default()
        },
        8,
    );
    let pace = Pace {
        rate: Some(1_500),
        count: Some(6_000),
        ..Pace::default()
    };
    let busy = tokio::spawn(drive(lanes, Arc::new(target), pace));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(900)).await;
        bed.postgres().restart().await.expect("Postgres comes back");
    }
    let totals = busy
        .await
        .expect("no panic")
        .unwrap_or_else(|error| panic!("seed {seed}: {error:#}"));
    println!("{totals}");
    assert!(totals.retries > 0, "the kills went unnoticed");
    assert_eq!(totals.unexpected_refusals, 0, "seed {seed}: {totals}");
    assert_eq!(totals.operations() + totals.refusals(), 6_000 + 40 + 80);
    check(&PgPool::connect(&url).await.expect("a connection"), &totals).await;
}

#[tokio::test]
async fn connect_makes_an_empty_database_a_source_and_may_be_repeated() {
    let bed = Testbed::builder()
        .postgres()
        .kafka()
        .registry()
        .connect()
        .start()
        .await
        .expect("servers");
    for round in 1..=2 {
        let output = Command::new(env!("CARGO_BIN_EXE_riverbank"))
            .arg("connect")
            .env("RIVERBANK_CONNECT_URL", bed.connect().url())
            .env("RIVERBANK_CONNECT_ADMIN_URL", bed.postgres().url())
            .env("RIVERBANK_CONNECT_CAPTURE_PASSWORD", "for-debezium")
            .env("RIVERBANK_REGISTRY_URL", bed.registry().url())
            .output()
            .expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "round {round}: {said}");
        assert!(
            said.contains("the connector runs") && !said.contains("for-debezium"),
            "{said}"
        );
    }
    let status = connect::status(bed.connect().url(), "riverbank")
        .await
        .expect("an answer")
        .expect("a connector");
    assert!(status.is_running(), "{status:?}");

    // The database is empty, so nothing is in the topics: a simulated bank may fill them.
    let generate = || {
        Command::new(env!("CARGO_BIN_EXE_riverbank"))
            .args([
                "generate",
                "--into",
                "topics",
                "--seed",
                "5",
                "--count",
                "200",
                "--rate",
                "0",
                "--customers",
                "10",
            ])
            .env("RIVERBANK_KAFKA_BROKERS", bed.kafka().bootstrap())
            .env("RIVERBANK_REGISTRY_URL", bed.registry().url())
            .output()
            .expect("the program starts")
    };
    let output = generate();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("accounts opened"), "{said}");
    let output = generate();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("holds a bank's changes already"), "{said}");
}
