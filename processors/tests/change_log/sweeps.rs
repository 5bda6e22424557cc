//! Rows that are gone: what snapshots do not show, and what a truncate takes.

use schemas::TransactionId;
use schemas::bronze::{Envelope, Op, TransactionRow};
use schemas::topics::*;

use crate::support::{Bench, deposit, transfer};

/// The slot was lost and rows were deleted meanwhile: a new snapshot does not show them.
#[test]
fn what_a_snapshot_does_not_show_is_deleted_with_its_postings() {
    let mut bank = Bench::new();
    bank.account(1, "100.00");
    bank.account(2, "0.00");
    for id in 1..=4 {
        bank.transaction(Op::Create, deposit(id, 1, "1.00"));
    }
    bank.transaction(Op::Create, transfer(5, 1, 2, "50.00", "COMPLETED"));
    bank.check(&[(1, "54.00", "54.00"), (2, "50.00", "50.00")]);
    bank.restore();
    let first = bank.read("first_in_data_collection", deposit(1, 1, "1.00"));
    let last = bank.read("last_in_data_collection", deposit(4, 1, "1.00"));
    bank.sends(CDC_TRANSACTIONS, &[&first]);
    bank.check(&[(1, "54.00", "54.00"), (2, "50.00", "50.00")]);
    bank.sends(CDC_TRANSACTIONS, &[&last]);
    bank.check(&[(1, "102.00", "102.00"), (2, "0.00", "0.00")]);
    // Again, as a producer may: and what is streamed since stays.
    bank.transaction(Op::Create, deposit(6, 1, "3.00"));
    bank.sends(CDC_TRANSACTIONS, &[&first, &last, &last]);
    bank.check(&[(1, "105.00", "105.00"), (2, "0.00", "0.00")]);
    let journal: Vec<_> = bank.driver.drain(SILVER_TRANSACTIONS);
    let mut gone: Vec<_> = journal.iter().filter(|r| r.value.is_none()).map(|r| r.key).collect();
    gone.sort();
    assert_eq!(gone, [2, 3, 5].map(TransactionId), "readers of the topic hear of it");
}

/// A snapshot that began again after a crash of the connector counts from its new beginning.
#[test]
fn a_snapshot_that_begins_again_sweeps_once_and_rightly() {
    let mut bank = Bench::new();
    bank.account(1, "100.00");
    for id in 1..=3 {
        bank.transaction(Op::Create, deposit(id, 1, "1.00"));
    }
    bank.restore();
    let first = bank.read("first", deposit(1, 1, "1.00"));
    let middle = bank.read("true", deposit(2, 1, "1.00"));
    bank.sends(CDC_TRANSACTIONS, &[&first, &middle]);
    bank.clock_ms += 1_000;
    // Meanwhile 2 was deleted at the source.
    let first = bank.read("first", deposit(1, 1, "1.00"));
    let last = bank.read("last", deposit(3, 1, "1.00"));
    bank.sends(CDC_TRANSACTIONS, &[&first, &last]);
    bank.check(&[(1, "102.00", "102.00")]);
}

#[test]
fn a_truncate_takes_all_rows_that_were_there() {
    let mut bank = Bench::new();
    bank.account(1, "100.00");
    bank.transaction(Op::Create, deposit(1, 1, "1.00"));
    bank.transaction(Op::Create, deposit(2, 1, "1.00"));
    let truncate = bank.event::<TransactionRow>(Op::Truncate, None);
    let send = |bank: &mut Bench, event: &Envelope<TransactionRow>| bank.send_to(CDC_TRANSACTIONS, 0, None, event);
    send(&mut bank, &truncate);
    bank.check(&[(1, "100.00", "100.00")]);
    let after = bank.event(Op::Create, Some(deposit(3, 1, "5.00")));
    bank.sends(CDC_TRANSACTIONS, &[&after]);
    // The last batch again.
    send(&mut bank, &truncate);
    bank.sends(CDC_TRANSACTIONS, &[&after]);
    bank.check(&[(1, "105.00", "105.00")]);
    // Twice in one transaction, with a row between.
    let first = bank.event::<TransactionRow>(Op::Truncate, None);
    let mut between = bank.event(Op::Create, Some(deposit(4, 1, "1.00")));
    let mut second = bank.event::<TransactionRow>(Op::Truncate, None);
    between.source.ts_ms = first.source.ts_ms;
    second.source.ts_ms = first.source.ts_ms;
    send(&mut bank, &first);
    bank.sends(CDC_TRANSACTIONS, &[&between]);
    bank.check(&[(1, "101.00", "101.00")]);
    send(&mut bank, &second);
    send(&mut bank, &first);
    bank.sends(CDC_TRANSACTIONS, &[&between]);
    bank.check(&[(1, "100.00", "100.00")]);
    assert!(bank.driver.drain_bytes("riverbank-dead-letters").is_empty());
}
