//! What the processors count, which is for the whole process: so this test has one of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use processors::counters::{
    ROWS_SWEPT, SOURCE_OUTDATED, SOURCE_REGRESSIONS, SOURCE_REPEATED, SOURCE_TRUNCATES, TRANSACTIONS_HELD,
};
use processors::silver::CONFIRMS_AFTER;
use schemas::bronze::{Op, TransactionRow};
use schemas::topics::*;
use support::{Bench, deposit};

/// Regressions, truncates, swept rows, what was sent again, what was older than what is known.
fn counted() -> [u64; 5] {
    let counters: [&AtomicU64; 5] = [
        &SOURCE_REGRESSIONS,
        &SOURCE_TRUNCATES,
        &ROWS_SWEPT,
        &SOURCE_REPEATED,
        &SOURCE_OUTDATED,
    ];
    counters.map(|counter| counter.load(Ordering::Relaxed))
}

#[test]
fn what_happens_to_the_source_is_counted() {
    let mut bank = Bench::new();
    bank.account(1, "0.00");
    let created = bank.event(Op::Create, Some(deposit(1, 1, "1.00")));
    let updated = bank.event(Op::Update, Some(deposit(1, 1, "2.00")));
    bank.sends(CDC_TRANSACTIONS, &[&created, &updated]);
    assert_eq!(counted(), [0; 5], "nothing has happened");
    // The connector sends its last batch again: the row's last event is one that is known.
    bank.sends(CDC_TRANSACTIONS, &[&created, &updated]);
    assert_eq!(counted(), [0, 0, 0, 1, 1]);
    // A server whose log starts lower: its changes are believed where its clock goes on, and else dropped.
    bank.restore();
    bank.transaction(Op::Update, deposit(1, 1, "3.00"));
    assert_eq!(counted(), [1, 0, 0, 1, 1]);
    let mut behind = bank.event(Op::Update, Some(deposit(1, 1, "4.00")));
    (behind.source.lsn, behind.source.ts_ms) = (Some(5), bank.clock_ms - 10_000);
    bank.sends(CDC_TRANSACTIONS, &[&behind]);
    bank.check(&[(1, "3.00", "3.00")]);
    assert_eq!(counted(), [1, 0, 0, 1, 2]);
    // So are the rows that its snapshots show.
    behind.source.lsn = Some(bank.lsn + 10);
    bank.sends(CDC_TRANSACTIONS, &[&behind]);
    (bank.lsn, bank.clock_ms) = (bank.lsn - 15, bank.clock_ms - 60_000);
    let shown = bank.read("first", deposit(1, 1, "5.00"));
    bank.sends(CDC_TRANSACTIONS, &[&shown]);
    bank.check(&[(1, "4.00", "4.00")]);
    assert_eq!(counted(), [1, 0, 0, 1, 3]);
    (bank.lsn, bank.clock_ms) = (bank.lsn + 100, bank.clock_ms + 120_000);
    // A truncate, once and again.
    let truncate = bank.event::<TransactionRow>(Op::Truncate, None);
    bank.send_to(CDC_TRANSACTIONS, 0, None, &truncate);
    bank.send_to(CDC_TRANSACTIONS, 0, None, &truncate);
    assert_eq!(counted(), [1, 1, 1, 2, 3]);

    // What is held back is reported as long as it is.
    let held = |bank: &mut Bench| {
        bank.driver.advance_wall_clock(Duration::from_secs(1));
        TRANSACTIONS_HELD.load(Ordering::Relaxed)
    };
    for id in 2..=152 {
        bank.transaction(Op::Create, deposit(id, 1, "1.00"));
    }
    let only = bank.read("last", deposit(152, 1, "1.00"));
    bank.sends(CDC_TRANSACTIONS, &[&only]);
    assert_eq!(held(&mut bank), 150);
    bank.driver.restart().unwrap();
    assert_eq!(held(&mut bank), 150);
    bank.driver.take_down(0, true);
    assert_eq!(
        TRANSACTIONS_HELD.load(Ordering::Relaxed),
        0,
        "the next owner of the table reports it"
    );
    bank.driver.revive(0).unwrap();
    bank.driver.settle();
    assert_eq!(held(&mut bank), 150);
    bank.clock_ms += CONFIRMS_AFTER.as_millis() as i64;
    let only = bank.read("last", deposit(152, 1, "1.00"));
    bank.sends(CDC_TRANSACTIONS, &[&only]);
    assert_eq!(held(&mut bank), 0);
    assert_eq!(counted(), [1, 1, 151, 2, 3]);
}
