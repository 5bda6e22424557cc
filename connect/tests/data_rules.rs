//! What the list of data rules says that the source refuses, a real Postgres refuses, by that name.

mod support;

use schemas::rules::{AtSource, CHECKS};
use support::{bank, code, constraint, run};

const SEED: &str = "INSERT INTO customers (first_name, last_name, email) VALUES ('One', 'Only', 'one@example.com');
    INSERT INTO accounts (customer_id, account_type, currency, opening_balance)
    VALUES (1, 'CHECKING', 'JPY', 100), (1, 'SAVINGS', 'JPY', 100);
    INSERT INTO transactions (account_id, txn_type, amount) VALUES (1, 'DEPOSIT', 5);";

/// A statement that writes what the constraint is there against.
fn violation(constraint: &str) -> &'static str {
    match constraint {
        "accounts_type_known" => "UPDATE accounts SET account_type = 'PIGGY BANK' WHERE id = 1",
        "accounts_currency_known" => "UPDATE accounts SET currency = 'ZZZ' WHERE id = 2",
        "accounts_status_known" => "UPDATE accounts SET status = 'LOST' WHERE id = 1",
        "accounts_balance_is_number" => {
            "INSERT INTO accounts (customer_id, account_type, currency, opening_balance) VALUES (1, 'SAVINGS', 'EUR', 'NaN')"
        }
        "accounts_opening_balance_scale" => {
            "INSERT INTO accounts (customer_id, account_type, currency, opening_balance) VALUES (1, 'SAVINGS', 'JPY', 0.5)"
        }
        "accounts_balance_by_ledger" => "UPDATE accounts SET balance = 0.5 WHERE id = 1",
        "accounts_currency_fixed" => "UPDATE accounts SET currency = 'EUR' WHERE id = 1",
        "transactions_type_known" => "UPDATE transactions SET txn_type = 'GIFT' WHERE id = 1",
        "transactions_status_known" => {
            "INSERT INTO transactions (account_id, txn_type, amount, status) VALUES (1, 'DEPOSIT', 5, 'LOST')"
        }
        "transactions_amount_is_number" => "UPDATE transactions SET amount = 'NaN' WHERE id = 1",
        "transactions_amount_positive" => "UPDATE transactions SET amount = 0 WHERE id = 1",
        "transactions_amount_scale" => "UPDATE transactions SET amount = 0.5 WHERE id = 1",
        "transactions_related_only_for_transfer" => "UPDATE transactions SET related_account_id = 2 WHERE id = 1",
        "transactions_not_to_itself" => "UPDATE transactions SET txn_type = 'TRANSFER', related_account_id = 1 WHERE id = 1",
        "transactions_account_exists" => "UPDATE transactions SET account_id = 9 WHERE id = 1",
        "transactions_related_account_exists" => {
            "INSERT INTO transactions (account_id, related_account_id, txn_type, amount) VALUES (1, 9, 'TRANSFER', 5)"
        }
        other => panic!("{other} has no statement here that breaks it"),
    }
}

#[tokio::test]
async fn what_the_list_says_that_the_source_refuses_it_refuses() {
    let (_bed, pool) = bank().await;
    run(&pool, SEED).await.expect("rows");
    for check in CHECKS {
        let columns = check.columns.iter();
        match check.at_source {
            AtSource::Constraint(name) => {
                let error = run(&pool, violation(name)).await.expect_err(name);
                assert_eq!(constraint(&error).as_deref(), Some(name), "{error}");
            }
            AtSource::NotNull => {
                for column in columns {
                    let statement = format!("UPDATE {} SET {column} = NULL WHERE id = 1", check.table);
                    let error = run(&pool, &statement).await.expect_err(&statement);
                    assert_eq!(code(&error).as_deref(), Some("23502"), "{statement}: {error}");
                }
            }
            AtSource::Digits => {
                for column in columns {
                    let of_column = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute
                        WHERE attrelid = $1::regclass AND attname = $2";
                    let query = sqlx::query_scalar::<_, String>(of_column).bind(check.table).bind(*column);
                    assert_eq!(query.fetch_one(&pool).await.expect("a column"), "numeric(20,4)");
                }
            }
            AtSource::Nothing => {}
        }
    }
}
