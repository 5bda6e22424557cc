//! What a real connector sends while the source's tables are altered, in the lake.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::kafka::{KafkaBroker, KafkaSettings};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::{Value as Json, json};
use sinks::lake::{self, Depth};
use sinks::{SinkHandle, SinkRunner, SinkSettings, tables};
use support::{read_batches, seen};
use testbed::Testbed;
use wire::HttpRegistry;

/// Three JVMs start, and a connector.
const PATIENCE: Duration = Duration::from_secs(120);

/// Changes of `customers` and `transactions`, with ordinary migrations in between.
const STEPS: &[&str] = &[
    "ALTER TABLE customers ADD kyc text",
    "UPDATE customers SET kyc = 'old'",
    "ALTER TABLE customers ALTER kyc SET NOT NULL",
    "INSERT INTO customers (first_name, last_name, email, kyc) VALUES ('Ben', 'Two', 'ben@bank.example', 'new')",
    "ALTER TABLE customers RENAME email TO mail",
    "ALTER TABLE customers ADD n numeric, ADD w numeric(60,2), ADD d date, ADD ts timestamp, ADD t time, ADD j jsonb, \
     ADD u uuid, ADD b bytea, ADD a int[], ADD f float8, ADD i int, ADD yes boolean",
    "INSERT INTO customers (first_name, last_name, mail, kyc, n, w, d, ts, t, j, u, b, a, f, i, yes) VALUES \
     ('Cid', 'Three', 'cid@bank.example', 'new', 12.345, 7, '2026-03-01', '2026-03-01 12:00:00.5', '24:00', '{\"x\": 1}', \
     '0191aaaa-0000-4000-8000-000000000000', '\\x00ff', '{1,NULL}', 0.1, 7, true)",
    "INSERT INTO customers (first_name, last_name, mail, kyc, n, d, ts, created_at) VALUES \
     ('Dot', 'Four', 'dot@bank.example', 'new', 1e-25, 'infinity', '0044-03-15 BC', '12000-01-01 00:00+00')",
    "DELETE FROM customers WHERE first_name = 'Dot'",
    "INSERT INTO accounts (customer_id, account_type, currency, opening_balance, balance, status) \
     SELECT id, 'CHECKING', 'EUR', 100, 100, 'ACTIVE' FROM customers WHERE first_name = 'Ann'",
    "INSERT INTO transactions (account_id, txn_type, amount, status) SELECT id, 'DEPOSIT', 12.30, 'PENDING' FROM accounts",
    "ALTER TABLE transactions ALTER amount TYPE numeric",
    "INSERT INTO transactions (account_id, txn_type, amount, status) SELECT id, 'DEPOSIT', 12.31, 'PENDING' FROM accounts",
    "ALTER TABLE transactions ALTER amount TYPE numeric(18,4)",
    "INSERT INTO transactions (account_id, txn_type, amount, status) SELECT id, 'DEPOSIT', 12.32, 'PENDING' FROM accounts",
    "ALTER TABLE transactions ALTER amount TYPE numeric(18,2)",
    "INSERT INTO transactions (account_id, txn_type, amount, status) SELECT id, 'DEPOSIT', 12.33, 'PENDING' FROM accounts",
];

/// The first change, and one which shows that the connector has left its snapshot behind: that would fail at an `ALTER`.
const FIRST: [&str; 2] = [
    "INSERT INTO customers (first_name, last_name, email) VALUES ('Ann', 'One', 'ann@bank.example')",
    "UPDATE customers SET last_name = 'First'",
];

type Rows = Vec<BTreeMap<String, String>>;

/// All rows of a table, by their LSNs.
async fn rows(store: &Arc<dyn ObjectStore>, table: &str) -> Rows {
    let report = lake::verify(store, table, Depth::Offsets).await.unwrap();
    assert_eq!(report.problems, vec![]);
    let mut rows = Rows::new();
    for file in report.partitions.iter().flat_map(|partition| &partition.files) {
        let bytes = store.get(&file.name.path()).await.unwrap().bytes().await.unwrap();
        for batch in read_batches(bytes) {
            rows.extend((0..batch.num_rows()).map(|row| seen(&batch, row)));
        }
    }
    // A tombstone comes last and has none.
    rows.sort_by_key(|row| row.get("_lsn").map_or(i64::MAX, |lsn| lsn.parse().unwrap()));
    rows
}

