//! Random transactions at the source, beside a model that looks at the rows only between them.

use std::collections::BTreeMap;

use processors::stores;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use schemas::CustomerId;
use schemas::bronze::{CustomerRow, Envelope, Op};
use schemas::gold::CustomerVersion;
use schemas::topics::*;
use topology::Micros;

use crate::support::Bench;

/// The tracked columns.
type Name = (String, String, String);

/// A source of customers, and what was sent of it.
struct World {
    bank: Bench,
    random: StdRng,
    source: BTreeMap<i64, CustomerRow>,
    /// Sent since the connector last kept its place.
    batch: Vec<Envelope<CustomerRow>>,
    committed_at_us: i64,
    /// The versions of each row that there should be.
    versions: BTreeMap<i64, Vec<CustomerVersion>>,
}

fn name(row: &CustomerRow) -> Name {
    let text = |column: &Option<String>| column.clone().unwrap();
    (text(&row.first_name), text(&row.last_name), text(&row.email))
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            bank: Bench::new(),
            random: StdRng::seed_from_u64(seed),
            source: BTreeMap::new(),
            batch: Vec::new(),
            committed_at_us: 1_700_000_000_000_000,
            versions: BTreeMap::new(),
        }
    }

    fn row(&mut self, id: i64) -> CustomerRow {
        let mut pick = |of: &[&str]| Some(of[self.random.random_range(0..of.len())].to_owned());
        CustomerRow {
            id,
            first_name: pick(&["Ada", "Bo"]),
            last_name: pick(&["Lee", "Ng"]),
            email: pick(&["a@b.c", "d@e.f"]),
            created_at: None,
            updated_at: Some(self.bank.lsn * 1_000),
        }
    }

    /// One statement on one row, as the connector tells of it.
    fn statement(&mut self, id: i64) -> (Op, Option<CustomerRow>) {
        match self.source.get(&id).cloned() {
            None => (Op::Create, Some(self.row(id))),
            Some(_) if self.random.random_bool(0.25) => (Op::Delete, None),
            // Only a column that is not tracked.
            Some(row) if self.random.random_bool(0.3) => {
                let updated_at = Some(self.bank.lsn * 1_000);
                (Op::Update, Some(CustomerRow { updated_at, ..row }))
            }
            Some(_) => (Op::Update, Some(self.row(id))),
        }
    }

    /// A transaction of some statements, many of them on the same row.
    fn transaction(&mut self) {
        // Commits may share a microsecond, and a clock may be set back. What comes again from before that is a new epoch of the
        // source: such a replay is not drawn.
        let is_set_back = self.batch.is_empty() && self.random.random_bool(0.3);
        self.committed_at_us += match is_set_back {
            true => -5,
            false => self.random.random_range(-20..200).max(0),
        };
        let before = self.source.clone();
        let mut lsn = BTreeMap::new();
        let (tx_id, ids) = (self.bank.lsn + 1, self.random.random_range(1..=3));
        for _ in 0..self.random.random_range(1..=5) {
            let id = self.random.random_range(1..=ids);
            let (op, row) = self.statement(id);
            let mut event = self.bank.event(op, row.clone());
            event.source.tx_id = Some(tx_id);
            event.source.ts_us = Some(self.committed_at_us);
            let known = match row {
                Some(row) => self.source.insert(id, row),
                None => self.source.remove(&id),
            };
            if known.as_ref().map(name) != self.source.get(&id).map(name) {
                lsn.insert(id, self.bank.lsn);
            }
            if event.after.is_none() {
                event.before = known;
            }
            self.bank.send(CDC_CUSTOMERS, id, &event);
            self.batch.push(event);
            if self.random.random_bool(0.1) {
                self.bank.driver.take_down(0, self.random.random_bool(0.5));
                self.bank.driver.revive(0).unwrap();
                self.bank.driver.settle();
            }
        }
        for (id, lsn) in lsn {
            let (was, is) = (before.get(&id).map(name), self.source.get(&id).map(name));
            if was != is {
                self.expect(id, was, is, (tx_id, lsn));
            }
        }
    }

    fn expect(&mut self, id: i64, was: Option<Name>, is: Option<Name>, (tx_id, lsn): (i64, i64)) {
        let versions = self.versions.entry(id).or_default();
        let last_from = versions.last().map_or(i64::MIN, |last| last.valid_from.0 + 1);
        let valid_from = Micros(self.committed_at_us.max(last_from));
        if let Some(last) = versions.last_mut() {
            (last.valid_to, last.is_current) = (Some(valid_from), false);
        }
        let is_deleted = is.is_none();
        let (first_name, last_name, email) = is.or(was).unwrap();
        versions.push(CustomerVersion {
            customer_id: CustomerId(id),
            version: versions.len() as i64 + 1,
            first_name,
            last_name,
            email,
            valid_from,
            valid_to: None,
            is_current: true,
            is_deleted,
            source_lsn: lsn,
            source_tx_id: Some(tx_id),
        });
    }

    /// The connector begins again where it last kept its place.
    fn send_again(&mut self) {
        for event in std::mem::take(&mut self.batch) {
            let id = event.row_id().unwrap();
            self.bank.send(CDC_CUSTOMERS, id, &event);
        }
    }

    fn check(&self) {
        let known = self.bank.driver.view(stores::CUSTOMER_VERSIONS).into_iter();
        let expected = self.versions.values().flatten();
        let expected = expected.map(|version| ((version.customer_id, version.version), version.clone()));
        assert_eq!(known.collect::<BTreeMap<_, _>>(), expected.collect());
    }
}

#[test]
fn versions_are_what_was_seen_between_transactions() {
    let given = std::env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds = given.map_or_else(|| (0..8).map(|_| rand::random()).collect(), |seed: u64| vec![seed]);
    let (mut versions, mut deleted) = (0, 0);
    for seed in seeds {
        println!("SEED={seed}");
        let mut world = World::new(seed);
        for _ in 0..40 {
            world.transaction();
            world.check();
            if world.random.random_bool(0.1) {
                world.send_again();
                world.check();
            }
            // The connector keeps its place.
            if world.random.random_bool(0.2) {
                world.batch.clear();
            }
        }
        let mut topic = BTreeMap::new();
        for record in world.bank.driver.drain(CUSTOMER_HISTORY) {
            match record.value {
                Some(version) => topic.insert(record.key, version),
                None => topic.remove(&record.key),
            };
        }
        assert_eq!(
            topic,
            world.bank.driver.view(stores::CUSTOMER_VERSIONS).into_iter().collect(),
            "the topic is the store"
        );
        versions += topic.len();
        deleted += topic.values().filter(|version| version.is_deleted).count();
    }
    assert!(
        versions > 50 && deleted > 5,
        "{versions} versions, {deleted} of them deletions"
    );
}
