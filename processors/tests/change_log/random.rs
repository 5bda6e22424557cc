//! Random histories of a table, with all that its operators, the connector and bad rows do to it, beside a model of what is right.

use std::collections::BTreeMap;

use processors::silver::{CONFIRMS_AFTER, FEW_ROWS, FEW_SHARE};
use processors::stores;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use schemas::Money;
use schemas::bronze::{Envelope, Op, TransactionRow};
use schemas::topics::*;

use crate::support::{Bench, deposit, money};

/// A record as the connector sends it.
#[derive(Clone)]
enum Sent {
    Event(Box<Envelope<TransactionRow>>),
    /// A record that nobody can read.
    Junk,
}

/// A row that Riverbank should have.
struct Known {
    row: TransactionRow,
    /// The snapshot or truncate since which it was last seen.
    seen_in: usize,
}

/// The table at the source, the connector, and what should be known of the table.
struct World {
    bank: Bench,
    random: StdRng,
    /// The rows at the source, those included that break a rule.
    source: BTreeMap<i64, TransactionRow>,
    /// What was sent since the connector last kept its place.
    batch: Vec<Sent>,
    known: BTreeMap<i64, Known>,
    snapshots: usize,
    /// Rows last seen before this snapshot are deleted if the next one does not show them either.
    held_below: usize,
    held_at_ms: i64,
    /// A record could not be read since the last complete snapshot, or since this one's first row.
    has_gap: bool,
    next_id: i64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut bank = Bench::new();
        for id in 1..=3 {
            bank.account(id, "0.00");
        }
        let rows = if random.random_bool(0.3) { 250 } else { 0 };
        let mut world = Self {
            bank,
            random,
            source: BTreeMap::new(),
            batch: Vec::new(),
            known: BTreeMap::new(),
            snapshots: 0,
            held_below: 0,
            held_at_ms: 0,
            has_gap: false,
            next_id: 1,
        };
        (0..rows).for_each(|_| world.create());
        world
    }

    fn one_of(&mut self, ids: &[i64]) -> i64 {
        ids[self.random.random_range(0..ids.len())]
    }

    fn ids(&self) -> Vec<i64> {
        self.source.keys().copied().collect()
    }

    /// A row as a client writes it: now and then one that breaks a rule.
    fn row(&mut self, id: i64) -> TransactionRow {
        let amount = format!("{}.00", self.random.random_range(1..50));
        let mut row = deposit(id, self.random.random_range(1..=3), &amount);
        match self.random.random_range(0..20) {
            0 => row.amount = Some(Money::UNFIT),
            1 => row.txn_type = Some("GIFT".into()),
            _ => {}
        }
        row
    }

    fn deliver(&mut self, sent: &Sent) {
        match sent {
            Sent::Junk => {
                self.has_gap = true;
                let at = self.bank.clock_ms;
                self.bank.driver.send_bytes(CDC_TRANSACTIONS.name(), at, None, Some(b"junk"));
            }
            Sent::Event(event) => match event.row_id() {
                Some(id) => self.bank.send(CDC_TRANSACTIONS, id, event),
                None => self.bank.send_to(CDC_TRANSACTIONS, 0, None, event),
            },
        }
    }

    fn send(&mut self, sent: Sent) {
        self.deliver(&sent);
        self.batch.push(sent);
    }

    /// The last good version stays in force.
    fn shown(&mut self, row: &TransactionRow) {
        let is_good = row.amount != Some(Money::UNFIT) && row.txn_type.as_deref() == Some("DEPOSIT");
        let seen_in = self.snapshots;
        match self.known.get_mut(&row.id) {
            Some(known) => known.seen_in = seen_in,
            None if !is_good => return,
            None => {}
        }
        if is_good {
            let row = row.clone();
            self.known.insert(row.id, Known { row, seen_in });
        }
    }

    fn create(&mut self) {
        let row = self.row(self.next_id);
        self.next_id += 1;
        self.write(Op::Create, row);
    }

    fn write(&mut self, op: Op, row: TransactionRow) {
        let event = self.bank.event(op, Some(row.clone()));
        self.send(Sent::Event(event.into()));
        self.shown(&row);
        self.source.insert(row.id, row);
    }

    fn delete(&mut self, id: i64) {
        let mut event = self.bank.event(Op::Delete, None);
        event.before = self.source.remove(&id);
        self.send(Sent::Event(event.into()));
        self.known.remove(&id);
    }

    fn truncate(&mut self) {
        let event = self.bank.event(Op::Truncate, None);
        self.send(Sent::Event(event.into()));
        self.source.clear();
        self.known.clear();
        self.snapshots += 1;
        self.held_below = 0;
    }

    /// Some rows go or change, and nobody is told.
    fn lose_changes(&mut self) {
        let share = [2, 3, 10][self.random.random_range(0..3)];
        let mut ids = self.ids();
        ids.shuffle(&mut self.random);
        for id in ids.iter().skip(1).step_by(share) {
            self.source.remove(id);
        }
        for id in ids.iter().skip(2).step_by(share) {
            if self.source.contains_key(id) {
                let row = self.row(*id);
                self.source.insert(*id, row);
            }
        }
    }

    /// The log goes on elsewhere: the slot was lost, or the server was restored.
    fn break_log(&mut self) {
        self.batch.clear();
        if self.random.random_bool(0.5) {
            self.bank.restore();
            self.bank.lsn = self.snapshots as i64 % 10;
        } else {
            self.bank.lsn += 1_000;
            self.bank.clock_ms += 1_000;
        }
    }

    /// Debezium reads these rows, as it marks them: whole, unless it fails on the way.
    fn snapshot(&mut self, ids: &[i64], is_first_table: bool, fails: bool) {
        self.bank.clock_ms += if self.random.random_bool(0.5) {
            1_000
        } else {
            CONFIRMS_AFTER.as_millis() as i64
        };
        let until = if fails { ids.len() / 2 } else { ids.len() };
        let lost = self.random.random_bool(0.1).then(|| self.random.random_range(0..ids.len()));
        for (at, id) in ids.iter().enumerate().take(until) {
            let marker = match at {
                at if at + 1 == ids.len() => "last_in_data_collection",
                0 if is_first_table => "first",
                0 => "first_in_data_collection",
                _ => "true",
            };
            if at == 0 {
                self.snapshots += 1;
                self.has_gap = false;
            }
            let row = self.source[id].clone();
            if lost == Some(at) {
                self.send(Sent::Junk);
            } else {
                let event = self.bank.read(marker, row.clone());
                self.send(Sent::Event(event.into()));
                self.shown(&row);
            }
        }
        let is_last_lost = lost == Some(ids.len() - 1);
        if until == ids.len() && !is_last_lost {
            let has_gap = std::mem::take(&mut self.has_gap);
            self.sweep(has_gap);
        }
    }

    /// What the snapshot did not show goes, unless it is much and no snapshot of long enough ago has missed it, too.
    fn sweep(&mut self, has_gap: bool) {
        let (all, now) = (self.known.len() as i64, self.snapshots);
        let missed_since = |below: usize| self.known.values().filter(|known| known.seen_in < below).count() as i64;
        let again = missed_since(self.held_below);
        let once = missed_since(now) - again;
        let is_too_soon = self.bank.clock_ms < self.held_at_ms + CONFIRMS_AFTER.as_millis() as i64;
        let says_nothing = has_gap || (again > 0 && is_too_soon);
        let below = match (says_nothing, once > FEW_ROWS && once * FEW_SHARE > all) {
            // What was held back still is, if anything is missing.
            (true, _) if missed_since(now) > 0 => return,
            (true, _) => 0,
            (false, true) => self.held_below,
            (false, false) => now,
        };
        (self.held_below, self.held_at_ms) = match !says_nothing && below < now {
            true => (now, self.bank.clock_ms),
            false => (0, 0),
        };
        self.known.retain(|_, known| known.seen_in >= below);
    }

    /// Reads all rows beside what is streamed.
    fn incremental_snapshot(&mut self) {
        self.bank.clock_ms += 1_000;
        let rows: Vec<TransactionRow> = self.source.values().cloned().collect();
        for row in rows {
            let mut event = self.bank.read("incremental", row.clone());
            event.source.lsn = None;
            self.send(Sent::Event(event.into()));
            self.shown(&row);
        }
    }

    fn step(&mut self) {
        let ids = self.ids();
        let is_first_table = self.random.random_bool(0.5);
        match self.random.random_range(0..48) {
            // The connector sends what it sent since it last kept its place again.
            0..6 => {
                for sent in self.batch.clone() {
                    self.deliver(&sent);
                }
            }
            6..8 => self.batch.clear(),
            8..10 => self.bank.driver.crash().unwrap(),
            10 => self.truncate(),
            11..14 if !ids.is_empty() => {
                self.lose_changes();
                self.break_log();
                let ids = self.ids();
                // Whether a record that could not be read came before an only row or was sent again from long before is not followed here.
                if ids.len() > usize::from(self.has_gap) {
                    self.snapshot(&ids, is_first_table, false);
                }
            }
            // The connector was moved on by hand, over changes that it then never sends.
            14 => {
                self.batch.clear();
                self.lose_changes();
                self.incremental_snapshot();
            }
            15 => self.incremental_snapshot(),
            // Blocking snapshots: of a part, and one that fails on its way.
            16 if ids.len() > 2 * FEW_ROWS as usize => {
                let part: Vec<i64> = ids.iter().copied().filter(|id| id % 5 == 0).collect();
                self.snapshot(&part, true, false);
            }
            17 if ids.len() > 2 => self.snapshot(&ids, is_first_table, true),
            18 if ids.len() > 1 => self.snapshot(&ids, is_first_table, false),
            19..26 if !ids.is_empty() => {
                let id = self.one_of(&ids);
                self.delete(id);
            }
            26..36 if !ids.is_empty() => {
                let id = self.one_of(&ids);
                let row = self.row(id);
                self.write(Op::Update, row);
            }
            _ => self.create(),
        }
    }

    fn check(&self, seed: u64, step: usize) {
        let mut expected = [money("0.00"); 3];
        for known in self.known.values() {
            let sum = &mut expected[known.row.account_id.unwrap() as usize - 1];
            *sum = sum.checked_add(known.row.amount.unwrap()).unwrap();
        }
        let booked: Vec<_> = self
            .bank
            .driver
            .view(stores::BALANCES)
            .iter()
            .map(|(_, b)| b.booked)
            .collect();
        assert_eq!(booked, expected, "SEED={seed} plays it again; it fails at step {step}");
    }
}

#[test]
fn the_books_are_the_sources_whatever_its_operators_do() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match (number("SEED"), number("SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(16),
    };
    for seed in seeds {
        let mut world = World::new(seed);
        for step in 1..=150 {
            world.step();
            world.check(seed, step);
        }
    }
}
