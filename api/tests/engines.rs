//! Two engines that share a bank, on one log: each answers for everything, by what the other announced.

mod support;

use std::sync::Arc;

use api::reads::Reads;
use broker::in_process::InProcessBroker;
use serde_json::json;
use support::engine::{Instance, two};
use support::http::{account_of, deposit, person};
use support::until;
use system_of_record::InProcess;
use topology::clock::SystemClock;
use wire::MemoryRegistry;

/// Both tell the same of a customer that gets another name, and of accounts, which have one version whatever their balance.
async fn check_history(a: &Instance, b: &Instance, owner: i64, accounts: &[i64]) {
    let client = reqwest::Client::new();
    let renamed = client.put(format!("{}/customers/{owner}", a.url)).json(&person("grace"));
    assert_eq!(renamed.send().await.expect("an answer").status(), 200);
    let path = format!("/customers/{owner}/history");
    let mut told = Vec::new();
    for instance in [a, b] {
        until("both versions", async || {
            let (status, history) = instance.get(&path, &[]).await;
            assert_eq!(status, 200, "{history}");
            history["versions"][1]["first_name"] == "grace"
        })
        .await;
        let (_, history) = instance.get(&path, &[]).await;
        let began = history["versions"][0]["valid_from"].as_str().expect("an instant").to_owned();
        let (status, first) = instance.get(&format!("{path}?effective_at={began}"), &[]).await;
        assert_eq!((status, &first["versions"][0]["first_name"]), (200, &json!("ada")));
        let (status, _) = instance.get(&format!("{path}?effective_at=1970-01-01T00:00:00Z"), &[]).await;
        assert_eq!(status, 404);
        told.push(history);
        for account in accounts {
            let (status, history) = instance.get(&format!("/accounts/{account}/history"), &[]).await;
            let versions = history["versions"].as_array().map(Vec::len);
            assert_eq!((status, versions), (200, Some(1)), "{history}");
        }
    }
    assert_eq!(told[0], told[1]);
}

/// Both tell the same of what adds up over the accounts, wherever its parts are.
async fn check_aggregates(a: &Instance, b: &Instance, owner: i64, accounts: &[i64]) {
    let (_, transactions) = a.get("/transactions", &[]).await;
    let made = transactions["items"][0]["created_at"].as_str().expect("an instant")[..10].to_owned();
    for instance in [a, b] {
        until("all deposits are counted", async || {
            let (status, position) = instance.get(&format!("/customers/{owner}/position"), &[]).await;
            assert_eq!(status, 200, "{position}");
            let (status, minutes) = instance
                .get(&format!("/kpis/minutes?from={made}T00:00:00Z&to={made}T23:59:59Z"), &[])
                .await;
            assert_eq!(status, 200, "{minutes}");
            let minutes = minutes["items"].as_array().expect("rows");
            let count: i64 = minutes.iter().filter_map(|row| row["transactions"].as_i64()).sum();
            position["items"][0]["booked"] == "112.00" && count == 8
        })
        .await;
        for (n, account) in accounts.iter().enumerate() {
            until("the account's day", async || {
                let (status, days) = instance.get(&format!("/accounts/{account}/daily"), &[]).await;
                assert_eq!(status, 200, "{days}");
                days["items"][0]["closing"] == json!(format!("{}.50", 10 + n))
            })
            .await;
        }
        until("the bank's day", async || {
            let (status, days) = instance.get(&format!("/kpis/daily?day={made}"), &[]).await;
            assert_eq!(status, 200, "{days}");
            let day = &days["items"][0];
            (&day["net_flow"], &day["opened_with"], &day["new_accounts"]) == (&json!("32.00"), &json!("80.00"), &json!(8))
                && (&day["active_accounts"], &day["active_customers"]) == (&json!(8), &json!(1))
        })
        .await;
        let (status, _) = instance.get("/customers/4711/position", &[]).await;
        assert_eq!(status, 404);
        let (status, _) = instance.get("/accounts/4711/daily", &[]).await;
        assert_eq!(status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_engines_answer_for_each_other() {
    let (log, registry) = (InProcessBroker::default(), Arc::new(MemoryRegistry::default()));
    let records = InProcess::start(Arc::new(log.clone()), registry.clone(), Arc::new(SystemClock)).expect("it starts");
    let records = Arc::new(records);
    let (a, b) = two(&log, &registry, &records).await;

    let owner = a.made("/customers", person("ada")).await;
    let mut accounts = Vec::new();
    for n in 0..8 {
        let account = a.made("/accounts", account_of(owner, "EUR", "10.00")).await;
        b.made("/transactions", deposit(account, &format!("{n}.50"))).await;
        accounts.push(account);
    }
    let mut forwarded = 0;
    for (n, account) in accounts.iter().enumerate() {
        let booked = json!(format!("{}.50", 10 + n));
        for (instance, other) in [(&a, &b), (&b, &a)] {
            let path = format!("/accounts/{account}/balance");
            until("the balance", async || {
                let (status, balance) = instance.get(&path, &[]).await;
                assert!(matches!(status, 200 | 404 | 503), "{balance}");
                status == 200 && balance["booked"] == booked
            })
            .await;
            // What the instance itself has is told to whoever presents its token; the rest is the other's.
            let own = instance.queries();
            let (status, _) = instance.get(&path, &[("riverbank-forwarded", own.token().reveal())]).await;
            forwarded += u32::from(status == 503);
            for forged in [Reads::token(&other.queries()).reveal(), "1"] {
                let (status, balance) = instance.get(&path, &[("riverbank-forwarded", forged)]).await;
                assert_eq!((status, &balance["booked"]), (200, &booked), "{account}");
            }
            let (status, row) = instance.get(&format!("/accounts/{account}"), &[]).await;
            assert_eq!((status, &row["id"]), (200, &json!(account)));
        }
    }
    assert_eq!(forwarded, 8, "each balance is at one of the two");
    check_history(&a, &b, owner, &accounts).await;
    check_aggregates(&a, &b, owner, &accounts).await;
    for instance in [&a, &b] {
        let (status, page) = instance.get("/accounts", &[]).await;
        let ids: Vec<i64> = page["items"]
            .as_array()
            .expect("rows")
            .iter()
            .filter_map(|row| row["id"].as_i64())
            .collect();
        assert_eq!((status, ids), (200, accounts.clone()));
    }

    // One ends cleanly: until the other has its tasks, that is a 503, never a 404 or a short list; then everything is there.
    let Instance { engine, .. } = b;
    let stopped = tokio::task::spawn_blocking(move || engine.stop());
    until("the other has taken over", async || {
        let mut whole = 0;
        for (n, account) in accounts.iter().enumerate() {
            for (path, field, value) in [
                (
                    format!("/accounts/{account}/balance"),
                    "booked",
                    json!(format!("{}.50", 10 + n)),
                ),
                (format!("/accounts/{account}"), "id", json!(account)),
            ] {
                match a.get(&path, &[]).await {
                    (200, body) => {
                        assert_eq!(body[field], value, "{path}");
                        whole += 1;
                    }
                    (status, body) => assert_eq!(status, 503, "{path}: {body}"),
                }
            }
        }
        match a.get("/accounts", &[]).await {
            (200, page) => assert_eq!(page["items"].as_array().expect("rows").len(), 8),
            (status, body) => assert_eq!(status, 503, "{body}"),
        }
        whole == 16 && a.queries().groups().len() == a.queries().groups_total() as usize
    })
    .await;
    stopped.await.expect("it ends");
    let engine = a.engine;
    tokio::task::spawn_blocking(move || engine.stop()).await.expect("it ends");
}
