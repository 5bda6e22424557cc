//! Transactions over HTTP: how amounts are written, what an update leaves as it is, and what it may not do.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use schemas::{AccountId, CustomerId, TransactionId};
use serde_json::{Value, json};
use support::http::{Bank, account_of, deposit, limits, person, router, send, with_body};
use system_of_record::{Account, Busy, Change, Customer, Row, SystemOfRecord, SystemOfRecordError, Transaction};

#[tokio::test]
async fn an_amount_is_a_string_written_in_one_way() {
    let bank = Bank::new();
    let account = bank.account("EUR", "0").await;
    let posted = |amount: Value| json!({"account_id": account, "txn_type": "DEPOSIT", "amount": amount});
    for amount in [
        json!({"2": 1230}),
        json!({"unscaled": 1230, "scale": 2}),
        json!([12, 30]),
        json!(12.3),
        json!(12),
        json!(true),
        Value::Null,
        json!("+1"),
        json!("1e2"),
        json!("007"),
        json!(" 1"),
        json!("1 "),
        json!("1."),
        json!(".5"),
        json!("1,000.00"),
        json!("0x1F"),
        json!(""),
        json!("NaN"),
        json!("Infinity"),
        json!("1.00000"),
        json!("-1"),
        json!("0.00"),
        json!("-0"),
        json!("99999999999999999999999999999999999999999"),
    ] {
        println!("{amount}");
        bank.post("/transactions", posted(amount.clone()))
            .await
            .check_problem(422, "invalid", Some("amount"));
        let path = "/transactions/1";
        bank.put(path, posted(amount))
            .await
            .check_problem(422, "invalid", Some("amount"));
    }
    for amount in ["12.300", "12.3000", "1.000"] {
        println!("{amount}");
        bank.post("/transactions", posted(json!(amount)))
            .await
            .check_problem(422, "amount-scale", Some("amount"));
    }
    for (amount, answer) in [("12.30", "12.30"), ("12.3", "12.30"), ("12", "12.00"), ("0.01", "0.01")] {
        let made = bank.post("/transactions", posted(json!(amount))).await;
        assert_eq!(
            (made.status.as_u16(), &made.json()["amount"]),
            (201, &json!(answer)),
            "{amount}"
        );
    }
    let balance = bank.get(&format!("/accounts/{account}/balance")).await.json();
    assert_eq!(balance["booked"], json!("36.61"));
}

#[tokio::test]
async fn an_opening_balance_is_written_for_its_currency() {
    let bank = Bank::new();
    let owner = bank.customer("ada").await;
    for (currency, amount) in [
        ("EUR", json!("12.300")),
        ("EUR", json!("007")),
        ("EUR", json!(12.3)),
        ("EUR", json!({"2": 1230})),
        ("EUR", json!("-1")),
        ("JPY", json!("5.0")),
        ("JPY", json!("0.50")),
    ] {
        println!("{currency} {amount}");
        let body = json!({"customer_id": owner, "account_type": "CHECKING", "currency": currency, "opening_balance": amount});
        bank.post("/accounts", body)
            .await
            .check_problem(422, "invalid", Some("opening_balance"));
    }
    bank.post("/accounts", account_of(owner, "ZZZ", "1"))
        .await
        .check_problem(422, "invalid", Some("currency"));
    let nothing = json!({"customer_id": owner, "account_type": "CHECKING", "currency": "JPY"});
    assert_eq!(bank.post("/accounts", nothing).await.json()["opening_balance"], json!("0"));
}

#[tokio::test]
async fn an_update_leaves_what_it_does_not_name() {
    let bank = Bank::new();
    let (a, b) = (bank.account("EUR", "100.00").await, bank.account("EUR", "0").await);
    let failed = json!({"account_id": a, "txn_type": "TRANSFER", "amount": "5", "related_account_id": b, "status": "FAILED"});
    let id = bank.made("/transactions", failed).await;
    let path = format!("/transactions/{id}");
    let unnamed = json!({"account_id": a, "txn_type": "TRANSFER", "amount": "6.00"});
    let row = bank.put(&path, unnamed.clone()).await.json();
    assert_eq!(
        (&row["status"], &row["related_account_id"], &row["amount"]),
        (&json!("FAILED"), &json!(b), &json!("6.00"))
    );
    assert_eq!(bank.get(&path).await.json(), row);
    let null = json!({"account_id": a, "txn_type": "TRANSFER", "amount": "6.00", "status": null});
    assert_eq!(bank.put(&path, null).await.json()["status"], json!("FAILED"));
    let nobody = json!({"account_id": a, "txn_type": "TRANSFER", "amount": "6.00", "related_account_id": null});
    bank.put(&path, nobody)
        .await
        .check_problem(422, "invalid", Some("related_account_id"));
    let completed = json!({"account_id": a, "txn_type": "TRANSFER", "amount": "6.00", "status": "COMPLETED"});
    bank.put(&path, completed)
        .await
        .check_problem(409, "status-flow", Some("status"));
    let balance = bank.get(&format!("/accounts/{a}/balance")).await.json();
    assert_eq!(balance["booked"], json!("100.00"), "nothing was ever booked");
    // A deposit has no other account: it goes with the kind.
    let kind = json!({"account_id": a, "txn_type": "DEPOSIT", "amount": "6.00"});
    assert_eq!(bank.put(&path, kind).await.json()["related_account_id"], Value::Null);
    // A new one is COMPLETED unless it says otherwise.
    let new = json!({"account_id": a, "txn_type": "DEPOSIT", "amount": "1", "status": null});
    assert_eq!(bank.post("/transactions", new).await.json()["status"], json!("COMPLETED"));
}

