//! From somebody's SQL to a balance, on real servers, while processes are killed: afterwards Postgres, HTTP, the compacted topic
//! and the Parquet files say the same, to the cent.

mod support {
    pub mod lake;
    pub mod stack;
    pub mod workload;
}

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use schemas::topics::{ACCOUNT_BALANCES, CDC_ACCOUNTS, CDC_CUSTOMERS, CDC_TRANSACTIONS};
use support::lake;
use support::stack::{Riverbank, Stack, eventually};
use support::workload::{Workload, postgres_balances};
use testbed::visible::{Deposits, Legs, metric, open_accounts};

/// Prints what was measured, past the test runner's capture: it is wanted of tests that pass, too.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write;
        writeln!(std::io::stdout().lock(), $($text)*).expect("standard output takes it");
    }};
}

const READY: Duration = Duration::from_secs(180);
const TRANSACTIONS: usize = 10_000;
const KILLS: usize = 5;

fn seed() -> u64 {
    std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_123)
}

/// What an instance answers for these accounts.
async fn http_balances(
    http: &reqwest::Client,
    url: &str,
    ids: impl Iterator<Item = i64>,
) -> Result<BTreeMap<i64, String>, String> {
    let mut all = BTreeMap::new();
    for id in ids {
        let answer = http
            .get(format!("{url}/accounts/{id}/balance"))
            .send()
            .await
            .map_err(|e| e.to_string())?;
        let status = answer.status();
        let body = answer.text().await.map_err(|e| e.to_string())?;
        if !status.is_success() {
            return Err(format!("account {id}: {status} {body}"));
        }
        let json: serde_json::Value = serde_json::from_str(&body).map_err(|e| e.to_string())?;
        all.insert(id, json["booked"].as_str().ok_or("no booked balance")?.to_owned());
    }
    Ok(all)
}

