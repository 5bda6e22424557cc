//! The ledger rule on a real Postgres: whatever is written, by however many at once, every balance follows from the rows.

mod support;

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::{PgPool, Row};
use support::{balance, bank, constraint, run};

const WRITERS: u64 = 8;
const STATEMENTS: usize = 150;
const ACCOUNTS: i64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn balances_follow_from_the_rows_whatever_is_written_at_once() {
    let (_bed, pool) = bank().await;
    seed_accounts(&pool).await;
    let seed: u64 = match std::env::var("LEDGER_SEED") {
        Ok(seed) => seed.parse().expect("LEDGER_SEED is a number"),
        Err(_) => rand::random(),
    };
    println!("LEDGER_SEED={seed}");

    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(pool.clone(), StdRng::seed_from_u64(seed ^ writer))))
        .collect();
    let mut total = Outcome::default();
    for writer in writers {
        let outcome = writer.await.expect("a writer ends");
        total.done += outcome.done;
        total.refused += outcome.refused;
    }
    println!("{} statements done, {} refused", total.done, total.refused);
    assert!(
        total.done > STATEMENTS * WRITERS as usize / 3,
        "too few statements did anything"
    );
    assert!(total.refused > 0, "no statement was ever refused: the rules were not tried");

    assert_eq!(balances(&pool).await, expected(&pool).await, "LEDGER_SEED={seed}");
    let moved: i64 = sqlx::query_scalar("SELECT count(*) FROM accounts WHERE balance <> opening_balance")
        .fetch_one(&pool)
        .await
        .expect("a count");
    assert!(moved > 0, "no balance moved at all");
}

#[tokio::test]
async fn each_rule_is_refused_by_its_name() {
    let (_bed, pool) = bank().await;
    seed_accounts(&pool).await;
    run(&pool, "UPDATE accounts SET status = 'INACTIVE' WHERE id = 5")
        .await
        .expect("a closure");

    let deposit = "INSERT INTO transactions (account_id, txn_type, amount";
    let cases: [(&str, String); 12] = [
        (
            "accounts_balance_not_negative",
            format!("{deposit}) VALUES (1, 'WITHDRAWAL', 100000)"),
        ),
        (
            "transactions_one_currency",
            format!("{deposit}, related_account_id) VALUES (1, 'TRANSFER', 1, 2)"),
        ),
        ("transactions_account_active", format!("{deposit}) VALUES (5, 'DEPOSIT', 1)")),
        (
            "transactions_account_active",
            format!("{deposit}, related_account_id) VALUES (1, 'TRANSFER', 1, 5)"),
        ),
        ("transactions_amount_positive", format!("{deposit}) VALUES (1, 'DEPOSIT', 0)")),
        (
            "transactions_not_to_itself",
            format!("{deposit}, related_account_id) VALUES (1, 'TRANSFER', 1, 1)"),
        ),
        (
            "transactions_related_only_for_transfer",
            format!("{deposit}) VALUES (1, 'TRANSFER', 1)"),
        ),
        ("transactions_account_exists", format!("{deposit}) VALUES (99, 'DEPOSIT', 1)")),
        (
            "accounts_balance_by_ledger",
            "UPDATE accounts SET balance = balance + 1 WHERE id = 1".to_owned(),
        ),
        (
            "accounts_opening_balance_fixed",
            "UPDATE accounts SET opening_balance = 1 WHERE id = 1".to_owned(),
        ),
        ("accounts_customer_exists", "DELETE FROM customers".to_owned()),
        (
            "customers_email_unique",
            "INSERT INTO customers (first_name, last_name, email) VALUES ('A', 'B', 'ONE@example.com')".to_owned(),
        ),
    ];
    for (rule, statement) in cases {
        let error = run(&pool, &statement).await.expect_err(&statement);
        assert_eq!(constraint(&error).as_deref(), Some(rule), "{statement}: {error}");
    }
    run(&pool, "TRUNCATE transactions").await.expect_err("a truncation");
    assert_eq!(balances(&pool).await, expected(&pool).await);
}

