//! Nobody but the ledger moves a balance, and nobody can make the ledger look elsewhere.

mod support;

use support::{balance, bank, client, code, constraint, run};

const SEED: &str = "INSERT INTO customers (first_name, last_name, email) VALUES ('One', 'Only', 'one@example.com');
    INSERT INTO accounts (customer_id, account_type, currency, opening_balance) VALUES (1, 'CHECKING', 'EUR', 120), (1, 'SAVINGS', 'EUR', 0)";

#[tokio::test]
async fn a_sessions_own_tables_are_not_the_banks() {
    let (bed, pool) = bank().await;
    run(&pool, SEED).await.expect("accounts");
    let mut client = client(&bed, &pool).await;
    for statement in [
        "CREATE TEMPORARY TABLE accounts (LIKE public.accounts INCLUDING DEFAULTS)",
        "INSERT INTO accounts SELECT * FROM public.accounts",
        "UPDATE accounts SET balance = 1000000",
        "CREATE TEMPORARY TABLE currencies AS SELECT code, 4 AS minor_units FROM public.currencies",
        "CREATE TEMPORARY TABLE transactions_ AS SELECT * FROM public.transactions",
    ] {
        run(&mut client, statement).await.expect(statement);
    }
    let withdrawal = "INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'WITHDRAWAL', 100000)";
    let error = run(&mut client, withdrawal).await.expect_err("120 is there");
    assert_eq!(constraint(&error).as_deref(), Some("accounts_balance_not_negative"));
    let precise = "INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 0.001)";
    let error = run(&mut client, precise).await.expect_err("no amount of EUR");
    assert_eq!(constraint(&error).as_deref(), Some("transactions_amount_scale"));
    let transfer = "INSERT INTO transactions (account_id, txn_type, amount, related_account_id) VALUES (1, 'TRANSFER', 20, 2)";
    run(&mut client, transfer).await.expect("a transfer");
    run(&mut client, "UPDATE transactions SET amount = 30")
        .await
        .expect("a correction");
    assert_eq!(
        (balance(&pool, 1).await, balance(&pool, 2).await),
        ("90.0000".to_owned(), "30.0000".to_owned())
    );
    run(&mut client, "DELETE FROM transactions").await.expect("a removal");
    assert_eq!(
        (balance(&pool, 1).await, balance(&pool, 2).await),
        ("120.0000".to_owned(), "0.0000".to_owned())
    );
}

#[tokio::test]
async fn nobody_can_pass_for_the_ledger() {
    let (bed, pool) = bank().await;
    run(&pool, SEED).await.expect("accounts");
    let mut client = client(&bed, &pool).await;
    for statement in [
        // A trigger of one's own, which is what the depth of triggers would show.
        "CREATE TABLE client.bait (id INT)",
        "CREATE FUNCTION client.bite() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN UPDATE public.accounts SET balance = balance + 1000 WHERE id = 1; RETURN NULL; END $$",
        "CREATE TRIGGER bite AFTER INSERT ON client.bait FOR EACH ROW EXECUTE FUNCTION client.bite()",
        // The owner's rights, lent to everybody: the owner's name is not the ledger's.
        "CREATE FUNCTION client.lend() RETURNS void LANGUAGE sql SECURITY DEFINER AS
         'UPDATE public.accounts SET balance = balance + 1000 WHERE id = 1'",
        // Operators of one's own, before those of Postgres in the search path.
        "CREATE FUNCTION client.never(NUMERIC, NUMERIC) RETURNS BOOLEAN LANGUAGE sql IMMUTABLE AS 'SELECT false'",
        "CREATE OPERATOR client.<> (LEFTARG = NUMERIC, RIGHTARG = NUMERIC, FUNCTION = client.never)",
        "CREATE TABLE client.transactions (LIKE public.transactions)",
        "SELECT set_config('riverbank.ledger', 'riverbank_ledger', false), set_config('role', 'client', false)",
    ] {
        run(&mut client, statement).await.expect(statement);
    }
    let by_ledger = [
        "INSERT INTO client.bait VALUES (1)",
        "SELECT client.lend()",
        "UPDATE accounts SET balance = 5000 WHERE id = 1",
        "SET search_path = client, pg_catalog, public; UPDATE public.accounts SET balance = 5000 WHERE id = 1",
        "SET search_path = public; INSERT INTO accounts (id, customer_id, account_type, currency, opening_balance)
         VALUES (1, 1, 'CHECKING', 'EUR', 5000) ON CONFLICT (id) DO UPDATE SET balance = excluded.balance",
    ];
    for statement in by_ledger {
        let error = run(&mut client, statement).await.expect_err(statement);
        assert_eq!(
            constraint(&error).as_deref(),
            Some("accounts_balance_by_ledger"),
            "{statement}: {error}"
        );
    }
    // What would do it takes rights that a client lacks.
    for statement in [
        "CREATE TRIGGER post AFTER INSERT ON client.transactions REFERENCING NEW TABLE AS new_rows
         FOR EACH STATEMENT EXECUTE FUNCTION public.ledger_on_insert()",
        "SET ROLE riverbank_ledger",
        "SET session_replication_role = replica",
        "ALTER TABLE public.accounts DISABLE TRIGGER ALL",
        "CREATE TRIGGER bite BEFORE UPDATE ON public.accounts FOR EACH ROW EXECUTE FUNCTION client.bite()",
        "SELECT public.ledger_set_up_role()",
    ] {
        let error = run(&mut client, statement).await.expect_err(statement);
        assert_eq!(code(&error).as_deref(), Some("42501"), "{statement}: {error}");
    }
    // Nor does the owner of the tables, by a plain statement.
    let error = run(&pool, by_ledger[2]).await.expect_err("not by hand");
    assert_eq!(constraint(&error).as_deref(), Some("accounts_balance_by_ledger"));
    assert_eq!(balance(&pool, 1).await, "120.0000");
}

