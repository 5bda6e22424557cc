//! Postings, statements, balances of the past and what a balance is made of, over the bank's own stores: beside what the source's rows were at any
//! commit.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod terms;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use jiff::Timestamp;
use processors::silver::SILENCE;
use processors::{BankSettings, bank};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use schemas::Money;
use schemas::bronze::{AccountRow, CdcKey, Envelope, Op, Source, TransactionRow};
use schemas::topics::{CDC_ACCOUNTS, CDC_TRANSACTIONS};
use serde_json::{Value, json};
use support::http::{Bank, limits, router, send};
use topology::EngineSettings;
use topology::store::MemoryBackends;
use topology::testing::TestDriver;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// 20 January 2026.
const START_US: i64 = 1_768_867_200_000_000;

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn text(at: i64) -> String {
    Timestamp::from_microsecond(at).unwrap().to_string()
}

/// A source of one account, the transactions' rows after each commit, and the service over what is made of them.
struct World {
    driver: TestDriver,
    router: Router,
    lsn: i64,
    now: i64,
    rows: BTreeMap<i64, TransactionRow>,
    /// After the commit at that time, all rows.
    states: Vec<(i64, BTreeMap<i64, TransactionRow>)>,
}

impl World {
    fn new() -> Self {
        let mut world = Self::empty();
        world.account(0, Op::Create, account("EUR", "100.00", START_US));
        world
    }

    /// There is no account yet.
    fn empty() -> Self {
        let settings = EngineSettings {
            partitions: 3,
            ..EngineSettings::default()
        };
        let topology = bank(BankSettings::default()).unwrap();
        let driver = TestDriver::with(topology, settings, Arc::new(MemoryBackends::default())).unwrap();
        let router = router(Arc::new(driver.queries()), Bank::new().records, &limits());
        Self {
            driver,
            router,
            lsn: 0,
            now: START_US,
            rows: BTreeMap::new(),
            states: Vec::new(),
        }
    }

    /// The source commits a change of the account, so long after the one before.
    fn account(&mut self, after: i64, op: Op, row: AccountRow) {
        self.now += after;
        let event = self.event(op, row);
        self.driver
            .send(CDC_ACCOUNTS, self.now / 1_000, &CdcKey { id: 1 }, Some(&event));
    }

    /// Nothing more comes of the newest transaction.
    fn be_silent(&mut self) {
        (0..3).for_each(|_| self.driver.advance_wall_clock(SILENCE));
    }

    /// A statement, page by page: what it says of itself, and its lines.
    async fn statement(&self, month: &str, limit: usize) -> (Value, Vec<Value>) {
        let path = format!("/accounts/1/statements/{month}?limit={limit}");
        let mut page = self.get(&path).await;
        let (mut whole, mut lines) = (page.clone(), page["items"].as_array().unwrap().clone());
        while let Some(next) = page["next"].as_i64() {
            page = self.get(&format!("{path}&after={next}")).await;
            lines.extend(page["items"].as_array().unwrap().clone());
            for field in ["currency", "opening", "closing", "opening_change", "entries"] {
                assert_eq!(page[field], whole[field], "{month}: {field} of another page");
            }
        }
        whole.as_object_mut().unwrap().remove("items");
        (whole, lines)
    }

    fn event<R>(&mut self, op: Op, row: R) -> Envelope<R> {
        self.lsn += 10;
        Envelope {
            before: None,
            after: (op != Op::Delete).then_some(row),
            source: Source {
                lsn: Some(self.lsn),
                tx_id: (op != Op::Read).then_some(self.lsn),
                ts_ms: self.now / 1_000,
                snapshot: (op == Op::Read).then(|| "true".to_owned()),
                ..Source::default()
            },
            transaction: None,
            op,
            ts_ms: None,
            ts_us: None,
            ts_ns: None,
        }
    }

