//! What Postgres, Debezium and their operators really do, on real servers, one after the other: after each step the balances over
//! HTTP are those of Postgres.

#[allow(dead_code, reason = "each test file uses a part")]
mod support {
    pub mod bank;
    pub mod stack;
}

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::Broker;
use broker::kafka::{KafkaBroker, KafkaSettings};
use schemas::topics::{CDC_TRANSACTION_METADATA, CDC_TRANSACTIONS};
use support::bank::{Bank, CAUGHT_UP, READY};
use support::stack::{Stack, eventually};

/// Has the connector take a snapshot.
async fn signal(bank: &Bank, snapshot: &str) {
    sqlx::query("INSERT INTO riverbank_signals VALUES (gen_random_uuid()::text, 'execute-snapshot', $1)")
        .bind(snapshot)
        .execute(&bank.pool)
        .await
        .expect("the signal is written");
}

/// How many customers are known.
async fn customers(bank: &Bank, count: usize, step: &str) {
    eventually(step, CAUGHT_UP, || async {
        let page = bank.json("/customers").await?;
        match page["items"].as_array().map(Vec::len) {
            Some(known) if known == count => Ok(()),
            _ => Err(page.to_string()),
        }
    })
    .await;
}

/// Whether rows of the transactions are held back.
async fn troubles(bank: &Bank, are_held: bool, step: &str) {
    eventually(step, CAUGHT_UP, || async {
        let lag = bank.json("/lag").await?;
        let troubles = lag["source"]["troubles"].to_string();
        if troubles.contains("rows of transactions") == are_held {
            Ok(())
        } else {
            Err(troubles)
        }
    })
    .await;
}

