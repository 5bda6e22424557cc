//! Ten accounts of 100.00 each, money that only moves between them, and readers who ask for all ten at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use sqlx::PgPool;

/// What all ten have together, in cents.
const TOGETHER: i64 = 100_000;

/// The accounts, and what was seen of them.
pub struct Ten {
    pool: PgPool,
    ids: Vec<i64>,
    is_over: AtomicBool,
    reads: AtomicUsize,
    unanswered: AtomicUsize,
    apart: AtomicUsize,
    assumed: AtomicUsize,
}

impl Ten {
    /// Opens the accounts.
    pub async fn open(url: &str) -> Self {
        let pool = PgPool::connect(url).await.expect("Postgres answers");
        let owner =
            "INSERT INTO customers (first_name, last_name, email) VALUES ('Tina', 'Ten', 'tina@ten.example') RETURNING id";
        let owner: i64 = sqlx::query_scalar(owner).fetch_one(&pool).await.expect("a customer");
        let accounts = "INSERT INTO accounts (customer_id, account_type, currency, balance)
                        SELECT $1, 'CHECKING', 'EUR', 100.00 FROM generate_series(1, 10) RETURNING id";
        let ids = sqlx::query_scalar(accounts)
            .bind(owner)
            .fetch_all(&pool)
            .await
            .expect("the accounts are opened");
        Self {
            pool,
            ids,
            is_over: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
            apart: AtomicUsize::new(0),
            assumed: AtomicUsize::new(0),
        }
    }

    /// Writers and readers end.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// Moves money between the accounts until the end: by a transfer, or by a withdrawal and a deposit in one transaction.
    pub async fn write(&self, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        while self.goes_on() {
            let (from, to) = (random.random_range(0..10), random.random_range(1..10));
            let (from, to) = (self.ids[from], self.ids[(from + to) % 10]);
            let amount = format!("{}.{:02}", random.random_range(0..20), random.random_range(1..100));
            let statements = if random.random() {
                vec![("TRANSFER", from, Some(to))]
            } else {
                vec![("WITHDRAWAL", from, None), ("DEPOSIT", to, None)]
            };
            let mut transaction = self.pool.begin().await.expect("a transaction begins");
            let mut is_refused = false;
            for (txn_type, account, related) in statements {
                let insert = "INSERT INTO transactions (account_id, txn_type, amount, related_account_id, status)
                              VALUES ($1, $2, $3::text::numeric, $4, 'COMPLETED')";
                let query = sqlx::query(insert).bind(account).bind(txn_type).bind(&amount).bind(related);
                match query.execute(&mut *transaction).await {
                    Ok(_) => {}
                    // There is not so much, or two writers are in each other's way.
                    Err(sqlx::Error::Database(error))
                        if error.is_check_violation() || error.code().as_deref() == Some("40P01") =>
                    {
                        is_refused = true;
                        break;
                    }
                    Err(error) => panic!("the database failed: {error}"),
                }
            }
            match is_refused {
                true => transaction.rollback().await.expect("it is taken back"),
                false => transaction.commit().await.expect("the commit holds"),
            }
            // The machine is the bank's, too.
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    /// Asks one instance for all ten until the end; whoever does not answer (it was killed, or others' state moves) is asked again.
    pub async fn read(&self, http: &reqwest::Client, url: &str) {
        let asked: Vec<String> = self.ids.iter().map(|id| format!("account_id={id}")).collect();
        let url = format!("{url}/balances?{}", asked.join("&"));
        while self.goes_on() {
            match answer(http, &url).await {
                Some(answer) => self.judge(&answer),
                None => drop(self.unanswered.fetch_add(1, Ordering::Relaxed)),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn judge(&self, answer: &Value) {
        let items = answer["items"].as_array().expect("balances");
        let as_of = &answer["as_of"];
        if as_of["is_consistent"] != true || items.len() < 10 {
            self.apart.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let cents = |item: &Value| {
            item["booked"]
                .as_str()
                .expect("an amount")
                .replace('.', "")
                .parse::<i64>()
                .expect("cents")
        };
        let sum: i64 = items.iter().map(cents).sum();
        if sum != TOGETHER && as_of["is_assumed_complete"] == true {
            // An end was missing or late, and the answer says that a transaction may be open.
            self.assumed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        assert_eq!(sum, TOGETHER, "{answer}");
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// How many answers had all of the money, how many said that a transaction may be open, how many that they are not of one moment, and how
    /// often there was none.
    pub fn seen(&self) -> [usize; 4] {
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        [&self.reads, &self.assumed, &self.apart, &self.unanswered].map(count)
    }
}

async fn answer(http: &reqwest::Client, url: &str) -> Option<Value> {
    let answer = http.get(url).send().await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    answer.json().await.ok()
}
