//! What is kept of each account's postings, and what pending transactions hold of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use processors::gold::newest;
use processors::{BankSettings, stores};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use schemas::AccountId;
use schemas::bronze::{AccountRow, Op, TransactionRow};
use schemas::silver::Posting;
use schemas::topics::CDC_ACCOUNTS;
use support::{Bench, account, deposit, money, transaction, transfer};
use topology::clock::Clock as _;

/// The postings of each account follow each other: numbers without gaps, each balance the one before it with the posting, times that never
/// go back; and the last balance is the account's.
#[track_caller]
fn check(bank: &Bench, opening: &str) -> BTreeMap<i64, Vec<Posting>> {
    let mut by_account: BTreeMap<i64, Vec<Posting>> = BTreeMap::new();
    for ((account, number), posting) in bank.driver.view(stores::POSTINGS) {
        assert_eq!(posting.account_id, account);
        assert_eq!(posting.entry_number, Some(number));
        by_account.entry(account.0).or_default().push(posting);
    }
    for (id, balance) in bank.driver.view(stores::BALANCES) {
        let postings = by_account.get(&id.0).map_or(&[][..], Vec::as_slice);
        assert_eq!(balance.entry_count, postings.len() as i64);
        let (mut after, mut recorded) = (money(opening), i64::MIN);
        for (n, posting) in (1..).zip(postings) {
            assert_eq!(posting.entry_number, Some(n));
            after = after.checked_add(posting.amount).unwrap();
            assert_eq!(posting.balance_after, Some(after), "posting {n} of account {id}");
            assert!(posting.recorded_at >= Some(recorded) && posting.recorded_at >= Some(posting.booked_at));
            recorded = posting.recorded_at.unwrap();
        }
        assert_eq!(after, balance.booked);
    }
    by_account
}

#[test]
fn postings_of_an_account_follow_each_other() {
    let seeds = std::env::var("SEEDS").map_or(20, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        println_seed(seed);
        let mut random = StdRng::seed_from_u64(seed);
        let mut bank = Bench::new();
        // The third account's row comes last: what is posted to it waits.
        (1..=2).for_each(|id| bank.account(id, "100.00"));
        let mut rows: BTreeMap<i64, TransactionRow> = BTreeMap::new();
        for n in 0..60 {
            // A clock that is set back now and then.
            bank.clock_ms -= if random.random_ratio(1, 10) { 500 } else { 0 };
            let amount = format!("{}.{:02}", random.random_range(1..50), random.random_range(0..100));
            let status = ["COMPLETED", "PENDING", "FAILED"][random.random_range(0..3)];
            let (one, other) = [(1, 2), (2, 3), (3, 1)][random.random_range(0..3)];
            let known: Vec<i64> = rows.keys().copied().collect();
            let id = match known.get(random.random_range(0..=known.len())) {
                Some(id) if random.random() => *id,
                _ => n + 1_000,
            };
            let row = match random.random_range(0..3) {
                0 => transaction(id, one, "DEPOSIT", &amount, status),
                1 => transaction(id, one, "WITHDRAWAL", &amount, status),
                _ => transfer(id, one, other, &amount, status),
            };
            let op = match rows.contains_key(&id) {
                true if random.random_ratio(1, 4) => Op::Delete,
                true => Op::Update,
                false => Op::Create,
            };
            bank.transaction(op, row.clone());
            match op {
                Op::Delete => drop(rows.remove(&id)),
                _ => drop(rows.insert(id, row)),
            }
            if random.random_ratio(1, 20) {
                bank.driver.crash().unwrap();
            }
        }
        bank.account(3, "100.00");
        let postings = check(&bank, "100.00");
        assert!(postings.values().map(Vec::len).sum::<usize>() > 5, "seed {seed} posts");
        // The newest posting of an instant is found, whichever it is.
        for postings in postings.values() {
            for number in 0..=postings.len() {
                let found = newest(
                    postings.len() as i64,
                    |n| Ok::<_, ()>(postings.get(n as usize - 1).cloned()),
                    |posting| posting.entry_number <= Some(number as i64),
                );
                assert_eq!(
                    found.unwrap().and_then(|posting| posting.entry_number).unwrap_or(0),
                    number as i64
                );
            }
        }
    }
}

/// The seed of a run that fails is the last that is printed.
#[allow(clippy::print_stdout, reason = "it replays a failure")]
fn println_seed(seed: u64) {
    println!("seed {seed}");
}