/// The slot is moved past changes that the connector has not seen, and the connector does not notice.
///
/// It does, and stops, where the log that it would begin with is given up, too; that hangs on when Postgres last wrote its running
/// transactions into the log, which it does every few seconds. Then the slot is lost as another one is, and it is tried again.
async fn skip_changes(bank: &Bank) {
    for _ in 0..10 {
        bank.stop_capture().await;
        let seen: String =
            sqlx::query_scalar("SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = 'riverbank'")
                .fetch_one(&bank.pool)
                .await
                .expect("the slot is there");
        bank.run(
            "UPDATE transactions SET amount = amount + 1 WHERE account_id = 3 AND amount BETWEEN 41 AND 60;
             INSERT INTO transactions (account_id, txn_type, amount) VALUES (3, 'DEPOSIT', 100);",
        )
        .await;
        bank.run("SELECT pg_replication_slot_advance('riverbank', pg_current_wal_lsn())")
            .await;
        let goes_unnoticed: bool =
            sqlx::query_scalar("SELECT restart_lsn <= $1::pg_lsn FROM pg_replication_slots WHERE slot_name = 'riverbank'")
                .bind(seen)
                .fetch_one(&bank.pool)
                .await
                .expect("the slot is there");
        if goes_unnoticed {
            return;
        }
        bank.run("SELECT pg_drop_replication_slot('riverbank')").await;
        bank.connect(reqwest::Method::DELETE, "/offsets").await;
        bank.connect(reqwest::Method::PUT, "/resume").await;
        bank.balances("a new snapshot, since the loss was noticed").await;
    }
    panic!("the connector notices each time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_are_right_after_whatever_the_source_does() {
    let mut bank = Bank::on(Stack::start().await).await;
    bank.run(
        "INSERT INTO customers (first_name, last_name, email) VALUES ('Ada', 'Lovelace', 'ada@example.org');
         INSERT INTO accounts (customer_id, account_type, currency, opening_balance)
             VALUES (1, 'CHECKING', 'EUR', 0), (1, 'SAVINGS', 'EUR', 120), (1, 'SAVINGS', 'EUR', 0);",
    )
    .await;
    bank.stack.capture().await;
    bank.balances("the first snapshot").await;

    // One client that deposits and withdraws in turn: Postgres has 0 or 100, and nobody ever sees anything else.
    let seen = {
        let (done, url, http) = (
            Arc::new(AtomicBool::new(false)),
            format!("{}/accounts/1/balance", bank.instance.url),
            bank.stack.http.clone(),
        );
        let told = done.clone();
        let watcher = tokio::spawn(async move {
            let mut seen = BTreeSet::new();
            while !told.load(Ordering::Relaxed) {
                if let Ok(answer) = http.get(&url).send().await
                    && let Ok(json) = answer.json::<serde_json::Value>().await
                    && let Some(booked) = json["booked"].as_str()
                {
                    seen.insert(booked.to_owned());
                }
            }
            seen
        });
        for _ in 0..300 {
            bank.run("INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 100)")
                .await;
            bank.run("INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'WITHDRAWAL', 100)")
                .await;
        }
        bank.balances("deposits and withdrawals in turn").await;
        done.store(true, Ordering::Relaxed);
        watcher.await.expect("the watcher ends")
    };
    let states = BTreeSet::from(["0.00".to_owned(), "100.00".to_owned()]);
    assert!(seen.is_subset(&states), "balances that never were: {seen:?}");

    // Dates that nothing behind Postgres can keep.
    bank.run(
        "INSERT INTO transactions (account_id, txn_type, amount, created_at) VALUES
             (1, 'DEPOSIT', 1, 'infinity'), (1, 'DEPOSIT', 2, '-infinity'), (1, 'DEPOSIT', 4, '0044-03-15 12:00:00 BC'),
             (1, 'DEPOSIT', 8, '12000-01-01');",
    )
    .await;
    bank.balances("dates that cannot be kept").await;

    // The key's schema changes: Avro keys would then be other bytes, and rows elsewhere.
    bank.run(
        "INSERT INTO transactions (account_id, txn_type, amount) SELECT 2, 'DEPOSIT', 1 FROM generate_series(1, 50);
         ALTER TABLE transactions RENAME COLUMN created_at TO made_at;
         UPDATE transactions SET status = 'REVERSED' WHERE account_id = 2;
         ALTER TABLE transactions RENAME COLUMN made_at TO created_at;",
    )
    .await;
    bank.balances("fifty reversals after a change of the schema").await;

    // The slot is lost, and meanwhile rows go: of the customers all but one.
    bank.run(
        "INSERT INTO transactions (account_id, txn_type, amount) VALUES (3, 'DEPOSIT', 10), (3, 'DEPOSIT', 20), (3, 'DEPOSIT', 40);
         INSERT INTO customers (first_name, last_name, email) VALUES ('Charles', 'Babbage', 'charles@example.org');",
    )
    .await;
    bank.balances("three deposits").await;
    customers(&bank, 2, "a second customer").await;
    bank.stop_capture().await;
    bank.run(
        "DELETE FROM transactions WHERE account_id = 3 AND amount = 20;
         DELETE FROM customers WHERE id = 2;
         UPDATE transactions SET amount = 41 WHERE account_id = 3 AND amount = 40;
         SELECT pg_drop_replication_slot('riverbank');",
    )
    .await;
    bank.connect(reqwest::Method::DELETE, "/offsets").await;
    bank.connect(reqwest::Method::PUT, "/resume").await;
    bank.balances("a lost slot and a new snapshot").await;
    customers(&bank, 1, "a snapshot of a single row").await;

    // Changes that the slot skipped: lost, until an incremental snapshot repairs the rows.
    skip_changes(&bank).await;
    bank.connect(reqwest::Method::PUT, "/resume").await;
    bank.run("INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 16)")
        .await;
    eventually("the change after the gap", CAUGHT_UP, || async {
        match bank.served(1).await?.as_str() {
            "31.00" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await;
    assert!(bank.differences().await.is_err(), "the skipped changes are lost");
    signal(
        &bank,
        r#"{"type": "incremental", "data-collections": ["public.accounts", "public.transactions"]}"#,
    )
    .await;
    bank.balances("an incremental snapshot").await;

    // Snapshots of a part of a table: nothing says that they are. A whole one says that the rows are there.
    signal(
        &bank,
        r#"{"type": "blocking", "data-collections": ["public.transactions"], "additional-conditions": [
            {"data-collection": "public.transactions", "filter": "SELECT * FROM public.transactions WHERE account_id = 3"}]}"#,
    )
    .await;
    troubles(&bank, true, "a snapshot of a part").await;
    bank.balances("rows that are held back").await;
    signal(&bank, r#"{"type": "blocking", "data-collections": ["public.transactions"]}"#).await;
    troubles(&bank, false, "a whole snapshot").await;
    bank.balances("a whole snapshot").await;

    // What Postgres itself refuses.
    bank.refused("INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 'NaN')")
        .await;

    // All of it survives a kill.
    bank.instance.kill();
    bank.instance.spawn();
    bank.instance.ready(&bank.stack.http, READY).await;
    bank.run("INSERT INTO transactions (account_id, txn_type, amount) VALUES (2, 'WITHDRAWAL', 20)")
        .await;
    bank.balances("after a kill").await;
    bank.instance.audit().await;
    bank.instance.stop(Duration::from_secs(60)).await;
}

/// A database that knows nothing of us: what its owners do to it is heard, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrow_source_changes_its_keys_and_is_truncated() {
    let mut bank = Bank::on(Stack::start_narrow().await).await;
    bank.run(
        "INSERT INTO customers (first_name, last_name, email) VALUES ('Ada', 'Lovelace', 'ada@example.org');
         INSERT INTO accounts (customer_id, account_type, balance, currency) VALUES (1, 'CHECKING', 100, 'EUR');",
    )
    .await;
    bank.stack.capture().await;
    bank.run("INSERT INTO transactions (account_id, txn_type, amount) SELECT 1, 'DEPOSIT', 1 FROM generate_series(1, 50)")
        .await;
    bank.balance(1, "150.00", "fifty deposits").await;
    bank.run(
        "ALTER TABLE transactions ALTER COLUMN id TYPE BIGINT;
         UPDATE transactions SET status = 'REVERSED';",
    )
    .await;
    bank.balance(1, "100.00", "fifty reversals under keys of another type").await;
    bank.run("INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 7)")
        .await;
    bank.balance(1, "107.00", "a deposit").await;
    bank.run("TRUNCATE transactions").await;
    bank.balance(1, "100.00", "a truncate").await;
    bank.run("INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 5)")
        .await;
    bank.balance(1, "105.00", "a deposit after the truncate").await;

    // Somebody adds partitions to the topic of the metadata, which changes nothing.
    let kafka = KafkaBroker::new(KafkaSettings {
        bootstrap: bank.stack.bed.kafka().bootstrap().to_owned(),
        ..KafkaSettings::default()
    });
    kafka
        .add_partitions(CDC_TRANSACTION_METADATA.name(), 3, CAUGHT_UP)
        .expect("partitions are added");
    bank.run("INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 5)")
        .await;
    bank.balance(1, "110.00", "a deposit beside a wider topic of the metadata")
        .await;
    bank.run("UPDATE transactions SET status = 'REVERSED' WHERE id = (SELECT max(id) FROM transactions)")
        .await;
    bank.balance(1, "105.00", "its reversal").await;

    // Somebody adds partitions to the topic: the program notices, starts its engine again and reads them all.
    kafka
        .add_partitions(CDC_TRANSACTIONS.name(), 4, CAUGHT_UP)
        .expect("partitions are added");
    eventually("the balances follow no order of commits", CAUGHT_UP, || async {
        let url = format!("{}/accounts/1/balance", bank.instance.url);
        let answer = bank.stack.http.get(url).send().await.map_err(|e| e.to_string())?;
        let json: serde_json::Value = answer.json().await.map_err(|e| e.to_string())?;
        match json["as_of"]["in_commit_order"].as_bool() {
            Some(false) => Ok(()),
            _ => Err(json.to_string()),
        }
    })
    .await;
    bank.run(
        "INSERT INTO transactions (account_id, txn_type, amount) SELECT 1, 'DEPOSIT', 1 FROM generate_series(1, 50);
         UPDATE transactions SET status = 'REVERSED' WHERE amount = 5;",
    )
    .await;
    bank.balance(1, "150.00", "changes in all partitions").await;
    bank.instance.audit().await;
    bank.instance.stop(Duration::from_secs(60)).await;
}
