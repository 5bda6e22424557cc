//! The HTTP service's login, on a real Postgres: it can do what the service does, and nothing else.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use connect::{ConnectorSettings, Database};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use testbed::Testbed;

const PASSWORD: &str = "it's \"quoted\" \\ ";

#[tokio::test]
async fn the_service_writes_rows_and_nothing_else() {
    let bed = Testbed::builder().postgres().start().await.expect("postgres");
    let owner = bed.postgres().url();
    connect::migrate(&owner).await.expect("migrations");
    connect::allow_capture(&owner, "capture").await.expect("the other role");
    for _ in 0..2 {
        connect::allow_service(&owner, PASSWORD).await.expect("the role");
    }
    let options: PgConnectOptions = owner.parse().expect("a URL");
    let options = options.username(connect::SERVICE_ROLE).password(PASSWORD);
    let mut service = PgConnection::connect_with(&options).await.expect("it logs in");

    for statement in [
        "INSERT INTO customers (first_name, last_name, email) VALUES ('One', 'Only', 'one@example.com')",
        "INSERT INTO accounts (customer_id, account_type, currency, opening_balance) SELECT 1, 'CHECKING', 'EUR', 50 FROM generate_series(1, 2)",
        "INSERT INTO transactions (account_id, txn_type, amount, related_account_id) VALUES (1, 'TRANSFER', 10, 2)",
        "UPDATE transactions SET amount = 20 WHERE id = 1",
        "UPDATE customers SET first_name = 'Two' WHERE id = 1",
        "UPDATE accounts SET account_type = 'SAVINGS' WHERE id = 1",
    ] {
        run(&mut service, statement).await.expect(statement);
    }
    let balances: Vec<String> = sqlx::query_scalar("SELECT trim_scale(balance)::text FROM accounts ORDER BY id")
        .fetch_all(&mut service)
        .await
        .expect("a read");
    assert_eq!(balances, ["30", "70"], "the ledger posts within the service's rights");
    run(&mut service, "DELETE FROM transactions").await.expect("a deletion");

    for statement in [
        "TRUNCATE transactions",
        "CREATE TABLE mine (id INT)",
        "ALTER TABLE accounts DISABLE TRIGGER ALL",
        "ALTER TABLE accounts REPLICA IDENTITY DEFAULT",
        "DROP TRIGGER accounts_guard ON accounts",
        "DROP PUBLICATION riverbank",
        "CREATE OR REPLACE FUNCTION accounts_guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "UPDATE riverbank_heartbeat SET beat_at = now()",
        "SELECT * FROM _sqlx_migrations",
        "SELECT rolpassword FROM pg_authid",
        "SELECT pg_create_logical_replication_slot('mine', 'pgoutput')",
        "CREATE ROLE mine",
        "SET session_replication_role = replica",
        "SET ROLE riverbank_cdc",
        "UPDATE accounts SET balance = 1000000",
    ] {
        let error = run(&mut service, statement).await.expect_err(statement);
        let code = error.as_database_error().and_then(|error| error.code()).map(String::from);
        // Not privileged, or, for the last, refused by the guard.
        assert!(matches!(code.as_deref(), Some("42501" | "23514")), "{statement}: {error}");
    }
}

#[tokio::test]
async fn no_error_shows_a_password() {
    for url in [
        "postgres://bank:hunter2@127.0.0.1:port/bank",
        "postgres://bank:hunter2@[/bank",
        "hunter2",
        "postgres://bank:hunter2@127.0.0.1:9/bank?sslmode=hunter2",
        "postgres://bank:hunter2@127.0.0.1:9/bank",
    ] {
        for result in [
            connect::migrate(url).await,
            connect::allow_service(url, "hunter2").await,
            connect::allow_capture(url, "hunter2").await,
        ] {
            let error = anyhow_like(&result.expect_err(url));
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

#[tokio::test]
async fn what_kafka_connect_says_is_told_without_the_password() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    // The registry takes everything; Connect refuses the connector, and repeats what it was told.
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.expect("a client");
            let mut head = vec![0; 65536];
            let length = client.read(&mut head).expect("a request");
            let (status, body) = match head[..length].starts_with(b"PUT /config/") {
                true => ("200 OK", "{}"),
                false => (
                    "400 Bad Request",
                    r#"{"message": "Invalid value hunter2 for configuration database.password"}"#,
                ),
            };
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            client.write_all(answer.as_bytes()).expect("an answer");
            // Until the client has read it.
            let _ = client.read(&mut head);
        }
    });
    let database = Database::new("db", 5432, "bank", "cdc", "hunter2");
    let settings = ConnectorSettings::bank(database, &url);
    let registered = connect::register(&url, &settings, Duration::from_secs(10)).await;
    let error = anyhow_like(&registered.expect_err("refused"));
    assert!(error.contains("Invalid value *** for configuration"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

/// An error with its causes, as the program prints it.
fn anyhow_like(error: &dyn std::error::Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

async fn run(service: &mut PgConnection, statement: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(statement).execute(service).await.map(|_| ())
}
