//! Every line of the list of data rules: a row that breaks it is reported by the rule's name, and what becomes of it is what the list says.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;

use processors::gold::GRACE;
use processors::stores;
use schemas::bronze::{AccountRow, CdcKey, CustomerRow, Envelope, Op, Row, TransactionRow, UNAVAILABLE_VALUE};
use schemas::rules::{CHECKS, Check, Rule, Severity};
use schemas::time::{INSTANT_MAX, INSTANT_MIN, NO_INSTANT};
use schemas::topics::*;
use schemas::{AccountId, CustomerId, Money, TransactionId};
use support::{Bench, account, deposit, money, transaction, transfer};
use topology::store::{KeyValue, StoreKey, StoreValue};
use wire::{Topic, Wire};

/// What breaks a rule, as a change of row 1 of its table.
enum Broken {
    Customer(CustomerRow),
    Account(AccountRow),
    Transaction(TransactionRow),
    /// A change without a row.
    Nothing,
}

fn customer() -> CustomerRow {
    CustomerRow {
        id: 1,
        first_name: Some("Ada".into()),
        last_name: Some("Lovelace".into()),
        email: Some("ada@example.org".into()),
        ..CustomerRow::default()
    }
}

fn broken_customer(check: &Check, column: &str) -> CustomerRow {
    let text = match check.rule {
        Rule::NotNull if check.must.contains("empty") => Some("  ".to_owned()),
        Rule::NotNull => None,
        Rule::AcceptedValues => Some("nobody".to_owned()),
        Rule::UnavailableValue => Some(UNAVAILABLE_VALUE.to_owned()),
        _ => Some("ok@example.org".to_owned()),
    };
    let good = customer();
    match column {
        "first_name" => CustomerRow {
            first_name: text,
            ..good
        },
        "last_name" => CustomerRow { last_name: text, ..good },
        "email" => CustomerRow { email: text, ..good },
        "created_at" => CustomerRow {
            created_at: Some(NO_INSTANT),
            ..good
        },
        "updated_at" => CustomerRow {
            updated_at: Some(INSTANT_MAX),
            ..good
        },
        other => panic!("customers.{other}"),
    }
}

fn broken_account(check: &Check, column: &str) -> AccountRow {
    let good = account(1, "100.00");
    let wrong = (check.rule != Rule::NotNull).then(|| "WRONG".to_owned());
    let amount = match check.rule {
        Rule::NotNull => None,
        Rule::CurrencyScale => Some(money("0.001")),
        _ => Some(Money::UNFIT),
    };
    match (check.rule, column) {
        // Of a source without Riverbank's ledger.
        (Rule::CurrencyFixed, _) => AccountRow {
            currency: Some("USD".into()),
            opening_balance: None,
            ..good
        },
        (_, "customer_id") => AccountRow {
            customer_id: None,
            ..good
        },
        (_, "account_type") => AccountRow {
            account_type: wrong,
            ..good
        },
        (_, "currency") => AccountRow { currency: wrong, ..good },
        (_, "status") => AccountRow { status: wrong, ..good },
        (_, "opening_balance") => AccountRow {
            opening_balance: amount,
            ..good
        },
        (_, "balance") => AccountRow { balance: amount, ..good },
        (_, "created_at") => AccountRow {
            created_at: Some(INSTANT_MIN),
            ..good
        },
        (_, "updated_at") => AccountRow {
            updated_at: Some(NO_INSTANT),
            ..good
        },
        (_, "closed_at") => AccountRow {
            closed_at: Some(INSTANT_MAX),
            ..good
        },
        (_, other) => panic!("accounts.{other}"),
    }
}

fn broken_transaction(check: &Check, column: &str) -> TransactionRow {
    let good = deposit(1, 1, "5.00");
    let wrong = (check.rule != Rule::NotNull).then(|| "WRONG".to_owned());
    let amount = match check.rule {
        Rule::NotNull => None,
        Rule::AmountPositive => Some(money("0.00")),
        Rule::CurrencyScale => Some(money("0.001")),
        _ => Some(Money::UNFIT),
    };
    match (check.rule, column) {
        (Rule::AccountExists, "account_id") => TransactionRow {
            account_id: Some(9),
            ..good
        },
        (Rule::AccountExists, "related_account_id") => transfer(1, 1, 9, "5.00", "COMPLETED"),
        (Rule::HoldExpired, _) => TransactionRow {
            created_at: Some(1_690_000_000_000_000),
            ..transaction(1, 1, "WITHDRAWAL", "5.00", "PENDING")
        },
        (Rule::RelatedAccount, _) if check.must.contains("another") => transfer(1, 1, 1, "5.00", "COMPLETED"),
        (Rule::RelatedAccount, _) => TransactionRow {
            related_account_id: Some(2),
            ..good
        },
        (_, "account_id") => TransactionRow {
            account_id: None,
            ..good
        },
        (_, "txn_type") => TransactionRow { txn_type: wrong, ..good },
        (_, "status") => TransactionRow { status: wrong, ..good },
        (_, "amount") => TransactionRow { amount, ..good },
        (_, "created_at") => TransactionRow {
            created_at: Some(INSTANT_MAX),
            ..good
        },
        (_, "updated_at") => TransactionRow {
            updated_at: Some(INSTANT_MIN),
            ..good
        },
        (_, other) => panic!("transactions.{other}"),
    }
}

