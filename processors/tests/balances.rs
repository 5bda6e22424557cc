//! The bank as a whole, driven through its change log: whatever comes, and however often, the books balance.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use processors::{gold::GRACE, stores};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use schemas::bronze::{AccountRow, CustomerRow, Op, TransactionRow};
use schemas::topics::*;
use schemas::{AccountId, Money, TransactionId};
use support::{Bench, account, money, transaction, transfer};

#[test]
fn transactions_move_balances() {
    let mut bank = Bench::new();
    bank.account(1, "100.00");
    bank.account(2, "0.00");
    bank.transaction(Op::Create, transaction(1, 1, "DEPOSIT", "10.50", "COMPLETED"));
    bank.transaction(Op::Create, transaction(2, 1, "WITHDRAWAL", "0.25", "COMPLETED"));
    bank.transaction(Op::Create, transfer(3, 1, 2, "30.00", "COMPLETED"));
    bank.check(&[(1, "80.25", "80.25"), (2, "30.00", "30.00")]);
}

#[test]
fn a_changed_or_deleted_transaction_is_reversed() {
    let mut bank = Bench::new();
    bank.account(1, "100.00");
    bank.account(2, "0.00");
    bank.transaction(Op::Create, transfer(1, 1, 2, "30.00", "COMPLETED"));
    bank.transaction(Op::Update, transfer(1, 1, 2, "20.00", "COMPLETED"));
    bank.check(&[(1, "80.00", "80.00"), (2, "20.00", "20.00")]);
    bank.transaction(Op::Delete, transfer(1, 1, 2, "20.00", "COMPLETED"));
    bank.check(&[(1, "100.00", "100.00"), (2, "0.00", "0.00")]);
    let postings: Vec<_> = bank
        .driver
        .drain(SILVER_POSTINGS)
        .into_iter()
        .map(|r| r.value.unwrap())
        .collect();
    assert_eq!(postings.len(), 8, "two legs; two back and two again; two back");
    for posting in postings.iter().filter_map(|p| p.reverses.as_ref()) {
        assert!(
            postings.iter().any(|p| p.posting_id == *posting),
            "{posting} is reversed but was never posted"
        );
    }
}

#[test]
fn pending_transactions_hold_money() {
    let mut bank = Bench::new();
    bank.account(1, "100.00");
    bank.transaction(Op::Create, transaction(1, 1, "WITHDRAWAL", "30.00", "PENDING"));
    bank.check(&[(1, "100.00", "70.00")]);
    bank.transaction(Op::Update, transaction(1, 1, "WITHDRAWAL", "30.00", "COMPLETED"));
    bank.check(&[(1, "70.00", "70.00")]);
    bank.transaction(Op::Create, transaction(2, 1, "WITHDRAWAL", "30.00", "PENDING"));
    bank.transaction(Op::Update, transaction(2, 1, "WITHDRAWAL", "30.00", "FAILED"));
    bank.check(&[(1, "70.00", "70.00")]);
}

#[test]
fn a_transaction_before_its_account_waits_and_is_reported() {
    let mut bank = Bench::new();
    bank.transaction(Op::Create, transaction(1, 7, "DEPOSIT", "5.00", "COMPLETED"));
    bank.check(&[]);
    assert_eq!(bank.driver.view(stores::WAITING).len(), 1);
    bank.driver.advance_wall_clock(2 * GRACE);
    bank.driver.advance_wall_clock(2 * GRACE);
    assert_eq!(bank.rejected(), [(7, "account_exists".to_owned())], "reported, and only once");
    bank.account(7, "1.00");
    bank.check(&[(7, "6.00", "6.00")]);
    assert!(bank.driver.view(stores::WAITING).is_empty());
}

#[test]
fn what_breaks_a_rule_is_kept_apart() {
    let mut bank = Bench::new();
    bank.account(1, "100.00");
    bank.transaction(Op::Create, transaction(1, 1, "DEPOSIT", "5.00", "COMPLETED"));
    bank.transaction(Op::Update, transaction(1, 1, "DEPOSIT", "-5.00", "COMPLETED"));
    bank.transaction(Op::Create, transaction(2, 1, "GIFT", "5.00", "COMPLETED"));
    bank.transaction(
        Op::Create,
        TransactionRow {
            amount: None,
            ..transaction(3, 1, "DEPOSIT", "5.00", "COMPLETED")
        },
    );
    let mut no_currency = account(9, "1.00");
    no_currency.currency = Some("XQZ".into());
    let event = bank.event(Op::Create, Some(no_currency));
    bank.send(CDC_ACCOUNTS, 9, &event);
    bank.check(&[(1, "105.00", "105.00")]);
    let mut rejected = bank.rejected();
    rejected.sort();
    let rules = [
        (1, "amount_positive"),
        (2, "accepted_values"),
        (3, "not_null"),
        (9, "accepted_values"),
    ];
    assert_eq!(rejected, rules.map(|(id, rule)| (id, rule.to_owned())));
}

