//! Money at its currency's scale, at the source: for new rows, and for those that were there before.

mod support;

use std::collections::BTreeMap;

use schemas::Currency;
use support::{balance, bank, code, constraint, older_bank, run};

const SEED: &str = "INSERT INTO customers (first_name, last_name, email) VALUES ('One', 'Only', 'one@example.com');
    INSERT INTO accounts (customer_id, account_type, currency, opening_balance)
    SELECT 1, 'CHECKING', currency, 100 FROM unnest(ARRAY['EUR', 'JPY', 'KWD', 'CLF', 'XCG']) AS currency";

#[tokio::test]
async fn an_amount_fits_its_currency() {
    let (_bed, pool) = bank().await;
    run(&pool, SEED).await.expect("accounts");
    let deposit = |account: i64, amount: &str| {
        format!(
            "INSERT INTO transactions (account_id, txn_type, amount, status) VALUES ({account}, 'DEPOSIT', {amount}, 'PENDING')"
        )
    };
    for (account, fits, does_not) in [
        (1, "0.01", "0.001"),
        (2, "1", "0.5"),
        (3, "0.001", "0.0001"),
        (4, "0.0001", "0"),
        (5, "0.01", "0.001"),
    ] {
        run(&pool, &deposit(account, fits)).await.expect(fits);
        let error = run(&pool, &deposit(account, does_not)).await.expect_err(does_not);
        let expected = if account == 4 {
            "transactions_amount_positive"
        } else {
            "transactions_amount_scale"
        };
        assert_eq!(constraint(&error).as_deref(), Some(expected), "account {account}: {error}");
        // Nor by an update; what stays within the scale is taken, and what is there is completed exactly.
        let change = format!("UPDATE transactions SET amount = {does_not} WHERE account_id = {account}");
        let error = run(&pool, &change).await.expect_err(&change);
        assert_eq!(constraint(&error).as_deref(), Some(expected), "account {account}: {error}");
        let complete = format!("UPDATE transactions SET status = 'COMPLETED' WHERE account_id = {account}");
        run(&pool, &complete).await.expect("completed");
    }
    let held = [
        balance(&pool, 1).await,
        balance(&pool, 2).await,
        balance(&pool, 3).await,
        balance(&pool, 4).await,
    ];
    assert_eq!(held, ["100.0100", "101.0000", "100.0010", "100.0001"]);
    // A row cannot be moved to an account whose currency it does not fit.
    let error = run(&pool, "UPDATE transactions SET account_id = 1 WHERE account_id = 3")
        .await
        .expect_err("0.001 EUR");
    assert_eq!(constraint(&error).as_deref(), Some("transactions_amount_scale"));
}

#[tokio::test]
async fn what_is_no_amount_of_a_known_currency_is_refused() {
    let (_bed, pool) = bank().await;
    run(&pool, SEED).await.expect("accounts");
    let account = |currency: &str, opening: &str| {
        format!(
            "INSERT INTO accounts (customer_id, account_type, currency, opening_balance) VALUES (1, 'CHECKING', '{currency}', '{opening}')"
        )
    };
    let deposit =
        |amount: &str| format!("INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', '{amount}')");
    for (rule, statement) in [
        ("accounts_currency_known", account("BGN", "1")),
        ("accounts_currency_known", account("HRK", "1")),
        ("accounts_currency_known", account("ANG", "1")),
        ("accounts_currency_known", account("ZZZ", "1")),
        ("accounts_currency_known", account("XAU", "1")),
        ("accounts_opening_balance_scale", account("JPY", "0.50")),
        ("accounts_opening_balance_scale", account("KWD", "0.0001")),
        (
            "accounts_opening_balance_scale",
            "UPDATE accounts SET currency = 'JPY', opening_balance = 0.5 WHERE id = 9".to_owned(),
        ),
        (
            "accounts_currency_known",
            "UPDATE accounts SET currency = 'ZZZ' WHERE id = 2".to_owned(),
        ),
        ("transactions_amount_is_number", deposit("NaN")),
    ] {
        if rule == "accounts_opening_balance_scale" && statement.starts_with("UPDATE") {
            run(&pool, "INSERT INTO accounts (id, customer_id, account_type, currency, opening_balance) VALUES (9, 1, 'CHECKING', 'EUR', 0.5)")
                .await
                .expect("an account");
        }
        let error = run(&pool, &statement).await.expect_err(&statement);
        assert_eq!(constraint(&error).as_deref(), Some(rule), "{statement}: {error}");
    }
    let error = run(&pool, &account("EUR", "NaN")).await.expect_err("no number");
    assert!(constraint(&error).is_some_and(|name| name.ends_with("_is_number")), "{error}");
    for statement in [deposit("Infinity"), account("EUR", "Infinity"), account("EUR", "-Infinity")] {
        let error = run(&pool, &statement).await.expect_err(&statement);
        assert_eq!(code(&error).as_deref(), Some("22003"), "{statement}: {error}");
    }
}

