//! When a transaction of the source is complete: another one begins, its end is told, or nothing more comes.

use std::time::Duration;

use processors::SourcePartitions;
use processors::silver::{END_AWAITED, SILENCE};
use processors::stores;
use schemas::TransactionId;
use schemas::bronze::*;
use schemas::silver::Frontier;
use schemas::topics::*;

use super::end;
use super::support::{Bench, deposit, transaction};

/// The source's changes of one transaction, as its log has them.
fn of_one(bench: &mut Bench, rows: &[(Op, TransactionRow)]) -> Vec<Envelope<TransactionRow>> {
    let tx_id = bench.lsn + 1;
    let events = rows.iter().map(|(op, row)| {
        let mut event = bench.event(*op, Some(row.clone()));
        event.source.tx_id = Some(tx_id);
        event
    });
    events.collect()
}

/// How far all partitions are.
fn frontier(bench: &Bench) -> Option<Frontier> {
    let all = bench.driver.view(stores::FRONTIER);
    assert!(all.is_empty() || all.len() == 2, "every partition hears of it");
    assert!(all.windows(2).all(|two| two[0] == two[1]), "{all:?}");
    all.first().map(|(_, frontier)| *frontier)
}

#[test]
fn a_transaction_is_complete_when_another_begins_or_nothing_more_comes() {
    let mut bench = Bench::new();
    bench.account(1, "0.00");
    bench.driver.advance_wall_clock(SILENCE);
    assert_eq!(frontier(&bench), Some(Frontier::default()), "all know that there was none");
    let first = of_one(
        &mut bench,
        &[(Op::Create, deposit(1, 1, "1.00")), (Op::Create, deposit(2, 1, "2.00"))],
    );
    bench.sends(CDC_TRANSACTIONS, &[&first[0]]);
    let known = frontier(&bench).unwrap();
    assert_eq!(
        (known.commit_number, known.newest(), known.is_assumed),
        (0, 1, false),
        "more may come"
    );
    bench.sends(CDC_TRANSACTIONS, &[&first[1]]);
    assert_eq!(frontier(&bench).unwrap().newest(), 1);

    let second = of_one(&mut bench, &[(Op::Create, transaction(3, 1, "DEPOSIT", "4.00", "FAILED"))]);
    bench.sends(CDC_TRANSACTIONS, &[&second[0]]);
    let known = frontier(&bench).unwrap();
    assert_eq!((known.commit_number, known.newest(), known.is_assumed), (1, 2, false));
    assert_eq!(known.source_lsn, first[1].source.lsn.unwrap());

    // The silence begins with the first look that finds nothing.
    bench.driver.advance_wall_clock(SILENCE);
    assert_eq!(frontier(&bench).unwrap().commit_number, 1);
    bench.driver.advance_wall_clock(SILENCE);
    let known = frontier(&bench).unwrap();
    assert_eq!((known.commit_number, known.open, known.is_assumed), (2, None, true));
    // It was assumed too early: the rest counts as another transaction.
    let rest = of_one(&mut bench, &[(Op::Create, deposit(4, 1, "8.00"))]);
    bench.sends(CDC_TRANSACTIONS, &[&rest[0]]);
    be_silent(&mut bench);
    let known = frontier(&bench).unwrap();
    assert_eq!((known.commit_number, known.is_assumed), (3, true));
    bench.driver.advance_wall_clock(Duration::from_secs(60));
    assert_eq!(frontier(&bench), Some(known), "nothing is written while nothing comes");
    bench.check(&[(1, "11.00", "11.00")]);
}

/// Where the connector says that a transaction has ended, nothing has to be waited for, whichever of the two topics is ahead.
#[test]
fn a_transaction_is_complete_when_its_end_is_told() {
    ends_are_told(SourcePartitions::default());
}

/// The topic of the metadata may be as wide as somebody made it.
#[test]
fn ends_are_told_in_any_partition() {
    ends_are_told(SourcePartitions {
        metadata: 3,
        ..SourcePartitions::default()
    });
}

