//! Customers, accounts, transactions and balances over HTTP, as a client sees them.

mod support;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use support::http::{Bank, account_of, deposit, person, with_body};

#[tokio::test]
async fn a_customers_life() {
    let bank = Bank::new();
    let made = bank
        .post(
            "/customers",
            json!({"first_name": " Ada ", "last_name": "Lovelace", "email": "Ada@Example.com"}),
        )
        .await;
    assert_eq!(made.status, 201);
    let row = made.json();
    let path = format!("/customers/{}", row["id"]);
    assert_eq!(made.header("location"), path);
    assert_eq!(
        (&row["first_name"], &row["email"]),
        (&json!("Ada"), &json!("ada@example.com"))
    );
    check_instant(&row["created_at"]);

    let read = bank.get(&path).await;
    assert_eq!((read.status.as_u16(), read.json()), (200, row.clone()));
    assert_eq!(
        read.header("etag"),
        made.header("etag"),
        "the stores and the database agree on the version"
    );

    let replaced = bank.put(&path, person("countess")).await;
    assert_eq!(replaced.status, 200);
    assert_eq!(replaced.json()["email"], "countess@example.com");
    assert_eq!(replaced.json()["created_at"], row["created_at"]);
    assert_ne!(replaced.header("etag"), made.header("etag"));
    let read = bank.get(&path).await;
    assert_eq!((read.json(), read.header("etag")), (replaced.json(), replaced.header("etag")));

    let removed = bank.delete(&path).await;
    assert_eq!((removed.status.as_u16(), removed.text.as_str()), (204, ""));
    bank.get(&path).await.check_problem(404, "not-found", None);
    bank.delete(&path).await.check_problem(404, "not-found", None);
    bank.put(&path, person("ada")).await.check_problem(404, "not-found", None);
}

#[tokio::test]
async fn an_accounts_life() {
    let bank = Bank::new();
    let owner = bank.customer("ada").await;
    let made = bank.post("/accounts", account_of(owner, "eur", "100")).await;
    assert_eq!(made.status, 201);
    let row = made.json();
    let path = format!("/accounts/{}", row["id"]);
    let expected = (&json!("EUR"), &json!("100.00"), &json!("ACTIVE"), &Value::Null);
    assert_eq!(
        (&row["currency"], &row["opening_balance"], &row["status"], &row["closed_at"]),
        expected
    );
    assert_eq!(bank.get(&path).await.json(), row);

    let saving = json!({"customer_id": owner, "account_type": "SAVINGS", "currency": "EUR", "status": "ACTIVE"});
    let replaced = bank.put(&path, saving.clone()).await;
    assert_eq!(
        (replaced.status.as_u16(), &replaced.json()["account_type"]),
        (200, &json!("SAVINGS"))
    );
    // A deposit moves the balance; the account's own representation stays, and so does its version.
    bank.made("/transactions", deposit(row["id"].as_i64().expect("an id"), "1.00"))
        .await;
    assert_eq!(bank.get(&path).await.header("etag"), replaced.header("etag"));

    let closed = bank.delete(&path).await;
    assert_eq!((closed.status.as_u16(), &closed.json()["status"]), (200, &json!("INACTIVE")));
    check_instant(&closed.json()["closed_at"]);
    assert_eq!(bank.get(&path).await.json(), closed.json(), "the row stays");
    bank.post("/transactions", deposit(row["id"].as_i64().expect("an id"), "1.00"))
        .await
        .check_problem(422, "account-inactive", Some("account_id"));
    bank.delete(&format!("/customers/{owner}"))
        .await
        .check_problem(409, "customer-in-use", None);
    // What an update does not name stays: it is no reason to open the account again.
    for unnamed in [
        json!({"customer_id": owner, "account_type": "CHECKING", "currency": "EUR"}),
        json!({"customer_id": owner, "account_type": "CHECKING", "currency": "EUR", "status": null}),
    ] {
        let kept = bank.put(&path, unnamed).await.json();
        assert_eq!(
            (&kept["account_type"], &kept["status"], &kept["closed_at"]),
            (&json!("CHECKING"), &json!("INACTIVE"), &closed.json()["closed_at"])
        );
        assert_eq!(bank.get(&path).await.json(), kept);
    }
    let opened = bank.put(&path, saving).await;
    assert_eq!(
        (&opened.json()["status"], &opened.json()["closed_at"]),
        (&json!("ACTIVE"), &Value::Null)
    );
}

