//! A Postgres that others use as well: rows that they hold, ids that they brought along.

use std::time::Duration;

use schemas::{AccountId, CustomerId};
use sqlx::{Connection, PgConnection};
use system_of_record::conformance::samples::{account, account_of, balance, deposit, money, person, post, transfer};
use system_of_record::{
    AccountDraft, Busy, Change, Postgres, PostgresSettings, Ref, Row, SystemOfRecord, SystemOfRecordError, SystemOfRecordExt,
    TransactionDraft, TransactionUpdate,
};
use testbed::Testbed;

async fn bank() -> (Testbed, String) {
    let bed = Testbed::builder().postgres().start().await.expect("Postgres starts");
    let url = bed.postgres().url();
    connect::migrate(&url).await.expect("the schema");
    (bed, url)
}

fn patient() -> PostgresSettings {
    PostgresSettings {
        connections_max: 8,
        acquire_timeout: Duration::from_secs(60),
        lock_timeout: Duration::from_secs(60),
        statement_timeout: Duration::from_secs(90),
    }
}

/// Another session, which holds an account until it is dropped or rolled back.
async fn hold(url: &str, id: AccountId) -> PgConnection {
    let mut session = PgConnection::connect(url).await.expect("a session");
    for statement in ["BEGIN".to_owned(), format!("SELECT FROM accounts WHERE id = {id} FOR UPDATE")] {
        run(&mut session, &statement).await;
    }
    session
}

async fn run(session: &mut PgConnection, statement: &str) {
    let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()));
    statement.execute(session).await.expect("a statement of the test");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_held_row_does_not_hold_up_the_others() {
    let (_bed, url) = bank().await;
    let records = Postgres::connect_lazy(&url, &patient()).expect("a URL");
    let (hot, cold) = (
        account(&records, "EUR", "0").await.id,
        account(&records, "EUR", "100.00").await.id,
    );
    let mut made = Vec::new();
    for _ in 0..10 {
        made.push(post(&records, deposit(hot, "1.00")).await);
    }
    let mut session = hold(&url, hot).await;

    // Whatever leads to the account: new transactions, changes and removals that do not name it, the account itself.
    let mut waiting = Vec::new();
    for row in made {
        let (of, id) = (records.clone(), row.id);
        waiting.push(tokio::spawn(async move {
            of.insert_transaction(deposit(hot, "1.00")).await.map(drop)
        }));
        let of = records.clone();
        waiting.push(tokio::spawn(async move {
            of.insert_transaction(transfer(cold, hot, "1.00")).await.map(drop)
        }));
        let of = records.clone();
        waiting.push(tokio::spawn(async move { of.delete_transaction(id, None).await.map(drop) }));
    }
    // The writers above are at it: the gate is full, and connections wait in the server.
    let mut watcher = PgConnection::connect(&url).await.expect("a session");
    let waits = async {
        loop {
            let waits: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
                .fetch_one(&mut watcher)
                .await
                .expect("a count");
            if waits >= 2 {
                return waits;
            }
            tokio::task::yield_now().await;
        }
    };
    let waits = tokio::time::timeout(Duration::from_secs(120), waits).await;
    assert_eq!(waits, Ok(2), "connections that wait for the row");
    for _ in 0..20 {
        let other = account(&records, "EUR", "5.00").await.id;
        post(&records, deposit(other, "1.00")).await;
        assert_eq!(balance(&records, other).await, money("6.00"));
    }
    assert_eq!(balance(&records, hot).await, money("10.00"), "reads go on, too");
    records.check().await.expect("nobody says that the database is away");
    assert!(waiting.iter().all(|task| !task.is_finished()), "the row is held still");

    run(&mut session, "ROLLBACK").await;
    for task in waiting {
        task.await.expect("no panic").expect("it goes on when the row is free");
    }
    assert_eq!(balance(&records, hot).await, money("20.00"));
    assert_eq!(balance(&records, cold).await, money("90.00"));
}

