//! The ledger's triggers off for a while, on a real Postgres: what `docs/runbooks/ledger-off.md` says puts it right, word by word.

mod support;

use connect::{ProblemKind, SourceExpectations, check_source};
use sqlx::PgPool;
use support::{balance, bank, constraint, run};
use testbed::Testbed;

const RUNBOOK: &str = include_str!("../../docs/runbooks/ledger-off.md");

/// The runbook's statements: the transaction's beginning, for triggers that are disabled, for those that are gone, for the balances.
fn steps() -> [&'static str; 4] {
    let blocks = RUNBOOK.split("```sql\n").skip(1);
    let blocks: Vec<&str> = blocks.map(|block| block.split("```").next().unwrap_or_default()).collect();
    blocks.try_into().expect("four blocks")
}

async fn do_all(pool: &PgPool, statements: &[&str]) -> Result<u64, sqlx::Error> {
    run(pool, &statements.concat()).await
}

async fn check_is_told(bed: &Testbed, is_told: bool) {
    let expected = SourceExpectations::of(&connect::ConnectorSettings::bank(connect::Database::default(), ""));
    let found = check_source(&bed.postgres().url(), &expected.before_the_first_start()).await;
    let found = found.expect("an answer");
    let ledger = found.iter().any(|problem| problem.kind == ProblemKind::LedgerOff);
    assert_eq!(ledger, is_told, "{found:#?}");
}

async fn rules_hold(pool: &PgPool) {
    let refused = run(pool, "UPDATE accounts SET balance = 5 WHERE id = 1")
        .await
        .expect_err("a rule");
    assert_eq!(constraint(&refused).as_deref(), Some("accounts_balance_by_ledger"));
    run(
        pool,
        "INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 1)",
    )
    .await
    .expect("a deposit");
}

#[tokio::test]
async fn what_the_runbook_says_puts_the_ledger_right() {
    let (bed, pool) = bank().await;
    let ok = async |statement: &str| run(&pool, statement).await.expect(statement);
    ok("INSERT INTO customers (first_name, last_name, email) VALUES ('Ada', 'Lovelace', 'ada@example.org')").await;
    ok("INSERT INTO accounts (customer_id, account_type, currency, opening_balance)
        SELECT 1, 'CHECKING', 'EUR', 100 FROM generate_series(1, 3)")
    .await;
    check_is_told(&bed, false).await;

    ok("ALTER TABLE transactions DISABLE TRIGGER ALL; ALTER TABLE accounts DISABLE TRIGGER ALL").await;
    ok("INSERT INTO transactions (account_id, txn_type, amount, related_account_id)
        VALUES (1, 'DEPOSIT', 20, NULL), (2, 'TRANSFER', 30, 1), (2, 'WITHDRAWAL', 5, NULL)")
    .await;
    ok("UPDATE accounts SET balance = 7 WHERE id = 3").await;
    check_is_told(&bed, true).await;
    let [begin, enable, create, correct] = steps();
    do_all(&pool, &[begin, enable, correct]).await.expect("the runbook");
    check_is_told(&bed, false).await;
    for (id, expected) in [(1, "150.0000"), (2, "65.0000"), (3, "100.0000")] {
        assert_eq!(balance(&pool, id).await, expected, "account {id}");
    }
    rules_hold(&pool).await;

    for (table, trigger) in [
        ("transactions", "ledger_on_insert"),
        ("transactions", "ledger_on_update"),
        ("transactions", "ledger_on_delete"),
        ("transactions", "ledger_refuse_truncate"),
        ("transactions", "transactions_guard"),
        ("accounts", "accounts_guard"),
    ] {
        ok(&format!("DROP TRIGGER {trigger} ON {table}")).await;
    }
    ok("DELETE FROM transactions WHERE txn_type = 'TRANSFER'").await;
    check_is_told(&bed, true).await;
    do_all(&pool, &[begin, create, correct]).await.expect("the runbook");
    check_is_told(&bed, false).await;
    assert_eq!(balance(&pool, 1).await, "121.0000");
    assert_eq!(balance(&pool, 2).await, "95.0000");
    rules_hold(&pool).await;
}