#[tokio::test]
async fn a_transactions_life_and_the_balances_that_follow() {
    let bank = Bank::new();
    let (a, b) = (bank.account("EUR", "100.00").await, bank.account("EUR", "0").await);
    let body = json!({"account_id": a, "txn_type": "TRANSFER", "amount": "12.3", "related_account_id": b});
    let made = bank.post("/transactions", body).await;
    assert_eq!(made.status, 201);
    let row = made.json();
    assert_eq!(
        (&row["amount"], &row["status"], &row["related_account_id"]),
        (&json!("12.30"), &json!("COMPLETED"), &json!(b))
    );
    check_balances(&bank, &[(a, "87.70"), (b, "12.30")]).await;

    let path = format!("/transactions/{}", row["id"]);
    assert_eq!(bank.get(&path).await.json(), row);
    let body = json!({"account_id": a, "txn_type": "TRANSFER", "amount": "20", "related_account_id": b, "status": "COMPLETED"});
    assert_eq!(bank.put(&path, body).await.json()["amount"], "20.00");
    check_balances(&bank, &[(a, "80.00"), (b, "20.00")]).await;
    assert_eq!(bank.delete(&path).await.status, 204);
    check_balances(&bank, &[(a, "100.00"), (b, "0.00")]).await;
    bank.get(&path).await.check_problem(404, "not-found", None);

    let too_much = json!({"account_id": a, "txn_type": "WITHDRAWAL", "amount": "100.01"});
    bank.post("/transactions", too_much)
        .await
        .check_problem(409, "overdrawn", Some("amount"));
}

#[tokio::test]
async fn a_balance_says_what_it_reflects() {
    let bank = Bank::new();
    let account = bank.account("JPY", "1000").await;
    let fresh = bank.get(&format!("/accounts/{account}/balance")).await.json();
    assert_eq!(
        (&fresh["booked"], &fresh["entry_count"], &fresh["last_entry_at"]),
        (&json!("1000"), &json!(0), &Value::Null)
    );
    bank.made("/transactions", deposit(account, "500")).await;
    let answer = bank.get(&format!("/accounts/{account}/balance")).await;
    let balance = answer.json();
    assert_eq!(
        (&balance["opening"], &balance["booked"], &balance["available"]),
        (&json!("1000"), &json!("1500"), &json!("1500"))
    );
    assert_eq!(
        (&balance["currency"], &balance["account_id"]),
        (&json!("JPY"), &json!(account))
    );
    assert_eq!(balance["as_of"]["source_lsn"], json!(bank.records.lsn()));
    assert_eq!(balance["as_of"]["committed_at"], "2023-11-14T22:13:20.123Z");
    check_instant(&balance["as_of"]["source_time"]);
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    bank.get("/accounts/999/balance").await.check_problem(404, "not-found", None);
}

#[tokio::test]
async fn conditions_guard_against_lost_updates() {
    let bank = Bank::new();
    let path = format!("/customers/{}", bank.customer("ada").await);
    let first = bank.get(&path).await.header("etag").to_owned();
    let put = |tag: &str, name: &str| {
        let mut request = with_body("PUT", &path, &person(name).to_string());
        request.headers_mut().insert("if-match", tag.parse().expect("a header"));
        request
    };
    let second = bank.send(put(&first, "ada2")).await;
    assert_eq!(second.status, 200);
    bank.send(put(&first, "ada3"))
        .await
        .check_problem(412, "version-mismatch", None);
    for never in ["\"not-ours\"".to_owned(), format!("W/{}", second.header("etag"))] {
        bank.send(put(&never, "ada3"))
            .await
            .check_problem(412, "version-mismatch", None);
    }
    bank.send(put("unquoted", "ada3"))
        .await
        .check_problem(400, "malformed", Some("if-match"));
    let several = format!("{first}, {}", second.header("etag"));
    let third = bank.send(put(&several, "ada3")).await;
    assert_eq!(third.status, 200);
    assert_eq!(bank.send(put("*", "ada4")).await.status, 200);

    let delete = |tag: &str| {
        Request::delete(&path)
            .header("if-match", tag)
            .body(Body::empty())
            .expect("a request")
    };
    bank.send(delete(third.header("etag")))
        .await
        .check_problem(412, "version-mismatch", None);
    let now = bank.get(&path).await.header("etag").to_owned();
    let known = Request::get(&path)
        .header("if-none-match", format!("\"x\", {now}"))
        .body(Body::empty())
        .expect("a request");
    let known = bank.send(known).await;
    assert_eq!(
        (known.status.as_u16(), known.text.as_str(), known.header("etag")),
        (304, "", now.as_str())
    );
    assert_eq!(bank.send(delete(&now)).await.status, 204);
    bank.send(put(&several, "ada5")).await.check_problem(404, "not-found", None);
    // "Whatever its version, if it is there": it is not.
    bank.send(put("*", "ada5")).await.check_problem(412, "version-mismatch", None);
    bank.send(delete("*")).await.check_problem(412, "version-mismatch", None);
}