/// A long job of another program: more rows than there are connections.
#[tokio::test(flavor = "multi_thread")]
async fn many_held_rows_do_not_hold_up_the_others() {
    let (_bed, url) = bank().await;
    let records = Postgres::connect_lazy(&url, &patient()).expect("a URL");
    let mut held = Vec::new();
    for _ in 0..12 {
        held.push(account(&records, "EUR", "0").await.id);
    }
    let mut session = PgConnection::connect(&url).await.expect("a session");
    run(&mut session, "BEGIN; SELECT FROM accounts FOR UPDATE").await;
    let waiting: Vec<_> = held
        .iter()
        .map(|id| {
            let (of, id) = (records.clone(), *id);
            tokio::spawn(async move { of.insert_transaction(deposit(id, "1.00")).await.map(drop) })
        })
        .collect();
    for _ in 0..10 {
        let other = account(&records, "EUR", "5.00").await.id;
        post(&records, deposit(other, "1.00")).await;
    }
    assert!(waiting.iter().all(|task| !task.is_finished()), "the rows are held still");
    run(&mut session, "ROLLBACK").await;
    for task in waiting {
        task.await.expect("no panic").expect("it goes on when the row is free");
    }
    for id in held {
        assert_eq!(balance(&records, id).await, money("1.00"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_waited_for_in_vain_is_said() {
    let (_bed, url) = bank().await;
    let records = Postgres::connect_lazy(&url, &patient()).expect("a URL");
    let (hot, cold) = (account(&records, "EUR", "0").await.id, account(&records, "EUR", "0").await.id);
    let booked = post(&records, deposit(hot, "1.00")).await;
    let mut session = hold(&url, hot).await;
    let with = |change: &dyn Fn(&mut PostgresSettings)| {
        let mut settings = patient();
        change(&mut settings);
        Postgres::connect_lazy(&url, &settings).expect("a URL")
    };

    let hasty = with(&|settings| settings.lock_timeout = Duration::from_millis(200));
    let update = TransactionUpdate::from(deposit(cold, "1.00"));
    for change in [
        Change::InsertTransaction(deposit(hot, "1.00")),
        Change::UpdateTransaction {
            id: booked.id.into(),
            to: update,
            expected: None,
        },
        Change::CloseAccount {
            id: hot.into(),
            expected: None,
        },
    ] {
        let refused = hasty.commit(std::slice::from_ref(&change)).await;
        assert_eq!(refused, Err(Busy::Locked.into()), "{change:?}");
    }
    let slow = with(&|settings| settings.statement_timeout = Duration::from_millis(200));
    let refused = slow.insert_transaction(deposit(hot, "1.00")).await;
    assert_eq!(refused, Err(Busy::Slow.into()));

    // One connection, which waits for the row.
    let single = with(&|settings| {
        settings.connections_max = 1;
        // A first connection has to be made in it, too.
        settings.acquire_timeout = Duration::from_secs(3);
    });
    let waits = tokio::spawn({
        let single = single.clone();
        async move { single.insert_transaction(deposit(hot, "2.00")).await }
    });
    let refused = loop {
        // Until the other one has taken the connection, this one gets it.
        match single.insert_transaction(deposit(cold, "1.00")).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, Busy::Connections.into());
    assert_eq!(single.account(cold).await, Err(Busy::Connections.into()));
    single.check().await.expect("the probe has a connection of its own");

    run(&mut session, "ROLLBACK").await;
    waits.await.expect("no panic").expect("it goes on");
    assert_eq!(balance(&records, hot).await, money("3.00"), "what was refused is not there");
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_ids_are_passed_over() {
    let (_bed, url) = bank().await;
    let mut owner = PgConnection::connect(&url).await.expect("a session");
    run(
        &mut owner,
        "CREATE ROLE service LOGIN PASSWORD 'service';
         GRANT SELECT, INSERT, UPDATE, DELETE ON customers, accounts, transactions TO service;
         INSERT INTO customers (id, first_name, last_name, email) SELECT n, 'A', 'B', n || '@import.example' FROM generate_series(1, 40) AS n;
         INSERT INTO accounts (id, customer_id, account_type, currency, opening_balance)
         SELECT n, n, 'CHECKING', 'EUR', 10 FROM generate_series(1, 40) AS n;
         INSERT INTO transactions (id, account_id, txn_type, amount) SELECT n, n % 40 + 1, 'DEPOSIT', 1 FROM generate_series(1, 20000) AS n",
    )
    .await;
    // A role that owns nothing, as a service has it.
    let url = url.replace("postgres:riverbank@", "service:service@");
    let records = Postgres::connect_lazy(&url, &PostgresSettings::default()).expect("a URL");
    let changes = [
        Change::InsertCustomer(person()),
        Change::InsertAccount(AccountDraft {
            customer_id: Ref::Made(0),
            ..account_of(CustomerId(0), "EUR", "5.00")
        }),
        Change::InsertTransaction(TransactionDraft {
            account_id: Ref::Made(1),
            ..deposit(AccountId(0), "1.00")
        }),
    ];
    let rows = records.commit(&changes).await.expect("all of it");
    let ids: Vec<i64> = rows.iter().map(Row::id).collect();
    // Right after the imported ones, and after the ids that a try drew which came to nothing at the next table.
    assert_eq!(ids, [43, 42, 20_001]);
    let more = records
        .insert_transaction(deposit(AccountId(42), "1.00"))
        .await
        .expect("one more");
    assert_eq!(more.id.0, 20_002);
    assert_eq!(balance(&records, AccountId(42)).await, money("7.00"));

    // Where that cannot be, somebody is told, and nothing is written.
    run(&mut owner, "INSERT INTO customers (id, first_name, last_name, email) SELECT n, 'A', 'B', n || '@x.example' FROM generate_series(44, 60) AS n").await;
    run(
        &mut owner,
        "REVOKE EXECUTE ON FUNCTION public.pass_over_ids(TEXT) FROM PUBLIC",
    )
    .await;
    match records.insert_customer(person()).await {
        Err(SystemOfRecordError::Internal(said)) => assert!(said.contains("setval"), "{said}"),
        other => panic!("{other:?}"),
    }
}