/// The same, once there are so many.
async fn wait_for_rows(store: &Arc<dyn ObjectStore>, table: &str, count: usize, sink: &SinkHandle) -> Rows {
    let until = Instant::now() + PATIENCE;
    loop {
        let rows = rows(store, table).await;
        if rows.len() == count {
            return rows;
        }
        let trouble = sink.trouble();
        assert!(Instant::now() < until, "{table}: {} of {count} rows; {trouble:?}", rows.len());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn start(bed: &Testbed, store: &Arc<dyn ObjectStore>) -> SinkHandle {
    let broker = KafkaBroker::new(KafkaSettings {
        bootstrap: bed.kafka().bootstrap().to_owned(),
        ..KafkaSettings::default()
    });
    let registry = Arc::new(HttpRegistry::new(bed.registry().url()).unwrap());
    let settings = SinkSettings {
        age_max: Duration::from_millis(500),
        ..SinkSettings::default()
    };
    let runner = SinkRunner::new(settings, Arc::new(broker), registry, store.clone(), tables::bronze());
    runner.start(&prometheus::Registry::new()).unwrap()
}

#[test]
fn ordinary_migrations_stop_neither_capture_nor_the_lake() {
    testbed::block_on(async {
        let bed = Testbed::builder().postgres().kafka().registry().connect();
        let bed = bed.start().await.unwrap();
        bed.migrate().await.unwrap();
        // The source's subjects are the source's.
        for table in ["customers", "accounts", "transactions"] {
            let config = format!("{}/config/bank.public.{table}-value", bed.registry().url());
            let request = reqwest::Client::new().put(&config).json(&json!({"compatibility": "NONE"}));
            assert!(request.send().await.unwrap().status().is_success());
        }
        bed.capture().await.unwrap();
        let pool = sqlx::PgPool::connect(&bed.postgres().url()).await.unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        sqlx::raw_sql(FIRST[0]).execute(&pool).await.unwrap();
        // The topic may be made only now.
        let sink = start(&bed, &store);
        wait_for_rows(&store, "bronze.customers", 1, &sink).await;
        sqlx::raw_sql(FIRST[1]).execute(&pool).await.unwrap();
        wait_for_rows(&store, "bronze.customers", 2, &sink).await;
        for step in STEPS {
            sqlx::raw_sql(*step).execute(&pool).await.unwrap();
        }
        let customers = wait_for_rows(&store, "bronze.customers", 8, &sink).await;
        let transactions = wait_for_rows(&store, "bronze.transactions", 4, &sink).await;
        tokio::task::spawn_blocking(move || sink.stop()).await.unwrap().unwrap();

        let of = |row: &BTreeMap<String, String>, column: &str| row.get(column).cloned().unwrap_or_default();
        // Whether the snapshot saw the first row is left to chance.
        assert!(["c", "r"].contains(&customers[0]["_op"].as_str()));
        let customers = &customers[1..];
        let told: Vec<_> = customers
            .iter()
            .map(|row| ["_op", "id", "email", "mail", "kyc"].map(|column| of(row, column)))
            .collect();
        assert_eq!(
            told,
            [
                ["u", "1", "ann@bank.example", "", ""],
                ["u", "1", "ann@bank.example", "", "old"],
                ["c", "2", "ben@bank.example", "", "new"],
                ["c", "3", "", "cid@bank.example", "new"],
                ["c", "4", "", "dot@bank.example", "new"],
                ["d", "4", "", "dot@bank.example", "new"],
                ["tombstone", "4", "", "", ""],
            ]
        );
        assert!(customers.iter().all(|row| !row.contains_key("_error")), "{customers:?}");
        let before: Json = serde_json::from_str(&customers[1]["_before"]).unwrap();
        // What was null in a column that is NOT NULL by now comes as null or as an empty text.
        assert_eq!(
            (&before["email"], &before["last_name"]),
            (&json!("ann@bank.example"), &json!("First"))
        );
        for (column, text) in [
            ("n", "12.345000000000000000"),
            ("w", "7.00"),
            ("d", "2026-03-01"),
            ("ts", "2026-03-01T12:00:00.5Z"),
            ("t", "24:00:00"),
            ("j", "{\"x\": 1}"),
            ("u", "0191aaaa-0000-4000-8000-000000000000"),
            ("b", "00ff"),
            ("a", "[1,null]"),
            ("f", "0.1"),
            ("i", "7"),
            ("yes", "true"),
        ] {
            assert_eq!(of(&customers[3], column), text, "{column}");
        }
        let unparsed: Json = serde_json::from_str(&customers[4]["_unparsed"]).unwrap();
        assert_eq!(unparsed["n"], "0.0000000000000000000000001");
        for column in ["d", "ts", "created_at"] {
            assert!(
                !customers[4].contains_key(column) && unparsed[column].is_string(),
                "{column}: {unparsed}"
            );
        }
        assert_eq!(of(&customers[4], "first_name"), "Dot");

        let amounts: Vec<_> = transactions.iter().map(|row| row["amount"].trim_end_matches('0')).collect();
        assert_eq!(amounts, ["12.3", "12.31", "12.32", "12.33"]);
    });
}
