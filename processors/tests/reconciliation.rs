//! The streamed balances beside the source's own: equal at every commit, and where they are not, the account is named.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use processors::SourcePartitions;
use processors::gold::QUIET;
use processors::stores;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use schemas::Money;
use schemas::bronze::{AccountRow, CdcKey, Envelope, Op, Source, TransactionRow};
use schemas::topics::*;
use support::{Bench, account, deposit, money, transaction, transfer};

const ACCOUNTS: i64 = 4;

/// A source whose ledger moves balances, as ours does: each transaction's row, then the rows of its accounts, in one commit.
struct Ledger {
    bank: Bench,
    balances: BTreeMap<i64, Money>,
    rows: BTreeMap<i64, TransactionRow>,
    /// What has been committed and not yet sent, oldest first: transactions and accounts come over two topics.
    transactions: Vec<(i64, Envelope<TransactionRow>)>,
    accounts: Vec<(i64, Envelope<AccountRow>)>,
}

impl Ledger {
    fn new(partitions: SourcePartitions) -> Self {
        let mut ledger = Self {
            bank: Bench::with(partitions),
            balances: BTreeMap::new(),
            rows: BTreeMap::new(),
            transactions: Vec::new(),
            accounts: Vec::new(),
        };
        for id in 1..=ACCOUNTS {
            ledger.balances.insert(id, money("100.00"));
            ledger.commit(&[], &[id]);
        }
        ledger
    }

    fn event<R>(&mut self, op: Op, row: R) -> Envelope<R> {
        self.bank.lsn += 10;
        Envelope {
            before: None,
            after: (op != Op::Delete).then_some(row),
            source: Source {
                lsn: Some(self.bank.lsn),
                tx_id: Some(self.bank.clock_ms),
                ts_ms: self.bank.clock_ms,
                ..Source::default()
            },
            transaction: None,
            op,
            ts_ms: None,
            ts_us: None,
            ts_ns: None,
        }
    }

    /// What these rows do to balances.
    fn post(&mut self, row: Option<TransactionRow>, gives_back: bool) -> Vec<i64> {
        let Some(row) = row.filter(|row| row.status.as_deref() == Some("COMPLETED")) else {
            return Vec::new();
        };
        let amount = if gives_back {
            row.amount.unwrap().negated()
        } else {
            row.amount.unwrap()
        };
        let (own, other) = (row.account_id.unwrap(), row.related_account_id);
        let mut add = |id: i64, amount: Money| {
            let balance = self.balances.get_mut(&id).unwrap();
            *balance = balance.checked_add(amount).unwrap();
        };
        match row.txn_type.as_deref() {
            Some("DEPOSIT") => add(own, amount),
            _ => add(own, amount.negated()),
        }
        if let Some(other) = other {
            add(other, amount);
        }
        [Some(own), other].into_iter().flatten().collect()
    }

    /// One commit: changes of transactions, each followed by its accounts' rows, then the rows of these accounts.
    fn commit(&mut self, changes: &[(Op, TransactionRow)], accounts: &[i64]) {
        self.bank.clock_ms += 7;
        for (op, row) in changes {
            let before = match op {
                Op::Delete => self.rows.remove(&row.id),
                _ => self.rows.insert(row.id, row.clone()),
            };
            let event = self.event(*op, row.clone());
            self.transactions.push((row.id, event));
            let mut moved = self.post(before, true);
            moved.extend(self.post((*op != Op::Delete).then(|| row.clone()), false));
            moved.sort_unstable();
            moved.dedup();
            moved.into_iter().for_each(|id| self.account(id));
        }
        accounts.iter().for_each(|id| self.account(*id));
    }

    fn account(&mut self, id: i64) {
        let row = AccountRow {
            balance: Some(self.balances[&id]),
            ..account(id, "100.00")
        };
        let event = self.event(Op::Update, row);
        self.accounts.push((id, event));
    }

    /// Sends so many of what waits, of each topic.
    fn send(&mut self, transactions: usize, accounts: usize) {
        for (id, event) in self.transactions.drain(..transactions.min(self.transactions.len())) {
            self.bank.send(CDC_TRANSACTIONS, id, &event);
        }
        for (id, event) in self.accounts.drain(..accounts.min(self.accounts.len())) {
            self.bank.send(CDC_ACCOUNTS, id, &event);
        }
    }

