//! Somebody's SQL: random transactions, several at the same time, several rows in one database transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::{PgPool, Row};
use testbed::visible::{ACCOUNTS, open_accounts};

const WRITERS: usize = 4;

/// A bank in Postgres, and the work on it.
pub struct Workload {
    pool: PgPool,
    seed: u64,
    started: AtomicUsize,
    committed: AtomicUsize,
    refused: AtomicUsize,
}

/// Every account's balance, as Postgres has it; all are in currencies with two decimal places.
pub async fn postgres_balances(url: &str) -> BTreeMap<i64, String> {
    let pool = PgPool::connect(url).await.expect("Postgres answers");
    let rows = sqlx::query("SELECT id, round(balance, 2)::text AS balance FROM accounts")
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
        open_accounts(&pool).await.expect("the accounts are opened");
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
