//! The fact table, step by step: what is told of which transaction, and of none that stays as it was.

use schemas::bronze::{AccountRow, Op, TransactionRow};
use schemas::gold::TransactionFact;
use schemas::topics::{CDC_ACCOUNTS, TRANSACTION_FACTS};

use crate::support::{Bench, account, deposit};

/// A transaction's number, with the version of its account and the customer; none where it is gone.
type Told = (i64, Option<(i64, i64)>);

struct World(Bench);

impl World {
    /// The account as it is from now on; returns since when, in microseconds.
    fn account(&mut self, op: Op, id: i64, customer: i64, status: &str) -> i64 {
        let row = AccountRow {
            customer_id: Some(customer),
            status: Some(status.to_owned()),
            ..account(id, "10.00")
        };
        let event = self.0.event(op, (op != Op::Delete).then_some(row));
        self.0.send(CDC_ACCOUNTS, id, &event);
        self.0.clock_ms * 1_000
    }

    fn transaction(&mut self, op: Op, id: i64, account: i64, created_at: i64) {
        let row = TransactionRow {
            created_at: Some(created_at),
            ..deposit(id, account, "1.00")
        };
        self.0.transaction(op, row);
    }

    #[track_caller]
    fn told(&mut self, expected: &[Told]) {
        let said = |fact: &TransactionFact| (fact.account_version, fact.customer_id.0);
        let records = self.0.driver.drain(TRANSACTION_FACTS);
        let mut told: Vec<Told> = records.iter().map(|r| (r.key.0, r.value.as_ref().map(said))).collect();
        told.sort_unstable();
        assert_eq!(told, expected);
    }
}

#[test]
fn a_transaction_has_the_version_of_its_own_time_whatever_comes_first() {
    let mut world = World(Bench::new());
    let before = world.0.clock_ms * 1_000;
    // It waits for its account, whose first version counts for what was before, too.
    world.transaction(Op::Create, 1, 1, before);
    world.told(&[]);
    let opened = world.account(Op::Create, 1, 7, "ACTIVE");
    world.told(&[(1, Some((1, 7)))]);
    // A version comes behind a transaction of its time: that one is told anew, and the other is not.
    let will_move = world.0.clock_ms * 1_000 + 20_000;
    world.transaction(Op::Create, 2, 1, will_move);
    world.told(&[(2, Some((1, 7)))]);
    let moved = world.account(Op::Update, 1, 8, "ACTIVE");
    assert_eq!(moved, will_move, "a version begins with its commit");
    world.told(&[(2, Some((2, 8)))]);
    // To the last microsecond.
    world.transaction(Op::Update, 2, 1, moved - 1);
    world.told(&[(2, Some((1, 7)))]);
    world.transaction(Op::Update, 2, 1, moved);
    world.told(&[(2, Some((2, 8)))]);
    // A new version of now is none of theirs.
    world.account(Op::Update, 1, 8, "INACTIVE");
    world.told(&[]);
    // To another account, which has been there since later.
    world.account(Op::Create, 2, 9, "ACTIVE");
    world.transaction(Op::Update, 1, 2, opened);
    world.told(&[(1, Some((1, 9)))]);
    // What is gone keeps its versions; its deletion is one of them.
    let gone = world.account(Op::Delete, 1, 8, "INACTIVE");
    world.told(&[]);
    world.transaction(Op::Update, 2, 1, gone);
    world.told(&[(2, Some((4, 8)))]);
    world.transaction(Op::Delete, 2, 1, gone);
    world.told(&[(2, None)]);
}
