//! The way from a Postgres commit to Avro on Kafka, on real servers: Debezium's bytes are what our contracts say, and the
//! flow goes on after any server on the way was killed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message};
use schemas::bronze::{AccountRow, CustomerRow, Envelope, Op, TransactionRow};
use schemas::{Money, topics};
use sqlx::PgPool;
use testbed::Testbed;
use wire::{Codec, HttpRegistry, Wire};

const ARRIVES_WITHIN: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_become_avro_on_kafka_and_go_on_after_kills() {
    let started = Instant::now();
    let bed = Testbed::builder().everything().start().await.expect("servers");
    println!("servers ready after {:?}", started.elapsed());
    bed.capture().await.expect("capture");
    bed.capture().await.expect("capture, once more");
    println!("connector running after {:?}", started.elapsed());
    let pool = PgPool::connect(&bed.postgres().url()).await.expect("a connection");

    let customer: i64 = insert(
        &pool,
        "customers (first_name, last_name, email)",
        "('Zoë', 'Müller', 'Z@Example.com')",
    )
    .await;
    let account: i64 = insert(
        &pool,
        "accounts (customer_id, account_type, currency, opening_balance)",
        &format!("({customer}, 'CHECKING', 'EUR', 9999999999999999.99)"),
    )
    .await;
    let deposit: i64 = insert(
        &pool,
        "transactions (account_id, txn_type, amount)",
        &format!("({account}, 'WITHDRAWAL', 12.34)"),
    )
    .await;
    sql(
        &pool,
        &format!("UPDATE transactions SET status = 'REVERSED' WHERE id = {deposit}"),
    )
    .await;
    sql(&pool, &format!("DELETE FROM transactions WHERE id = {deposit}")).await;

    let mut customers = Topic::<CustomerRow>::open(&bed, topics::CDC_CUSTOMERS.name());
    let created = customers.next();
    let row = created.after.expect("the new row");
    assert_eq!(
        (row.id, row.first_name.as_deref(), row.email.as_deref()),
        (customer, Some("Zoë"), Some("Z@Example.com"))
    );
    assert!(
        row.created_at.is_some_and(|at| at > 1_700_000_000_000_000),
        "microseconds: {:?}",
        row.created_at
    );
    assert!(
        created.source.lsn.is_some() && created.source.tx_id.is_some(),
        "{:?}",
        created.source
    );
    assert_eq!(created.transaction.expect("transaction metadata").total_order, 1);

    let mut accounts = Topic::<AccountRow>::open(&bed, topics::CDC_ACCOUNTS.name());
    let balances: Vec<Option<Money>> = (0..2).map(|_| accounts.next().after.and_then(|row| row.balance)).collect();
    let money = |text: &str| Some(text.parse::<Money>().expect("money"));
    assert_eq!(balances, [money("9999999999999999.99"), money("9999999999999987.65")]);

    let mut transactions = Topic::<TransactionRow>::open(&bed, topics::CDC_TRANSACTIONS.name());
    let changes: Vec<Envelope<TransactionRow>> = (0..3).map(|_| transactions.next()).collect();
    assert_eq!(
        changes.iter().map(|change| change.op).collect::<Vec<_>>(),
        [Op::Create, Op::Update, Op::Delete]
    );
    assert_eq!(
        changes[1].before.as_ref().and_then(|row| row.amount),
        money("12.34"),
        "the old row is whole"
    );
    assert!(transactions.next_value().is_none(), "a delete is followed by a tombstone");

    // Each server on the way dies once; what is committed afterwards arrives, without anybody's help but the supervisor's.
    let (url, name) = (bed.connect().url().to_owned(), bed.connector_settings().name);
    let supervisor = tokio::spawn(async move { connect::supervise(&url, &name, Duration::from_secs(1)).await });
    for server in ["kafka", "connect", "registry", "postgres"] {
        let (_, control) = *bed.servers().iter().find(|(name, _)| *name == server).expect("a server");
        let killed = Instant::now();
        control
            .restart()
            .await
            .unwrap_or_else(|error| panic!("{server} comes back: {error}"));
        let back = killed.elapsed();
        let email = format!("after-{server}@example.com");
        let id: i64 = insert_when_possible(&pool, &format!("('After', '{server}', '{email}')")).await;
        customers.wait_for(id, server);
        println!("{server}: back after {back:?}, flowing after {:?}", killed.elapsed());
    }
    supervisor.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_stacks_schema_is_captured_too_and_a_bad_connector_is_named() {
    let bed = Testbed::builder().connect().postgres().start().await.expect("servers");

    // The narrow schema: 32-bit ids, no old rows, missing columns.
    bed.create_batch_stack("narrow").await.expect("the narrow schema");
    let pool = PgPool::connect(&bed.postgres().url_of("narrow")).await.expect("a connection");
    bed.capture_batch_stack("narrow").await.expect("capture");
    let customer: i32 = insert(&pool, "customers (first_name, last_name, email)", "('A', 'B', 'a@b.example')").await;
    let account: i32 = insert(
        &pool,
        "accounts (customer_id, account_type, balance, currency)",
        &format!("({customer}, 'SAVINGS', 12.5, 'USD')"),
    )
    .await;
    sql(&pool, &format!("UPDATE accounts SET balance = 13 WHERE id = {account}")).await;
    let mut accounts = Topic::<AccountRow>::open(&bed, topics::CDC_ACCOUNTS.name());
    let row = accounts.next().after.expect("the new row");
    assert_eq!((row.id, row.opening_balance, row.status), (i64::from(account), None, None));
    assert_eq!(accounts.next().before, None, "the default replica identity keeps no old row");

    // A connector that cannot work says why, in time.
    let mut settings = bed.connector_settings();
    settings.name = "wrong".to_owned();
    settings.publication = "nobody_made_this".to_owned();
    settings.slot = "wrong".to_owned();
    let error = bed
        .register(&settings)
        .await
        .expect_err("a connector without its publication");
    assert!(error.to_string().contains("Publication"), "{error}");
}

/// A topic of one table, read from its first record on, by the contracts that the processors use.
struct Topic<R> {
    consumer: BaseConsumer,
    codec: Codec,
    seen: BTreeSet<i64>,
    row: std::marker::PhantomData<R>,
}

trait HasId {
    fn id(&self) -> i64;
}

impl HasId for CustomerRow {
    fn id(&self) -> i64 {
        self.id
    }
}

impl<R> Topic<R>
where
    Envelope<R>: Wire,
{
    fn open(bed: &Testbed, name: &str) -> Self {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bed.kafka().bootstrap())
            .set("group.id", format!("test-{name}"))
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("topic.metadata.refresh.interval.ms", "1000")
            .create()
            .expect("a consumer");
        consumer.subscribe(&[name]).expect("a subscription");
        let registry = HttpRegistry::new(bed.registry().url()).expect("a registry client");
        Self {
            consumer,
            codec: Codec::reader(Arc::new(registry)),
            seen: BTreeSet::new(),
            row: std::marker::PhantomData,
        }
    }

    fn next(&mut self) -> Envelope<R> {
        self.next_value().expect("a change, not a tombstone")
    }

    fn next_value(&mut self) -> Option<Envelope<R>> {
        let deadline = Instant::now() + ARRIVES_WITHIN;
        while Instant::now() < deadline {
            // Errors here are of a broker that is away; the consumer goes on by itself.
            if let Some(Ok(message)) = self.consumer.poll(Duration::from_millis(200)) {
                let bytes = message.payload()?;
                assert_eq!(bytes.first(), Some(&0), "Confluent framing begins with a zero byte");
                return Some(Envelope::decode(bytes, &self.codec).expect("our contract reads Debezium's bytes"));
            }
        }
        panic!("no record within {ARRIVES_WITHIN:?}");
    }
}

