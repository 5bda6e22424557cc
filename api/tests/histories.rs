//! Histories over HTTP: what customers and accounts were, and when.

mod support;

use api::reads::{Located, Reads, Versions};
use processors::stores;
use schemas::gold::CustomerVersion;
use schemas::silver::Customer;
use schemas::state::Applied;
use schemas::topics::SILVER_CUSTOMERS;
use schemas::{AccountId, CustomerId};
use serde_json::{Value, json};
use support::http::{Bank, account_of, deposit, person};
use topology::dsl::Builder;
use topology::store::KeyValue;
use topology::testing::TestDriver;
use topology::{Context, Micros, ProcessError, Processor, Queries, Record};

/// The versions of an answer, and that they follow one another.
#[track_caller]
fn versions(history: &Value) -> Vec<Value> {
    let versions = history["versions"].as_array().expect("versions").clone();
    for pair in versions.windows(2) {
        assert_eq!(pair[0]["valid_to"], pair[1]["valid_from"]);
        assert_eq!(pair[0]["is_current"], json!(false));
    }
    versions
}

fn column(versions: &[Value], name: &str) -> Vec<Value> {
    versions.iter().map(|version| version[name].clone()).collect()
}

/// A customer with three names, who was deleted then.
async fn ada(bank: &Bank) -> (String, Vec<Value>) {
    let id = bank.customer("ada").await;
    for name in ["ada", "grace", "mary"] {
        bank.put(&format!("/customers/{id}"), person(name)).await;
    }
    bank.delete(&format!("/customers/{id}")).await;
    let path = format!("/customers/{id}/history");
    let history = bank.get(&path).await.json();
    assert_eq!(history["next"], Value::Null);
    (path, versions(&history))
}

#[tokio::test]
async fn a_customer_has_a_version_for_each_name_and_one_for_the_end() {
    let bank = Bank::new();
    let (_, versions) = ada(&bank).await;
    assert_eq!(column(&versions, "version"), [1, 2, 3, 4]);
    assert_eq!(column(&versions, "first_name"), ["ada", "grace", "mary", "mary"]);
    assert_eq!(column(&versions, "is_deleted"), [false, false, false, true]);
    assert_eq!(column(&versions, "is_current"), [false, false, false, true]);
    assert_eq!(versions[3]["valid_to"], Value::Null);
    assert_eq!(versions[0]["email"], "ada@example.com");
}

#[tokio::test]
async fn a_history_as_it_was_known_has_nothing_of_what_came_later() {
    let bank = Bank::new();
    let (path, versions) = ada(&bank).await;
    for (n, version) in versions.iter().enumerate() {
        let at = version["valid_from"].as_str().expect("an instant");
        let mut known = versions[..=n].to_vec();
        known[n]["valid_to"] = Value::Null;
        known[n]["is_current"] = json!(true);
        let answer = bank.get(&format!("{path}?recorded_at={at}")).await.json();
        assert_eq!(answer, json!({"versions": known, "next": null}));
        let first = versions[0]["valid_from"].as_str().expect("an instant");
        for (effective_at, expected) in [(first, &known[0]), ("2999-01-01T00:00:00Z", &known[n])] {
            let answer = bank
                .get(&format!("{path}?recorded_at={at}&effective_at={effective_at}"))
                .await;
            assert_eq!(answer.json(), json!({"versions": [expected], "next": null}));
        }
    }
    let answer = bank.get(&format!("{path}?recorded_at=1990-01-01T00:00:00Z")).await;
    answer.check_problem(404, "not-found", Some("recorded_at"));
}

#[tokio::test]
async fn the_version_in_force_at_an_instant() {
    let bank = Bank::new();
    let (path, versions) = ada(&bank).await;
    let at = async |instant: &str| bank.get(&format!("{path}?effective_at={instant}")).await;
    for version in &versions {
        let began = version["valid_from"].as_str().expect("an instant");
        let found = at(began).await;
        assert_eq!(
            found.json(),
            json!({"versions": [version], "next": null}),
            "from its first instant on"
        );
        // A nanosecond before is the version before.
        let instant: jiff::Timestamp = began.parse().expect("an instant");
        let before = instant - jiff::SignedDuration::from_nanos(1);
        let found = at(&before.to_string()).await;
        match version["version"].as_i64().expect("a number") {
            1 => {
                found.check_problem(404, "not-found", Some("effective_at"));
                let detail = found.json()["detail"].as_str().expect("a sentence").to_owned();
                assert!(detail.contains("customer 1") && detail.contains(began), "{detail}");
            }
            number => assert_eq!(found.json()["versions"][0]["version"], json!(number - 1)),
        }
    }
    // In another offset, and in the far future.
    let began = versions[1]["valid_from"].as_str().expect("an instant");
    let elsewhere = began.parse::<jiff::Timestamp>().expect("an instant");
    let elsewhere = elsewhere
        .display_with_offset(jiff::tz::offset(5))
        .to_string()
        .replace('+', "%2B");
    assert_eq!(at(&elsewhere).await.json()["versions"][0]["version"], 2);
    assert_eq!(at("9999-12-30T00:00:00Z").await.json()["versions"][0]["version"], 4);
    for refused in [
        "",
        "yesterday",
        "2026-01-31",
        "2026-01-31T09:30:00",
        "2026-01-31T09:30:00+01:00",
        "1700000000",
    ] {
        at(refused).await.check_problem(400, "malformed", Some("effective_at"));
    }
    for with in ["&limit=1", "&after=1"] {
        at(&format!("{began}{with}"))
            .await
            .check_problem(400, "malformed", Some("effective_at"));
    }
}

