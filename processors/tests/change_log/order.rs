//! The order and the identity of changes.

use std::collections::BTreeMap;

use processors::{SourcePartitions, stores};
use schemas::bronze::{CdcKey, Op, TransactionRow};
use schemas::topics::*;
use schemas::{Money, TransactionId};

use crate::support::{Bench, account, deposit, transaction, transfer};

/// Every state that an account's balance is ever seen in is one that the commits made.
#[test]
fn a_balance_only_ever_is_what_a_prefix_of_the_commits_makes() {
    let mut bank = Bench::new();
    bank.account(1, "0.00");
    for n in 0..50 {
        for (id, kind) in [(2 * n + 1, "DEPOSIT"), (2 * n + 2, "WITHDRAWAL")] {
            let event = bank.event(Op::Create, Some(transaction(id, 1, kind, "100.00", "COMPLETED")));
            bank.driver
                .queue(CDC_TRANSACTIONS, event.source.ts_ms, &CdcKey { id }, Some(&event));
        }
    }
    bank.driver.settle();
    bank.check(&[(1, "0.00", "0.00")]);
    let mut entries = Vec::new();
    for posting in bank.driver.drain(SILVER_POSTINGS) {
        let posting = posting.value.unwrap();
        if !posting.is_cash {
            entries.push(posting.amount.to_string());
        }
    }
    assert_eq!(entries, ["100.00", "-100.00"].repeat(50), "in the order of the commits");
}

/// With Avro keys, a row's partition changes with its key's schema. Spread topics bring a row's events together by its id.
#[test]
fn rows_are_found_whatever_partition_their_events_are_in() {
    let spread = SourcePartitions {
        customers: 4,
        accounts: 4,
        transactions: 4,
        ..SourcePartitions::default()
    };
    let mut bank = Bench::with(spread);
    bank.account(1, "0.00");
    for id in 1..=50 {
        let event = bank.event(Op::Create, Some(deposit(id, 1, "1.00")));
        bank.send_to(CDC_TRANSACTIONS, id as u32 % 4, Some(b"a key of one schema"), &event);
    }
    bank.check(&[(1, "50.00", "50.00")]);
    for id in 1..=50 {
        let event = bank.event(Op::Update, Some(transaction(id, 1, "DEPOSIT", "1.00", "REVERSED")));
        bank.send_to(CDC_TRANSACTIONS, (id as u32 + 1) % 4, Some(b"and of the next"), &event);
    }
    bank.check(&[(1, "0.00", "0.00")]);
    assert!(bank.driver.drain_bytes("riverbank-dead-letters").is_empty());
}

/// What one change does to one account is one leg: no commit can fall between its two entries.
#[test]
fn a_change_reaches_an_account_at_once() {
    let mut bank = Bench::new();
    bank.account(1, "100.00");
    bank.account(2, "0.00");
    bank.transaction(Op::Create, transaction(1, 1, "WITHDRAWAL", "60.00", "PENDING"));
    bank.driver.drain(ACCOUNT_BALANCES);
    bank.transaction(Op::Update, transaction(1, 1, "WITHDRAWAL", "60.00", "COMPLETED"));
    bank.transaction(Op::Update, transfer(1, 1, 2, "70.00", "COMPLETED"));
    bank.transaction(Op::Update, transfer(1, 2, 1, "70.00", "COMPLETED"));
    let seen: Vec<(i64, String)> = bank
        .driver
        .drain(ACCOUNT_BALANCES)
        .into_iter()
        .map(|record| (record.key.0, record.value.unwrap().available.to_string()))
        .collect();
    let of = |id| -> Vec<&str> {
        seen.iter()
            .filter(|(key, _)| *key == id)
            .map(|(_, text)| text.as_str())
            .collect()
    };
    assert_eq!(of(1), ["40.00", "30.00", "170.00"]);
    assert_eq!(of(2), ["70.00", "-70.00"]);
}

