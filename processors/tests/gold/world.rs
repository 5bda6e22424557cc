//! A source whose rows change at random, the connector that tells of it, and what came out.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use schemas::bronze::{AccountRow, CdcKey, Envelope, Op, Row, TransactionRow};
use schemas::gold::{
    AccountDay, BankDay, BankDayKey, CustomerPosition, TransactionFact, TransactionMinute, TransactionMinuteKey,
};
use schemas::topics::*;
use schemas::{AccountId, Currency, CustomerId, TransactionId};
use topology::testing::TestDriver;
use wire::{Topic, Wire};

use crate::model::Source;
use crate::support::{Bench, account, money, transaction, transfer};

const ACCOUNTS: i64 = 6;
/// Where the bank's clock begins.
const BEGINS_MS: i64 = 1_700_000_000_000;
const DAY_US: i64 = 86_400_000_000;
/// 2023-11-14 at midnight: a few days around it have entries.
const TODAY_US: i64 = 1_699_920_000_000_000;

/// The events of one topic, in their order.
struct Line<R> {
    topic: Topic<CdcKey, Envelope<R>>,
    waiting: VecDeque<Envelope<R>>,
    sent: Vec<Envelope<R>>,
}

impl<R: Row + Clone> Line<R>
where
    Envelope<R>: Wire,
{
    fn new(topic: Topic<CdcKey, Envelope<R>>) -> Self {
        Self {
            topic,
            waiting: VecDeque::new(),
            sent: Vec::new(),
        }
    }

    /// Sends the next event, which is not processed yet.
    fn deliver(&mut self, driver: &mut TestDriver) {
        if let Some(event) = self.waiting.pop_front() {
            self.queue(driver, &event);
            self.sent.push(event);
        }
    }

    /// The connector begins again where it last kept its place.
    fn send_again(&self, driver: &mut TestDriver, count: usize) {
        let from = self.sent.len().saturating_sub(count);
        for event in &self.sent[from..] {
            self.queue(driver, event);
        }
    }

    fn queue(&self, driver: &mut TestDriver, event: &Envelope<R>) {
        let id = event.row_id().unwrap();
        driver.queue(self.topic, event.source.ts_ms, &CdcKey { id }, Some(event));
    }
}

/// A table as a reader of its topic has it.
struct Follower<K, V> {
    topic: Topic<K, V>,
    rows: BTreeMap<K, V>,
}

impl<K: Wire + Ord + Debug, V: Wire + PartialEq + Debug> Follower<K, V> {
    fn new(topic: Topic<K, V>) -> Self {
        Self {
            topic,
            rows: BTreeMap::new(),
        }
    }

    #[track_caller]
    fn check(&mut self, driver: &mut TestDriver, expected: &BTreeMap<K, V>) -> usize {
        for record in driver.drain(self.topic) {
            match record.value {
                Some(row) => self.rows.insert(record.key, row),
                None => self.rows.remove(&record.key),
            };
        }
        let name = self.topic.name();
        for (key, row) in expected {
            assert_eq!(self.rows.get(key), Some(row), "{name} {key:?}");
        }
        let more: Vec<_> = self.rows.iter().filter(|(key, _)| !expected.contains_key(key)).collect();
        assert!(more.is_empty(), "{name} has rows that nothing makes: {more:?}");
        expected.len()
    }
}

