//! Accounts, deposits on them at a rate, and how long some of those take to show.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use schemas::Money;
use sqlx::PgPool;

/// Customers that [`open_accounts`] adds.
pub const CUSTOMERS: i64 = 20;
/// Accounts that it opens, with the ids from 1 on.
pub const ACCOUNTS: i64 = 60;

/// One deposit in so many is watched.
const WATCHED_ONE_IN: i64 = 10;
/// The first accounts are for watched deposits alone; the others take the rest.
const WATCHED_ACCOUNTS: i64 = 10;

/// How long a deposit may take to show.
const SHOWN_WITHIN: Duration = Duration::from_secs(120);

/// Customers and accounts in an empty bank; every third account is in dollars.
pub async fn open_accounts(pool: &PgPool) -> anyhow::Result<()> {
    for id in 1..=CUSTOMERS {
        sqlx::query("INSERT INTO customers (first_name, last_name, email) VALUES ($1, 'Test', $1 || '@example.org')")
            .bind(format!("customer{id}"))
            .execute(pool)
            .await
            .context("add a customer")?;
    }
    for id in 0..ACCOUNTS {
        sqlx::query(
            "INSERT INTO accounts (customer_id, account_type, currency, opening_balance) VALUES ($1, 'CHECKING', $2, 1000)",
        )
        .bind(id % CUSTOMERS + 1)
        .bind(if id % 3 == 0 { "USD" } else { "EUR" })
        .execute(pool)
        .await
        .context("open an account")?;
    }
    Ok(())
}

/// Deposits on these accounts, watched over HTTP.
#[derive(Debug, Clone)]
pub struct Deposits {
    pool: PgPool,
    http: reqwest::Client,
    url: String,
}

impl Deposits {
    /// Into this database, watched at this Riverbank.
    pub fn new(pool: PgPool, http: reqwest::Client, url: &str) -> Self {
        let url = url.to_owned();
        Self { pool, http, url }
    }

    /// Waits until every account shows, at most so long.
    pub async fn accounts_show(&self, bound: Duration) -> anyhow::Result<()> {
        let started = Instant::now();
        for account in 1..=ACCOUNTS {
            while self.booked(account).await?.is_none() {
                ensure!(started.elapsed() < bound, "account {account} does not show within {bound:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    /// Deposits at a rate; every tenth is watched. Returns how long those took from their commit on, sorted.
    pub async fn probe(&self, per_second: u32, time: Duration) -> anyhow::Result<Vec<Duration>> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let started = Instant::now();
        let mut deposits = tokio::task::JoinSet::new();
        let mut number = 0_i64;
        while started.elapsed() < time {
            ticks.tick().await;
            number += 1;
            let is_watched = number % WATCHED_ONE_IN == 0;
            let account = if is_watched {
                number / WATCHED_ONE_IN % WATCHED_ACCOUNTS + 1
            } else {
                number % (ACCOUNTS - WATCHED_ACCOUNTS) + WATCHED_ACCOUNTS + 1
            };
            let this = self.clone();
            deposits.spawn(async move { this.deposit(account, is_watched).await });
        }
        let mut latencies = Vec::new();
        while let Some(done) = deposits.join_next().await {
            latencies.extend(done.context("a deposit panicked")??);
        }
        latencies.sort();
        ensure!(latencies.len() > 10, "only {} deposits were watched", latencies.len());
        Ok(latencies)
    }

    /// How long it took from the commit until it showed, if it is watched.
    async fn deposit(&self, account: i64, is_watched: bool) -> anyhow::Result<Option<Duration>> {
        sqlx::query("INSERT INTO transactions (account_id, txn_type, amount) VALUES ($1, 'DEPOSIT', 0.01)")
            .bind(account)
            .execute(&self.pool)
            .await
            .context("make a deposit")?;
        let committed = Instant::now();
        if !is_watched {
            return Ok(None);
        }
        let balance: String = sqlx::query_scalar("SELECT balance::text FROM accounts WHERE id = $1")
            .bind(account)
            .fetch_one(&self.pool)
            .await
            .context("read a balance")?;
        let balance: Money = balance.parse().context("a balance is money")?;
        // Another deposit on the same account may have come on top.
        while self.booked(account).await?.is_none_or(|booked| booked < balance) {
            ensure!(
                committed.elapsed() < SHOWN_WITHIN,
                "account {account} did not show {balance} within {SHOWN_WITHIN:?}"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Some(committed.elapsed()))
    }

    /// The balance that HTTP shows.
    async fn booked(&self, account: i64) -> anyhow::Result<Option<Money>> {
        let answer = self
            .http
            .get(format!("{}/accounts/{account}/balance", self.url))
            .send()
            .await?;
        let json: serde_json::Value = answer.json().await?;
        Ok(json["booked"].as_str().and_then(|booked| booked.parse().ok()))
    }
}