    /// The source commits a change of a transaction, so long after the one before.
    fn commit(&mut self, after: i64, op: Op, row: TransactionRow) {
        // Its clock, as the connector tells it, has milliseconds.
        self.now += after.max(1_000) / 1_000 * 1_000;
        match op {
            Op::Delete => drop(self.rows.remove(&row.id)),
            _ => drop(self.rows.insert(row.id, row.clone())),
        }
        self.states.push((self.now, self.rows.clone()));
        let id = row.id;
        let event = self.event(op, row);
        self.driver
            .send(CDC_TRANSACTIONS, self.now / 1_000, &CdcKey { id }, Some(&event));
    }

    /// What was booked at an instant, as the source's rows of another had it.
    fn booked(&self, effective_at: i64, recorded_at: i64) -> Money {
        let known = self.states.iter().rev().find(|(at, _)| *at <= recorded_at);
        let rows = known.map(|(_, rows)| rows.values()).into_iter().flatten();
        let in_time = rows.filter(|row| row.created_at.unwrap() <= effective_at && row.status.as_deref() == Some("COMPLETED"));
        in_time.fold(money("100.00"), |sum, row| match row.txn_type.as_deref() {
            Some("DEPOSIT") => sum.checked_add(row.amount.unwrap()).unwrap(),
            _ => sum.checked_sub(row.amount.unwrap()).unwrap(),
        })
    }