#[tokio::test]
async fn a_transaction_goes_one_way() {
    let (_bed, pool) = bank().await;
    seed_accounts(&pool).await;
    let statuses = ["PENDING", "COMPLETED", "FAILED", "REVERSED"];
    let allowed = [("PENDING", "COMPLETED"), ("PENDING", "FAILED"), ("COMPLETED", "REVERSED")];
    for (from, to) in statuses.iter().flat_map(|from| statuses.map(|to| (*from, to))) {
        let insert =
            format!("INSERT INTO transactions (account_id, txn_type, amount, status) VALUES (1, 'DEPOSIT', 7, '{from}')");
        run(&pool, &insert).await.expect("a transaction may begin as anything");
        let update = format!("UPDATE transactions SET status = '{to}' WHERE id = (SELECT max(id) FROM transactions)");
        let refused = run(&pool, &update).await.err();
        let expected = (from != to && !allowed.contains(&(from, to))).then_some("transactions_status_flow");
        assert_eq!(
            refused.as_ref().and_then(constraint).as_deref(),
            expected,
            "{from} to {to}: {refused:?}"
        );
        // Other columns change at any time.
        let update = "UPDATE transactions SET amount = 8 WHERE id = (SELECT max(id) FROM transactions)";
        run(&pool, update).await.expect("another amount");
    }
    assert_eq!(balances(&pool).await, expected(&pool).await);
}

#[tokio::test]
async fn a_closed_account_takes_nothing_new() {
    let (_bed, pool) = bank().await;
    seed_accounts(&pool).await;
    // 1 pending and 2 completed on account 5; 3 to account 5; 4 and 5 on others; then 5 is closed.
    let insert = "INSERT INTO transactions (account_id, txn_type, amount, related_account_id, status) VALUES
        (5, 'DEPOSIT', 7, NULL, 'PENDING'), (5, 'DEPOSIT', 8, NULL, 'COMPLETED'), (1, 'TRANSFER', 9, 5, 'COMPLETED'),
        (1, 'DEPOSIT', 10, NULL, 'COMPLETED'), (1, 'TRANSFER', 2, 3, 'PENDING')";
    run(&pool, insert).await.expect("transactions");
    run(&pool, "UPDATE accounts SET status = 'INACTIVE' WHERE id = 5")
        .await
        .expect("a closure");
    let refused = Some("transactions_account_active");
    for (statement, rule) in [
        ("UPDATE transactions SET status = 'COMPLETED' WHERE id = 1", refused),
        ("UPDATE transactions SET amount = 80 WHERE id = 2", refused),
        ("UPDATE transactions SET txn_type = 'WITHDRAWAL' WHERE id = 2", refused),
        ("UPDATE transactions SET amount = 90 WHERE id = 3", refused),
        ("UPDATE transactions SET account_id = 5 WHERE id = 4", refused),
        ("UPDATE transactions SET related_account_id = 5 WHERE id = 5", refused),
        (
            "UPDATE transactions SET status = 'COMPLETED' WHERE status = 'PENDING'",
            refused,
        ),
        // What leaves its money alone, or takes back what was done to it.
        ("UPDATE transactions SET created_at = created_at - interval '1 day'", None),
        ("UPDATE transactions SET id = id + 1000 WHERE id = 2", None),
        ("UPDATE transactions SET account_id = 3 WHERE id = 3", None),
        ("UPDATE transactions SET related_account_id = 1 WHERE id = 3", None),
        ("UPDATE transactions SET status = 'FAILED' WHERE id = 1", None),
        ("UPDATE transactions SET status = 'REVERSED' WHERE id = 1002", None),
        ("DELETE FROM transactions WHERE id = 1", None),
    ] {
        let error = run(&pool, statement).await.err();
        assert_eq!(error.as_ref().and_then(constraint).as_deref(), rule, "{statement}: {error:?}");
        assert_eq!(balances(&pool).await, expected(&pool).await, "{statement}");
    }
    assert_eq!(balance(&pool, 5).await, "50.0000", "what it opened with");
}

