//! Somebody's SQL: random transactions, several at the same time, several rows in one database transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use schemas::Money;
use sqlx::{PgPool, Row};

const CUSTOMERS: i64 = 20;
const ACCOUNTS: i64 = 60;
const WRITERS: usize = 4;

/// A bank in Postgres, and the work on it.
pub struct Workload {
    pool: PgPool,
    seed: u64,
    started: AtomicUsize,
    committed: AtomicUsize,
    refused: AtomicUsize,
}

/// Every account's balance, as Postgres has it.
pub async fn postgres_balances(url: &str) -> BTreeMap<i64, String> {
    let pool = PgPool::connect(url).await.expect("Postgres answers");
    let rows = sqlx::query("SELECT id, balance::text AS balance FROM accounts")
        .fetch_all(&pool)
        .await
        .expect("the accounts are read");
    let balances = rows.iter().map(|row| (row.get("id"), row.get("balance"))).collect();
    // The ledger's own sum: the oracle is checked, too.
    let wrong: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM accounts a WHERE balance <> opening_balance + coalesce((
            SELECT sum(CASE WHEN t.txn_type = 'DEPOSIT' OR t.related_account_id = a.id THEN t.amount ELSE -t.amount END)
            FROM transactions t WHERE a.id IN (t.account_id, t.related_account_id) AND t.status = 'COMPLETED'), 0)",
    )
    .fetch_one(&pool)
    .await
    .expect("the sum is made");
    assert_eq!(wrong, 0, "balance = opening + Σ completed");
    pool.close().await;
    balances
}

impl Workload {
    /// Opens the accounts.
    pub async fn open(url: &str, seed: u64) -> Self {
        let pool = sqlx::postgres::PgPoolOptions::new()
            .max_connections(WRITERS as u32 + 4)
            .connect(url)
            .await
            .expect("Postgres answers");
        for id in 1..=CUSTOMERS {
            sqlx::query("INSERT INTO customers (first_name, last_name, email) VALUES ($1, 'Test', $1 || '@example.org')")
                .bind(format!("customer{id}"))
                .execute(&pool)
                .await
                .expect("a customer is added");
        }
        for id in 0..ACCOUNTS {
            sqlx::query(
                "INSERT INTO accounts (customer_id, account_type, currency, opening_balance) VALUES ($1, 'CHECKING', $2, 1000)",
            )
            .bind(id % CUSTOMERS + 1)
            .bind(if id % 3 == 0 { "USD" } else { "EUR" })
            .execute(&pool)
            .await
            .expect("an account is opened");
        }
        Self {
            pool,
            seed,
            started: AtomicUsize::new(0),
            committed: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        }
    }

    pub fn committed(&self) -> usize {
        self.committed.load(Ordering::Relaxed)
    }

    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Waits until so many were committed.
    pub async fn reaches(&self, count: usize) {
        while self.committed() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Commits so many transactions, from several connections.
    pub async fn run(self: Arc<Self>, count: usize) {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(self.clone().write(writer, count)))
            .collect();
        for writer in writers {
            writer.await.expect("a writer ends");
        }
    }

