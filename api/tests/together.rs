//! `/balances`: several accounts as they were together.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use api::HttpSettings;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use broker::in_process::InProcessBroker;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use schemas::bronze::{CdcKey, CollectionCount, Envelope, Op, Source, TransactionBlock, TransactionMetadata, TransactionRow};
use schemas::silver::{Account, AccountStatus, AccountType, BalanceFrom};
use schemas::topics::{CDC_TRANSACTION_METADATA, CDC_TRANSACTIONS, SILVER_ACCOUNTS};
use schemas::{AccountId, CustomerId, TransactionId};
use serde_json::{Value, json};
use support::engine::two;
use support::http::{Bank, account_of, limits, person, router, send};
use support::until;
use system_of_record::InProcess;
use topology::clock::SystemClock;
use topology::testing::TestDriver;
use wire::MemoryRegistry;

const ACCOUNTS: i64 = 10;
const WRITERS: u64 = 20;
const READERS: u64 = 4;

/// What all accounts have together, in hundredths; `None` where some are missing.
fn sum(answer: &Value) -> Option<i64> {
    let items = answer["items"].as_array().unwrap();
    let cents = |item: &Value| item["booked"].as_str().unwrap().replace('.', "").parse::<i64>().unwrap();
    (items.len() as i64 == ACCOUNTS).then(|| items.iter().map(cents).sum())
}