impl<R: HasId> Topic<R>
where
    Envelope<R>: Wire,
{
    /// Reads on until this row has come; what a killed server made Debezium send twice is passed over.
    fn wait_for(&mut self, id: i64, after: &str) {
        let deadline = Instant::now() + ARRIVES_WITHIN;
        while !self.seen.contains(&id) {
            assert!(Instant::now() < deadline, "row {id} has not come after {after} was killed");
            if let Some(row) = self.next().after {
                self.seen.insert(row.id());
            }
        }
    }
}

async fn sql(pool: &PgPool, statement: &str) {
    let text = sqlx::AssertSqlSafe(statement.to_owned());
    sqlx::raw_sql(text)
        .execute(pool)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// Inserts a row and returns its id.
async fn insert<I>(pool: &PgPool, into: &str, values: &str) -> I
where
    I: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let text = sqlx::AssertSqlSafe(format!("INSERT INTO {into} VALUES {values} RETURNING id"));
    sqlx::query_scalar(text)
        .fetch_one(pool)
        .await
        .unwrap_or_else(|error| panic!("{into} {values}: {error}"))
}

/// A connection of the pool may have died with the server; the next one has not.
async fn insert_when_possible(pool: &PgPool, values: &str) -> i64 {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let text = format!("INSERT INTO customers (first_name, last_name, email) VALUES {values} RETURNING id");
        match sqlx::query_scalar(sqlx::AssertSqlSafe(text)).fetch_one(pool).await {
            Ok(id) => return id,
            Err(error) if Instant::now() > deadline => panic!("postgres takes no rows: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
