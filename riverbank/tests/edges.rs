//! Where the engine's edges meet real servers under load: an instance that sleeps for longer than every time-out, a broker that is
//! killed, a full disk, and a broker that has forgotten whoever was idle. After each the books balance.

#[allow(dead_code, reason = "each test file uses a part")]
mod support {
    pub mod bank;
    pub mod stack;
}

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use reqwest::Method;
use schemas::topics::CDC_TRANSACTIONS;
use sqlx::PgPool;
use support::bank::{Bank, CAUGHT_UP, READY};
use support::stack::{Riverbank, Stack, eventually};
use testbed::visible::{ACCOUNTS, metric, open_accounts};

const STOPPED_WITHIN: Duration = Duration::from_secs(60);
/// Longer than the groups' sessions (6 s to 30 s) and the transactions' time-out (15 s).
const SLEEP: Duration = Duration::from_secs(40);
/// What the broker of the idle test remembers.
const IDLE: Duration = Duration::from_secs(60);
const DISK_MIB: u32 = 128;

/// Prints what was measured, past the test runner's capture: it is wanted of tests that pass, too.
macro_rules! tell {
    ($($text:tt)*) => { writeln!(std::io::stdout().lock(), $($text)*).expect("standard output takes it") };
}

fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or(20_261_128);
    tell!("seed {seed}");
    seed
}

/// About a hundred changes of the ledger a second, until it is ended. The first three accounts are left alone.
struct Load {
    is_done: Arc<AtomicBool>,
    committed: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    fn on(pool: &PgPool, seed: u64) -> Self {
        let is_done = Arc::new(AtomicBool::new(false));
        let committed = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(load(pool.clone(), seed, is_done.clone(), committed.clone()));
        Self {
            is_done,
            committed,
            task,
        }
    }

    /// Waits until so many more were committed.
    async fn goes_on_for(&self, count: usize) {
        let until = self.committed.load(Ordering::Relaxed) + count;
        eventually("the load goes on", CAUGHT_UP, || async {
            let committed = self.committed.load(Ordering::Relaxed);
            if self.task.is_finished() {
                panic!("the load ended after {committed}");
            }
            if committed >= until {
                Ok(())
            } else {
                Err(format!("{committed}"))
            }
        })
        .await;
    }

    async fn end(self) {
        self.is_done.store(true, Ordering::Relaxed);
        self.task.await.expect("the load ends");
        tell!("{} changes committed", self.committed.load(Ordering::Relaxed));
    }
}

async fn load(pool: PgPool, seed: u64, is_done: Arc<AtomicBool>, committed: Arc<AtomicUsize>) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut known: Vec<i64> = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !is_done.load(Ordering::Relaxed) {
        ticks.tick().await;
        let amount = format!("{}.{:02}", random.random_range(0..50), random.random_range(1..100));
        let account = random.random_range(4..=ACCOUNTS - 3);
        let of = |random: &mut StdRng| random.random_range(0..known.len());
        let outcome = match random.random_range(0..10) {
            0 if !known.is_empty() => {
                let at = of(&mut random);
                let delete = sqlx::query("DELETE FROM transactions WHERE id = $1").bind(known[at]);
                delete.execute(&pool).await.map(|_| {
                    known.swap_remove(at);
                })
            }
            1 if !known.is_empty() => {
                let status = ["COMPLETED", "PENDING", "FAILED", "REVERSED"][random.random_range(0..4)];
                let update = sqlx::query("UPDATE transactions SET status = $2, amount = $3::text::numeric WHERE id = $1")
                    .bind(known[of(&mut random)])
                    .bind(status)
                    .bind(amount);
                update.execute(&pool).await.map(|_| ())
            }
            kind => {
                // Three on is the same currency.
                let (txn_type, related) = match kind {
                    2 | 3 => ("TRANSFER", Some(account + 3)),
                    4 => ("WITHDRAWAL", None),
                    _ => ("DEPOSIT", None),
                };
                let insert = sqlx::query_scalar(
                    "INSERT INTO transactions (account_id, txn_type, amount, related_account_id)
                     VALUES ($1, $2, $3::text::numeric, $4) RETURNING id",
                )
                .bind(account)
                .bind(txn_type)
                .bind(amount)
                .bind(related);
                insert.fetch_one(&pool).await.map(|id: i64| known.push(id))
            }
        };
        match outcome {
            Ok(()) => {
                committed.fetch_add(1, Ordering::Relaxed);
            }
            // A rule of the bank, such as an overdraft.
            Err(sqlx::Error::Database(error)) if error.is_check_violation() => {}
            Err(error) => panic!("the database failed: {error}"),
        }
    }
}

/// Opens the accounts, captures them, and waits until they show.
async fn opened(bank: &Bank) {
    open_accounts(&bank.pool).await.expect("the accounts are opened");
    bank.stack.capture().await;
    bank.balances("the first snapshot").await;
}