#[test]
fn bytes_that_are_no_record_stop_nothing() {
    let mut bank = Bench::new();
    bank.account(1, "100.00");
    for bytes in [&b""[..], b"{}", &[0, 0, 0, 0, 99, 1], &[0, 0, 0, 0, 1, 0xff, 0xff]] {
        bank.driver.send_bytes(CDC_TRANSACTIONS.name(), 1, Some(bytes), Some(bytes));
    }
    bank.driver.send_bytes(CDC_TRANSACTIONS.name(), 1, None, Some(b"truncated"));
    bank.transaction(Op::Create, transaction(1, 1, "DEPOSIT", "5.00", "COMPLETED"));
    bank.check(&[(1, "105.00", "105.00")]);
    let letters = bank.driver.drain_bytes("riverbank-dead-letters");
    assert_eq!(letters.len(), 5);
    for letter in letters {
        assert!(
            letter
                .headers
                .iter()
                .any(|(name, value)| name == "__streams.errors.message" && value.is_some())
        );
    }
}

#[test]
fn duplicates_and_snapshots_change_nothing() {
    let mut bank = Bench::new();
    bank.account(1, "100.00");
    let deposit = bank.event(Op::Create, Some(transaction(1, 1, "DEPOSIT", "5.00", "COMPLETED")));
    let update = bank.event(Op::Update, Some(transaction(1, 1, "DEPOSIT", "6.00", "COMPLETED")));
    for event in [&deposit, &update, &deposit, &update, &deposit] {
        bank.send(CDC_TRANSACTIONS, 1, event);
    }
    bank.check(&[(1, "106.00", "106.00")]);
    let snapshot = bank.event(Op::Read, Some(transaction(1, 1, "DEPOSIT", "6.00", "COMPLETED")));
    bank.send(CDC_TRANSACTIONS, 1, &snapshot);
    let gone = bank.event::<TransactionRow>(Op::Delete, None);
    for event in [&gone, &deposit, &update, &gone] {
        bank.send(CDC_TRANSACTIONS, 1, event);
    }
    bank.check(&[(1, "100.00", "100.00")]);
}

#[test]
fn a_narrow_source_opens_with_its_first_balance() {
    let mut bank = Bench::new();
    let narrow = AccountRow {
        opening_balance: None,
        status: None,
        ..account(1, "40.00")
    };
    let event = bank.event(Op::Read, Some(narrow));
    bank.send(CDC_ACCOUNTS, 1, &event);
    bank.transaction(
        Op::Create,
        TransactionRow {
            status: None,
            ..transaction(1, 1, "DEPOSIT", "5.00", "x")
        },
    );
    bank.check(&[(1, "45.00", "45.00")]);
}

