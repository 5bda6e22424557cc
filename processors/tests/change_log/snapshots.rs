//! Snapshots beside what is streamed.

use schemas::bronze::{Envelope, Op, Source};
use schemas::topics::*;

use crate::support::{Bench, deposit};

#[test]
fn a_snapshot_of_a_restored_server_is_believed_as_well() {
    let mut bank = Bench::new();
    bank.account(1, "100.00");
    bank.transaction(Op::Create, deposit(1, 1, "5.00"));
    bank.restore();
    let row = bank.read("true", deposit(1, 1, "6.00"));
    bank.sends(CDC_TRANSACTIONS, &[&row]);
    bank.check(&[(1, "106.00", "106.00")]);
    bank.transaction(Op::Update, deposit(1, 1, "7.00"));
    bank.check(&[(1, "107.00", "107.00")]);
}

/// A transaction that was open when the snapshot was taken commits later, with LSNs below the snapshot's.
#[test]
fn a_snapshot_never_hides_what_is_streamed_after_it() {
    let mut bank = Bench::new();
    bank.account(1, "100.00");
    bank.lsn = 5_000;
    let shown = bank.read("true", deposit(1, 1, "5.00"));
    bank.sends(CDC_TRANSACTIONS, &[&shown]);
    bank.check(&[(1, "105.00", "105.00")]);
    let mut open = bank.event(Op::Update, Some(deposit(1, 1, "9.00")));
    open.source.lsn = Some(4_000);
    bank.sends(CDC_TRANSACTIONS, &[&open]);
    bank.check(&[(1, "109.00", "109.00")]);
    // The producer sends its last batch again: the snapshot's row is older than what came since.
    bank.sends(CDC_TRANSACTIONS, &[&shown, &open]);
    bank.check(&[(1, "109.00", "109.00")]);
}

/// Debezium's incremental snapshot gives no LSN.
#[test]
fn an_incremental_snapshot_repairs_a_row_unless_a_newer_event_came() {
    let mut bank = Bench::new();
    bank.account(1, "100.00");
    bank.transaction(Op::Create, deposit(1, 1, "5.00"));
    let repair = |bank: &Bench, row, ts_ms| Envelope {
        source: Source {
            lsn: None,
            ts_ms,
            ..bank.read("incremental", row).source
        },
        ..bank.read("incremental", deposit(1, 1, "6.00"))
    };
    let later = bank.clock_ms + 5;
    let row = repair(&bank, deposit(1, 1, "6.00"), later);
    bank.sends(CDC_TRANSACTIONS, &[&row]);
    bank.check(&[(1, "106.00", "106.00")]);
    // A row that nobody has seen, too; its postings have names of their own.
    let missed = Envelope {
        after: Some(deposit(2, 1, "1.00")),
        ..row.clone()
    };
    bank.sends(CDC_TRANSACTIONS, &[&missed]);
    bank.check(&[(1, "107.00", "107.00")]);
    bank.clock_ms += 100;
    bank.transaction(Op::Update, deposit(1, 1, "9.00"));
    let stale = repair(&bank, deposit(1, 1, "6.00"), bank.clock_ms - 50);
    bank.sends(CDC_TRANSACTIONS, &[&stale]);
    bank.check(&[(1, "110.00", "110.00")]);
    let mut names: Vec<String> = Vec::new();
    for posting in bank.driver.drain(SILVER_POSTINGS) {
        names.push(posting.value.unwrap().posting_id);
    }
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "no two postings have one name");
}