/// The balances are those of Postgres, and so are the topics and the files; no store was thrown away on the way.
async fn hold(bank: &Bank, step: &str) {
    let started = Instant::now();
    eventually(step, CAUGHT_UP * 2, || bank.differences()).await;
    tell!(
        "{step}: {} answers as Postgres does after {:?}",
        bank.instance.name,
        started.elapsed()
    );
    let wipes = metric(&bank.stack.http, &bank.instance.url, "riverbank_state_wipes_total").await;
    assert_eq!(wipes.expect("metrics answer"), 0.0, "{step}: no store may be wiped");
    bank.instance.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_slept_for_longer_than_every_time_out_changes_nothing() {
    let mut bank = Bank::on(Stack::start().await).await;
    let mut sleeper = bank.stack.riverbank("two");
    sleeper.spawn();
    sleeper.ready(&bank.stack.http, READY).await;
    opened(&bank).await;
    let load = Load::on(&bank.pool, seed());
    bank.run(
        "INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 1), (2, 'DEPOSIT', 1), (3, 'DEPOSIT', 1)",
    )
    .await;
    for account in 1..=3 {
        bank.balance(account, "1001.00", "a deposit before the sleep").await;
    }
    load.goes_on_for(100).await;

    sleeper.signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    bank.run(
        "INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 1), (2, 'DEPOSIT', 1), (3, 'DEPOSIT', 1)",
    )
    .await;
    for account in 1..=3 {
        bank.balance(account, "1002.00", "a deposit during the sleep").await;
    }
    tell!("the other one had its tasks after {:?}", stopped.elapsed());
    tokio::time::sleep(SLEEP.saturating_sub(stopped.elapsed())).await;
    load.goes_on_for(1).await;
    sleeper.signal(Signal::SIGCONT);

    // Whatever it answers from here on is not from before its sleep.
    std::mem::swap(&mut bank.instance, &mut sleeper);
    let woken = Instant::now();
    let (mut answers, mut refusals) = (0, 0);
    while woken.elapsed() < Duration::from_secs(5) {
        for account in 1..=3 {
            match bank.served(account).await {
                Ok(booked) => {
                    assert_eq!(booked, "1002.00", "from before its sleep, {:?} after it", woken.elapsed());
                    answers += 1;
                }
                Err(_) => refusals += 1,
            }
        }
    }
    tell!("awake: {answers} answers, {refusals} refusals");
    load.goes_on_for(200).await;
    load.end().await;
    hold(&bank, "the one that slept").await;
    std::mem::swap(&mut bank.instance, &mut sleeper);
    hold(&bank, "the one that went on").await;
    for instance in [&mut bank.instance, &mut sleeper] {
        instance.stop(STOPPED_WITHIN).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_twice_under_load_costs_nothing_but_time() {
    // With its connector watched, as Connect's tasks may not outlive their broker.
    let mut bank = Bank::watched(Stack::start().await, "30s").await;
    opened(&bank).await;
    let load = Load::on(&bank.pool, seed());
    let kafka = bank.stack.bed.kafka();
    // A short absence, then one that is longer than the engine's session.
    for (missed, expected) in [(200, "1001.00"), (1_000, "1002.00")] {
        load.goes_on_for(200).await;
        kafka.kill().expect("the broker can be killed");
        load.goes_on_for(missed).await;
        kafka.start().await.expect("the broker comes back");
        let back = Instant::now();
        bank.run("INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 1)")
            .await;
        eventually("a deposit after the kill", CAUGHT_UP * 2, || bank.has_balance(1, expected)).await;
        tell!(
            "{missed} changes missed; a new one shows {:?} after the broker is back",
            back.elapsed()
        );
    }
    load.goes_on_for(200).await;
    load.end().await;
    hold(&bank, "two kills of the broker").await;
    bank.instance.stop(STOPPED_WITHIN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_reported_and_nothing_is_lost_when_it_is_freed() {
    if !Riverbank::can_have_disk() {
        tell!("NOT RUN: this machine lets its user mount nothing (unshare --map-root-user --mount)");
        return;
    }
    let stack = Stack::start().await;
    let mut instance = stack.riverbank("one");
    instance.on_disk_of(DISK_MIB);
    instance.with_lake_on_its_disk();
    let mut bank = Bank::with(stack, instance).await;
    opened(&bank).await;
    let load = Load::on(&bank.pool, seed());
    load.goes_on_for(200).await;

    let path = bank.instance.seen_state().join("filler");
    let filler = std::fs::File::create(&path).expect("the disk is seen");
    let mut filled = 0;
    let full = loop {
        match (&filler).write(&[7; 4096]) {
            Ok(written) => filled += written,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
    assert!(filled > 0, "the disk was full before");
    tell!("the disk is full, {} KiB by the test", filled / 1024);
    let reported = eventually("the full disk is reported", CAUGHT_UP, || async {
        // What others free is taken, too.
        while (&filler).write(&[7; 4096]).is_ok() {}
        let (status, text) = bank.get("/health/ready").await?;
        let report: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let reasons = report["reasons"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|reason| reason.as_str());
        let full: Vec<_> = reasons
            .filter(|reason| reason.to_lowercase().contains("no space left"))
            .collect();
        // The state's folder and the lake are both on it.
        let of_lake = full.iter().filter(|reason| reason.contains("the store failed")).count();
        match report["lake"] == false && of_lake > 0 && of_lake < full.len() {
            true => Ok(text),
            false => Err(format!("{status}: {text}")),
        }
    })
    .await;
    tell!("{reported}");
    load.goes_on_for(500).await;
    drop(filler);
    std::fs::remove_file(&path).expect("the filler is deleted");
    let freed = Instant::now();
    load.goes_on_for(200).await;
    load.end().await;
    eventually("nothing is reported any more", CAUGHT_UP, || async {
        let text = bank.json("/health/ready").await?.to_string();
        if text.to_lowercase().contains("no space left") {
            Err(text)
        } else {
            Ok(())
        }
    })
    .await;
    tell!("nothing is reported any more {:?} after it was freed", freed.elapsed());
    hold(&bank, "a disk that was full").await;
    bank.instance.stop(STOPPED_WITHIN).await;
}

/// What the broker's log of transactions says of each transactional id: whether it still knows it.
fn transactional_ids(bootstrap: &str) -> BTreeMap<String, bool> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "edges")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let topic = "__transaction_state";
    let metadata = consumer.fetch_metadata(Some(topic), CAUGHT_UP).expect("metadata");
    let mut partitions = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        partitions
            .add_partition_offset(topic, partition.id(), Offset::Beginning)
            .expect("a partition");
    }
    consumer.assign(&partitions).expect("the assignment holds");
    let mut ids = BTreeMap::new();
    let mut ends = 0;
    while ends < partitions.count() {
        match consumer.poll(CAUGHT_UP).expect("a record or an end") {
            Ok(record) => {
                // A version and a length, two bytes each.
                let key = record.key().expect("a key");
                ids.insert(String::from_utf8_lossy(&key[4..]).into_owned(), record.payload().is_some());
            }
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => ends += 1,
            Err(error) => panic!("{topic}: {error}"),
        }
    }
    ids
}

/// The engine's offset in the topic of the transactions. Its group is alive, but subscribed to its topic of tasks alone: offsets of
/// all other topics expire as if nobody were there.
fn committed_offset(bootstrap: &str) -> Offset {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "riverbank")
        .create()
        .expect("a consumer");
    let mut asked = TopicPartitionList::new();
    asked.add_partition(CDC_TRANSACTIONS.name(), 0);
    let committed = consumer.committed_offsets(asked, CAUGHT_UP).expect("offsets");
    committed.elements()[0].offset()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_idle_until_the_broker_forgot_it_goes_on_where_it_was() {
    let stack = Stack::start().await;
    // What takes a week by default.
    let properties = stack.bed.folder().join("kafka/server.properties");
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(properties)
        .expect("the settings");
    file.write_all(
        b"transactional.id.expiration.ms=60000
transaction.remove.expired.transaction.cleanup.interval.ms=1000
producer.id.expiration.ms=60000
producer.id.expiration.check.interval.ms=1000
offsets.retention.minutes=1
offsets.retention.check.interval.ms=1000
",
    )
    .expect("the settings are written");
    stack.bed.kafka().restart().await.expect("the broker starts with them");
    let mut bank = Bank::on(stack).await;
    opened(&bank).await;
    let seed = seed();
    let load = Load::on(&bank.pool, seed);
    load.goes_on_for(500).await;
    load.end().await;
    hold(&bank, "before the idle spell").await;

    // Not even heartbeats.
    bank.stop_capture().await;
    let idle = Instant::now();
    let bootstrap = bank.stack.bed.kafka().bootstrap().to_owned();
    let before = committed_offset(&bootstrap);
    assert!(matches!(before, Offset::Offset(1..)), "{before:?}");
    tokio::time::sleep(IDLE).await;
    eventually("the broker forgets ids and offsets", CAUGHT_UP, || async {
        let bootstrap = bootstrap.clone();
        let asked = tokio::task::spawn_blocking(move || (transactional_ids(&bootstrap), committed_offset(&bootstrap)));
        let (ids, offset) = asked.await.expect("they are read");
        assert!(!ids.is_empty(), "no transactional id was ever known");
        match (ids.values().any(|is_known| *is_known), offset) {
            (false, Offset::Invalid) => Ok(()),
            (_, offset) => Err(format!("{ids:?}, {offset:?}")),
        }
    })
    .await;
    tell!("ids and offsets were forgotten {:?} after the last change", idle.elapsed());

    bank.connect(Method::PUT, "/resume").await;
    let load = Load::on(&bank.pool, seed + 1);
    load.goes_on_for(500).await;
    load.end().await;
    hold(&bank, "after the idle spell").await;
    bank.instance.stop(STOPPED_WITHIN).await;
}
