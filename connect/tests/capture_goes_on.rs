//! Nothing ordinary that is done to the source stops its capture: migrations, and rows larger than Kafka's usual limit.

use std::time::{Duration, Instant};

use connect::{ConnectorProbe, Sighting};
use sqlx::PgPool;
use testbed::Testbed;

const CAPTURED_WITHIN: Duration = Duration::from_secs(180);

struct Source {
    bed: Testbed,
    pool: PgPool,
    probe: ConnectorProbe,
}

impl Source {
    async fn start() -> Self {
        let bed = Testbed::builder()
            .postgres()
            .kafka()
            .registry()
            .connect()
            .start()
            .await
            .unwrap();
        bed.capture().await.unwrap();
        let pool = PgPool::connect(&bed.postgres().url()).await.unwrap();
        let probe = ConnectorProbe::new(bed.connect().url(), "riverbank").unwrap();
        Self { bed, pool, probe }
    }

    async fn run(&self, sql: &'static str) {
        sqlx::raw_sql(sql)
            .execute(&self.pool)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Waits until all that is committed now is in Kafka: the connector tells Postgres what was acknowledged there.
    async fn is_captured(&self, what: &str) {
        let end: String = sqlx::query_scalar("SELECT pg_current_wal_lsn()::text")
            .fetch_one(&self.pool)
            .await
            .unwrap();
        // Something behind it, so that the end is passed.
        self.run("UPDATE riverbank_heartbeat SET beat_at = clock_timestamp()").await;
        let started = Instant::now();
        loop {
            let done: bool = sqlx::query_scalar(
                "SELECT confirmed_flush_lsn >= $1::pg_lsn FROM pg_replication_slots WHERE slot_name = 'riverbank'",
            )
            .bind(&end)
            .fetch_one(&self.pool)
            .await
            .unwrap();
            let sighting = self.probe.look().await;
            // A server that is busy may not answer for a moment.
            if let Sighting::Known(status) = &sighting {
                assert_eq!(status.failure(), None, "{what}");
                if done && status.is_running() {
                    return;
                }
            }
            assert!(started.elapsed() < CAPTURED_WITHIN, "{what}: not captured; {sighting:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// How many schemas a subject has had.
    async fn versions(&self, subject: &str) -> usize {
        let url = format!("{}/subjects/{subject}/versions", self.bed.registry().url());
        let text = self.bed_get(&url).await;
        text.matches(|c: char| c.is_ascii_digit()).count()
    }

    async fn bed_get(&self, url: &str) -> String {
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }
}

#[tokio::test]
async fn ordinary_migrations_and_large_rows_pass_and_a_row_beyond_the_limit_names_itself() {
    let source = Source::start().await;
    source
        .run(
            "INSERT INTO customers (first_name, last_name, email) VALUES ('Ada', 'Lovelace', 'ada@example.org');
             INSERT INTO accounts (customer_id, account_type, currency, opening_balance) VALUES (1, 'CHECKING', 'EUR', 100);
             INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 1)",
        )
        .await;
    source.is_captured("the first rows").await;
    for (step, migration) in [
        "ALTER TABLE customers ADD kyc text; UPDATE customers SET kyc = 'done'",
        "ALTER TABLE customers ALTER kyc SET NOT NULL; UPDATE customers SET last_name = 'King'",
        "ALTER TABLE customers RENAME email TO mail; UPDATE customers SET last_name = 'Byron'",
        "ALTER TABLE transactions ALTER amount TYPE NUMERIC; INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 1)",
        "ALTER TABLE transactions ALTER amount TYPE NUMERIC(18, 2); INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 1)",
        "ALTER TABLE transactions ALTER amount TYPE NUMERIC(18, 4); INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 1)",
        "ALTER TABLE customers DROP kyc; UPDATE customers SET last_name = 'Lovelace'",
    ]
    .into_iter()
    .enumerate()
    {
        source.run(migration).await;
        source.is_captured(&format!("step {step}, {migration}")).await;
    }
    // The registry took what BACKWARD refuses, and asks BACKWARD of everybody else.
    assert!(source.versions("bank.public.customers-value").await >= 4);
    assert!(source.versions("bank.public.transactions-value").await >= 3);
    let all = source.bed_get(&format!("{}/config", source.bed.registry().url())).await;
    assert!(all.contains("BACKWARD"), "{all}");

    // Two columns with one name in Avro, one of which is left out.
    let mut settings = source.bed.connector_settings();
    settings.excluded_columns = vec!["public.customers.Kunden-Nr".to_owned()];
    source.bed.register(&settings).await.unwrap();
    source
        .run(r#"ALTER TABLE customers ADD "Kunden-Nr" text, ADD "Kunden_Nr" text; UPDATE customers SET "Kunden_Nr" = '7'"#)
        .await;
    source.is_captured("a collision").await;

    // Three megabytes, and twice that with the old version beside the new one.
    source
        .run("ALTER TABLE customers ADD note text; UPDATE customers SET note = repeat(md5('a'), 100000)")
        .await;
    source.run("UPDATE customers SET note = repeat(md5('b'), 100000)").await;
    source.is_captured("large rows").await;

    source.run("UPDATE customers SET note = repeat(md5('c'), 600000)").await;
    let started = Instant::now();
    loop {
        if let Sighting::Known(status) = source.probe.look().await
            && let Some(cause) = status.tasks.iter().find_map(|task| task.cause())
        {
            assert!(cause.contains("RecordTooLargeException"), "{cause}");
            break;
        }
        assert!(started.elapsed() < CAPTURED_WITHIN, "the task goes on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