pub struct World {
    bank: Bench,
    random: StdRng,
    source: Source,
    accounts: Line<AccountRow>,
    transactions: Line<TransactionRow>,
    next_id: i64,
    positions: Follower<(CustomerId, Currency), CustomerPosition>,
    minutes: Follower<TransactionMinuteKey, TransactionMinute>,
    facts: Follower<TransactionId, TransactionFact>,
    days: Follower<(AccountId, i32), AccountDay>,
    bank_days: Follower<BankDayKey, BankDay>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            bank: Bench::new(),
            random: StdRng::seed_from_u64(seed),
            source: Source::default(),
            accounts: Line::new(CDC_ACCOUNTS),
            transactions: Line::new(CDC_TRANSACTIONS),
            next_id: 1,
            positions: Follower::new(CUSTOMER_POSITIONS),
            minutes: Follower::new(TRANSACTION_MINUTES),
            facts: Follower::new(TRANSACTION_FACTS),
            days: Follower::new(ACCOUNT_DAILY),
            bank_days: Follower::new(BANK_DAILY),
        }
    }

    /// One thing that happens.
    pub fn step(&mut self) {
        match self.random.random_range(0..40) {
            0..6 => self.change_account(),
            6..18 => self.change_transaction(),
            18..26 => self.accounts.deliver(&mut self.bank.driver),
            26..34 => self.transactions.deliver(&mut self.bank.driver),
            34 => self.accounts.send_again(&mut self.bank.driver, 4),
            35 => self.transactions.send_again(&mut self.bank.driver, 4),
            36 => self.bank.driver.crash().unwrap(),
            37 => self.bank.driver.restart().unwrap(),
            _ => self.bank.driver.settle(),
        }
    }

    /// All rows are deleted, in any order.
    pub fn empty(&mut self) {
        for id in self.source.accounts.keys().copied().collect::<Vec<_>>() {
            self.tell_account(id, None);
        }
        for id in self.source.transactions.keys().copied().collect::<Vec<_>>() {
            self.tell_transaction(id, None);
        }
    }

    /// Brings everything to its end, and compares each table. Returns how many rows there were.
    #[track_caller]
    pub fn check(&mut self) -> usize {
        while !self.accounts.waiting.is_empty() || !self.transactions.waiting.is_empty() {
            match self.random.random_bool(0.5) {
                true => self.accounts.deliver(&mut self.bank.driver),
                false => self.transactions.deliver(&mut self.bank.driver),
            }
        }
        let driver = &mut self.bank.driver;
        driver.settle();
        let source = &self.source;
        let mut rows = self.positions.check(driver, &source.customer_positions());
        rows += self.minutes.check(driver, &source.transaction_minutes());
        rows += self.facts.check(driver, &source.transaction_facts());
        rows += self.days.check(driver, &source.account_daily());
        rows += self.bank_days.check(driver, &source.bank_daily());
        rows
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.random.random_range(0..of.len())]
    }

    /// An instant of a few days, minutes of which are shared; or one of those since the bank began, at which accounts change.
    fn instant(&mut self) -> i64 {
        if self.random.random_bool(0.3) {
            let steps = (self.bank.clock_ms - BEGINS_MS) / 10;
            return BEGINS_MS * 1_000 + self.random.random_range(0..=steps) * 10_000 + self.random.random_range(-1..=1);
        }
        let (day, minute) = (self.random.random_range(-3..3), self.random.random_range(0..3));
        TODAY_US + day * DAY_US + minute * 60_000_000 + self.random.random_range(0..60_000_000)
    }

    fn change_account(&mut self) {
        let id = self.random.random_range(1..=ACCOUNTS);
        if self.source.accounts.contains_key(&id) && self.random.random_bool(0.15) {
            return self.tell_account(id, None);
        }
        let known = self.source.accounts.get(&id).cloned();
        let mut row = known.unwrap_or_else(|| account(id, "0.00"));
        // Mostly one column changes, or none that a table is made of.
        let column = self.random.random_range(0..10);
        let all = !self.source.accounts.contains_key(&id);
        if all || column == 0 {
            row.customer_id = Some(self.random.random_range(1..4));
        }
        if all || column == 1 {
            row.account_type = Some(self.pick(&["CHECKING", "SAVINGS"]).to_owned());
        }
        if all || column == 2 {
            row.currency = Some(self.pick(&["EUR", "USD", "KWD"]).to_owned());
        }
        if all || column == 3 {
            row.opening_balance = Some(money(self.pick(&["0.00", "10.00", "1000.01"])));
        }
        if all || column == 4 {
            row.created_at = Some(self.instant());
        }
        if all || column > 6 {
            let is_open = self.random.random_bool(0.6);
            row.status = Some(if is_open { "ACTIVE" } else { "INACTIVE" }.to_owned());
            row.closed_at = (!is_open).then(|| self.instant());
        }
        row.balance = Some(money(self.pick(&["1.00", "2.00"])));
        self.tell_account(id, Some(row));
    }

    fn change_transaction(&mut self) {
        let known: Vec<i64> = self.source.transactions.keys().copied().collect();
        let id = match known.is_empty() || self.random.random_bool(0.4) {
            true => self.next_id,
            false => known[self.random.random_range(0..known.len())],
        };
        self.next_id = self.next_id.max(id + 1);
        if self.source.transactions.contains_key(&id) && self.random.random_bool(0.25) {
            return self.tell_transaction(id, None);
        }
        let amount = format!("{}.{:02}", self.random.random_range(0..50), self.random.random_range(1..100));
        let (own, status) = (
            self.random.random_range(1..=ACCOUNTS),
            self.pick(&["COMPLETED", "COMPLETED", "PENDING", "FAILED", "REVERSED"]),
        );
        let mut row = match self.pick(&["DEPOSIT", "WITHDRAWAL", "TRANSFER"]) {
            "TRANSFER" => transfer(id, own, own % ACCOUNTS + 1, &amount, status),
            kind => transaction(id, own, kind, &amount, status),
        };
        row.created_at = Some(self.instant());
        // Often a single column changes.
        if let Some(before) = self.source.transactions.get(&id) {
            match self.random.random_range(0..4) {
                0 => {
                    row = TransactionRow {
                        created_at: row.created_at,
                        ..before.clone()
                    }
                }
                1 => {
                    row = TransactionRow {
                        status: row.status,
                        ..before.clone()
                    }
                }
                2 => {
                    row = TransactionRow {
                        amount: row.amount,
                        ..before.clone()
                    }
                }
                _ => {}
            }
        }
        self.tell_transaction(id, Some(row));
    }

    fn tell_account(&mut self, id: i64, row: Option<AccountRow>) {
        let before = self.source.accounts.get(&id).cloned();
        let event = told(&mut self.bank, before, row);
        self.source.account_is(id, event.after.as_ref(), event.source.ts_ms * 1_000);
        self.accounts.waiting.push_back(event);
    }

    fn tell_transaction(&mut self, id: i64, row: Option<TransactionRow>) {
        let before = match &row {
            Some(row) => self.source.transactions.insert(id, row.clone()),
            None => self.source.transactions.remove(&id),
        };
        let event = told(&mut self.bank, before, row);
        let position = (event.source.lsn.unwrap(), event.source.ts_ms * 1_000);
        self.source.changed.insert(id, position);
        self.transactions.waiting.push_back(event);
    }
}

/// The event of a change, of a table that tells whole rows.
fn told<R>(bank: &mut Bench, before: Option<R>, after: Option<R>) -> Envelope<R> {
    let op = match (&before, &after) {
        (None, _) => Op::Create,
        (Some(_), Some(_)) => Op::Update,
        (Some(_), None) => Op::Delete,
    };
    Envelope {
        before,
        ..bank.event(op, after)
    }
}