/// One session's plans are made once, whatever statement comes first: neither order makes a later one slow or wrong.
#[tokio::test]
async fn a_bulk_load_is_posted_whole() {
    let (_bed, pool) = bank().await;
    seed_accounts(&pool).await;
    let load = "INSERT INTO transactions (account_id, txn_type, amount, related_account_id, status)
        SELECT n % 3 * 2 + 1, CASE n % 4 WHEN 0 THEN 'TRANSFER' ELSE 'DEPOSIT' END, 1 + n % 7,
               CASE n % 4 WHEN 0 THEN (n + 1) % 3 * 2 + 1 END, CASE n % 5 WHEN 0 THEN 'PENDING' ELSE 'COMPLETED' END
        FROM generate_series(1, 50000) AS n";
    run(&pool, load).await.expect("a load");
    assert_eq!(balances(&pool).await, expected(&pool).await);
    run(
        &pool,
        "UPDATE transactions SET amount = amount + 1 WHERE txn_type = 'DEPOSIT'",
    )
    .await
    .expect("a change of all");
    assert_eq!(balances(&pool).await, expected(&pool).await);
    run(&pool, "DELETE FROM transactions WHERE txn_type = 'TRANSFER'")
        .await
        .expect("a removal");
    assert_eq!(balances(&pool).await, expected(&pool).await);
}

#[tokio::test]
async fn migrations_and_the_capture_role_may_be_repeated() {
    let (bed, pool) = bank().await;
    for _ in 0..2 {
        connect::migrate(&bed.postgres().url()).await.expect("migrations again");
        connect::allow_capture(&bed.postgres().url(), "it's \"quoted\" \\ ")
            .await
            .expect("the role again");
    }
    let can_write: bool = sqlx::query_scalar(
        "SELECT bool_or(has_table_privilege('riverbank_cdc', t, 'INSERT, UPDATE, DELETE, TRUNCATE'))
         FROM unnest(ARRAY['customers', 'accounts', 'transactions']) AS t",
    )
    .fetch_one(&pool)
    .await
    .expect("the role's rights");
    assert!(!can_write, "the capture role can write the bank's tables");
}

/// Six accounts, odd ones in EUR, even ones in USD.
async fn seed_accounts(pool: &PgPool) {
    let statements = [
        "INSERT INTO customers (first_name, last_name, email) VALUES ('One', 'Only', 'one@example.com')",
        "INSERT INTO accounts (customer_id, account_type, currency, opening_balance)
         SELECT 1, 'CHECKING', CASE n % 2 WHEN 1 THEN 'EUR' ELSE 'USD' END, 50 FROM generate_series(1, 6) AS n",
    ];
    for statement in statements {
        run(pool, statement).await.expect(statement);
    }
}

#[derive(Default)]
struct Outcome {
    done: usize,
    refused: usize,
}

async fn write(pool: PgPool, mut rng: StdRng) -> Outcome {
    let mut outcome = Outcome::default();
    for _ in 0..STATEMENTS {
        let statement = statement(&mut rng);
        match run(&pool, &statement).await {
            Ok(rows) if rows > 0 => outcome.done += 1,
            Ok(_) => {}
            Err(error) => {
                let state = error.as_database_error().and_then(|e| e.code()).map(|code| code.into_owned());
                assert_eq!(
                    state.as_deref(),
                    Some("23514"),
                    "only rules may refuse, not a deadlock: {statement}: {error}"
                );
                outcome.refused += 1;
            }
        }
    }
    outcome
}