/// Twenty writers move money between ten accounts of 100.00 each; whoever reads all ten at once sees 1,000.00, at either of two instances, also
/// while the other ends. `READS` says how many answers are judged.
#[tokio::test(flavor = "multi_thread")]
async fn money_on_its_way_is_seen_once() {
    let reads_max = std::env::var("READS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000);
    let (log, registry) = (InProcessBroker::default(), Arc::new(MemoryRegistry::default()));
    let records = InProcess::start(Arc::new(log.clone()), registry.clone(), Arc::new(SystemClock)).unwrap();
    let records = Arc::new(records);
    let (a, b) = two(&log, &registry, &records).await;
    let owner = a.made("/customers", person("ada")).await;
    let mut ids = Vec::new();
    for _ in 0..ACCOUNTS {
        ids.push(a.made("/accounts", account_of(owner, "EUR", "100.00")).await);
    }
    let asked: Vec<String> = ids.iter().map(|id| format!("account_id={id}")).collect();
    let path = Arc::new(format!("/balances?{}", asked.join("&")));
    until("all accounts are there", async || {
        let (status, answer) = a.get(&path, &[]).await;
        status == 200 && sum(&answer) == Some(100_000)
    })
    .await;

    let ended = Arc::new(AtomicBool::new(false));
    let (reads, uncertain, away) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let counts = Arc::new((reads, uncertain, away));
    let client = reqwest::Client::new();
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let (ended, ids, url, client) = (ended.clone(), ids.clone(), a.url.clone(), client.clone());
        writers.push(tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(writer);
            let mut made = 0;
            while !ended.load(Ordering::Relaxed) {
                let from = random.random_range(0..ids.len());
                let to = (from + random.random_range(1..ids.len())) % ids.len();
                let row = json!({"account_id": ids[from], "txn_type": "TRANSFER", "related_account_id": ids[to],
                    "amount": format!("{}.{:02}", random.random_range(0..9), random.random_range(1..100)), "status": "COMPLETED"});
                // One that would overdraw the account is refused.
                let answer = client.post(format!("{url}/transactions")).json(&row).send().await.unwrap();
                match answer.status().as_u16() {
                    201 => made += 1,
                    status => assert_eq!(status, 409),
                }
            }
            made
        }));
    }
    let mut readers = Vec::new();
    for reader in 0..READERS {
        let url = if reader % 2 == 0 { a.url.clone() } else { b.url.clone() };
        let (path, client, counts) = (path.clone(), client.clone(), counts.clone());
        let mut url = url;
        let other = a.url.clone();
        readers.push(tokio::spawn(async move {
            let mut newest = 0;
            while counts.0.load(Ordering::Relaxed) < reads_max {
                let answer = client.get(format!("{url}{path}")).send().await;
                let Ok(answer) = answer else {
                    // That one has ended.
                    url.clone_from(&other);
                    continue;
                };
                if answer.status().as_u16() == 503 {
                    counts.2.fetch_add(1, Ordering::Relaxed);
                    // Its part of the accounts is on its way to the other.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    continue;
                }
                assert_eq!(answer.status().as_u16(), 200);
                let answer: Value = answer.json().await.unwrap();
                if answer["as_of"]["is_consistent"] != true {
                    counts.1.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                assert_eq!(sum(&answer), Some(100_000), "{answer}");
                counts.0.fetch_add(1, Ordering::Relaxed);
                let number = answer["as_of"]["commit_number"].as_i64().unwrap();
                newest = newest.max(number);
            }
            newest
        }));
    }
    let bound = Duration::from_secs(20 + reads_max / 100);
    let is_half = async || counts.0.load(Ordering::Relaxed) > reads_max / 2;
    testkit::wait::until("half of the reads are done", bound, is_half).await;
    let stopped = tokio::task::spawn_blocking(move || b.engine.stop());
    let mut newest = 0;
    for reader in readers {
        newest = newest.max(reader.await.unwrap());
    }
    ended.store(true, Ordering::Relaxed);
    let mut made = 0;
    for writer in writers {
        made += writer.await.unwrap();
    }
    stopped.await.unwrap();
    let (uncertain, away) = (counts.1.load(Ordering::Relaxed), counts.2.load(Ordering::Relaxed));
    assert!(
        uncertain * 10 < reads_max,
        "{uncertain} of {reads_max} reads were not consistent"
    );
    assert!(away * 2 < reads_max, "{away} of {reads_max} reads found a part away");
    assert!(newest > 20, "the reads went on with the writes: {newest}");

    // When all is quiet, all of it is there.
    let has_come = async || {
        let (status, answer) = a.get(&path, &[]).await;
        let is_whole = status == 200 && answer["as_of"]["is_consistent"] == true;
        assert!(!is_whole || sum(&answer) == Some(100_000), "{answer}");
        is_whole && answer["as_of"]["commit_number"] == made
    };
    testkit::wait::until("the newest transaction is in the answer", bound, has_come).await;
    let mut together = Vec::new();
    let (_, answer) = a.get(&path, &[]).await;
    for (id, item) in ids.iter().zip(answer["items"].as_array().unwrap()) {
        let (_, alone) = a.get(&format!("/accounts/{id}/balance"), &[]).await;
        assert_eq!(
            (&item["booked"], &item["available"]),
            (&alone["booked"], &alone["available"]),
            "{id}"
        );
        together.push(item["account_id"].as_i64().unwrap());
    }
    assert_eq!(together, ids, "in the order of the question");
    let engine = a.engine;
    tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_says_why() {
    let bank = Bank::new();
    let many: Vec<String> = (0..101).map(|id| format!("account_id={id}")).collect();
    for (query, field) in [
        ("", "account_id"),
        ("?", "account_id"),
        ("?account_id=", "account_id"),
        ("?account_id=x", "account_id"),
        ("?account_id=1,2", "account_id"),
        ("?account_id=99999999999999999999", "account_id"),
        ("?account_id=1&customer_id=2", "customer_id"),
        ("?account=1", "account"),
        (&format!("?{}", many.join("&")), "account_id"),
    ] {
        bank.get(&format!("/balances{query}"))
            .await
            .check_problem(400, "malformed", Some(field));
    }
    bank.reads.stall("a part is being restored");
    bank.get("/balances?account_id=1").await.check_problem(503, "not-ready", None);
}

#[tokio::test]
async fn accounts_that_are_not_there_are_named() {
    let bank = Bank::new();
    let owner = bank.made("/customers", person("ada")).await;
    let account = bank.made("/accounts", account_of(owner, "JPY", "500")).await;
    let answer = bank
        .get(&format!(
            "/balances?account_id=4711&account_id={account}&account_id={account}"
        ))
        .await;
    let answer = answer.json();
    assert_eq!(answer["missing"], json!([4711]));
    let item = json!({"account_id": account, "customer_id": owner, "currency": "JPY", "booked": "500", "pending": "0", "available": "500"});
    assert_eq!(answer["items"], json!([item]));
    // There was no transaction yet.
    let as_of = json!({"is_consistent": true, "commit_number": 0, "source_lsn": null, "source_time": null,
        "is_assumed_complete": false, "source_heard_at": null});
    assert_eq!(answer["as_of"], as_of);
}

/// One instance with all partitions, driven in steps.
fn stepped() -> (TestDriver, Router) {
    let topology = processors::bank(processors::BankSettings::default()).unwrap();
    let driver = TestDriver::new(topology).unwrap();
    let settings = HttpSettings {
        together_timeout: Duration::ZERO,
        ..limits()
    };
    let router = router(Arc::new(driver.queries()), Bank::new().records, &settings);
    (driver, router)
}

fn account_row(id: i64) -> Account {
    Account {
        id: AccountId(id),
        customer_id: CustomerId(1),
        account_type: AccountType::Checking,
        currency: "EUR".parse().unwrap(),
        opening_balance: "100".parse().unwrap(),
        balance: "100".parse().unwrap(),
        status: AccountStatus::Active,
        closed_at: None,
        created_at: 0,
        updated_at: 0,
        source_lsn: 1,
        source_ts: 1,
        balance_from: BalanceFrom::None,
    }
}

/// What one transaction of the source does to an account is seen whole: a payment with its fee, or neither.
#[tokio::test]
async fn a_balance_shows_no_half_of_a_transaction() {
    let (mut driver, router) = stepped();
    let ask = async || {
        let answer = send(&router, Request::get("/accounts/1/balance").body(Body::empty()).unwrap())
            .await
            .json();
        (
            answer["booked"].as_str().unwrap().to_owned(),
            answer["entry_count"].as_i64().unwrap(),
        )
    };
    let withdrawal = |id: i64, tx_id: i64, order: i64, amount: &str| Envelope {
        before: None,
        after: Some(TransactionRow {
            id,
            account_id: Some(1),
            txn_type: Some("WITHDRAWAL".to_owned()),
            amount: Some(amount.parse().unwrap()),
            status: Some("COMPLETED".to_owned()),
            ..TransactionRow::default()
        }),
        source: Source {
            lsn: Some(10 * tx_id + order),
            tx_id: Some(tx_id),
            ts_ms: 1_700_000_000_000 + tx_id,
            ..Source::default()
        },
        transaction: Some(TransactionBlock {
            id: format!("{tx_id}:1"),
            total_order: order,
            data_collection_order: order,
        }),
        op: Op::Create,
        ts_ms: None,
        ts_us: None,
        ts_ns: None,
    };
    let end = |tx_id: i64, event_count: i64| TransactionMetadata {
        status: "END".to_owned(),
        id: format!("{tx_id}:1"),
        event_count: Some(event_count),
        data_collections: Some(vec![CollectionCount {
            data_collection: "public.transactions".to_owned(),
            event_count,
        }]),
        ts_ms: 1_700_000_000_000 + tx_id,
    };
    driver.send(SILVER_ACCOUNTS, 1, &AccountId(1), Some(&account_row(1)));
    driver.advance_wall_clock(Duration::from_millis(100));
    for (tx_id, before, after) in [(1, ("100.00", 0), ("88.50", 2)), (2, ("88.50", 2), ("77.00", 4))] {
        let (paid, fee) = (
            withdrawal(2 * tx_id, tx_id, 1, "10"),
            withdrawal(2 * tx_id + 1, tx_id, 2, "1.50"),
        );
        driver.send(CDC_TRANSACTIONS, 1, &CdcKey { id: 2 * tx_id }, Some(&paid));
        assert_eq!(ask().await, (before.0.to_owned(), before.1), "the fee is on its way");
        driver.send(CDC_TRANSACTIONS, 1, &CdcKey { id: 2 * tx_id + 1 }, Some(&fee));
        assert_eq!(ask().await, (before.0.to_owned(), before.1), "more may come");
        driver.send(CDC_TRANSACTION_METADATA, 1, &TransactionId(1), Some(&end(tx_id, 2)));
        assert_eq!(ask().await, (after.0.to_owned(), after.1));
    }
}

/// A transfer is not seen on one side alone, whether the other side's row has not come yet or has gone before it.
#[tokio::test]
async fn a_row_that_comes_late_or_goes_early_takes_no_money_with_it() {
    let (mut driver, router) = stepped();
    let path = "/balances?account_id=1&account_id=2";
    let ask = async |driver: &mut TestDriver| {
        // The frontier goes on when nothing more comes.
        (0..3).for_each(|_| driver.advance_wall_clock(Duration::from_millis(100)));
        let answer = send(&router, Request::get(path).body(Body::empty()).unwrap()).await.json();
        let booked = answer["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["booked"].as_str().unwrap().to_owned());
        (
            booked.collect::<Vec<_>>(),
            answer["missing"].clone(),
            answer["as_of"]["is_consistent"].clone(),
        )
    };
    let event = |op: Op, tx_id: i64| Envelope {
        before: None,
        after: (op != Op::Delete).then(|| TransactionRow {
            id: 1,
            account_id: Some(1),
            related_account_id: Some(2),
            txn_type: Some("TRANSFER".to_owned()),
            amount: Some("30".parse().unwrap()),
            status: Some("COMPLETED".to_owned()),
            ..TransactionRow::default()
        }),
        source: Source {
            lsn: Some(10 * tx_id),
            tx_id: Some(tx_id),
            ts_ms: 1_700_000_000_000 + tx_id,
            ..Source::default()
        },
        transaction: None,
        op,
        ts_ms: None,
        ts_us: None,
        ts_ns: None,
    };
    let texts = |amounts: &[&str]| amounts.iter().map(ToString::to_string).collect::<Vec<_>>();
    driver.send(SILVER_ACCOUNTS, 1, &AccountId(1), Some(&account_row(1)));
    assert_eq!(ask(&mut driver).await, (texts(&["100.00"]), json!([2]), json!(true)));
    driver.send(CDC_TRANSACTIONS, 1, &CdcKey { id: 1 }, Some(&event(Op::Create, 1)));
    assert_eq!(
        ask(&mut driver).await,
        (texts(&["70.00"]), json!([2]), json!(false)),
        "its row is on its way"
    );
    driver.send(SILVER_ACCOUNTS, 1, &AccountId(2), Some(&account_row(2)));
    assert_eq!(ask(&mut driver).await, (texts(&["70.00", "130.00"]), json!([]), json!(true)));
    driver.send(SILVER_ACCOUNTS, 1, &AccountId(2), None::<&Account>);
    assert_eq!(
        ask(&mut driver).await,
        (texts(&["70.00", "130.00"]), json!([]), json!(true)),
        "its transfer has not gone"
    );
    driver.send(CDC_TRANSACTIONS, 1, &CdcKey { id: 1 }, Some(&event(Op::Delete, 2)));
    assert_eq!(ask(&mut driver).await, (texts(&["100.00"]), json!([2]), json!(true)));
}