/// Random operations, duplicates, crashes and restarts; afterwards every account has exactly what the source says.
fn check_random(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut bank = Bench::new();
    let mut live: BTreeMap<i64, TransactionRow> = BTreeMap::new();
    const ACCOUNTS: i64 = 5;
    // Some accounts come late.
    let mut to_open: Vec<i64> = (1..=ACCOUNTS).collect();
    for step in 0..200_i64 {
        match random.random_range(0..20) {
            0..2 if !to_open.is_empty() => {
                let id = to_open.remove(0);
                bank.account(id, "1000.00");
            }
            2 => bank.driver.crash().unwrap(),
            3 => bank.driver.restart().unwrap(),
            4 => bank.driver.advance_wall_clock(Duration::from_secs(random.random_range(1..5))),
            5..8 if !live.is_empty() => {
                let id = *live.keys().nth(random.random_range(0..live.len())).unwrap();
                let row = live.remove(&id).unwrap();
                bank.transaction(Op::Delete, row);
            }
            8..12 if !live.is_empty() => {
                let id = *live.keys().nth(random.random_range(0..live.len())).unwrap();
                let row = random_row(&mut random, id, ACCOUNTS);
                let event = bank.event(Op::Update, Some(row.clone()));
                for _ in 0..random.random_range(1..3) {
                    bank.send(CDC_TRANSACTIONS, id, &event);
                }
                live.insert(id, row);
            }
            _ => {
                let row = random_row(&mut random, step + 1, ACCOUNTS);
                bank.transaction(Op::Create, row.clone());
                live.insert(step + 1, row);
            }
        }
    }
    for id in to_open {
        bank.account(id, "1000.00");
    }
    let mut expected: BTreeMap<i64, Money> = (1..=ACCOUNTS).map(|id| (id, money("1000.00"))).collect();
    let mut add = |id: i64, amount: Money| {
        let balance = expected.get_mut(&id).unwrap();
        *balance = balance.checked_add(amount).unwrap();
    };
    for row in live.values().filter(|r| r.status.as_deref() == Some("COMPLETED")) {
        let (own, amount) = (row.account_id.unwrap(), row.amount.unwrap());
        match row.txn_type.as_deref() {
            Some("DEPOSIT") => add(own, amount),
            _ => add(own, amount.negated()),
        }
        if let Some(related) = row.related_account_id {
            add(related, amount);
        }
    }
    let balances = bank.driver.view(stores::BALANCES);
    let booked: BTreeMap<i64, Money> = balances.iter().map(|(id, b)| (id.0, b.booked)).collect();
    assert_eq!(booked, expected, "seed {seed}");

    // The public topic says the same, and the journal explains it.
    let mut public: BTreeMap<AccountId, Money> = BTreeMap::new();
    for record in bank.driver.drain(ACCOUNT_BALANCES) {
        public.insert(record.key, record.value.unwrap().booked);
    }
    assert_eq!(
        public.into_iter().map(|(id, m)| (id.0, m)).collect::<BTreeMap<_, _>>(),
        expected,
        "seed {seed}: topic"
    );
    let mut journal: BTreeMap<i64, Money> = BTreeMap::new();
    let mut per_transaction: BTreeMap<TransactionId, Money> = BTreeMap::new();
    let mut ids = std::collections::BTreeSet::new();
    for record in bank.driver.drain(SILVER_POSTINGS) {
        let posting = record.value.unwrap();
        assert!(
            ids.insert(posting.posting_id.clone()),
            "seed {seed}: {} twice",
            posting.posting_id
        );
        let sum = |map: Money| map.checked_add(posting.amount).unwrap();
        let of_account = journal.entry(posting.account_id.0).or_default();
        *of_account = sum(*of_account);
        let of_transaction = per_transaction.entry(posting.transaction_id).or_default();
        *of_transaction = sum(*of_transaction);
    }
    assert!(
        per_transaction.values().all(|sum| *sum == Money::ZERO),
        "seed {seed}: a transaction's legs sum to zero"
    );
    for (id, booked) in &expected {
        let posted = journal.get(id).copied().unwrap_or_default();
        assert_eq!(
            money("1000.00").checked_add(posted).unwrap(),
            *booked,
            "seed {seed}: journal of {id}"
        );
    }
}

fn random_row(random: &mut StdRng, id: i64, accounts: i64) -> TransactionRow {
    let amount = format!("{}.{:02}", random.random_range(0..50), random.random_range(1..100));
    let status = ["COMPLETED", "COMPLETED", "PENDING", "FAILED", "REVERSED"][random.random_range(0..5)];
    let own = random.random_range(1..=accounts);
    match random.random_range(0..3) {
        0 => transaction(id, own, "DEPOSIT", &amount, status),
        1 => transaction(id, own, "WITHDRAWAL", &amount, status),
        _ => transfer(id, own, own % accounts + 1, &amount, status),
    }
}

#[test]
fn the_books_balance_whatever_comes() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok());
    for seed in seed.map_or(0..10, |seed: u64| seed..seed + 1) {
        check_random(seed);
    }
}

#[test]
fn customers_are_cleaned() {
    let mut bank = Bench::new();
    let row = CustomerRow {
        id: 1,
        first_name: Some(" Ada ".into()),
        last_name: Some("Lovelace".into()),
        email: Some(" Ada@Example.ORG ".into()),
        ..CustomerRow::default()
    };
    let event = bank.event(Op::Create, Some(row));
    bank.send(CDC_CUSTOMERS, 1, &event);
    let customers = bank.driver.view(stores::CUSTOMERS);
    let row = customers[0].1.row.as_ref().unwrap();
    assert_eq!((row.first_name.as_str(), row.email.as_str()), ("Ada", "ada@example.org"));
}
