//! Gold that adds up, from stores of the engine with several partitions: all rows, each once, in order, whatever the pages.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use processors::gold::account_daily;
use processors::stores;
use schemas::gold::{BankDay, CustomerPosition, TransactionMinute};
use schemas::silver::{Account, AccountStatus, AccountType, BalanceFrom, Posting, TransactionStatus, TransactionType};
use schemas::state::AccountTerms;
use schemas::topics::{ACCOUNT_DAILY, BANK_DAILY, CUSTOMER_POSITIONS, SILVER_ACCOUNTS, SILVER_POSTINGS, TRANSACTION_MINUTES};
use schemas::{AccountId, Currency, CustomerId, Money, TransactionId};
use serde_json::{Value, json};
use support::http::{Bank, limits, router, send};
use topology::EngineSettings;
use topology::dsl::Builder;
use topology::store::MemoryBackends;
use topology::testing::TestDriver;

const DAY_US: i64 = 86_400_000_000;
const MINUTE_US: i64 = 60_000_000;
/// 1 March 2026, and that in days.
const START_US: i64 = 1_772_323_200_000_000;
const START_DAY: i32 = 20_513;

fn currency(code: &str) -> Currency {
    code.parse().expect("a currency")
}

fn money(text: &str) -> Money {
    text.parse().expect("an amount")
}

fn driver() -> TestDriver {
    let b = Builder::new("aggregates");
    b.table(CUSTOMER_POSITIONS, stores::CUSTOMER_POSITIONS);
    b.table(BANK_DAILY, stores::BANK_DAYS);
    b.table(TRANSACTION_MINUTES, stores::TRANSACTION_MINUTES);
    let terms = b
        .changes(SILVER_ACCOUNTS)
        .map_values(|_, row| row.as_ref().map(AccountTerms::from))
        .to_table_on_change(stores::ACCOUNT_TERMS);
    account_daily(&b.stream(SILVER_POSTINGS), &terms)
        .to_stream()
        .to_compacted(ACCOUNT_DAILY);
    let settings = EngineSettings {
        partitions: 4,
        ..EngineSettings::default()
    };
    let topology = b.build().expect("a topology");
    TestDriver::with(topology, settings, Arc::new(MemoryBackends::default())).expect("it starts")
}

async fn get(router: &Router, path: &str) -> Value {
    let answer = send(router, Request::get(path).body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()
}

/// All pages of a path, and how many there are.
async fn walk(router: &Router, path: &str) -> (Vec<Value>, usize) {
    let (mut seen, mut pages, mut after) = (Vec::new(), 0, String::new());
    loop {
        let page = get(router, &format!("{path}{after}")).await;
        seen.extend(page["items"].as_array().expect("rows").clone());
        pages += 1;
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return (seen, pages),
        }
    }
}

fn over(driver: &TestDriver) -> Router {
    router(Arc::new(driver.queries()), Bank::new().records, &limits())
}