fn differences(left: &BTreeMap<i64, String>, right: &BTreeMap<i64, String>) -> Result<(), String> {
    if left == right {
        return Ok(());
    }
    let ids = left.keys().chain(right.keys()).collect::<std::collections::BTreeSet<_>>();
    let differ: Vec<String> = ids
        .into_iter()
        .filter(|id| left.get(id) != right.get(id))
        .map(|id| format!("{id}: {:?} {:?}", left.get(id), right.get(id)))
        .collect();
    Err(format!(
        "{} differ: {}",
        differ.len(),
        differ[..differ.len().min(5)].join(", ")
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cent_arrives_everywhere_whatever_dies() {
    let seed = seed();
    tell!("seed {seed}");
    let stack = Stack::start().await;
    let mut instances = [stack.riverbank("one"), stack.riverbank("two")];
    for instance in &mut instances {
        instance.spawn();
    }
    for instance in &mut instances {
        let took = instance.ready(&stack.http, READY).await;
        tell!("{}: ready after {took:?}", instance.name);
    }
    stack.capture().await;

    let workload = Arc::new(Workload::open(&stack.postgres_url(), seed).await);
    let work = tokio::spawn(workload.clone().run(TRANSACTIONS));
    let chaos = chaos(&stack, &mut instances, &workload, seed);
    let (restarts, work) = tokio::join!(chaos, work);
    work.expect("the workload ends");
    tell!(
        "{} transactions committed, {} refused",
        workload.committed(),
        workload.refused()
    );

    let expected = postgres_balances(&stack.postgres_url()).await;
    assert!(expected.len() >= 50);
    let caught_up = Instant::now();
    for instance in &instances {
        let what = format!("HTTP on {} equals Postgres", instance.name);
        eventually(&what, Duration::from_secs(120), || async {
            differences(
                &expected,
                &http_balances(&stack.http, &instance.url, expected.keys().copied()).await?,
            )
        })
        .await;
    }
    tell!(
        "both instances answer as Postgres does {:?} after the last commit",
        caught_up.elapsed()
    );
    for instance in &instances {
        let wipes = metric(&stack.http, &instance.url, "riverbank_state_wipes_total")
            .await
            .expect("metrics answer");
        assert_eq!(wipes, 0.0, "{}: no store may be wiped", instance.name);
    }
    tell!("restart to ready: {restarts:?}");

    let store = stack.bed.minio().bucket(support::stack::BUCKET).expect("the bucket opens");
    eventually(
        "the newest rows in Parquet equal Postgres",
        Duration::from_secs(120),
        || async { differences(&expected, &lake::newest_balances(store.as_ref()).await) },
    )
    .await;
    instances[0].audit().await;
    let first = *expected.keys().next().expect("an account");
    a_cent_is_found(&stack, &instances, first).await;
    // A clean end writes what is open.
    for instance in &mut instances {
        instance.audit().await;
        instance.stop(Duration::from_secs(60)).await;
    }
    let topic = lake::compacted(
        stack.bed.kafka().bootstrap(),
        stack.bed.registry().url(),
        ACCOUNT_BALANCES,
        |balance| balance.booked.to_string(),
    );
    differences(&expected, &topic).expect("the compacted topic equals Postgres");
    for topic in [CDC_CUSTOMERS.name(), CDC_ACCOUNTS.name(), CDC_TRANSACTIONS.name()] {
        let rows = lake::check_offsets(store.as_ref(), stack.bed.kafka().bootstrap(), topic).await;
        tell!("{topic}: {rows} offsets, each in Parquet exactly once");
    }
}

/// The source's own balance of an account is moved past its ledger: reconciliation names the account, and no other.
async fn a_cent_is_found(stack: &Stack, instances: &[Riverbank; 2], account: i64) {
    let pool = sqlx::PgPool::connect(&stack.postgres_url())
        .await
        .expect("the database answers");
    let moved = async |cents: i64| {
        let mut transaction = pool.begin().await.expect("a transaction begins");
        let role = sqlx::query("SET LOCAL ROLE riverbank_ledger").execute(&mut *transaction);
        role.await.expect("the ledger's role");
        let update = sqlx::query("UPDATE accounts SET balance = balance + $2::bigint / 100.0 WHERE id = $1");
        let update = update.bind(account).bind(cents).execute(&mut *transaction);
        update.await.expect("the balance is moved");
        transaction.commit().await.expect("the commit holds");
    };
    let differences = async || {
        let url = format!("{}/reconciliation", instances[0].url);
        let answer = stack.http.get(url).send().await.map_err(|error| error.to_string())?;
        let answer: serde_json::Value = answer.json().await.map_err(|error| error.to_string())?;
        let items = answer["items"].as_array().ok_or_else(|| answer.to_string())?;
        Ok::<_, String>(items.clone())
    };
    let counted = async || {
        let mut sum = 0.0;
        for instance in instances {
            sum += metric(&stack.http, &instance.url, "riverbank_reconciliation_differences")
                .await
                .unwrap_or_default();
        }
        sum
    };
    assert_eq!(differences().await.expect("it answers"), Vec::<serde_json::Value>::new());
    moved(1).await;
    // It moves nothing; but whoever hears of it knows that all before it has come.
    let nothing = "INSERT INTO transactions (account_id, txn_type, amount, status) VALUES ($1, 'DEPOSIT', 1.00, 'FAILED')";
    let nothing = sqlx::query(nothing).bind(account).execute(&pool);
    nothing.await.expect("it is written");
    let found = eventually("the cent is found", Duration::from_secs(120), || async {
        let found = differences().await?;
        (found.len() == 1)
            .then(|| found[0].clone())
            .ok_or_else(|| format!("{found:?}"))
    })
    .await;
    assert_eq!(
        (&found["account_id"], &found["difference"]),
        (&account.into(), &"-0.01".into()),
        "{found}"
    );
    assert_eq!(counted().await, 1.0, "one of the instances counts it");
    moved(-1).await;
    eventually("it is put right", Duration::from_secs(120), || async {
        let found = differences().await?;
        (found.is_empty() && counted().await == 0.0)
            .then_some(())
            .ok_or_else(|| format!("{found:?}"))
    })
    .await;
}

/// Kills one or the other, starts it again; in the middle the broker goes and comes back.
async fn chaos(stack: &Stack, instances: &mut [Riverbank; 2], workload: &Workload, seed: u64) -> Vec<Duration> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut restarts = Vec::new();
    for kill in 0..KILLS {
        // Spread over the work, so that every kill meets records on their way.
        let at = TRANSACTIONS * (kill + 1) / (KILLS + 1);
        workload.reaches(at).await;
        if kill == KILLS / 2 {
            stack.bed.kafka().kill().expect("the broker can be killed");
            stack.bed.kafka().start().await.expect("the broker comes back");
            tell!("the broker was restarted at {at} transactions");
        }
        let victim = &mut instances[random.random_range(0..2)];
        victim.kill();
        victim.spawn();
        let took = victim.ready(&stack.http, READY).await;
        tell!("{} killed at {at} transactions, ready again after {took:?}", victim.name);
        restarts.push(took);
    }
    restarts
}

/// For how long transactions flow before their latency says something of a system that runs for longer than a minute.
const WARM_UP: Duration = Duration::from_secs(70);

/// Commit to visible over the whole path, at a hundred transactions a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latency_from_commit_to_visible() {
    let stack = Stack::start().await;
    let mut instance = stack.riverbank("one");
    instance.spawn();
    instance.ready(&stack.http, READY).await;
    stack.capture().await;
    let pool = sqlx::PgPool::connect(&stack.postgres_url())
        .await
        .expect("the database answers");
    open_accounts(&pool).await.expect("the accounts are opened");
    let deposits = Deposits::new(pool, stack.http.clone(), &instance.url);
    deposits.accounts_show(READY).await.expect("the accounts are there");
    let probe = async |time| {
        let latencies = deposits.probe(100, time).await.expect("the deposits show");
        let at = |percent: usize| latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)];
        (latencies.len(), at(50), at(99))
    };
    let (_, p50, p99) = probe(Duration::from_secs(10)).await;
    tell!("commit to visible, while the Java servers are still compiling themselves: p50 {p50:?}, p99 {p99:?}");
    probe(WARM_UP).await;
    let legs = async || Legs::now(&stack.http, &instance.url).await.expect("metrics answer");
    let before = legs().await;
    let (probes, p50, p99) = probe(Duration::from_secs(20)).await;
    let after = legs().await;
    tell!("commit to visible over HTTP at 100 transactions a second, {probes} probes: p50 {p50:?}, p99 {p99:?}");
    let means = after
        .since(&before, stack.bed.kafka().bootstrap(), stack.bed.registry().url())
        .expect("the change topic is read");
    tell!(
        "where the time goes, as means since the commit in Postgres: in Kafka by Debezium {:.1} ms;",
        means.in_kafka_ms
    );
    tell!(
        "legs committed {:.1} ms; balance committed {:.1} ms; of which each of our commits takes {:.1} ms",
        means.legs_committed_ms,
        means.balance_committed_ms,
        means.commit_ms
    );
    instance.audit().await;
    instance.stop(Duration::from_secs(60)).await;
}