    fn random_commit(&mut self, random: &mut StdRng) {
        let changes: Vec<_> = (0..random.random_range(1..=3))
            .map(|n| {
                let known: Vec<i64> = self.rows.keys().copied().collect();
                let id = match known.get(random.random_range(0..known.len() + 3)) {
                    Some(id) => *id,
                    None => self.bank.lsn + n,
                };
                let amount = format!("{}.{:02}", random.random_range(1..50), random.random_range(0..100));
                let status = ["COMPLETED", "COMPLETED", "PENDING"][random.random_range(0..3)];
                let one = random.random_range(1..=ACCOUNTS);
                let row = match random.random_range(0..3) {
                    0 => transaction(id, one, "DEPOSIT", &amount, status),
                    1 => transaction(id, one, "WITHDRAWAL", &amount, status),
                    _ => transfer(id, one, one % ACCOUNTS + 1, &amount, status),
                };
                match self.rows.contains_key(&id) {
                    true if random.random_ratio(1, 4) => (Op::Delete, row),
                    true => (Op::Update, row),
                    false => (Op::Create, row),
                }
            })
            .collect();
        // The same row twice in a commit would be an update of what the commit has made.
        let mut ids: Vec<i64> = changes.iter().map(|(_, row)| row.id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() == changes.len() {
            self.commit(&changes, &[]);
        }
    }

    /// Accounts that differ, with by how much.
    fn different(&self) -> Vec<(i64, String)> {
        let rows = self.bank.driver.view(stores::RECONCILED).into_iter();
        let different: Vec<_> = rows
            .filter(|(_, row)| row.difference != Money::ZERO)
            .map(|(id, row)| (id.0, row.difference.to_string()))
            .collect();
        let known: Vec<i64> = self.bank.driver.view(stores::DIFFERENT).iter().map(|(id, _)| id.0).collect();
        assert_eq!(known, different.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        different
    }
}

#[test]
fn books_that_agree_agree_in_any_order_and_a_cent_is_found() {
    let seeds = std::env::var("SEEDS").map_or(20, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        print_seed(seed);
        let mut random = StdRng::seed_from_u64(seed);
        let mut ledger = Ledger::new(SourcePartitions::default());
        let planted = random.random_bool(0.5).then(|| random.random_range(20..60));
        for n in 0..80 {
            if planted == Some(n) {
                // Somebody has moved a balance past the ledger.
                let balance = ledger.balances.get_mut(&2).unwrap();
                *balance = balance.checked_add(money("0.01")).unwrap();
                ledger.commit(&[], &[2]);
            } else {
                ledger.random_commit(&mut random);
            }
            let (transactions, accounts) = (random.random_range(0..5), random.random_range(0..9));
            ledger.send(transactions, accounts);
            if random.random_ratio(1, 25) {
                ledger.bank.driver.crash().unwrap();
            }
            if random.random_ratio(1, 10) {
                ledger.bank.driver.advance_wall_clock(Duration::from_secs(1));
            }
            if planted.is_none_or(|planted| n < planted) {
                assert_eq!(ledger.different(), [], "seed {seed}, commit {n}");
            }
        }
        ledger.send(usize::MAX, usize::MAX);
        // The last transaction is taken for complete after a while, and the source for idle after another.
        (0..4).for_each(|_| ledger.bank.driver.advance_wall_clock(QUIET));
        let expected: Vec<(i64, String)> = planted.iter().map(|_| (2, "-0.01".to_owned())).collect();
        assert_eq!(ledger.different(), expected, "seed {seed}");
        assert_eq!(
            ledger.bank.driver.view(stores::TO_RECONCILE),
            [],
            "seed {seed}: all are compared"
        );
        assert_eq!(ledger.bank.driver.view(stores::RECONCILED).len(), ACCOUNTS as usize);
        // What was wrong is put right.
        if planted.is_some() {
            *ledger.balances.get_mut(&2).unwrap() = ledger.balances[&2].checked_sub(money("0.01")).unwrap();
            ledger.commit(&[], &[2]);
            ledger.send(usize::MAX, usize::MAX);
            assert_eq!(ledger.different(), [], "seed {seed}: it agrees again");
        }
    }
}

/// The seed of a run that fails is the last that is printed.
#[allow(clippy::print_stdout, reason = "it replays a failure")]
fn print_seed(seed: u64) {
    println!("seed {seed}");
}

#[test]
fn a_cent_on_an_idle_bank_is_found_after_a_while() {
    let mut ledger = Ledger::new(SourcePartitions::default());
    ledger.commit(&[(Op::Create, deposit(1, 1, "10.00"))], &[]);
    ledger.send(usize::MAX, usize::MAX);
    ledger.bank.driver.advance_wall_clock(Duration::from_secs(1));
    ledger.balances.insert(3, money("99.99"));
    ledger.commit(&[], &[3]);
    ledger.send(usize::MAX, usize::MAX);
    assert_eq!(ledger.different(), [], "its transaction may be on its way");
    // What waits outlives a crash.
    ledger.bank.driver.crash().unwrap();
    ledger.bank.driver.advance_wall_clock(Duration::from_secs(1));
    // The next transaction would say at once that none is missing; silence says it after a while.
    (0..4).for_each(|_| ledger.bank.driver.advance_wall_clock(QUIET));
    assert_eq!(ledger.different(), [(3, "0.01".to_owned())]);
    let row = ledger.bank.driver.view(stores::RECONCILED)[2].1.clone();
    assert_eq!(
        (row.streamed, row.source, row.is_complete),
        (money("100.00"), money("99.99"), false)
    );
}

#[test]
fn an_account_that_goes_takes_its_difference_along() {
    let mut ledger = Ledger::new(SourcePartitions::default());
    ledger.balances.insert(3, money("99.99"));
    ledger.commit(&[], &[3]);
    ledger.commit(&[(Op::Create, deposit(1, 1, "10.00"))], &[]);
    ledger.commit(&[(Op::Create, deposit(2, 1, "10.00"))], &[]);
    ledger.send(usize::MAX, usize::MAX);
    assert_eq!(ledger.different(), [(3, "0.01".to_owned())]);
    let event = ledger.event(Op::Delete, account(3, "100.00"));
    ledger.bank.send(CDC_ACCOUNTS, 3, &event);
    assert_eq!(ledger.different(), []);
    let rows = ledger.bank.driver.drain(RECONCILIATION);
    let last = rows.iter().rfind(|row| row.key.0 == 3).unwrap();
    assert_eq!(last.value, None, "the topic is told");
}

#[test]
fn a_source_without_a_ledger_is_not_compared() {
    let mut bank = Bench::new();
    let narrow = AccountRow {
        opening_balance: None,
        ..account(1, "100.00")
    };
    let event = bank.event(Op::Create, Some(narrow));
    bank.driver.send(CDC_ACCOUNTS, bank.clock_ms, &CdcKey { id: 1 }, Some(&event));
    (1..=3).for_each(|n| bank.transaction(Op::Create, deposit(n, 1, "5.00")));
    bank.driver.advance_wall_clock(QUIET * 3);
    bank.check(&[(1, "115.00", "115.00")]);
    assert_eq!(bank.driver.view(stores::RECONCILED), []);
    assert_eq!(bank.driver.view(stores::TO_RECONCILE), []);
}

#[test]
fn without_the_order_of_commits_nothing_differs_and_little_waits() {
    let mut random = StdRng::seed_from_u64(7);
    let mut ledger = Ledger::new(SourcePartitions {
        customers: 1,
        accounts: 2,
        transactions: 3,
        ..SourcePartitions::default()
    });
    for n in 0..60 {
        match n % 3 {
            // For good: no posting makes it so.
            0 => {
                ledger.balances.insert(2, money("7.77"));
                ledger.commit(&[], &[2]);
            }
            _ => ledger.random_commit(&mut random),
        }
        ledger.send(random.random_range(0..5), random.random_range(0..9));
    }
    ledger.send(usize::MAX, usize::MAX);
    (0..4).for_each(|_| ledger.bank.driver.advance_wall_clock(QUIET));
    assert_eq!(ledger.different(), []);
    let waiting = ledger.bank.driver.view(stores::TO_RECONCILE);
    assert!(waiting.len() <= ACCOUNTS as usize, "{waiting:?}");
}

#[test]
fn many_postings_of_one_commit_are_one() {
    let mut ledger = Ledger::new(SourcePartitions::default());
    let rows: Vec<_> = (1..=300).map(|n| (Op::Create, deposit(n, 1, "0.01"))).collect();
    ledger.commit(&rows, &[]);
    // All postings are there before the first of the three hundred rows of the account comes.
    ledger.send(usize::MAX, 0);
    ledger.commit(&[(Op::Create, deposit(1_000, 2, "1.00"))], &[]);
    ledger.commit(&[(Op::Create, deposit(1_001, 2, "1.00"))], &[]);
    ledger.send(usize::MAX, usize::MAX);
    (0..4).for_each(|_| ledger.bank.driver.advance_wall_clock(QUIET));
    assert_eq!(ledger.different(), []);
    assert_eq!(ledger.bank.driver.view(stores::TO_RECONCILE), []);
}