/// Inserts of one or several rows, changes of anything that matters, deletes.
fn statement(rng: &mut StdRng) -> String {
    let some = |rng: &mut StdRng| rng.random_range(1..=200);
    match rng.random_range(0..10) {
        0..=4 => {
            let rows: Vec<String> = (0..rng.random_range(1..=4)).map(|_| row(rng)).collect();
            format!(
                "INSERT INTO transactions (account_id, txn_type, amount, related_account_id, status) VALUES {}",
                rows.join(", ")
            )
        }
        5 => format!("UPDATE transactions SET status = '{}' WHERE id = {}", status(rng), some(rng)),
        6 => format!("UPDATE transactions SET amount = {} WHERE id = {}", amount(rng), some(rng)),
        7 => format!(
            "UPDATE transactions SET account_id = {} WHERE id = {}",
            account(rng),
            some(rng)
        ),
        8 => {
            // In which order an UPDATE meets its own rows is not the ledger's business, so they are locked in order first.
            let first = some(rng);
            let rows = format!(
                "SELECT id FROM transactions WHERE id BETWEEN {first} AND {} ORDER BY id FOR UPDATE",
                first + 5
            );
            format!(
                "UPDATE transactions SET status = '{}' WHERE id = ANY (ARRAY({rows}))",
                status(rng)
            )
        }
        _ => format!("DELETE FROM transactions WHERE id = {}", some(rng)),
    }
}

fn row(rng: &mut StdRng) -> String {
    let (from, amount, status) = (account(rng), amount(rng), status(rng));
    match rng.random_range(0..4) {
        0 => format!("({from}, 'DEPOSIT', {amount}, NULL, '{status}')"),
        1 => format!("({from}, 'WITHDRAWAL', {amount}, NULL, '{status}')"),
        _ => {
            let to = (from + 1) % ACCOUNTS + 1;
            format!("({from}, 'TRANSFER', {amount}, {to}, '{status}')")
        }
    }
}

fn account(rng: &mut StdRng) -> i64 {
    rng.random_range(1..=ACCOUNTS)
}

fn amount(rng: &mut StdRng) -> String {
    format!("{}.{:02}", rng.random_range(0..20), rng.random_range(1..100))
}

fn status(rng: &mut StdRng) -> &'static str {
    ["COMPLETED", "COMPLETED", "COMPLETED", "PENDING", "FAILED", "REVERSED"][rng.random_range(0..6)]
}

/// Balances in hundredths by account, as the table has them.
async fn balances(pool: &PgPool) -> BTreeMap<i64, i64> {
    let rows = sqlx::query("SELECT id, (balance * 100)::bigint AS balance FROM accounts")
        .fetch_all(pool)
        .await;
    rows.expect("balances")
        .iter()
        .map(|row| (row.get("id"), row.get("balance")))
        .collect()
}

/// The same, added up here from the rows.
async fn expected(pool: &PgPool) -> BTreeMap<i64, i64> {
    let opening = sqlx::query("SELECT id, (opening_balance * 100)::bigint AS opening FROM accounts")
        .fetch_all(pool)
        .await;
    let mut sums: BTreeMap<i64, i64> = opening
        .expect("accounts")
        .iter()
        .map(|row| (row.get("id"), row.get("opening")))
        .collect();
    let rows = sqlx::query(
        "SELECT account_id, txn_type, (amount * 100)::bigint AS amount, related_account_id
         FROM transactions WHERE status = 'COMPLETED'",
    )
    .fetch_all(pool)
    .await
    .expect("transactions");
    for row in rows {
        let (from, kind, amount): (i64, String, i64) = (row.get("account_id"), row.get("txn_type"), row.get("amount"));
        *sums.entry(from).or_default() += if kind == "DEPOSIT" { amount } else { -amount };
        if let Some(to) = row.get::<Option<i64>, _>("related_account_id") {
            *sums.entry(to).or_default() += amount;
        }
    }
    sums
}