fn ends_are_told(partitions: SourcePartitions) {
    let mut bench = Bench::with(partitions);
    bench.account(1, "0.00");
    let mut id = 0;
    let mut three = |bench: &mut Bench| {
        let rows: Vec<_> = (1..=3).map(|n| (Op::Create, deposit(id + n, 1, "1.00"))).collect();
        id += 3;
        let mut events = of_one(bench, &rows);
        for (event, order) in events.iter_mut().zip(1..) {
            event.transaction = Some(TransactionBlock {
                id: format!("{}:1", event.source.tx_id.unwrap()),
                total_order: 2 * order,
                data_collection_order: order,
            });
        }
        (events[0].source.tx_id.unwrap(), events)
    };
    let tell = |bench: &mut Bench, metadata: &TransactionMetadata| {
        let at = metadata.ts_ms;
        bench
            .driver
            .send(CDC_TRANSACTION_METADATA, at, &TransactionId(at), Some(metadata));
    };
    let is = |bench: &Bench, complete: i64, is_assumed: bool| {
        let known = frontier(bench).unwrap();
        assert_eq!((known.commit_number, known.is_assumed), (complete, is_assumed), "{known:?}");
    };

    let (first, events) = three(&mut bench);
    bench.sends(CDC_TRANSACTIONS, &[&events[0], &events[1], &events[2]]);
    is(&bench, 0, false);
    let begin = TransactionMetadata {
        status: "BEGIN".to_owned(),
        event_count: None,
        data_collections: None,
        ..end(first, 3, 1)
    };
    tell(&mut bench, &begin);
    is(&bench, 0, false);
    tell(&mut bench, &end(first, 3, 1));
    is(&bench, 1, false);

    let (second, events) = three(&mut bench);
    tell(&mut bench, &end(second, 3, 2));
    bench.sends(CDC_TRANSACTIONS, &[&events[0], &events[1]]);
    is(&bench, 1, false);
    bench.sends(CDC_TRANSACTIONS, &[&events[2]]);
    // Its end was ahead: it may be of counts that have begun anew.
    is(&bench, 2, true);

    // Its end is late, and then missing.
    let (_, events) = three(&mut bench);
    bench.sends(CDC_TRANSACTIONS, &[&events[0]]);
    (0..4).for_each(|_| bench.driver.advance_wall_clock(SILENCE));
    is(&bench, 2, true);
    bench.sends(CDC_TRANSACTIONS, &[&events[1], &events[2]]);
    (0..2).for_each(|_| bench.driver.advance_wall_clock(END_AWAITED));
    is(&bench, 3, true);
    // One of a transaction that has nothing to do with it.
    tell(&mut bench, &end(4711, 1, 3));
    is(&bench, 3, true);

    // Neither a restart nor a row that a snapshot read shortens the wait for it.
    let (fourth, events) = three(&mut bench);
    bench.sends(CDC_TRANSACTIONS, &[&events[0]]);
    bench.driver.crash().unwrap();
    bench.driver.settle();
    (0..4).for_each(|_| bench.driver.advance_wall_clock(SILENCE));
    is(&bench, 3, true);
    bench.sends(CDC_TRANSACTIONS, &[&events[1], &events[2]]);
    let mut read = bench.read("incremental", deposit(1, 1, "1.00"));
    read.source.lsn = None;
    bench.send(CDC_TRANSACTIONS, 1, &read);
    (0..4).for_each(|_| bench.driver.advance_wall_clock(SILENCE));
    is(&bench, 3, true);
    tell(&mut bench, &end(fourth, 3, 4));
    is(&bench, 4, false);
    bench.check(&[(1, "12.00", "12.00")]);
}