    async fn get(&self, path: &str) -> Value {
        let answer = send(&self.router, Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.json()
    }

    async fn refused(&self, path: &str) -> (u16, Value) {
        let answer = send(&self.router, Request::get(path).body(Body::empty()).unwrap()).await;
        (answer.status.as_u16(), answer.json()["field"].clone())
    }
}

fn account(currency: &str, opening: &str, created_at: i64) -> AccountRow {
    AccountRow {
        id: 1,
        customer_id: Some(1),
        account_type: Some("CHECKING".into()),
        currency: Some(currency.into()),
        opening_balance: Some(money(opening)),
        balance: Some(money(opening)),
        status: Some("ACTIVE".into()),
        created_at: Some(created_at),
        ..AccountRow::default()
    }
}

fn row(id: i64, kind: &str, amount: &str, status: &str, created_at: i64) -> TransactionRow {
    TransactionRow {
        id,
        account_id: Some(1),
        txn_type: Some(kind.into()),
        amount: Some(money(amount)),
        status: Some(status.into()),
        created_at: Some(created_at),
        ..TransactionRow::default()
    }
}

fn random_history(random: &mut StdRng) -> World {
    let mut world = World::new();
    for n in 1..=120 {
        let known: Vec<i64> = world.rows.keys().copied().collect();
        let id = match known.get(random.random_range(0..known.len() + 4)) {
            Some(id) => *id,
            None => n,
        };
        // Made when it is committed, or before, or for a time to come.
        let shift = [0, 0, 0, -40 * DAY_US, -2 * DAY_US, 3 * DAY_US, 45 * DAY_US][random.random_range(0..7)];
        let created_at = match world.rows.get(&id) {
            Some(row) if random.random() => row.created_at.unwrap(),
            _ => world.now + shift + random.random_range(0..HOUR_US),
        };
        let amount = format!("{}.{:02}", random.random_range(1..50), random.random_range(0..100));
        let status = ["COMPLETED", "COMPLETED", "PENDING", "FAILED"][random.random_range(0..4)];
        let kind = ["DEPOSIT", "WITHDRAWAL"][random.random_range(0..2)];
        let op = match world.rows.contains_key(&id) {
            true if random.random_ratio(1, 4) => Op::Delete,
            true => Op::Update,
            false => Op::Create,
        };
        let after = random.random_range(0..DAY_US);
        world.commit(after, op, row(id, kind, &amount, status, created_at));
    }
    world.be_silent();
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_of_the_past_is_what_the_source_had() {
    for seed in 0..6 {
        print_seed(seed);
        let mut random = StdRng::seed_from_u64(seed);
        let world = random_history(&mut random);
        let now = text(world.now);
        for _ in 0..60 {
            let mut at = || {
                let (commit, _) = &world.states[random.random_range(0..world.states.len())];
                commit + [0, -1, 1, HOUR_US, 60 * DAY_US][random.random_range(0..5)]
            };
            let (effective_at, recorded_at) = (at(), at());
            for (query, expected) in [
                (
                    format!("effective_at={}&recorded_at={}", text(effective_at), text(recorded_at)),
                    world.booked(effective_at, recorded_at),
                ),
                (
                    format!("effective_at={}", text(effective_at)),
                    world.booked(effective_at, i64::MAX),
                ),
                (
                    format!("recorded_at={}", text(recorded_at)),
                    world.booked(i64::MAX, recorded_at),
                ),
            ] {
                let answer = world.get(&format!("/accounts/1/balance?{query}")).await;
                assert_eq!(
                    answer["booked"],
                    json!(expected.to_string()),
                    "seed {seed}: {query}, now {now}: {answer}"
                );
            }
        }
    }
}

/// The seed of a run that fails is the last that is printed.
#[allow(clippy::print_stdout, reason = "it replays a failure")]
fn print_seed(seed: u64) {
    println!("seed {seed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_follow_each_other_and_closed_ones_stay() {
    for seed in 0..6 {
        print_seed(seed);
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = random_history(&mut random);
        let months = ["2026-01", "2026-02", "2026-03", "2026-04", "2026-05", "2026-06", "2026-07"];
        let mut statements = Vec::new();
        let mut brought = "100.00".to_owned();
        let mut numbers = 0;
        for month in months {
            let mut statement = world.get(&format!("/accounts/1/statements/{month}?limit=7")).await;
            let mut lines = statement["items"].as_array().unwrap().clone();
            while let Some(next) = statement["next"].as_i64() {
                let page = world
                    .get(&format!("/accounts/1/statements/{month}?limit=7&after={next}"))
                    .await;
                assert_eq!(page["closing"], statement["closing"]);
                lines.extend(page["items"].as_array().unwrap().clone());
                statement = page;
            }
            assert_eq!(statement["opening"], json!(brought), "seed {seed}: {month}");
            assert_eq!(statement["entries"], json!(lines.len()));
            for line in &lines {
                numbers += 1;
                assert_eq!(line["number"], json!(numbers), "each posting is in one statement");
                assert!(line["recorded_at"].as_str().unwrap().starts_with(month));
                brought = line["balance_after"].as_str().unwrap().to_owned();
                let made = &line["effective_at"].as_str().unwrap()[..7];
                let corrects = if made < month { json!(made) } else { Value::Null };
                assert_eq!(line["corrects"], corrects);
            }
            assert_eq!(statement["closing"], json!(brought));
            // Its last instant, as it was known then.
            statements.push((month, statement["is_closed"].clone(), lines));
        }
        let open = text(world.now)[..7].to_owned();
        for (month, is_closed, _) in &statements {
            assert_eq!(*is_closed, json!(*month < &*open), "seed {seed}: {month}, now {open}");
        }
        // What comes late for a month is in the open one.
        world.commit(HOUR_US, Op::Create, row(10_000, "DEPOSIT", "1.00", "COMPLETED", START_US));
        world.commit(HOUR_US, Op::Create, row(10_001, "DEPOSIT", "1.00", "COMPLETED", START_US));
        world.be_silent();
        for (month, is_closed, lines) in statements {
            let again = world.get(&format!("/accounts/1/statements/{month}")).await;
            if is_closed == json!(true) {
                assert_eq!(again["items"], json!(lines), "seed {seed}: {month} is closed");
            }
        }
        let last = world.get("/accounts/1/postings?limit=1").await["items"][0].clone();
        assert_eq!(
            (&last["transaction_id"], &last["effective_at"]),
            (&json!(10_001), &json!(text(START_US)))
        );
        let statement = world.get(&format!("/accounts/1/statements/{}", &text(world.now)[..7])).await;
        let line = statement["items"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(
            (&line["transaction_id"], &line["corrects"]),
            (&json!(10_001), &json!("2026-01"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postings_come_in_pages_and_explain_the_balance() {
    let world = random_history(&mut StdRng::seed_from_u64(1));
    let (mut all, mut before) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/accounts/1/postings?limit=9{before}")).await;
        all.extend(page["items"].as_array().unwrap().clone());
        match page["next"].as_i64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    let balance = world.get("/accounts/1/balance").await;
    let count = balance["entry_count"].as_i64().unwrap();
    let numbers: Vec<i64> = all.iter().map(|posting| posting["number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, Vec::from_iter((1..=count).rev()));
    assert_eq!(all[0]["balance_after"], balance["booked"]);
    let explained = world.get("/accounts/1/balance/explain").await;
    assert_eq!(explained["brought_forward"], json!("100.00"));
    for field in ["booked", "pending", "available", "as_of"] {
        assert_eq!(explained[field], balance[field], "{field}");
    }
    let sum = |is_in: fn(Money) -> bool| {
        let amounts = all.iter().map(|posting| money(posting["amount"].as_str().unwrap()));
        amounts
            .filter(|amount| is_in(*amount))
            .fold(Money::ZERO, |sum, amount| sum.checked_add(amount).unwrap())
    };
    let (credits, debits) = (
        sum(|amount| amount > Money::ZERO),
        sum(|amount| amount < Money::ZERO).negated(),
    );
    assert_eq!(explained["credits"], json!(credits.to_string()));
    assert_eq!(explained["debits"], json!(debits.to_string()));
    assert_eq!(explained["entries"], json!(count));
    assert_eq!(
        explained["reversals"],
        json!(all.iter().filter(|posting| !posting["reverses"].is_null()).count())
    );
    assert_eq!((&explained["first"], &explained["last"]), (&all[all.len() - 1], &all[0]));
    let holds = world.get("/accounts/1/holds").await;
    assert_eq!(holds["items"], explained["holds"]);
    let pending: Vec<i64> = world
        .rows
        .values()
        .filter(|row| row.status.as_deref() == Some("PENDING") && row.txn_type.as_deref() == Some("WITHDRAWAL"))
        .map(|row| row.id)
        .collect();
    let held: Vec<i64> = holds["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hold| hold["transaction_id"].as_i64().unwrap())
        .collect();
    assert!(!held.is_empty());
    assert_eq!(held, pending);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_and_says_where() {
    let world = World::new();
    for (path, status, field) in [
        ("/accounts/1/statements/2026-13", 400, json!("month")),
        ("/accounts/1/statements/2026-1", 400, json!("month")),
        ("/accounts/x/statements/2026-01", 400, json!("id")),
        ("/accounts/1/statements/2026-01?limit=0", 400, json!("limit")),
        ("/accounts/1/statements/2026-01?limit=101", 400, json!("limit")),
        ("/accounts/2/statements/2026-01", 404, Value::Null),
        ("/accounts/1/statements/2025-12", 404, Value::Null),
        ("/accounts/1/balance?effective_at=1990-01-01T00:00:00Z", 404, Value::Null),
        ("/accounts/1/balance?recorded_at=1990-01-01T00:00:00Z", 404, Value::Null),
        ("/accounts/1/postings?limit=101", 400, json!("limit")),
        ("/accounts/2/postings", 404, Value::Null),
        ("/accounts/1/balance?effective_at=yesterday", 400, json!("effective_at")),
        ("/accounts/1/balance?recorded_at=2026-01-31", 400, json!("recorded_at")),
        ("/accounts/2/balance?recorded_at=2026-01-31T00:00:00Z", 404, Value::Null),
        ("/accounts/2/balance/explain", 404, Value::Null),
        ("/accounts/2/holds", 404, Value::Null),
        ("/accounts/2/reconciliation", 404, Value::Null),
        ("/reconciliation?after=zz", 400, json!("after")),
    ] {
        assert_eq!(world.refused(path).await, (status, field), "{path}");
    }
    for path in [
        "/accounts/1/postings",
        "/accounts/1/postings?before=-9223372036854775808",
        "/accounts/1/postings?before=1",
        "/reconciliation",
    ] {
        let answer = world.get(path).await;
        assert_eq!((&answer["items"], &answer["next"]), (&json!([]), &Value::Null), "{path}");
    }
    let path = "/accounts/1/statements/2026-01?after=9223372036854775807";
    assert_eq!(world.get(path).await["next"], Value::Null);
    let of_source = world.get("/accounts/1/reconciliation").await;
    assert_eq!(
        (&of_source["streamed"], &of_source["difference"]),
        (&json!("100.00"), &json!("0.00"))
    );
}