#[test]
fn a_restored_server_starts_lower_and_is_believed() {
    let mut bank = Bench::new();
    bank.account(1, "100.00");
    bank.transaction(Op::Create, deposit(1, 1, "5.00"));
    bank.restore();
    bank.transaction(Op::Update, deposit(1, 1, "7.00"));
    bank.check(&[(1, "107.00", "107.00")]);
    let balance = bank.driver.view(stores::BALANCES).remove(0).1;
    assert_eq!(balance.source_lsn, bank.lsn, "a balance says what it reflects");
    // Once more, and again what came before: nothing moves.
    let event = bank.event(Op::Update, Some(deposit(1, 1, "8.00")));
    let mut older = event.clone();
    older.source.lsn = Some(bank.lsn - 10);
    older.source.ts_ms -= 10;
    older.after = Some(deposit(1, 1, "7.00"));
    bank.sends(CDC_TRANSACTIONS, &[&event, &older, &event]);
    bank.check(&[(1, "108.00", "108.00")]);
}

/// An account's row and its transactions come over different topics: whichever is first, the balance is the source's in the end.
#[test]
fn a_currency_changes_before_or_after_the_transactions_around_it() {
    let in_currency = |code: &str, opening: &str| {
        let mut row = account(1, opening);
        row.currency = Some(code.into());
        row
    };
    for row_first in [true, false] {
        let mut bank = Bench::new();
        bank.account(1, "50.00");
        bank.transaction(Op::Create, deposit(1, 1, "5.00"));
        // At the source: the deposit is deleted, the currency changes, another one comes; then that one goes again.
        let gone = bank.event::<TransactionRow>(Op::Delete, None);
        let row = bank.event(Op::Update, Some(in_currency("KWD", "50.00")));
        let next = bank.event(Op::Create, Some(deposit(2, 1, "5.001")));
        if row_first {
            bank.sends(CDC_ACCOUNTS, &[&row]);
        }
        bank.send(CDC_TRANSACTIONS, 1, &gone);
        bank.sends(CDC_TRANSACTIONS, &[&next]);
        if !row_first {
            bank.check(&[(1, "50.00", "50.00")]);
            bank.sends(CDC_ACCOUNTS, &[&row]);
        }
        bank.check(&[(1, "55.001", "55.001")]);
        assert_eq!(bank.driver.view(stores::BALANCES)[0].1.currency.as_str(), "KWD");
        // Back again, and what stood in the other currency goes after it.
        let gone = bank.event::<TransactionRow>(Op::Delete, None);
        let row = bank.event(Op::Update, Some(in_currency("EUR", "50.00")));
        bank.sends(CDC_ACCOUNTS, &[&row]);
        bank.send(CDC_TRANSACTIONS, 2, &gone);
        bank.check(&[(1, "50.00", "50.00")]);
        assert!(bank.driver.view(stores::WAITING).is_empty());
        all_is_taken_back(&mut bank, |_| true);
    }
}

/// Nothing stands of these transactions, in any currency, on any account or in cash.
fn all_is_taken_back(bank: &mut Bench, is_gone: impl Fn(TransactionId) -> bool) {
    let mut sums = BTreeMap::<_, Money>::new();
    for posting in bank
        .driver
        .drain(SILVER_POSTINGS)
        .into_iter()
        .filter_map(|record| record.value)
    {
        if is_gone(posting.transaction_id) {
            let sum = sums
                .entry((posting.transaction_id, posting.account_id, posting.currency))
                .or_default();
            *sum = sum.checked_add(posting.amount).unwrap();
        }
    }
    assert!(!sums.is_empty());
    assert!(sums.values().all(|sum| *sum == Money::ZERO), "{sums:?}");
}

/// The same id again, for another account.
#[test]
fn an_account_that_is_made_anew_begins_anew() {
    let mut bank = Bench::new();
    bank.account(1, "50.00");
    bank.transaction(Op::Create, deposit(1, 1, "5.00"));
    let no_deposit = bank.event::<TransactionRow>(Op::Delete, None);
    let no_account = bank.event::<schemas::bronze::AccountRow>(Op::Delete, None);
    let mut row = account(1, "62.001");
    row.currency = Some("KWD".into());
    let anew = bank.event(Op::Create, Some(row));
    bank.send(CDC_ACCOUNTS, 1, &no_account);
    bank.sends(CDC_ACCOUNTS, &[&anew]);
    bank.send(CDC_TRANSACTIONS, 1, &no_deposit);
    bank.transaction(Op::Create, deposit(2, 1, "1.001"));
    bank.check(&[(1, "63.002", "63.002")]);
    assert_eq!(bank.driver.view(stores::BALANCES)[0].1.currency.as_str(), "KWD");
    all_is_taken_back(&mut bank, |transaction| transaction == TransactionId(1));
}