/// What was read by a snapshot has no place among the commits, and ends none; and while it is read, there is no state that the source had.
#[test]
fn a_snapshot_is_no_transaction() {
    let mut bench = Bench::new();
    bench.account(1, "0.00");
    (1..=3).for_each(|id| bench.transaction(Op::Create, deposit(id, 1, "1.00")));
    let open = of_one(
        &mut bench,
        &[(Op::Create, deposit(4, 1, "1.00")), (Op::Create, deposit(5, 1, "1.00"))],
    );
    bench.sends(CDC_TRANSACTIONS, &[&open[0]]);
    let before = frontier(&bench).unwrap();
    assert_eq!((before.commit_number, before.newest(), before.is_partial), (3, 4, false));

    bench.restore();
    let rows = [("first", 1), ("true", 2), ("last", 4)].map(|(marker, id)| bench.read(marker, deposit(id, 1, "7.00")));
    bench.sends(CDC_TRANSACTIONS, &[&rows[0]]);
    let known = frontier(&bench).unwrap();
    assert_eq!(
        (known.commit_number, known.newest(), known.is_partial),
        (3, 4, true),
        "the open one stays open"
    );
    be_silent(&mut bench);
    assert_eq!(frontier(&bench), Some(known), "a snapshot may pause");
    bench.sends(CDC_TRANSACTIONS, &[&rows[1], &rows[2]]);
    let known = frontier(&bench).unwrap();
    assert_eq!(
        (known.commit_number, known.is_partial),
        (3, true),
        "what it changed is part of the open one"
    );
    be_silent(&mut bench);
    // Row 3 was swept.
    bench.check(&[(1, "21.00", "21.00")]);
    let known = frontier(&bench).unwrap();
    assert_eq!((known.commit_number, known.is_partial, known.open), (4, false, None));
}

/// A snapshot whose last row nobody sees, since it cannot be read or the connector was stopped, is over when the connector streams again.
#[test]
fn a_snapshot_that_was_broken_off_is_over_when_streaming_goes_on() {
    let mut bench = Bench::new();
    bench.account(1, "0.00");
    (1..=3).for_each(|id| bench.transaction(Op::Create, deposit(id, 1, "1.00")));
    bench.lsn += 10;
    bench.clock_ms += 1_000;
    let rows = [("first", 1), ("true", 2)].map(|(marker, id)| bench.read(marker, deposit(id, 1, "1.00")));
    bench.sends(CDC_TRANSACTIONS, &[&rows[0], &rows[1]]);
    be_silent(&mut bench);
    assert!(frontier(&bench).unwrap().is_partial);
    // One that was sent before, and comes again, says nothing.
    let (lsn, clock_ms) = (bench.lsn, bench.clock_ms);
    (bench.lsn, bench.clock_ms) = (lsn - 20, clock_ms - 2_000);
    bench.transaction(Op::Create, deposit(3, 1, "1.00"));
    be_silent(&mut bench);
    assert!(frontier(&bench).unwrap().is_partial);
    (bench.lsn, bench.clock_ms) = (lsn, clock_ms);
    bench.transaction(Op::Create, deposit(4, 1, "1.00"));
    be_silent(&mut bench);
    assert!(!frontier(&bench).unwrap().is_partial);
    // Nothing is taken for deleted that it did not show.
    bench.check(&[(1, "4.00", "4.00")]);
}

/// Three looks at the clock: what there is to sweep, that nothing comes, and that it was so for a while.
fn be_silent(bench: &mut Bench) {
    (0..3).for_each(|_| bench.driver.advance_wall_clock(SILENCE.max(Duration::from_secs(1))));
}

#[test]
fn transactions_are_not_counted_where_they_do_not_come_in_order() {
    let mut bench = Bench::with(SourcePartitions {
        transactions: 3,
        ..SourcePartitions::default()
    });
    bench.account(1, "0.00");
    bench.transaction(Op::Create, deposit(1, 1, "1.00"));
    bench.driver.advance_wall_clock(2 * SILENCE);
    assert_eq!(frontier(&bench), None);
    assert_eq!(bench.driver.view(stores::BALANCES)[0].1.commit_number, None);
}
