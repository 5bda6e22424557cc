//! Snapshots that may not be of the whole table: what they do not show is held back.

use std::time::Duration;

use processors::silver::CONFIRMS_AFTER;
use processors::stores;
use schemas::bronze::{Envelope, Op, TransactionRow};
use schemas::topics::*;

use crate::support::{Bench, deposit};

/// More than are swept without a second snapshot.
const MANY: i64 = 150;

impl Bench {
    /// An account with so many deposits of 1.00.
    fn with_deposits(count: i64) -> Self {
        let mut bank = Self::new();
        bank.account(1, "0.00");
        for id in 1..=count {
            bank.transaction(Op::Create, deposit(id, 1, "1.00"));
        }
        bank
    }

    /// A snapshot that shows these of the deposits, which may be sent again: late enough to be a second word.
    fn shows(&mut self, ids: impl IntoIterator<Item = i64>) -> Vec<Envelope<TransactionRow>> {
        self.shows_after(CONFIRMS_AFTER.as_millis() as i64, ids)
    }

    fn shows_after(&mut self, ms: i64, ids: impl IntoIterator<Item = i64>) -> Vec<Envelope<TransactionRow>> {
        self.clock_ms += ms;
        let ids: Vec<i64> = ids.into_iter().collect();
        let mut sent = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            let marker = match at {
                at if at + 1 == ids.len() => "last",
                0 => "first",
                _ => "true",
            };
            let event = self.read(marker, deposit(*id, 1, "1.00"));
            self.sends(CDC_TRANSACTIONS, &[&event]);
            sent.push(event);
        }
        sent
    }

    /// The balance, and how many rows are held back.
    #[track_caller]
    fn check_held(&self, booked: &str, held: i64) {
        self.check(&[(1, booked, booked)]);
        let table = self.driver.view(stores::TRANSACTIONS_TABLE).remove(0).1;
        assert_eq!(table.held.map_or(0, |held| held.rows), held);
    }
}

/// A blocking snapshot with conditions looks like any other.
#[test]
fn what_a_partial_snapshot_does_not_show_stays_and_a_whole_one_says_so() {
    let mut bank = Bench::with_deposits(MANY);
    bank.shows(1..=3);
    bank.check_held("150.00", MANY - 3);
    // What changes meanwhile is heard, and what goes is gone.
    let gone = bank.event::<TransactionRow>(Op::Delete, None);
    bank.send(CDC_TRANSACTIONS, 5, &gone);
    bank.transaction(Op::Create, deposit(MANY + 1, 1, "1.00"));
    bank.driver.restart().unwrap();
    bank.check_held("150.00", MANY - 3);
    bank.shows((1..=MANY + 1).filter(|id| *id != 5));
    bank.check_held("150.00", 0);
}

/// A backup with far fewer rows was restored.
#[test]
fn rows_that_two_snapshots_do_not_show_are_deleted() {
    let mut bank = Bench::with_deposits(MANY);
    bank.restore();
    bank.shows(1..=3);
    bank.check_held("150.00", MANY - 3);
    bank.shows(1..=3);
    bank.check_held("3.00", 0);
}

/// Started again after a failure, the connector begins anew with a whole snapshot, of what it sees: nobody has looked meanwhile.
#[test]
fn a_snapshot_that_the_connector_takes_again_at_once_is_no_second_word() {
    let mut bank = Bench::with_deposits(MANY);
    for _ in 0..5 {
        bank.shows_after(60_000, 1..=3);
        bank.check_held("150.00", MANY - 3);
    }
    bank.shows_after(CONFIRMS_AFTER.as_millis() as i64 - 4 * 60_000, 1..=3);
    bank.check_held("3.00", 0);
}

/// What an earlier snapshot showed, and is sent again, was not seen again.
#[test]
fn a_snapshot_that_is_sent_again_marks_no_row_as_seen() {
    let mut bank = Bench::with_deposits(MANY);
    let mut sent = bank.shows(1..=MANY);
    sent.extend(bank.shows(1..=3));
    bank.sends(CDC_TRANSACTIONS, &sent.iter().collect::<Vec<_>>());
    bank.check_held("150.00", MANY - 3);
    bank.shows(1..=3);
    bank.check_held("3.00", 0);
}

/// A large table is counted and swept in steps, between which other records come.
#[test]
fn a_large_table_is_weighed_and_swept_in_steps() {
    let count = 60_000;
    let mut bank = Bench::new();
    bank.account(1, "0.00");
    let created: Vec<_> = (1..=count)
        .map(|id| bank.event(Op::Create, Some(deposit(id, 1, "1.00"))))
        .collect();
    bank.send_all(CDC_TRANSACTIONS, &created);
    bank.shows([1, count]);
    bank.check_held("60000.00", 0);
    bank.transaction(Op::Create, deposit(count + 1, 1, "1.00"));
    bank.driver.restart().unwrap();
    bank.driver.advance_wall_clock(Duration::from_secs(1));
    bank.check_held("60001.00", count - 2);
    bank.shows([1, count, count + 1]);
    bank.driver.advance_wall_clock(Duration::from_secs(1));
    bank.transaction(Op::Create, deposit(count + 2, 1, "1.00"));
    for _ in 0..3 {
        bank.driver.advance_wall_clock(Duration::from_secs(1));
    }
    bank.check_held("4.00", 0);
}

/// Two snapshots of different parts say of no row that it is gone.
#[test]
fn two_partial_snapshots_of_different_parts_delete_nothing() {
    let mut bank = Bench::with_deposits(2 * MANY);
    bank.shows(1..=MANY);
    bank.check_held("300.00", MANY);
    bank.shows(MANY + 1..=2 * MANY);
    bank.check_held("300.00", MANY);
    // The second part again: what it has now left out twice is gone.
    bank.shows(MANY + 1..=2 * MANY);
    bank.check_held("150.00", 0);
}

