//! Gold that adds up over HTTP: positions, days and minutes, and what is refused.

mod support;

use serde_json::{Value, json};
use support::http::{Bank, account_of, deposit};

async fn items(bank: &Bank, path: &str) -> Vec<Value> {
    let answer = bank.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()["items"].as_array().expect("rows").clone()
}

/// A customer with accounts in two currencies, one of them closed, and what was deposited; and the first account.
async fn ada(bank: &Bank) -> (i64, i64) {
    let owner = bank.customer("ada").await;
    let first = bank.made("/accounts", account_of(owner, "EUR", "10.00")).await;
    for (currency, opening) in [("EUR", "0"), ("JPY", "700")] {
        bank.made("/accounts", account_of(owner, currency, opening)).await;
    }
    for amount in ["5.00", "0.25"] {
        bank.made("/transactions", deposit(first, amount)).await;
    }
    let empty = bank.made("/accounts", account_of(owner, "EUR", "0")).await;
    bank.delete(&format!("/accounts/{empty}")).await;
    (owner, first)
}

/// The day and the minute of the bank's transactions.
async fn when(bank: &Bank) -> (String, String) {
    let made = items(bank, "/transactions").await[0]["created_at"]
        .as_str()
        .expect("an instant")
        .to_owned();
    (made[..10].to_owned(), format!("{}:00Z", &made[..16]))
}

#[tokio::test]
async fn a_customer_has_a_position_in_each_currency() {
    let bank = Bank::new();
    let (owner, _) = ada(&bank).await;
    let expected = json!([
        {"customer_id": owner, "currency": "EUR", "booked": "15.25", "available": "15.25", "accounts": 3, "open_accounts": 2},
        {"customer_id": owner, "currency": "JPY", "booked": "700", "available": "700", "accounts": 1, "open_accounts": 1},
    ]);
    assert_eq!(
        bank.get(&format!("/customers/{owner}/position")).await.json(),
        json!({"items": expected})
    );
    let other = bank.customer("grace").await;
    assert_eq!(
        bank.get(&format!("/customers/{other}/position")).await.json(),
        json!({"items": []})
    );
    for id in [4711, -1, i64::MIN, i64::MAX] {
        bank.get(&format!("/customers/{id}/position"))
            .await
            .check_problem(404, "not-found", None);
    }
    bank.get("/customers/x/position")
        .await
        .check_problem(400, "malformed", Some("id"));
}