    async fn write(self: Arc<Self>, writer: usize, count: usize) {
        let mut random = StdRng::seed_from_u64(self.seed.wrapping_mul(31).wrapping_add(writer as u64));
        let mut mine: Vec<i64> = Vec::new();
        while self.started.fetch_add(1, Ordering::Relaxed) < count {
            // Refused ones (an overdraft) count for nothing: another one takes their place.
            while !self.commit(&mut random, &mut mine).await {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            self.committed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One database transaction of one to three changes; false where the bank refuses it.
    async fn commit(&self, random: &mut StdRng, mine: &mut Vec<i64>) -> bool {
        let mut transaction = self.pool.begin().await.expect("a transaction begins");
        let mut after = mine.clone();
        for _ in 0..random.random_range(1..=3) {
            let amount = format!("{}.{:02}", random.random_range(0..100), random.random_range(1..100));
            let outcome = match random.random_range(0..10) {
                0 if !after.is_empty() => {
                    let id = after.swap_remove(random.random_range(0..after.len()));
                    sqlx::query("DELETE FROM transactions WHERE id = $1")
                        .bind(id)
                        .execute(&mut *transaction)
                        .await
                        .map(|_| ())
                }
                1 | 2 if !after.is_empty() => {
                    let id = after[random.random_range(0..after.len())];
                    let status = ["COMPLETED", "PENDING", "FAILED", "REVERSED"][random.random_range(0..4)];
                    let update = "UPDATE transactions SET amount = $2::text::numeric, status = $3 WHERE id = $1";
                    sqlx::query(update)
                        .bind(id)
                        .bind(amount)
                        .bind(status)
                        .execute(&mut *transaction)
                        .await
                        .map(|_| ())
                }
                kind => {
                    let own = random.random_range(1..=ACCOUNTS);
                    // Three on is the same currency.
                    let related = (kind > 6).then_some((own + 2) % ACCOUNTS + 1);
                    let txn_type = if related.is_some() {
                        "TRANSFER"
                    } else {
                        ["DEPOSIT", "WITHDRAWAL"][random.random_range(0..2)]
                    };
                    let status = if random.random_range(0..8) == 0 {
                        "PENDING"
                    } else {
                        "COMPLETED"
                    };
                    let insert = "INSERT INTO transactions (account_id, txn_type, amount, related_account_id, status)
                                  VALUES ($1, $2, $3::text::numeric, $4, $5) RETURNING id";
                    let query = sqlx::query_scalar(insert)
                        .bind(own)
                        .bind(txn_type)
                        .bind(amount)
                        .bind(related)
                        .bind(status);
                    query.fetch_one(&mut *transaction).await.map(|id: i64| after.push(id))
                }
            };
            match outcome {
                Ok(()) => {}
                // A rule of the bank, or two writers in each other's way: nothing of it holds.
                Err(sqlx::Error::Database(error)) if error.is_check_violation() || error.code().as_deref() == Some("40P01") => {
                    return false;
                }
                Err(error) => panic!("the database failed: {error}"),
            }
        }
        transaction.commit().await.expect("the commit holds");
        *mine = after;
        true
    }
}

/// Deposits at a rate; every tenth is watched until HTTP shows it. Returns how long those took.
pub async fn probe(
    workload: &Arc<Workload>,
    http: &reqwest::Client,
    url: &str,
    per_second: u32,
    time: Duration,
) -> Vec<Duration> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let started = Instant::now();
    let mut watched = Vec::new();
    let mut number = 0_i64;
    while started.elapsed() < time {
        ticks.tick().await;
        number += 1;
        // The first ten accounts are watched, one probe at a time on each; the others make the load.
        let is_probe = number % 10 == 0;
        let account = if is_probe {
            number / 10 % 10 + 1
        } else {
            number % (ACCOUNTS - 10) + 11
        };
        let (pool, http, url) = (workload.pool.clone(), http.clone(), url.to_owned());
        let task = tokio::spawn(async move {
            let insert = "INSERT INTO transactions (account_id, txn_type, amount) VALUES ($1, 'DEPOSIT', 0.01)";
            sqlx::query(insert)
                .bind(account)
                .execute(&pool)
                .await
                .expect("a deposit is made");
            let committed = Instant::now();
            if !is_probe {
                return None;
            }
            let text: String = sqlx::query_scalar("SELECT balance::text FROM accounts WHERE id = $1")
                .bind(account)
                .fetch_one(&pool)
                .await
                .ok()?;
            let shown: Money = text.parse().expect("a balance is money");
            loop {
                let answer = http.get(format!("{url}/accounts/{account}/balance")).send().await.ok()?;
                let json: serde_json::Value = answer.json().await.ok()?;
                // Another probe of the same account may have come on top.
                if json["booked"]
                    .as_str()
                    .and_then(|booked| booked.parse().ok())
                    .is_some_and(|booked: Money| booked >= shown)
                {
                    return Some(committed.elapsed());
                }
                assert!(
                    committed.elapsed() < Duration::from_secs(30),
                    "account {account} never showed {text}: {json}"
                );
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        watched.push(task);
    }
    let mut latencies = Vec::new();
    for task in watched {
        latencies.extend(task.await.expect("a probe ends"));
    }
    assert!(latencies.len() > 10, "the probes were answered");
    latencies
}