#[test]
fn a_truncate_is_believed_at_once() {
    let mut bank = Bench::with_deposits(MANY);
    bank.shows(1..=3);
    let truncate = bank.event::<TransactionRow>(Op::Truncate, None);
    bank.send_to(CDC_TRANSACTIONS, 0, None, &truncate);
    bank.check_held("0.00", 0);
}

/// Debezium marks a table's only row as its last one.
#[test]
fn a_snapshot_of_one_row_sweeps_the_others() {
    for marker in ["last", "last_in_data_collection"] {
        let mut bank = Bench::with_deposits(3);
        bank.restore();
        let only = bank.read(marker, deposit(2, 1, "1.00"));
        bank.sends(CDC_TRANSACTIONS, &[&only]);
        bank.check_held("1.00", 0);
        bank.transaction(Op::Create, deposit(4, 1, "1.00"));
        bank.sends(CDC_TRANSACTIONS, &[&only]);
        bank.check_held("2.00", 0);
    }
}

/// A snapshot that began and never ended (a blocking one that failed) says nothing, also when one of a single row follows.
#[test]
fn a_snapshot_of_one_row_stands_alone() {
    let mut bank = Bench::with_deposits(3);
    bank.shows([3]);
    bank.check_held("1.00", 0);
    bank.transaction(Op::Create, deposit(4, 1, "1.00"));
    let began = bank.read("first", deposit(3, 1, "1.00"));
    bank.sends(CDC_TRANSACTIONS, &[&began]);
    bank.transaction(Op::Create, deposit(5, 1, "1.00"));
    bank.check_held("3.00", 0);
    bank.shows([5]);
    bank.check_held("1.00", 0);
}

/// Without its first row, a snapshot may have shown more than what came.
#[test]
fn a_snapshot_whose_first_row_was_not_seen_deletes_nothing() {
    let mut bank = Bench::with_deposits(3);
    bank.clock_ms += 1_000;
    let rows = [
        bank.read("true", deposit(2, 1, "1.00")),
        bank.read("last", deposit(3, 1, "1.00")),
    ];
    bank.sends(CDC_TRANSACTIONS, &[&rows[0], &rows[1]]);
    bank.check_held("3.00", 1);
    bank.shows(2..=3);
    bank.check_held("2.00", 0);
}

/// The connector sends its last snapshots again, and what came after them.
#[test]
fn a_snapshot_that_is_sent_again_deletes_nothing() {
    let mut bank = Bench::with_deposits(2);
    let mut sent = bank.shows(1..=2);
    // At one LSN, since nothing changed in between.
    sent.extend(bank.shows([1, 2]));
    sent.push(bank.event(Op::Create, Some(deposit(3, 1, "1.00"))));
    let again: Vec<_> = sent.iter().collect();
    bank.sends(CDC_TRANSACTIONS, &again[4..]);
    bank.sends(CDC_TRANSACTIONS, &again);
    bank.sends(CDC_TRANSACTIONS, &again);
    bank.check_held("3.00", 0);
    // Nor does it end one that has begun since.
    bank.clock_ms += 1_000;
    let began = bank.read("first", deposit(1, 1, "1.00"));
    bank.sends(CDC_TRANSACTIONS, &[&began]);
    bank.sends(CDC_TRANSACTIONS, &again);
    bank.check_held("3.00", 0);
}

/// A snapshot that failed on its way showed the rows last; then the table was truncated, and all of it comes again.
#[test]
fn a_snapshot_that_is_sent_again_brings_back_no_row() {
    let mut bank = Bench::with_deposits(2);
    let mut sent = bank.shows(1..=2);
    bank.event::<TransactionRow>(Op::Delete, None);
    let began = bank.read("first", deposit(1, 1, "1.00"));
    sent.push(began);
    let again: Vec<_> = sent.iter().collect();
    bank.sends(CDC_TRANSACTIONS, &again);
    let truncate = bank.event::<TransactionRow>(Op::Truncate, None);
    bank.send_to(CDC_TRANSACTIONS, 0, None, &truncate);
    bank.check_held("0.00", 0);
    bank.sends(CDC_TRANSACTIONS, &again);
    bank.send_to(CDC_TRANSACTIONS, 0, None, &truncate);
    bank.check_held("0.00", 0);
}

/// A record that cannot be read may have been any row, also the first one.
#[test]
fn a_snapshot_with_a_record_that_cannot_be_read_deletes_nothing() {
    for lost in [0, 1] {
        let mut bank = Bench::with_deposits(3);
        bank.clock_ms += 1_000;
        let rows: Vec<Envelope<TransactionRow>> = [(1, "first"), (2, "true"), (3, "last")]
            .map(|(id, marker)| bank.read(marker, deposit(id, 1, "1.00")))
            .into();
        for (at, row) in rows.iter().enumerate() {
            match at {
                at if at == lost => bank
                    .driver
                    .send_bytes(CDC_TRANSACTIONS.name(), bank.clock_ms, None, Some(b"junk")),
                1 => {}
                _ => bank.sends(CDC_TRANSACTIONS, &[row]),
            }
        }
        let unseen = if lost == 0 { 2 } else { 1 };
        bank.check_held("3.00", unseen);
        assert_eq!(bank.driver.drain_bytes("riverbank-dead-letters").len(), 1);
        // The next one is read, and says what is there.
        bank.shows([1, 3]);
        bank.check_held("2.00", 0);
    }
}