#[tokio::test(flavor = "multi_thread")]
async fn minutes_come_once_and_in_order_from_all_partitions() {
    let mut driver = driver();
    let mut expected: BTreeMap<(i64, &str, &str, &str), i64> = BTreeMap::new();
    for minute in 0..40_i64 {
        for (number, txn_type) in TransactionType::ALL.iter().enumerate() {
            for status in [TransactionStatus::Completed, TransactionStatus::Failed] {
                for code in ["EUR", "JPY", "CHF"] {
                    let count = minute * 7 % 5 + number as i64;
                    if count == 0 {
                        continue;
                    }
                    let row = TransactionMinute {
                        minute: START_US + minute * MINUTE_US,
                        txn_type: *txn_type,
                        status,
                        currency: currency(code),
                        transactions: count,
                        amount: money("1"),
                        failures: 0,
                    };
                    expected.insert((row.minute, txn_type.as_str(), status.as_str(), code), count);
                    driver.queue(TRANSACTION_MINUTES, 0, &row.key(), Some(&row));
                }
            }
        }
    }
    driver.settle();
    let router = over(&driver);
    for (from, to, limit) in [(0, 40, 100), (0, 40, 7), (3, 4, 1), (10, 29, 13), (39, 40, 100)] {
        let at = |minute: i64| format!("2026-03-01T00:{minute:02}:00Z");
        let path = format!("/kpis/minutes?from={}&to={}&limit={limit}", at(from), at(to));
        let (seen, pages) = walk(&router, &path).await;
        let bounds = (START_US + from * MINUTE_US, START_US + to * MINUTE_US);
        let wanted = expected
            .iter()
            .filter(|((minute, ..), _)| (bounds.0..bounds.1).contains(minute));
        let wanted: Vec<Value> = wanted
            .map(|((minute, txn_type, status, code), count)| {
                let minute = at((minute - START_US) / MINUTE_US);
                json!([minute, txn_type, status, code, count])
            })
            .collect();
        let told = |row: &Value| {
            json!([
                row["minute"],
                row["txn_type"],
                row["status"],
                row["currency"],
                row["transactions"]
            ])
        };
        assert_eq!(seen.iter().map(told).collect::<Vec<_>>(), wanted, "{path}");
        assert_eq!(pages, wanted.len().div_ceil(limit).max(1), "{path}");
    }
    // A moment after a minute has begun is behind it.
    let path = "/kpis/minutes?from=2026-03-01T00:00:00.0000001Z&to=2026-03-01T00:01:00.0000001Z";
    let (seen, _) = walk(&router, path).await;
    assert!(
        !seen.is_empty() && seen.iter().all(|row| row["minute"] == "2026-03-01T00:01:00Z"),
        "{seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_and_bank_days_are_gathered_from_all_partitions() {
    let mut driver = driver();
    let codes = ["EUR", "JPY", "CHF", "KWD", "USD", "GBP"];
    for customer in [-1, 1, 2, i64::MAX] {
        for code in codes {
            let row = CustomerPosition {
                customer_id: CustomerId(customer),
                currency: currency(code),
                booked: money("1234"),
                available: money("1200"),
                accounts: 2,
                open_accounts: 1,
            };
            driver.queue(CUSTOMER_POSITIONS, 0, &(row.customer_id, row.currency), Some(&row));
        }
    }
    for day in [START_DAY - 1, START_DAY, START_DAY + 1] {
        for account_type in AccountType::ALL {
            for code in codes {
                let key = (day, *account_type, currency(code));
                let row = BankDay {
                    net_flow: money("-1"),
                    opened_with: money("10"),
                    active_accounts: 1,
                    ..BankDay::empty(key)
                };
                driver.queue(BANK_DAILY, 0, &key, Some(&row));
            }
        }
    }
    driver.settle();
    // A group that ends is gone.
    driver.send(CUSTOMER_POSITIONS, 1, &(CustomerId(2), currency("KWD")), None);
    driver.send(BANK_DAILY, 1, &(START_DAY, AccountType::Savings, currency("EUR")), None);
    let router = over(&driver);
    let sorted = ["CHF", "EUR", "GBP", "JPY", "KWD", "USD"];
    for (customer, codes) in [
        (-1, &sorted[..]),
        (i64::MAX, &sorted),
        (2, &["CHF", "EUR", "GBP", "JPY", "USD"]),
    ] {
        let found = get(&router, &format!("/customers/{customer}/position")).await;
        let found = found["items"].as_array().expect("rows").clone();
        assert_eq!(
            found.iter().map(|row| row["currency"].clone()).collect::<Vec<_>>(),
            codes,
            "{customer}"
        );
        assert!(found.iter().all(|row| row["customer_id"] == json!(customer)));
        let booked: Vec<_> = found.iter().map(|row| row["booked"].clone()).collect();
        assert_eq!((&booked[0], &booked[3]), (&json!("1234.00"), &json!("1234")));
    }
    let found = get(&router, "/kpis/daily?day=2026-03-01").await;
    let told = |row: &Value| {
        let held = money(row["deposits_held"].as_str().expect("an amount")).to_string();
        json!([row["day"], row["account_type"], row["currency"], row["active_accounts"], held])
    };
    let found: Vec<_> = found["items"].as_array().expect("rows").iter().map(told).collect();
    // Of two days, but where the second one's row is gone.
    let row = |of: &str, code: &str| match (of, code) {
        ("SAVINGS", "EUR") => json!(["2026-03-01", of, code, 0, money("9").to_string()]),
        _ => json!(["2026-03-01", of, code, 1, money("18").to_string()]),
    };
    let expected = ["CHECKING", "SAVINGS"].iter().flat_map(|of| sorted.map(|code| row(of, code)));
    assert_eq!(found, expected.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_s_days_follow_one_another_in_pages() {
    let mut driver = driver();
    for id in [1, 2] {
        let row = Account {
            id: AccountId(id),
            customer_id: CustomerId(7),
            account_type: AccountType::Savings,
            currency: currency("JPY"),
            opening_balance: money("1000"),
            balance: money("1000"),
            status: AccountStatus::Active,
            closed_at: None,
            created_at: START_US,
            updated_at: START_US,
            source_lsn: 1,
            source_ts: START_US,
            balance_from: BalanceFrom::None,
        };
        driver.send(SILVER_ACCOUNTS, 0, &row.id, Some(&row));
    }
    let days: Vec<i64> = vec![0, 1, 2, 3, 5, 8, 13, 21, 34];
    // The last ones come first.
    for (number, day) in days.iter().enumerate().rev() {
        let posting = Posting {
            posting_id: format!("{number}"),
            transaction_id: TransactionId(number as i64),
            account_id: AccountId(1),
            is_cash: false,
            currency: currency("JPY"),
            amount: money(if number % 2 == 0 { "100" } else { "-30" }),
            reverses: None,
            booked_at: START_US,
            effective_at: Some(START_US + day * DAY_US + 5),
            source_lsn: 1,
            entry_number: None,
            balance_after: None,
            recorded_at: None,
        };
        driver.send(SILVER_POSTINGS, 0, &posting.account_id, Some(&posting));
    }
    let router = over(&driver);
    for limit in [1, 4, 9, 100] {
        let path = format!("/accounts/1/daily?from=2026-03-01&limit={limit}");
        let (seen, pages) = walk(&router, &path).await;
        assert_eq!((seen.len(), pages), (days.len(), days.len().div_ceil(limit)), "{path}");
        assert_eq!((&seen[0]["opening"], &seen[0]["closing"]), (&json!("1000"), &json!("1100")));
        assert!(
            seen.windows(2).all(|pair| pair[0]["closing"] == pair[1]["opening"]),
            "{seen:?}"
        );
        assert_eq!((&seen[8]["day"], &seen[8]["closing"]), (&json!("2026-04-04"), &json!("1380")));
    }
    let some = get(&router, "/accounts/1/daily?from=2026-03-03&to=2026-03-06").await;
    let days = |page: &Value| {
        page["items"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| row["day"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(days(&some), ["2026-03-03", "2026-03-04", "2026-03-06"]);
    assert_eq!(get(&router, "/accounts/2/daily").await, json!({"items": [], "next": null}));
    // The terms of the account are those of now.
    driver.send(SILVER_ACCOUNTS, 1, &AccountId(1), None);
    let gone = send(
        &router,
        Request::get("/accounts/1/daily").body(Body::empty()).expect("a request"),
    )
    .await;
    gone.check_problem(404, "not-found", None);
}