#[tokio::test]
async fn a_database_restored_on_another_server_posts_again_after_connect() {
    let (bed, pool) = bank().await;
    run(&pool, SEED).await.expect("accounts");
    // What a dump brings without the role: everything belongs to whoever restores it.
    for statement in [
        "REASSIGN OWNED BY riverbank_ledger TO postgres",
        "DROP OWNED BY riverbank_ledger",
        "DROP ROLE riverbank_ledger",
    ] {
        run(&pool, statement).await.expect(statement);
    }
    let deposit = "INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 1)";
    let error = run(&pool, deposit).await.expect_err("nothing is posted in another name");
    assert_eq!(constraint(&error).as_deref(), Some("accounts_balance_by_ledger"));
    connect::migrate(&bed.postgres().url()).await.expect("the role again");
    run(&pool, deposit).await.expect("a deposit");
    assert_eq!(balance(&pool, 1).await, "121.0000");
}

#[tokio::test]
async fn identities_pass_over_imported_ids_for_whoever_may_insert() {
    let (bed, pool) = bank().await;
    run(&pool, SEED).await.expect("accounts");
    let mut client = client(&bed, &pool).await;
    let import = |to: i64| {
        format!(
            "INSERT INTO customers (id, first_name, last_name, email)
             SELECT n, 'A', 'B', 'c' || n || '@example.com' FROM generate_series(2, {to}) AS n ON CONFLICT DO NOTHING"
        )
    };
    let one_more = "INSERT INTO customers (first_name, last_name, email) VALUES ('A', 'B', 'new' || random() || '@example.com')";
    // A few ids, and so many that they are jumped.
    for to in [30, 30_000] {
        run(&mut client, &import(to)).await.expect("an import");
        let error = run(&mut client, one_more).await.expect_err("the identity is behind");
        assert_eq!(constraint(&error).as_deref(), Some("customers_pkey"));
        run(&mut client, "SELECT public.pass_over_ids('customers')")
            .await
            .expect("passed over");
        run(&mut client, one_more).await.expect("a customer");
        let last: i64 = sqlx::query_scalar("SELECT max(id) FROM customers")
            .fetch_one(&pool)
            .await
            .expect("an id");
        assert_eq!(last, to + 1, "no further than needed");
    }
    for table in ["currencies", "pg_class", "customers; DROP TABLE customers"] {
        let call = format!("SELECT public.pass_over_ids('{table}')");
        let error = run(&mut client, &call).await.expect_err(&call);
        assert_eq!(code(&error).as_deref(), Some("42501"));
    }
    run(&pool, "REVOKE INSERT ON customers FROM client")
        .await
        .expect("a right less");
    let error = run(&mut client, "SELECT public.pass_over_ids('customers')")
        .await
        .expect_err("no right to insert");
    assert_eq!(code(&error).as_deref(), Some("42501"));
}

/// A snapshot of one's own does not show what was committed since, and a pending transaction moves no balance.
#[tokio::test]
async fn a_currency_changes_under_no_snapshot_of_ones_own() {
    let (_bed, pool) = bank().await;
    run(
        &pool,
        "INSERT INTO customers (first_name, last_name, email) VALUES ('Ada', 'Lovelace', 'ada@example.org');
         INSERT INTO accounts (customer_id, account_type, currency, opening_balance) VALUES (1, 'CHECKING', 'EUR', 100)",
    )
    .await
    .expect("an account");
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        let mut session = pool.acquire().await.expect("a session");
        run(&mut *session, &format!("BEGIN ISOLATION LEVEL {level}; SELECT 1"))
            .await
            .expect("a snapshot");
        let insert = "INSERT INTO transactions (account_id, txn_type, amount, status) VALUES (1, 'DEPOSIT', 10, 'PENDING')";
        run(&pool, insert).await.expect("a pending transaction");
        let change = run(&mut *session, "UPDATE accounts SET currency = 'USD' WHERE id = 1").await;
        assert_eq!(
            constraint(&change.expect_err(level)).as_deref(),
            Some("accounts_currency_fixed")
        );
        run(&mut *session, "ROLLBACK").await.expect("an end");
    }
    let change = run(&pool, "UPDATE accounts SET currency = 'USD' WHERE id = 1").await;
    assert_eq!(
        constraint(&change.expect_err("transactions")).as_deref(),
        Some("accounts_currency_fixed")
    );
    run(&pool, "DELETE FROM transactions").await.expect("no transaction");
    run(&pool, "UPDATE accounts SET currency = 'USD' WHERE id = 1")
        .await
        .expect("another currency");
}