#[tokio::test]
async fn a_row_that_is_not_there_fails_its_condition_before_anything_else() {
    let bank = Bank::new();
    for kind in ["customer", "account", "transaction"] {
        let path = format!("/{kind}s/99");
        // Whatever the body is, it is not looked at.
        for (method, body) in [("PUT", "{}"), ("PUT", "{"), ("PUT", "{\"status\": 7}"), ("DELETE", "")] {
            let mut request = with_body(method, &path, body);
            request.headers_mut().insert("if-match", "*".parse().expect("a header"));
            let answer = bank.send(request).await;
            answer.check_problem(412, "version-mismatch", None);
            let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
            assert!(detail.contains(&format!("there is no {kind} 99")), "{detail}");
        }
    }
    // Of a row that is there, the body is.
    let path = format!("/customers/{}", bank.customer("ada").await);
    let mut request = with_body("PUT", &path, "{}");
    request.headers_mut().insert("if-match", "*".parse().expect("a header"));
    bank.send(request).await.check_problem(422, "invalid", Some("first_name"));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let bank = Bank::new();
    let owner = bank.customer("ada").await;
    let other = bank.customer("grace").await;
    let mut ids = Vec::new();
    for n in 0..7 {
        let owner = if n % 3 == 0 { other } else { owner };
        ids.push(bank.made("/accounts", account_of(owner, "EUR", "10.00")).await);
    }
    assert_eq!(
        walk(&bank, "/accounts?limit=3").await,
        [ids[..3].to_vec(), ids[3..6].to_vec(), ids[6..].to_vec()]
    );
    assert_eq!(
        walk(&bank, "/accounts?limit=7").await,
        [ids.clone()],
        "no empty page at the end"
    );
    assert_eq!(
        walk(&bank, &format!("/accounts?limit=2&customer_id={other}")).await,
        [vec![ids[0], ids[3]], vec![ids[6]]]
    );
    bank.delete(&format!("/accounts/{}", ids[1])).await;
    assert_eq!(walk(&bank, "/accounts?status=INACTIVE").await, [vec![ids[1]]]);
    assert_eq!(
        walk(&bank, &format!("/accounts?status=INACTIVE&customer_id={other}")).await,
        [Vec::<i64>::new()]
    );

    let sent = bank
        .made(
            "/transactions",
            json!({"account_id": ids[0], "txn_type": "TRANSFER", "amount": "1", "related_account_id": ids[2]}),
        )
        .await;
    let own = bank.made("/transactions", deposit(ids[2], "1")).await;
    assert_eq!(
        walk(&bank, &format!("/transactions?account_id={}", ids[2])).await,
        [vec![sent, own]]
    );
    assert_eq!(
        walk(&bank, &format!("/transactions?account_id={}&status=PENDING", ids[2])).await,
        [Vec::<i64>::new()]
    );
    assert_eq!(walk(&bank, "/customers").await, [vec![owner, other]]);
}

/// The ids of each page of a list, to its end.
async fn walk(bank: &Bank, path: &str) -> Vec<Vec<i64>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = if cursor.is_empty() {
            path.to_owned()
        } else {
            format!("{path}{joint}cursor={cursor}")
        };
        let answer = bank.get(&path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let page = answer.json();
        pages.push(
            page["items"]
                .as_array()
                .expect("rows")
                .iter()
                .map(|row| row["id"].as_i64().expect("an id"))
                .collect(),
        );
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return pages,
        }
    }
}

async fn check_balances(bank: &Bank, expected: &[(i64, &str)]) {
    for (account, booked) in expected {
        let balance = bank.get(&format!("/accounts/{account}/balance")).await.json();
        assert_eq!(balance["booked"], json!(booked), "account {account}");
    }
}

fn check_instant(value: &Value) {
    let text = value.as_str().expect("a text");
    assert!(text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok(), "{text}");
}