fn broken(check: &Check, column: Option<&str>) -> Broken {
    match (check.table, column) {
        (_, None) => Broken::Nothing,
        ("customers", Some(column)) => Broken::Customer(broken_customer(check, column)),
        ("accounts", Some(column)) => Broken::Account(broken_account(check, column)),
        ("transactions", Some(column)) => Broken::Transaction(broken_transaction(check, column)),
        (other, _) => panic!("there is no table {other}"),
    }
}

fn update<R: Row + Clone>(bank: &mut Bench, topic: Topic<CdcKey, Envelope<R>>, row: Option<R>)
where
    Envelope<R>: Wire,
{
    let event = bank.event(Op::Update, row);
    bank.send(topic, 1, &event);
}

/// The LSN of the change that made the row in force.
fn in_force(bank: &Bench, table: &str) -> Option<i64> {
    match table {
        "customers" => row(bank, stores::CUSTOMERS, CustomerId(1)).and_then(|applied| applied.row.map(|row| row.source_lsn)),
        "accounts" => row(bank, stores::ACCOUNTS, AccountId(1)).and_then(|applied| applied.row.map(|row| row.source_lsn)),
        _ => row(bank, stores::TRANSACTIONS, TransactionId(1)).and_then(|applied| applied.row.map(|row| row.source_lsn)),
    }
}

fn row<K: StoreKey + Ord, V: StoreValue>(bank: &Bench, store: KeyValue<K, V>, key: K) -> Option<V> {
    let rows = bank.driver.view(store);
    rows.into_iter().find(|(known, _)| *known == key).map(|(_, value)| value)
}

#[test]
fn every_line_of_the_list_is_reported_and_treated_as_it_says() {
    for check in CHECKS {
        let columns = check.columns.iter().copied().map(Some);
        let none = check.columns.is_empty().then_some(None);
        for column in columns.chain(none) {
            let what = format!("{} on {}.{column:?} ({})", check.rule, check.table, check.must);
            let mut bank = Bench::new();
            bank.account(1, "100.00");
            bank.account(2, "100.00");
            // What was left out as unchanged is refused only where nothing is known of the row.
            if check.rule != Rule::UnavailableValue {
                let event = bank.event(Op::Create, Some(customer()));
                bank.send(CDC_CUSTOMERS, 1, &event);
            }
            bank.transaction(Op::Create, deposit(1, 1, "5.00"));
            let before = in_force(&bank, check.table);
            assert_eq!(bank.rejected(), [], "{what}");

            match (broken(check, column), check.table) {
                (Broken::Customer(row), _) => update(&mut bank, CDC_CUSTOMERS, Some(row)),
                (Broken::Account(row), _) => update(&mut bank, CDC_ACCOUNTS, Some(row)),
                (Broken::Transaction(row), _) => update(&mut bank, CDC_TRANSACTIONS, Some(row)),
                (Broken::Nothing, "customers") => update::<CustomerRow>(&mut bank, CDC_CUSTOMERS, None),
                (Broken::Nothing, "accounts") => update::<AccountRow>(&mut bank, CDC_ACCOUNTS, None),
                (Broken::Nothing, _) => update::<TransactionRow>(&mut bank, CDC_TRANSACTIONS, None),
            }
            bank.driver.advance_wall_clock(2 * GRACE);
            let rules: Vec<String> = bank.rejected().into_iter().map(|(_, rule)| rule).collect();
            assert_eq!(rules, [check.rule.as_str()], "{what}");

            let (now, newest) = (in_force(&bank, check.table), Some(bank.lsn));
            match check.severity {
                Severity::Refused => assert_eq!(now, before, "{what}"),
                Severity::Noted => assert_eq!(now, newest, "{what}"),
                Severity::Waits => {
                    assert_eq!(now, newest, "{what}");
                    assert_eq!(bank.driver.view(stores::WAITING).len(), 1, "{what}");
                    what_it_misses_comes(&mut bank, check);
                    assert!(bank.driver.view(stores::WAITING).is_empty(), "{what}");
                    let balances = bank.driver.view(stores::BALANCES);
                    let booked = balances
                        .iter()
                        .try_fold(Money::ZERO, |sum, (_, of)| sum.checked_add(of.booked))
                        .unwrap();
                    let expected = match (check.rule, column) {
                        (Rule::CurrencyScale, _) => "200.001",
                        (_, Some("account_id")) => "206.00",
                        _ => "201.00",
                    };
                    assert_eq!(booked, money(expected), "{what}");
                }
            }
        }
    }
}

fn what_it_misses_comes(bank: &mut Bench, check: &Check) {
    if check.rule == Rule::AccountExists {
        bank.account(9, "1.00");
        return;
    }
    let dinar = AccountRow {
        currency: Some("KWD".into()),
        ..account(1, "100.00")
    };
    update(bank, CDC_ACCOUNTS, Some(dinar));
}

#[test]
fn every_rule_is_on_the_list_and_its_lines_stand_together() {
    let mut order: Vec<Rule> = CHECKS.iter().map(|check| check.rule).collect();
    order.dedup();
    let distinct: BTreeSet<Rule> = order.iter().copied().collect();
    assert_eq!(order.len(), distinct.len(), "{order:?}");
    assert_eq!(distinct, Rule::ALL.iter().copied().collect());
}
