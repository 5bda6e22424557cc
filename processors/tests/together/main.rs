//! What several accounts held together: what one transaction of the source does is seen whole or not at all, whoever asks when.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod ends;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker::in_process::CommitFault;
use processors::gold::{FORMER_KEPT, former_as_of};
use processors::silver::{END_AWAITED, SILENCE};
use processors::stores::{self, ALL_ACCOUNTS};
use processors::{BankSettings, bank};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use schemas::bronze::{CdcKey, CollectionCount, Envelope, Op, Source, TransactionBlock, TransactionMetadata, TransactionRow};
use schemas::gold::AccountBalance;
use schemas::silver::Frontier;
use schemas::topics::*;
use schemas::{AccountId, Money, TransactionId};
use support::{Bench, account, deposit, money, transfer};
use topology::store::{MemoryBackends, View};
use topology::testing::TestDriver;
use topology::{EngineSettings, QueryError};

const ACCOUNTS: i64 = 6;
const WORKERS: usize = 2;

/// A source whose transactions change several rows, and what the accounts held after each of them.
struct World {
    bench: Bench,
    random: StdRng,
    rows: BTreeMap<i64, TransactionRow>,
    next_row: i64,
    tx_id: i64,
    /// By the transaction's number; the first is before any.
    states: Vec<Vec<Money>>,
    /// The events of the transaction that is being sent.
    waiting: Vec<Envelope<TransactionRow>>,
    /// Whether the connector tells when transactions end.
    tells_ends: bool,
    /// The ends that it has yet to tell.
    ends: Vec<TransactionMetadata>,
    /// The workers that go on between two questions.
    going: Vec<usize>,
}

/// How an account and its partition are known.
type Seen = (Option<Frontier>, AccountBalance);

impl World {
    fn new(seed: u64) -> Self {
        let settings = EngineSettings {
            partitions: 4,
            threads: WORKERS,
            ..EngineSettings::default()
        };
        let topology = bank(BankSettings::default()).unwrap();
        let driver = TestDriver::with(topology, settings, Arc::new(MemoryBackends::default())).unwrap();
        let mut bench = Bench {
            driver,
            lsn: 0,
            clock_ms: 1_700_000_000_000,
        };
        (1..=ACCOUNTS).for_each(|id| bench.account(id, "100.00"));
        Self {
            bench,
            random: StdRng::seed_from_u64(seed),
            rows: BTreeMap::new(),
            next_row: 1,
            tx_id: 0,
            states: vec![vec![money("100.00"); ACCOUNTS as usize]],
            waiting: Vec::new(),
            tells_ends: seed % 2 == 1,
            ends: Vec::new(),
            going: (0..WORKERS).collect(),
        }
    }

    /// The source commits a transaction of one to five changes; money only moves between accounts.
    fn commit(&mut self) {
        self.tx_id += 1;
        self.bench.clock_ms += 7;
        let count = self.random.random_range(1..=5);
        for order in 1..=count {
            let (op, row) = self.change();
            self.bench.lsn += 10;
            let source = Source {
                lsn: Some(self.bench.lsn),
                tx_id: Some(self.tx_id),
                ts_ms: self.bench.clock_ms,
                ..Source::default()
            };
            self.waiting.push(Envelope {
                before: (op == Op::Delete).then(|| row.clone()),
                after: (op != Op::Delete).then_some(row),
                source,
                transaction: self.tells_ends.then(|| TransactionBlock {
                    id: format!("{}:{}", self.tx_id, self.bench.lsn),
                    total_order: order,
                    data_collection_order: order,
                }),
                op,
                ts_ms: None,
                ts_us: None,
                ts_ns: None,
            });
        }
        self.waiting.reverse();
        // One in ten is missing.
        if self.tells_ends && self.random.random_bool(0.9) {
            self.ends.push(end(self.tx_id, count, self.bench.clock_ms));
        }
        let mut held = vec![money("100.00"); ACCOUNTS as usize];
        for row in self.rows.values() {
            let mut add = |account: Option<i64>, amount: Money| {
                let sum = &mut held[account.unwrap() as usize - 1];
                *sum = sum.checked_add(amount).unwrap();
            };
            add(row.account_id, row.amount.unwrap().negated());
            add(row.related_account_id, row.amount.unwrap());
        }
        self.states.push(held);
    }

    fn change(&mut self) -> (Op, TransactionRow) {
        let known: Vec<i64> = self.rows.keys().copied().collect();
        let old = known.choose(&mut self.random).copied();
        let ids: Vec<i64> = (1..=ACCOUNTS).collect();
        let pair: Vec<i64> = ids.sample(&mut self.random, 2).copied().collect();
        let amount = format!("{}.{:02}", self.random.random_range(0..50), self.random.random_range(1..100));
        match (self.random.random_range(0..10), old) {
            (0, Some(id)) => (Op::Delete, self.rows.remove(&id).unwrap()),
            (1..4, Some(id)) => {
                let row = transfer(id, pair[0], pair[1], &amount, "COMPLETED");
                self.rows.insert(id, row.clone());
                (Op::Update, row)
            }
            _ => {
                let row = transfer(self.next_row, pair[0], pair[1], &amount, "COMPLETED");
                self.rows.insert(self.next_row, row.clone());
                self.next_row += 1;
                (Op::Create, row)
            }
        }
    }