/// The same pipeline on a database that knows nothing of us.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrow_schema_is_read_as_it_is() {
    let stack = Stack::start_narrow().await;
    let mut instance = stack.riverbank("one");
    instance.spawn();
    instance.ready(&stack.http, READY).await;
    let pool = sqlx::PgPool::connect(&stack.postgres_url())
        .await
        .expect("the database answers");
    let run = async |sql: &'static str| {
        sqlx::raw_sql(sql)
            .execute(&pool)
            .await
            .map(|_| ())
            .expect("the statement runs")
    };
    // Before the capture: a snapshot shows it.
    run("INSERT INTO customers (first_name, last_name, email) VALUES ('Ada', 'Lovelace', ' Ada@Example.org ');
         INSERT INTO accounts (customer_id, account_type, balance, currency) VALUES (1, 'Checking', 100.50, 'EUR'), (1, 'SAVINGS', 0, 'EUR');
         INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 10.25);")
    .await;
    stack.capture().await;
    run(
        "INSERT INTO transactions (account_id, txn_type, amount, related_account_id) VALUES (1, 'TRANSFER', 50.00, 2);
         INSERT INTO transactions (account_id, txn_type, amount) VALUES (2, 'WITHDRAWAL', 5.00), (2, 'WITHDRAWAL', 7.00);
         UPDATE transactions SET amount = 4.00 WHERE id = 3;
         DELETE FROM transactions WHERE id = 4;",
    )
    .await;
    let expected = BTreeMap::from([(1, "60.75".to_owned()), (2, "46.00".to_owned())]);
    eventually("the balances of a narrow source", Duration::from_secs(120), || async {
        differences(
            &expected,
            &http_balances(&stack.http, &instance.url, expected.keys().copied()).await?,
        )
    })
    .await;
    instance.audit().await;
    instance.stop(Duration::from_secs(60)).await;
}
