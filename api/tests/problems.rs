//! Every way in which a request can fail, and what the client is told.

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use support::follower::Owner;
use support::http::{Bank, account_of, deposit, limits, person, router, send, with_body};
use support::troubled::Troubled;
use system_of_record::SystemOfRecordError;

#[tokio::test]
async fn paths_and_queries() {
    let bank = Bank::new();
    for (path, status, name, field) in [
        ("/nowhere", 404, "no-such-route", None),
        ("/customers/1", 404, "not-found", None),
        ("/accounts/1", 404, "not-found", None),
        ("/accounts/-1", 404, "not-found", None),
        ("/transactions/1", 404, "not-found", None),
        ("/accounts/1/balance", 404, "not-found", None),
        ("/customers/ada", 400, "malformed", Some("id")),
        ("/accounts/1.5/balance", 400, "malformed", Some("id")),
        ("/accounts/99999999999999999999", 400, "malformed", Some("id")),
        ("/customers?limit=0", 400, "malformed", Some("limit")),
        ("/customers?limit=1001", 400, "malformed", Some("limit")),
        ("/customers?limit=many", 400, "malformed", Some("limit")),
        ("/customers?cursor=x", 400, "malformed", Some("cursor")),
        ("/customers?cursor=accounts-1", 400, "malformed", Some("cursor")),
        ("/customers?cursor=customers--1", 400, "malformed", Some("cursor")),
        ("/customers?cursor=customers-", 400, "malformed", Some("cursor")),
        ("/customers?cursor=customers-+1", 400, "malformed", Some("cursor")),
        ("/customers?cursor=customers-%2B1", 400, "malformed", Some("cursor")),
        ("/customers?cursor=customers-FF", 400, "malformed", Some("cursor")),
        (
            "/customers?cursor=customers-10000000000000000",
            400,
            "malformed",
            Some("cursor"),
        ),
        ("/customers?cursor=%ff%00", 400, "malformed", Some("cursor")),
        ("/customers?cursor=customers-%F0%9F%92%B6", 400, "malformed", Some("cursor")),
        ("/customers?colour=red", 400, "malformed", Some("colour")),
        ("/accounts?status=OPEN", 400, "malformed", Some("status")),
        ("/accounts?customer_id=ada", 400, "malformed", Some("customer_id")),
        ("/transactions?account_id=", 400, "malformed", Some("account_id")),
        // What is asked of then is not answered with now.
        ("/customers/1?recorded_at=x", 400, "malformed", Some("recorded_at")),
        ("/customers/1/position?recorded_at=x", 400, "malformed", Some("recorded_at")),
        ("/accounts/1?effective_at=x", 400, "malformed", Some("effective_at")),
        ("/accounts/1/holds?effective_at=x", 400, "malformed", Some("effective_at")),
        (
            "/accounts/1/balance/explain?effective_at=x",
            400,
            "malformed",
            Some("effective_at"),
        ),
        (
            "/accounts/1/reconciliation?recorded_at=x",
            400,
            "malformed",
            Some("recorded_at"),
        ),
        ("/transactions/1?colour=red", 400, "malformed", Some("colour")),
    ] {
        println!("{path}");
        bank.get(path).await.check_problem(status, name, field);
    }
    let answer = bank
        .send(Request::patch("/customers/1").body(Body::empty()).expect("a request"))
        .await;
    answer.check_problem(405, "method-not-allowed", None);
    assert_eq!(answer.header("allow"), "GET,HEAD,PUT,DELETE");
}