#[tokio::test]
async fn an_account_has_a_row_for_each_day() {
    let bank = Bank::new();
    let (owner, account) = ada(&bank).await;
    let (day, _) = when(&bank).await;
    let path = format!("/accounts/{account}/daily");
    let expected = json!([{
        "account_id": account, "day": day, "customer_id": owner, "account_type": "CHECKING", "currency": "EUR",
        "opening": "10.00", "credits": "5.25", "debits": "0.00", "entries": 2, "closing": "15.25",
    }]);
    assert_eq!(bank.get(&path).await.json(), json!({"items": expected, "next": null}));
    for (query, is_there) in [
        (format!("from={day}&to={day}"), true),
        (format!("from={day}&limit=1"), true),
        ("to=2000-01-01".to_owned(), false),
        ("from=9999-12-31".to_owned(), false),
        (format!("after={day}"), false),
        ("after=9999-12-31&to=9999-12-31".to_owned(), false),
    ] {
        assert_eq!(
            items(&bank, &format!("{path}?{query}")).await.len(),
            usize::from(is_there),
            "{query}"
        );
    }
    for (query, field) in [
        ("from=2026-02-01&to=2026-01-31", "from"),
        ("from=2026-02-30", "from"),
        ("to=yesterday", "to"),
        ("after=2026-01-31T00:00:00Z", "after"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("day=2026-01-31", "day"),
    ] {
        bank.get(&format!("{path}?{query}"))
            .await
            .check_problem(400, "malformed", Some(field));
    }
    for query in ["", "?from=2026-01-01"] {
        bank.get(&format!("/accounts/4711/daily{query}"))
            .await
            .check_problem(404, "not-found", None);
    }
}

#[tokio::test]
async fn the_bank_has_rows_for_each_day() {
    let bank = Bank::new();
    ada(&bank).await;
    let (day, _) = when(&bank).await;
    let of = |day: &str, currency: &str, [flow, opened, held]: [&str; 3], [new, closed, active]: [i64; 3]| {
        json!({
            "day": day, "account_type": "CHECKING", "currency": currency, "net_flow": flow, "opened_with": opened, "deposits_held": held,
            "new_accounts": new, "closed_accounts": closed, "active_accounts": active, "active_customers": active,
        })
    };
    let expected = [
        of(&day, "EUR", ["5.25", "10.00", "15.25"], [3, 0, 1]),
        of(&day, "JPY", ["0", "700", "700"], [1, 0, 0]),
    ];
    assert_eq!(
        bank.get(&format!("/kpis/daily?day={day}")).await.json(),
        json!({"items": expected})
    );
    // What is held stays, whatever happens on a day.
    let last = "9999-12-31";
    let expected = [
        of(last, "EUR", ["0.00", "0.00", "15.25"], [0, 0, 0]),
        of(last, "JPY", ["0", "0", "700"], [0, 0, 0]),
    ];
    assert_eq!(
        bank.get(&format!("/kpis/daily?day={last}")).await.json(),
        json!({"items": expected})
    );
    assert_eq!(bank.get("/kpis/daily?day=2000-01-01").await.json(), json!({"items": []}));
    for (query, field) in [
        ("", "day"),
        ("?day=", "day"),
        ("?day=today", "day"),
        ("?day=2026-02-30", "day"),
        ("?day=2026-01-31&limit=1", "limit"),
    ] {
        bank.get(&format!("/kpis/daily{query}"))
            .await
            .check_problem(400, "malformed", Some(field));
    }
}

#[tokio::test]
async fn transactions_are_counted_by_minute() {
    let bank = Bank::new();
    let (_, account) = ada(&bank).await;
    let pending = json!({"account_id": account, "txn_type": "WITHDRAWAL", "amount": "1.00", "status": "PENDING"});
    bank.made("/transactions", pending).await;
    let (day, _) = when(&bank).await;
    let path = format!("/kpis/minutes?from={day}T00:00:00Z&to={day}T23:59:59Z");
    let all = items(&bank, &path).await;
    // The minute may have turned between them.
    let counted: i64 = all.iter().filter_map(|row| row["transactions"].as_i64()).sum();
    assert_eq!(counted, 3, "{all:?}");
    let last = all.last().expect("a row");
    assert_eq!(
        (&last["status"], &last["amount"], &last["failures"]),
        (&json!("PENDING"), &json!("1.00"), &json!(0))
    );
    // One by one.
    let (mut seen, mut next) = (Vec::new(), None);
    loop {
        let after = next.map(|next: String| format!("&after={next}")).unwrap_or_default();
        let page = bank.get(&format!("{path}&limit=1{after}")).await.json();
        seen.extend(page["items"].as_array().expect("rows").clone());
        match page["next"].as_str() {
            Some(text) => next = Some(text.to_owned()),
            None => break,
        }
    }
    assert_eq!(seen, all);
    let minute = all[0]["minute"].as_str().expect("a minute");
    assert!(
        items(&bank, &format!("/kpis/minutes?from={day}T00:00:00Z&to={minute}"))
            .await
            .is_empty(),
        "before {minute}"
    );
    let at = "2026-01-31T09:30:00Z";
    for (query, field) in [
        ("".to_owned(), "from"),
        (format!("?from={at}"), "to"),
        (format!("?from={at}&to=2026-01-31"), "to"),
        (format!("?from=x&to={at}"), "from"),
        (format!("?from={at}&to=2026-01-31T09:29:59Z"), "from"),
        (format!("?from={at}&to=2026-03-03T09:30:01Z"), "to"),
        (format!("?from={at}&to={at}&limit=0"), "limit"),
        (format!("?from={at}&to={at}&limit=101"), "limit"),
        (format!("?from={at}&to={at}&after=x"), "after"),
        (format!("?from={at}&to={at}&after={at},DEPOSIT,COMPLETED,eur"), "after"),
        (format!("?from={at}&to={at}&after={at},DEPOSIT,COMPLETED,EUR,"), "after"),
    ] {
        bank.get(&format!("/kpis/minutes{query}"))
            .await
            .check_problem(400, "malformed", Some(field));
    }
    assert_eq!(
        bank.get(&format!("/kpis/minutes?from={at}&to={at}&after={at},DEPOSIT,COMPLETED,EUR"))
            .await
            .json(),
        json!({"items": [], "next": null})
    );
}