    /// How long nothing more may come of a transaction before it is taken for complete.
    fn bound(&self) -> Duration {
        if self.tells_ends { END_AWAITED } else { SILENCE }
    }

    /// Some of the events that wait reach the topic; ends do before, with or after them.
    fn deliver(&mut self, count: usize) {
        let told = if self.waiting.len() <= count {
            self.ends.len()
        } else {
            self.random.random_range(0..=self.ends.len())
        };
        let told = if self.random.random_bool(0.2) { 0 } else { told };
        for metadata in self.ends.drain(..told) {
            let driver = &mut self.bench.driver;
            driver.queue(
                CDC_TRANSACTION_METADATA,
                metadata.ts_ms,
                &TransactionId(metadata.ts_ms),
                Some(&metadata),
            );
        }
        for _ in 0..count {
            let Some(event) = self.waiting.pop() else { return };
            let id = event.after.as_ref().or(event.before.as_ref()).unwrap().id;
            let at = event.source.ts_ms;
            self.bench.driver.queue(CDC_TRANSACTIONS, at, &CdcKey { id }, Some(&event));
        }
    }

    /// Asks for all accounts as a reader does: of each first how far its partition is, then what it holds; then, as of the number that all have
    /// reached, what those held that have gone on. Workers may go on in between. `None`: a part is away.
    fn ask(&mut self) -> Option<(i64, Vec<Option<Money>>)> {
        let queries = self.bench.driver.queries();
        let is_away = |error: QueryError| match error {
            QueryError::NotReady { .. } => None,
            other => panic!("{other}"),
        };
        let mut seen: Vec<Seen> = Vec::new();
        for id in (1..=ACCOUNTS).map(AccountId) {
            let frontier = match queries.read(stores::FRONTIER, &id, |view| view.get(&ALL_ACCOUNTS)) {
                Ok(answer) => answer.value,
                Err(error) => return is_away(error),
            };
            self.go_on();
            match queries.get(stores::BALANCES, &id) {
                Ok(answer) => seen.push((frontier, answer.value.unwrap())),
                Err(error) => return is_away(error),
            }
        }
        let reached = seen
            .iter()
            .map(|(frontier, _)| frontier.map_or(0, |frontier| frontier.commit_number));
        let number = reached.min().unwrap();
        let mut held = Vec::new();
        for (_, balance) in seen {
            if balance.commit_number.is_none_or(|newest| newest <= number) {
                held.push(Some(balance.booked));
                continue;
            }
            self.go_on();
            match queries.read(stores::FORMER, &balance.account_id, |view| {
                former_as_of(view, &balance, number)
            }) {
                Ok(answer) => held.push(answer.value.map(|former| former.booked)),
                Err(error) => return is_away(error),
            }
        }
        Some((number, held))
    }

    fn go_on(&mut self) {
        if self.random.random_bool(0.3) {
            let worker = self.going[self.random.random_range(0..self.going.len())];
            self.bench.driver.turns(worker, 1);
        }
    }

    /// Whatever is known of the accounts as of a transaction is what the source had after it. Returns the number and whether all was known.
    fn check(&mut self, seed: u64) -> (i64, bool) {
        let Some((number, held)) = self.ask() else { return (0, false) };
        for (account, held) in held.iter().enumerate() {
            let expected = self.states[number as usize][account];
            assert!(
                held.is_none_or(|held| held == expected),
                "SEED={seed}: account {} as of {number}: {held:?}, and it was {expected}",
                account + 1
            );
        }
        (number, held.iter().all(Option::is_some))
    }
}

#[test]
fn accounts_are_known_as_they_were_together() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(12),
    };
    let (mut known, mut asked) = (0, 0);
    for seed in seeds {
        let mut world = World::new(seed);
        for _ in 0..400 {
            match world.random.random_range(0..20) {
                0..6 if world.waiting.is_empty() => world.commit(),
                0..12 => {
                    let count = world.random.random_range(1..4);
                    world.deliver(count);
                }
                12..18 => {
                    let (worker, turns) = (world.random.random_range(0..WORKERS), world.random.random_range(1..4));
                    world.bench.driver.turns(worker, turns);
                }
                18 => world.bench.driver.hold_flushes(false),
                // The source is quiet: what has come of a transaction is all of it.
                _ if world.waiting.is_empty() => {
                    world.bench.driver.settle();
                    let bound = world.bound();
                    world.bench.driver.pass_time(bound);
                    if world.random.random_bool(0.2) {
                        world.bench.driver.crash().unwrap();
                        world.bench.driver.settle();
                    }
                }
                _ => {}
            }
            let (number, all) = world.check(seed);
            if number > 0 {
                asked += 1;
                known += u32::from(all);
            }
        }
        world.deliver(usize::MAX);
        world.bench.driver.settle();
        // Behind a restart, the silence begins when it is first looked at, and an end may yet be told.
        (0..2).for_each(|_| world.bench.driver.advance_wall_clock(END_AWAITED));
        let last = world.states.len() as i64 - 1;
        assert_eq!(world.check(seed), (last, true), "SEED={seed}: all is known when all has come");
    }
    // Behind a restart what was before is not known for a moment.
    assert!(asked > 1_000 && known * 10 > asked * 8, "{known} of {asked} were known");
}