#[tokio::test]
async fn bodies() {
    let bank = Bank::new();
    let account = bank.account("EUR", "10.00").await;
    let path = "/transactions";
    for (body, status, name, field) in [
        ("", 400, "malformed", None),
        ("{", 400, "malformed", None),
        ("{} {}", 422, "invalid", Some("account_id")),
        ("[]", 422, "invalid", None),
        (r#"[1, "DEPOSIT", "1.00", null, null]"#, 422, "invalid", None),
        ("null", 422, "invalid", None),
        (r#"{"account_id": 1}"#, 422, "invalid", Some("txn_type")),
        (
            r#"{"account_id": "1", "txn_type": "DEPOSIT", "amount": "1"}"#,
            422,
            "invalid",
            Some("account_id"),
        ),
        (
            r#"{"account_id": 1, "txn_type": "GIFT", "amount": "1"}"#,
            422,
            "invalid",
            Some("txn_type"),
        ),
        (
            r#"{"account_id": 1, "txn_type": "DEPOSIT", "amount": 1.5}"#,
            422,
            "invalid",
            Some("amount"),
        ),
        (
            r#"{"account_id": 1, "txn_type": "DEPOSIT", "amount": 1}"#,
            422,
            "invalid",
            Some("amount"),
        ),
        (
            r#"{"account_id": 1, "txn_type": "DEPOSIT", "amount": "1e3"}"#,
            422,
            "invalid",
            Some("amount"),
        ),
        (
            r#"{"account_id": 1, "txn_type": "DEPOSIT", "amount": "1.00500"}"#,
            422,
            "invalid",
            Some("amount"),
        ),
        (
            r#"{"account_id": 1, "txn_type": "DEPOSIT", "amount": "-1"}"#,
            422,
            "invalid",
            Some("amount"),
        ),
        (
            r#"{"account_id": 1, "txn_type": "DEPOSIT", "amount": "0.00"}"#,
            422,
            "invalid",
            Some("amount"),
        ),
        (
            r#"{"account_id": 1, "txn_type": "DEPOSIT", "amount": "1", "id": 5}"#,
            422,
            "invalid",
            Some("id"),
        ),
        (
            r#"{"account_id": 1, "txn_type": "TRANSFER", "amount": "1"}"#,
            422,
            "invalid",
            Some("related_account_id"),
        ),
        (
            r#"{"account_id": 99, "txn_type": "DEPOSIT", "amount": "1"}"#,
            422,
            "account-unknown",
            Some("account_id"),
        ),
        (
            r#"{"account_id": 1, "txn_type": "WITHDRAWAL", "amount": "10.01"}"#,
            409,
            "overdrawn",
            Some("amount"),
        ),
    ] {
        println!("{body}");
        bank.send(with_body("POST", path, body))
            .await
            .check_problem(status, name, field);
    }
    bank.send(with_body("POST", path, &format!("{}{}", deposit(account, "1"), "x")))
        .await
        .check_problem(400, "malformed", None);
    let large = format!("{{\"first_name\": \"{}\"}}", "x".repeat(4000));
    bank.send(with_body("POST", "/customers", &large))
        .await
        .check_problem(413, "too-large", None);
    for kind in ["text/plain", "application/xml", "", "application/json; charset=utf-16"] {
        let request = Request::post(path)
            .header("content-type", kind)
            .body(Body::from(deposit(account, "1").to_string()));
        bank.send(request.expect("a request"))
            .await
            .check_problem(415, "media-type", None);
    }
    let request = Request::post(path).header("content-type", "application/json; charset=utf-8");
    let request = request
        .body(Body::from(deposit(account, "1").to_string()))
        .expect("a request");
    assert_eq!(bank.send(request).await.status, 201);
}

#[tokio::test]
async fn other_refusals() {
    let bank = Bank::new();
    let ada = bank.customer("ada").await;
    bank.post("/customers", person("ADA"))
        .await
        .check_problem(409, "email-taken", Some("email"));
    bank.post("/customers", json!({"first_name": " ", "last_name": "x", "email": "x@y"}))
        .await
        .check_problem(422, "invalid", Some("first_name"));
    bank.post("/accounts", account_of(99, "EUR", "0"))
        .await
        .check_problem(422, "customer-unknown", Some("customer_id"));
    bank.post("/accounts", account_of(ada, "EURO", "0"))
        .await
        .check_problem(422, "invalid", Some("currency"));
    bank.post("/accounts", account_of(ada, "JPY", "0.5"))
        .await
        .check_problem(422, "invalid", Some("opening_balance"));
    let yen = bank.made("/accounts", account_of(ada, "JPY", "5")).await;
    bank.post("/transactions", deposit(yen, "1.50"))
        .await
        .check_problem(422, "amount-scale", Some("amount"));
    bank.made("/transactions", deposit(yen, "1")).await;
    let euro = json!({"customer_id": ada, "account_type": "CHECKING", "currency": "EUR", "status": "ACTIVE"});
    bank.put(&format!("/accounts/{yen}"), euro)
        .await
        .check_problem(409, "currency-fixed", Some("currency"));
    let opening =
        json!({"customer_id": ada, "account_type": "CHECKING", "currency": "JPY", "status": "ACTIVE", "opening_balance": "9"});
    bank.put(&format!("/accounts/{yen}"), opening)
        .await
        .check_problem(422, "invalid", Some("opening_balance"));
    bank.delete(&format!("/customers/{ada}"))
        .await
        .check_problem(409, "customer-in-use", None);
}

#[tokio::test]
async fn state_that_is_not_there_is_no_404() {
    let bank = Bank::new();
    bank.customer("ada").await;
    bank.customer("grace").await;
    bank.reads.share(vec![Owner::Here, Owner::Nobody]);
    assert_eq!(bank.get("/customers/2").await.status, 200, "its partition is here");
    bank.get("/customers/98").await.check_problem(404, "not-found", None);
    for path in [
        "/customers/1",
        "/customers/99",
        "/customers",
        "/accounts",
        "/transactions/1",
        "/accounts/1/balance",
    ] {
        let answer = bank.get(path).await;
        answer.check_problem(503, "not-ready", None);
        assert_eq!(answer.header("retry-after"), "1");
    }
    bank.reads.stall("task group 3 is being restored");
    bank.get("/accounts/1/balance").await.check_problem(503, "not-ready", None);
}

#[tokio::test]
async fn a_database_in_trouble() {
    let bank = Bank::new();
    let ada = bank.customer("ada").await;
    let secret = || "10.1.2.3: password".to_owned();
    for (error, status, name) in [
        (
            Some(SystemOfRecordError::Unavailable(secret())),
            503,
            "system-of-record-unavailable",
        ),
        (Some(SystemOfRecordError::OutcomeUnknown(secret())), 504, "outcome-unknown"),
        (Some(SystemOfRecordError::Internal(secret())), 500, "internal"),
        (Some(SystemOfRecordError::Internal("panic".to_owned())), 500, "internal"),
        (None, 504, "timeout"),
    ] {
        let mut settings = limits();
        if error.is_none() {
            settings.request_timeout = Duration::from_millis(200);
        }
        let router = router(bank.reads.clone(), Arc::new(Troubled(error)), &settings);
        let answer = send(&router, with_body("POST", "/customers", &person("grace").to_string())).await;
        answer.check_problem(status, name, None);
        assert!(!answer.text.contains("10.1.2.3"), "no internals: {}", answer.text);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        // Reads need no database.
        let read = Request::get(format!("/customers/{ada}"))
            .body(Body::empty())
            .expect("a request");
        assert_eq!(send(&router, read).await.status, 200);
    }
}
