//! Two instances as processes on real servers: one is stopped, sleeps, is started twice; the other goes on, and nobody answers from
//! what was.

#[allow(dead_code, reason = "each test file uses a part")]
mod support {
    pub mod stack;
}

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::stack::{Riverbank, Stack, eventually};

const READY: Duration = Duration::from_secs(180);
const WITHIN: Duration = Duration::from_secs(180);
const ACCOUNTS: usize = 12;
/// Longer than a group's session.
const SLEEP: Duration = Duration::from_secs(9);

async fn made(stack: &Stack, at: &Riverbank, path: &str, body: Value) -> i64 {
    let answer = stack.http.post(format!("{}{path}", at.url)).json(&body).send().await;
    let body: Value = answer.expect("an answer").json().await.expect("JSON");
    body["id"].as_i64().unwrap_or_else(|| panic!("{body}"))
}

async fn booked(stack: &Stack, at: &Riverbank, account: i64) -> Result<String, String> {
    let url = format!("{}/accounts/{account}/balance", at.url);
    let answer = stack.http.get(url).send().await.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body: Value = answer.json().await.map_err(|error| error.to_string())?;
    match body["booked"].as_str() {
        Some(booked) => Ok(booked.to_owned()),
        None => Err(format!("account {account}: {status}")),
    }
}

/// Waits until an instance answers for all accounts with this balance; returns how long that took.
async fn all_have(stack: &Stack, at: &Riverbank, accounts: &[i64], expected: &str) -> Duration {
    let started = Instant::now();
    eventually(&format!("{expected} at {}", at.name), WITHIN, || async {
        for account in accounts {
            let booked = booked(stack, at, *account).await?;
            if booked != expected {
                return Err(format!("account {account} has {booked}"));
            }
        }
        Ok(())
    })
    .await;
    started.elapsed()
}

async fn deposit(stack: &Stack, at: &Riverbank, accounts: &[i64]) {
    for account in accounts {
        let deposit = json!({"account_id": account, "txn_type": "DEPOSIT", "amount": "1.00"});
        made(stack, at, "/transactions", deposit).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_is_stopped_sleeps_and_is_started_twice_and_the_other_goes_on() {
    let stack = Stack::start().await;
    let (mut one, mut two) = (stack.riverbank("one"), stack.riverbank("two"));
    for instance in [&mut one, &mut two] {
        instance.spawn();
        instance.ready(&stack.http, READY).await;
    }
    stack.capture().await;
    let ada = json!({"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.org"});
    let customer = made(&stack, &one, "/customers", ada).await;
    let mut accounts = Vec::new();
    for _ in 0..ACCOUNTS {
        let account = json!({"customer_id": customer, "account_type": "CHECKING", "currency": "EUR", "opening_balance": "10.00"});
        accounts.push(made(&stack, &one, "/accounts", account).await);
    }
    all_have(&stack, &one, &accounts, "10.00").await;
    all_have(&stack, &two, &accounts, "10.00").await;

    // A copy of its state folder has its name.
    let mut copy = stack.riverbank("copy");
    copy.copies(&one);
    let said = copy.refuses(WITHIN).await;
    assert!(said.contains(&format!("runs already, at {}", one.url)), "{said}");
    assert!(
        said.contains("Then delete") && said.contains("instance for another name"),
        "{said}"
    );
    // Another process on the folder itself.
    let mut third = stack.riverbank("third");
    third.shares(&one);
    let said = third.refuses(WITHIN).await;
    assert!(
        said.contains("another process (pid") && said.contains("works with this folder"),
        "{said}"
    );
    for instance in [&one, &two] {
        for account in &accounts {
            assert_eq!(booked(&stack, instance, *account).await.expect("undisturbed"), "10.00");
        }
    }

    // One sleeps for longer than its session; the other has its tasks, and goes on.
    one.signal(Signal::SIGSTOP);
    tokio::time::sleep(SLEEP).await;
    deposit(&stack, &two, &accounts).await;
    all_have(&stack, &two, &accounts, "11.00").await;
    let mut waking = Vec::new();
    one.signal(Signal::SIGCONT);
    let woken = Instant::now();
    while woken.elapsed() < Duration::from_secs(3) {
        for account in &accounts {
            if let Ok(booked) = booked(&stack, &one, *account).await {
                waking.push(booked);
            }
        }
    }
    let from_before = waking.iter().filter(|booked| *booked != "11.00").count();
    assert_eq!(from_before, 0, "of {} answers are from before its sleep", waking.len());
    all_have(&stack, &one, &accounts, "11.00").await;

    // One stops for good.
    let ending = tokio::spawn(async move {
        one.stop(WITHIN).await;
        one
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let took = all_have(&stack, &two, &accounts, "11.00").await;
    let mut one = ending.await.expect("it ends");
    assert!(took < Duration::from_secs(5), "nobody answered for {took:?}");
    one.spawn();
    one.ready(&stack.http, READY).await;
    deposit(&stack, &one, &accounts).await;
    for instance in [&one, &two] {
        all_have(&stack, instance, &accounts, "12.00").await;
    }
    one.audit().await;
    for instance in [&mut one, &mut two] {
        instance.stop(WITHIN).await;
    }
    use std::io::Write;
    writeln!(std::io::stdout().lock(), "stopped: the other answered for all after {took:?}").expect("standard output takes it");
}