#[tokio::test]
async fn a_long_history_comes_in_parts() {
    let bank = Bank::new();
    let (path, versions) = ada(&bank).await;
    let (mut seen, mut after) = (Vec::new(), 0);
    for expected in [Some(3), None] {
        let part = bank.get(&format!("{path}?limit=3&after={after}")).await.json();
        seen.extend(part["versions"].as_array().expect("versions").clone());
        assert_eq!(part["next"].as_i64(), expected);
        after = part["next"].as_i64().unwrap_or_default();
    }
    assert_eq!(seen, versions);
    let behind = bank.get(&format!("{path}?after=4")).await;
    assert_eq!(
        (behind.status.as_u16(), behind.json()),
        (200, json!({"versions": [], "next": null}))
    );
    for after in [i64::MIN, -1, 0] {
        assert_eq!(
            bank.get(&format!("{path}?after={after}")).await.json()["versions"],
            json!(versions)
        );
    }
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=x", "after"),
        ("at=1", "at"),
    ] {
        bank.get(&format!("{path}?{query}"))
            .await
            .check_problem(400, "malformed", Some(field));
    }
}

#[tokio::test]
async fn an_account_has_versions_but_not_of_its_balance() {
    let bank = Bank::new();
    let owner = bank.customer("ada").await;
    let id = bank.made("/accounts", account_of(owner, "EUR", "10.00")).await;
    bank.made("/transactions", deposit(id, "5.00")).await;
    let savings = json!({"customer_id": owner, "account_type": "SAVINGS", "currency": "EUR", "status": "ACTIVE"});
    bank.put(&format!("/accounts/{id}"), savings).await;
    bank.delete(&format!("/accounts/{id}")).await;
    let versions = versions(&bank.get(&format!("/accounts/{id}/history")).await.json());
    assert_eq!(column(&versions, "account_type"), ["CHECKING", "SAVINGS", "SAVINGS"]);
    assert_eq!(column(&versions, "status"), ["ACTIVE", "ACTIVE", "INACTIVE"]);
    assert_eq!(column(&versions, "customer_id"), [owner, owner, owner]);
    assert_eq!(column(&versions, "currency"), ["EUR", "EUR", "EUR"]);
    assert!(versions.iter().all(|version| version.get("balance").is_none()));
}

#[tokio::test]
async fn what_never_was_has_no_history() {
    let bank = Bank::new();
    for path in ["/customers/7/history", "/accounts/7/history", "/accounts/-1/history"] {
        for query in ["", "?after=3", "?effective_at=2026-01-31T09:30:00Z"] {
            bank.get(&format!("{path}{query}"))
                .await
                .check_problem(404, "not-found", None);
        }
    }
    bank.get("/customers/x/history")
        .await
        .check_problem(400, "malformed", Some("id"));
}

/// Keeps rows, and of one of them a version: an upgrade has found the others.
struct Keep;

impl Processor for Keep {
    type KeyIn = CustomerId;
    type In = Customer;
    type KeyOut = CustomerId;
    type Out = ();
    type Stores = (
        KeyValue<CustomerId, Applied<Customer>>,
        KeyValue<(CustomerId, i64), CustomerVersion>,
    );

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<CustomerId, Customer>) -> Result<(), ProcessError> {
        let row = record.value.clone();
        if row.id == CustomerId(2) {
            let version = CustomerVersion {
                customer_id: row.id,
                version: 1,
                first_name: "kept".to_owned(),
                last_name: row.last_name.clone(),
                email: row.email.clone(),
                valid_from: Micros(row.source_ts + 1_000),
                valid_to: None,
                is_current: true,
                is_deleted: false,
                source_lsn: 1,
                source_tx_id: None,
            };
            cx.stores.1.put((row.id, 1), version);
        }
        let applied = Applied {
            row: Some(row),
            ..Applied::default()
        };
        cx.stores.0.put(record.key, applied);
        Ok(())
    }
}

fn names(queries: &Queries, id: i64, which: Versions) -> Vec<String> {
    match queries.customer_history(CustomerId(id), which).expect("it answers") {
        Located::Here(reading) => reading.value.rows.into_iter().map(|version| version.first_name).collect(),
        Located::Elsewhere(_) => panic!("there is one instance"),
    }
}

#[test]
fn a_row_without_a_history_is_told_as_it_will_begin() {
    let builder = Builder::new("histories");
    builder
        .stream(SILVER_CUSTOMERS)
        .process("keep", (stores::CUSTOMERS, stores::CUSTOMER_VERSIONS), || Keep);
    let mut driver = TestDriver::new(builder.build().expect("a topology")).expect("it starts");
    for id in [1, 2].map(CustomerId) {
        let row = Customer {
            id,
            first_name: "stored".to_owned(),
            last_name: "Ng".to_owned(),
            email: "a@b.c".to_owned(),
            created_at: 3_000,
            updated_at: 0,
            source_lsn: 10,
            source_ts: 5_000,
        };
        driver.send(SILVER_CUSTOMERS, 1, &id, Some(&row));
    }
    let queries = driver.queries();
    let (all, none) = (Versions::After { version: 0, limit: 9 }, Vec::<String>::new());
    let at = |micros| Versions::InForce(Micros(micros));
    assert_eq!(names(&queries, 1, all), ["stored"]);
    assert_eq!(names(&queries, 1, at(3_000)), ["stored"]);
    assert_eq!(names(&queries, 1, at(2_999)), none);
    assert_eq!(names(&queries, 1, Versions::After { version: 1, limit: 9 }), none);
    // One that has begun is as it was kept, also where that says nothing.
    assert_eq!(names(&queries, 2, all), ["kept"]);
    assert_eq!(names(&queries, 2, at(5_500)), none);
    assert_eq!(names(&queries, 3, all), none);
    queries
        .account_history(AccountId(1), all)
        .expect_err("there is no such store");
}