#[test]
fn old_postings_are_forgotten() {
    let kept = Duration::from_secs(60);
    let mut bank = Bench::set(BankSettings {
        postings_kept: Some(kept),
        ..BankSettings::default()
    });
    bank.account(1, "0.00");
    let numbers = |bank: &Bench| -> Vec<i64> { bank.driver.view(stores::POSTINGS).iter().map(|((_, n), _)| *n).collect() };
    (1..=70).for_each(|n| bank.transaction(Op::Create, deposit(n, 1, "1.00")));
    assert_eq!(numbers(&bank), Vec::from_iter(1..=70), "none is old");
    bank.clock_ms += 120_000;
    (71..=128).for_each(|n| bank.transaction(Op::Create, deposit(n, 1, "1.00")));
    assert_eq!(numbers(&bank), Vec::from_iter(71..=128), "the first seventy are");
    let postings = bank.driver.view(stores::POSTINGS);
    let get = |n: i64| {
        Ok::<_, ()>(
            postings
                .iter()
                .find(|((_, number), _)| *number == n)
                .map(|(_, posting)| posting.clone()),
        )
    };
    assert_eq!(newest(128, get, |posting| posting.entry_number <= Some(70)).unwrap(), None);
    let found = newest(128, get, |posting| posting.entry_number <= Some(80)).unwrap();
    assert_eq!(found.unwrap().entry_number, Some(80));
    bank.check(&[(1, "128.00", "128.00")]);
}

/// The holds of an account: transaction, amount, and whether it is released.
fn holds(bank: &Bench, account: i64) -> Vec<(i64, String, bool)> {
    let holds = bank.driver.view(stores::HOLDS).into_iter();
    holds
        .filter(|((of, _), _)| *of == AccountId(account))
        .map(|((_, transaction), hold)| (transaction.0, hold.amount.to_string(), hold.released_at.is_some()))
        .collect()
}

/// Transactions of this bank are as old as the wall clock of the driver says.
fn bank_with_expiry(expiry: Duration) -> Bench {
    let mut bank = Bench::set(BankSettings {
        hold_expiry: Some(expiry),
        ..BankSettings::default()
    });
    bank.clock_ms = bank.driver.clock().now_ms().0;
    bank.account(1, "100.00");
    bank.account(2, "0.00");
    bank
}

#[test]
fn a_hold_expires_and_what_ends_it_later_finds_that() {
    let hour = Duration::from_secs(3_600);
    let mut bank = bank_with_expiry(hour);
    bank.transaction(Op::Create, transaction(1, 1, "WITHDRAWAL", "30.00", "PENDING"));
    bank.transaction(Op::Create, transfer(2, 1, 2, "20.00", "PENDING"));
    bank.transaction(Op::Create, transaction(3, 1, "DEPOSIT", "5.00", "PENDING"));
    bank.check(&[(1, "100.00", "50.00"), (2, "0.00", "0.00")]);
    assert_eq!(
        holds(&bank, 1),
        [(1, "30.00".to_owned(), false), (2, "20.00".to_owned(), false)]
    );
    bank.driver.advance_wall_clock(hour / 2);
    bank.check(&[(1, "100.00", "50.00"), (2, "0.00", "0.00")]);
    assert_eq!(bank.rejected(), []);
    bank.driver.advance_wall_clock(hour);
    bank.check(&[(1, "100.00", "100.00"), (2, "0.00", "0.00")]);
    assert_eq!(
        bank.rejected(),
        [(1, "hold_expired".to_owned()), (1, "hold_expired".to_owned())],
        "it is told, once"
    );
    assert_eq!(
        holds(&bank, 1),
        [(1, "30.00".to_owned(), true), (2, "20.00".to_owned(), true)]
    );
    bank.driver.restart().unwrap();
    bank.driver.advance_wall_clock(hour);
    bank.check(&[(1, "100.00", "100.00"), (2, "0.00", "0.00")]);
    // One completes all the same, one fails: nothing is given back twice.
    bank.transaction(Op::Update, transaction(1, 1, "WITHDRAWAL", "30.00", "COMPLETED"));
    bank.check(&[(1, "70.00", "70.00"), (2, "0.00", "0.00")]);
    bank.transaction(Op::Update, transfer(2, 1, 2, "20.00", "FAILED"));
    bank.check(&[(1, "70.00", "70.00"), (2, "0.00", "0.00")]);
    assert_eq!(holds(&bank, 1), []);
    assert!(bank.driver.view(stores::HOLDS_PLACED).is_empty());
    assert_eq!(bank.rejected(), []);
}