/// What the connector tells of the end of a transaction.
fn end(tx_id: i64, changes: i64, ts_ms: i64) -> TransactionMetadata {
    let count = |table: &str, event_count| CollectionCount {
        data_collection: table.to_owned(),
        event_count,
    };
    TransactionMetadata {
        status: "END".to_owned(),
        id: format!("{tx_id}:4711"),
        event_count: Some(changes + 2),
        data_collections: Some(vec![count("public.accounts", 2), count("public.transactions", changes)]),
        ts_ms,
    }
}

/// One worker stands still, and the other goes on for nearly as long as it is kept what balances were: all is known all the time.
#[test]
fn what_was_is_known_while_a_part_is_far_behind() {
    let (mut asked, mut behind) = (0, 0);
    for (seed, stalled) in [(1, 0), (2, 1)] {
        let mut world = World::new(seed);
        world.going = vec![1 - stalled];
        world.bench.driver.settle();
        (0..3).for_each(|_| world.bench.driver.advance_wall_clock(world.bound()));
        for _ in 1..FORMER_KEPT.as_secs() {
            for _ in 0..4 {
                world.commit();
                world.deliver(usize::MAX);
                world.bench.driver.turns(1 - stalled, 3);
            }
            world.bench.driver.pass_time(Duration::from_secs(1));
            world.bench.driver.turns(1 - stalled, 3);
            let (number, all) = world.check(seed);
            assert!(all, "SEED={seed}: as of {number}");
            asked += 1;
            behind += u32::from(number < world.states.len() as i64 - 10);
        }
        world.bench.driver.settle();
        (0..3).for_each(|_| world.bench.driver.advance_wall_clock(world.bound()));
        let last = world.states.len() as i64 - 1;
        assert_eq!(world.check(seed), (last, true), "SEED={seed}");
    }
    assert!(behind * 2 > asked, "{behind} of {asked} were behind");
}

/// What has waited for another currency is booked late: what the account was between is not what it should have been.
#[test]
fn what_was_is_not_known_where_something_was_booked_late() {
    let mut bench = Bench::new();
    let in_currency = |currency: &str| {
        let mut row = account(1, "50.00");
        row.currency = Some(currency.into());
        row
    };
    let row = bench.event(Op::Create, Some(in_currency("JPY")));
    bench.sends(CDC_ACCOUNTS, &[&row]);
    bench.transaction(Op::Create, deposit(1, 1, "1.00"));
    bench.transaction(Op::Create, deposit(2, 1, "0.50"));
    bench.transaction(Op::Create, deposit(3, 1, "1.00"));
    bench.transaction(Op::Create, deposit(4, 1, "1.00"));
    let known = |bench: &Bench| {
        let now = bench.driver.view(stores::BALANCES).remove(0).1;
        let was = (0..4).map(|number| {
            let of = |view: &View<_, _>| former_as_of(view, &now, number);
            let former = bench.driver.queries().read(stores::FORMER, &AccountId(1), of).unwrap();
            former.value.map(|former| former.booked.to_string())
        });
        was.collect::<Vec<_>>()
    };
    let texts = |amounts: [Option<&str>; 4]| amounts.map(|amount| amount.map(str::to_owned)).to_vec();
    // Not asked for, and so not known, is what it was between numbers that were told.
    assert_eq!(
        known(&bench),
        texts([Some("50.00"), Some("51.00"), Some("51.00"), Some("52.00")])
    );
    let row = bench.event(Op::Update, Some(in_currency("EUR")));
    bench.sends(CDC_ACCOUNTS, &[&row]);
    bench.check(&[(1, "53.50", "53.50")]);
    assert_eq!(known(&bench), texts([Some("50.00"), Some("51.00"), None, None]));
}

/// Nothing of what was is kept for good, even if a transaction of the engine was dropped since.
#[test]
fn what_was_is_forgotten() {
    let mut world = World::new(3);
    for n in 0..50 {
        world.commit();
        world.deliver(usize::MAX);
        if n == 45 {
            for (worker, turn) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let faults = world.bench.driver.broker().transaction_faults();
                faults.next_commit(&format!("riverbank-{worker}-{turn}"), CommitFault::Lost);
            }
        }
        world.bench.driver.settle();
    }
    assert!(!world.bench.driver.view(stores::FORMER).is_empty());
    world.bench.driver.advance_wall_clock(FORMER_KEPT);
    world.bench.driver.advance_wall_clock(Duration::from_secs(10));
    assert_eq!(world.bench.driver.view(stores::FORMER), []);
}