/// The source's list and the program's are two: they must say the same.
#[tokio::test]
async fn the_sources_currencies_are_the_programs() {
    let (_bed, pool) = bank().await;
    let listed: BTreeMap<String, i16> = sqlx::query_as("SELECT code::text, minor_units FROM currencies")
        .fetch_all(&pool)
        .await
        .expect("currencies")
        .into_iter()
        .collect();
    assert_eq!(
        listed.len(),
        165,
        "ISO 4217, list one of 2026-01-01, without those that have no minor units"
    );
    let letters = || (b'A'..=b'Z').map(char::from);
    let all = letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| String::from_iter([a, b, c]))));
    let known: Vec<Currency> = all.filter_map(|code| code.parse().ok()).collect();
    let current: BTreeMap<String, i16> = known
        .into_iter()
        .filter(Currency::is_current)
        .map(|currency| (currency.to_string(), i16::try_from(currency.minor_digits()).expect("0 to 4")))
        .collect();
    assert_eq!(listed, current);
    for (code, minor_units) in [
        ("EUR", 2),
        ("JPY", 0),
        ("KWD", 3),
        ("CLF", 4),
        ("XCG", 2),
        ("ZWG", 2),
        ("VED", 2),
    ] {
        assert_eq!(listed.get(code), Some(&minor_units), "{code}");
    }
    for gone in ["ANG", "BGN", "CUC", "HRK", "SLL", "ZWL", "XXX", "XAU"] {
        assert!(!listed.contains_key(gone), "{gone}");
    }
}

#[tokio::test]
async fn a_bank_with_history_is_migrated_and_keeps_it() {
    let (bed, pool) = older_bank(3).await;
    for statement in [
        "INSERT INTO customers (first_name, last_name, email) VALUES ('One', 'Only', 'one@example.com')",
        "INSERT INTO accounts (customer_id, account_type, currency, opening_balance)
         VALUES (1, 'CHECKING', 'EUR', 10.50), (1, 'CHECKING', 'JPY', 1000), (1, 'CHECKING', 'BGN', 50)",
        "INSERT INTO transactions (account_id, txn_type, amount, status)
         VALUES (1, 'DEPOSIT', 1.25, 'COMPLETED'), (2, 'DEPOSIT', 100.50, 'COMPLETED'), (2, 'DEPOSIT', 0.50, 'PENDING'),
                (3, 'DEPOSIT', 5, 'COMPLETED'), (3, 'DEPOSIT', 6, 'PENDING'), (1, 'DEPOSIT', 'NaN', 'COMPLETED')",
    ] {
        run(&pool, statement).await.expect(statement);
    }
    let url = bed.postgres().url();
    let error = connect::migrate(&url).await.expect_err("an amount is no number");
    let said = format!("{:?}", with_causes(&error));
    assert!(said.contains("not a number: 6. Delete them"), "{said}");
    run(&pool, "DELETE FROM transactions WHERE id = 6")
        .await
        .expect("as the message says");
    assert_eq!(balance(&pool, 1).await, "NaN", "what the old ledger made of it");
    connect::migrate(&url).await.expect("migrations");

    assert_eq!(balance(&pool, 1).await, "11.7500", "computed anew");
    assert_eq!(balance(&pool, 2).await, "1100.5000", "nothing is rounded");
    let captured: Vec<(String, String)> = sqlx::query_as(
        "SELECT c.relname::text, c.relreplident::text FROM pg_publication_tables AS p
         JOIN pg_class AS c ON c.oid = format('%I.%I', p.schemaname, p.tablename)::regclass
         WHERE p.pubname = 'riverbank' AND c.relname NOT LIKE 'riverbank%' ORDER BY 1",
    )
    .fetch_all(&pool)
    .await
    .expect("the publication");
    let full = |table: &str| (table.to_owned(), "f".to_owned());
    assert_eq!(captured, [full("accounts"), full("customers"), full("transactions")]);

    // What never fitted and what is in a currency that is gone: it may be reversed, removed, left, and made right.
    for (statement, rule) in [
        (
            "UPDATE transactions SET status = 'COMPLETED' WHERE id = 3",
            Some("transactions_amount_scale"),
        ),
        (
            "UPDATE transactions SET status = 'COMPLETED' WHERE id = 5",
            Some("transactions_currency_current"),
        ),
        (
            "INSERT INTO transactions (account_id, txn_type, amount) VALUES (3, 'DEPOSIT', 1)",
            Some("transactions_currency_current"),
        ),
        ("UPDATE transactions SET created_at = created_at - interval '1 day'", None),
        ("UPDATE transactions SET amount = 101 WHERE id = 2", None),
        ("UPDATE transactions SET status = 'FAILED' WHERE id = 3", None),
        ("UPDATE transactions SET status = 'REVERSED' WHERE id = 4", None),
        ("DELETE FROM transactions WHERE id = 5", None),
        ("UPDATE accounts SET status = 'INACTIVE' WHERE id = 3", None),
    ] {
        let refused = run(&pool, statement).await.err();
        let said = refused.as_ref().and_then(constraint);
        assert_eq!(said.as_deref(), rule, "{statement}: {refused:?}");
    }
    assert_eq!(
        (balance(&pool, 2).await, balance(&pool, 3).await),
        ("1101.0000".to_owned(), "50.0000".to_owned())
    );
}

/// An error with its causes.
fn with_causes(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect()
}