#[test]
fn a_hold_that_changes_begins_anew() {
    let hour = Duration::from_secs(3_600);
    let mut bank = bank_with_expiry(hour);
    bank.transaction(Op::Create, transaction(1, 1, "WITHDRAWAL", "30.00", "PENDING"));
    bank.transaction(Op::Update, transaction(1, 1, "WITHDRAWAL", "40.00", "PENDING"));
    bank.check(&[(1, "100.00", "60.00"), (2, "0.00", "0.00")]);
    // It moves to the other account.
    bank.transaction(Op::Update, transaction(1, 2, "WITHDRAWAL", "40.00", "PENDING"));
    bank.check(&[(1, "100.00", "100.00"), (2, "0.00", "-40.00")]);
    assert_eq!(
        (holds(&bank, 1), holds(&bank, 2)),
        (vec![], vec![(1, "40.00".to_owned(), false)])
    );
    bank.driver.advance_wall_clock(hour * 2);
    bank.check(&[(1, "100.00", "100.00"), (2, "0.00", "0.00")]);
    bank.transaction(Op::Delete, transaction(1, 2, "WITHDRAWAL", "40.00", "PENDING"));
    bank.check(&[(1, "100.00", "100.00"), (2, "0.00", "0.00")]);
    assert_eq!(holds(&bank, 2), []);
}

/// A change of a transaction that is as old as before does not hold the money again until the next look at what has expired, nor tell it again.
#[test]
fn a_hold_that_was_released_stays_so_when_its_transaction_changes() {
    let hour = Duration::from_secs(3_600);
    let mut bank = bank_with_expiry(hour);
    let made = bank.clock_ms;
    let of = |amount: &str, at_ms: i64| TransactionRow {
        created_at: Some(at_ms * 1_000),
        ..transaction(1, 1, "WITHDRAWAL", amount, "PENDING")
    };
    bank.transaction(Op::Create, of("30.00", made));
    bank.driver.advance_wall_clock(hour * 2);
    assert_eq!(bank.rejected(), [(1, "hold_expired".to_owned())]);
    bank.transaction(Op::Update, of("40.00", made));
    bank.check(&[(1, "100.00", "100.00"), (2, "0.00", "0.00")]);
    assert_eq!(holds(&bank, 1), [(1, "40.00".to_owned(), true)]);
    bank.driver.advance_wall_clock(hour);
    assert_eq!(bank.rejected(), []);
    // One that is made later holds.
    bank.transaction(Op::Update, of("50.00", bank.driver.clock().now_ms().0));
    bank.check(&[(1, "100.00", "50.00"), (2, "0.00", "0.00")]);
    bank.transaction(Op::Update, of("50.00", made));
    bank.check(&[(1, "100.00", "50.00"), (2, "0.00", "0.00")]);
    bank.driver.advance_wall_clock(hour);
    bank.check(&[(1, "100.00", "100.00"), (2, "0.00", "0.00")]);
    bank.transaction(Op::Update, of("50.00", made - 1));
    bank.transaction(Op::Update, transaction(1, 1, "WITHDRAWAL", "50.00", "COMPLETED"));
    bank.check(&[(1, "50.00", "50.00"), (2, "0.00", "0.00")]);
    assert_eq!(holds(&bank, 1), []);
    assert!(bank.driver.view(stores::HOLDS_PLACED).is_empty());
}

/// The next one waits, since its currency cannot have it, and ends without ever having held.
#[test]
fn a_released_hold_ends_where_the_next_one_waits() {
    let hour = Duration::from_secs(3_600);
    let mut bank = bank_with_expiry(hour);
    let yen = AccountRow {
        currency: Some("JPY".into()),
        ..account(3, "100.00")
    };
    let event = bank.event(Op::Create, Some(yen));
    bank.send(CDC_ACCOUNTS, 3, &event);
    bank.transaction(Op::Create, transaction(1, 3, "WITHDRAWAL", "30.00", "PENDING"));
    bank.driver.advance_wall_clock(hour * 2);
    assert_eq!(holds(&bank, 3), [(1, "30.00".to_owned(), true)]);
    bank.transaction(Op::Update, transaction(1, 3, "WITHDRAWAL", "40.50", "PENDING"));
    bank.transaction(Op::Update, transaction(1, 3, "WITHDRAWAL", "40.50", "FAILED"));
    assert_eq!(holds(&bank, 3), []);
}

#[test]
fn holds_without_an_expiry_stay() {
    let mut bank = Bench::set(BankSettings {
        hold_expiry: None,
        ..BankSettings::default()
    });
    bank.account(1, "100.00");
    bank.transaction(Op::Create, transaction(1, 1, "WITHDRAWAL", "30.00", "PENDING"));
    bank.driver.advance_wall_clock(Duration::from_secs(86_400 * 1_000));
    bank.check(&[(1, "100.00", "70.00")]);
    assert_eq!(bank.driver.view(stores::HOLDS).len(), 1);
    let held = bank.driver.view(stores::HOLDS)[0].1;
    assert_eq!((held.amount, held.released_at), (money("30.00"), None));
}