#[tokio::test]
async fn a_closed_account_takes_nothing_new() {
    let bank = Bank::new();
    let account = bank.account("EUR", "10.00").await;
    let pending = json!({"account_id": account, "txn_type": "DEPOSIT", "amount": "5", "status": "PENDING"});
    let waiting = bank.made("/transactions", pending).await;
    let done = bank.made("/transactions", deposit(account, "3")).await;
    bank.delete(&format!("/accounts/{account}")).await;
    let become_ =
        |status: &str, amount: &str| json!({"account_id": account, "txn_type": "DEPOSIT", "amount": amount, "status": status});
    let (waiting, done) = (format!("/transactions/{waiting}"), format!("/transactions/{done}"));
    for (path, body) in [(&waiting, become_("COMPLETED", "5")), (&done, become_("COMPLETED", "4"))] {
        bank.put(path, body)
            .await
            .check_problem(422, "account-inactive", Some("account_id"));
    }
    assert_eq!(bank.put(&waiting, become_("FAILED", "5")).await.status, 200);
    assert_eq!(bank.put(&done, become_("REVERSED", "3")).await.status, 200);
    bank.put(&done, become_("COMPLETED", "3"))
        .await
        .check_problem(409, "status-flow", Some("status"));
    let balance = bank.get(&format!("/accounts/{account}/balance")).await.json();
    assert_eq!(balance["booked"], json!("10.00"));
}

#[tokio::test]
async fn an_amount_that_was_read_may_be_sent_back() {
    let bank = Bank::new();
    let account = bank.account("JPY", "0").await;
    let id = bank.made("/transactions", deposit(account, "500")).await;
    let path = format!("/transactions/{id}");
    let amount = bank.get(&path).await.json()["amount"].clone();
    let body =
        |amount: Value, status: &str| json!({"account_id": account, "txn_type": "DEPOSIT", "amount": amount, "status": status});
    assert_eq!(
        bank.put(&path, body(amount, "REVERSED")).await.json()["status"],
        json!("REVERSED")
    );
    bank.put(&path, body(json!("400.00"), "REVERSED"))
        .await
        .check_problem(422, "amount-scale", Some("amount"));
}

#[tokio::test]
async fn the_document_says_what_an_update_leaves() {
    let bank = Bank::new();
    let document = bank.get("/openapi.json").await.json();
    let put = &document["paths"]["/transactions/{id}"]["put"]["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(put["$ref"], json!("#/components/schemas/TransactionReplacement"));
    let schema = &document["components"]["schemas"]["TransactionReplacement"];
    assert_eq!(schema["required"], json!(["account_id", "txn_type", "amount"]));
    for field in ["status", "related_account_id"] {
        let said = schema["properties"][field].to_string();
        assert!(said.contains("Left out"), "{field}: {said}");
    }
    assert!(schema["properties"]["amount"]["pattern"].is_string());
    let schema = &document["components"]["schemas"]["AccountReplacement"];
    assert_eq!(schema["required"], json!(["customer_id", "account_type", "currency"]));
    let said = schema["properties"]["status"].to_string();
    assert!(said.contains("Left out"), "{said}");
}

/// A database that is there, but has no time.
struct Occupied(Busy);

#[async_trait]
impl SystemOfRecord for Occupied {
    async fn commit(&self, _: &[Change]) -> Result<Vec<Row>, SystemOfRecordError> {
        Err(self.0.into())
    }
    async fn customer(&self, _: CustomerId) -> Result<Option<Customer>, SystemOfRecordError> {
        Err(self.0.into())
    }
    async fn account(&self, _: AccountId) -> Result<Option<Account>, SystemOfRecordError> {
        Err(self.0.into())
    }
    async fn transaction(&self, _: TransactionId) -> Result<Option<Transaction>, SystemOfRecordError> {
        Err(self.0.into())
    }
    async fn check(&self) -> Result<(), SystemOfRecordError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_busy_database_is_not_said_to_be_away() {
    let bank = Bank::new();
    for (busy, said) in [
        (Busy::Locked, "another session holds a lock"),
        (Busy::Connections, "all connections"),
        (Busy::Slow, "took too long"),
        (Busy::Conflict, "other writes"),
    ] {
        let router = router(bank.reads.clone(), Arc::new(Occupied(busy)), &limits());
        let answer = send(&router, with_body("POST", "/customers", &person("grace").to_string())).await;
        answer.check_problem(503, "busy", None);
        assert_eq!(answer.header("retry-after"), "1");
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains(said) && detail.contains("nothing was written"), "{detail}");
    }
}
