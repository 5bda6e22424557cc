//! Running aggregates: whatever comes late, is taken back or joined, each row begins where the one before it ends.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says its seed")]

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use topology::dsl::Builder;
use topology::testing::TestDriver;
use topology::*;

/// A day, and what comes to an account on it.
const ENTRIES: Topic<i64, (i64, i64)> = Topic::new("entries");
/// What the account opened with.
const ACCOUNTS: Topic<i64, i64> = Topic::new("accounts");
/// What the days' entries come to, and what there is in the evening.
const DAYS: Topic<(i64, i64), (i64, i64)> = Topic::new("days");
/// By day, over all accounts.
const TOTALS: Topic<i64, i64> = Topic::new("totals");

const LIMIT: i64 = 1_000;

fn topology() -> Topology {
    let b = Builder::new("running");
    let days = b.stream(ENTRIES).group_by_key().aggregate_running(
        "running",
        |_, (day, _)| *day,
        |(_, amount), row: Option<(i64, i64)>| {
            let (on_day, brought) = row.unwrap_or((0, 0));
            match on_day + amount {
                sum if sum.abs() > LIMIT => Err("too much for a day"),
                0 => Ok(None),
                sum => Ok(Some((sum, brought))),
            }
        },
        |before, (on_day, _)| Ok((*on_day, before.map_or(0, |(on_day, brought)| on_day + brought))),
    );
    let accounts = b.table(ACCOUNTS, "accounts");
    let evenings = days.try_join(&accounts, |_, (on_day, brought), opened| {
        Ok::<_, String>((*on_day, opened + brought + on_day))
    });
    evenings.cached("told", 1 << 20).to_stream().to_compacted(DAYS);
    let totals = evenings.group_by(|(_, day), (on_day, _)| (*day, *on_day), "by-day");
    totals
        .reduce("totals", |sum, on_day| sum + on_day, |sum, on_day| sum - on_day)
        .to_stream()
        .to_compacted(TOTALS);
    b.build().unwrap()
}

#[derive(Default)]
struct World {
    entries: BTreeMap<i64, BTreeMap<i64, i64>>,
    accounts: BTreeMap<i64, i64>,
}

impl World {
    fn days(&self) -> BTreeMap<(i64, i64), (i64, i64)> {
        let mut all = BTreeMap::new();
        for (account, opened) in &self.accounts {
            let mut balance = *opened;
            for (day, sum) in self.entries.get(account).into_iter().flatten() {
                balance += sum;
                all.insert((*account, *day), (*sum, balance));
            }
        }
        all
    }
}

fn follow<K: Wire + Ord, V: Wire>(driver: &mut TestDriver, topic: Topic<K, V>, rows: &mut BTreeMap<K, V>) {
    for record in driver.drain(topic) {
        match record.value {
            Some(row) => rows.insert(record.key, row),
            None => rows.remove(&record.key),
        };
    }
}

#[test]
fn each_row_begins_where_the_one_before_it_ends() {
    let given = std::env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds: Vec<u64> = given.map_or_else(|| (0..20).map(|_| rand::random()).collect(), |seed| vec![seed]);
    for seed in seeds {
        println!("SEED={seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let mut driver = TestDriver::new(topology()).unwrap();
        let (mut world, mut days, mut totals) = (World::default(), BTreeMap::new(), BTreeMap::new());
        let mut refused = 0;
        for round in 0..30_i64 {
            for step in 0..random.random_range(1..8) {
                let (account, at_ms) = (random.random_range(-1..3), round * 10 + step);
                if random.random_bool(0.2) {
                    let opened = random.random_bool(0.7).then(|| random.random_range(0..100));
                    driver.queue(ACCOUNTS, at_ms, &account, opened.as_ref());
                    match opened {
                        Some(opened) => world.accounts.insert(account, opened),
                        None => world.accounts.remove(&account),
                    };
                    continue;
                }
                let day = random.random_range(-3..5);
                let days = world.entries.entry(account).or_default();
                let sum = days.get(&day).copied().unwrap_or(0);
                // Often the day is empty again, and at times the entry is refused.
                let amount = match random.random_range(0..10) {
                    0 => LIMIT + 1 - sum,
                    1..5 if sum != 0 => -sum,
                    _ => random.random_range(-50..50),
                };
                driver.queue(ENTRIES, at_ms, &account, Some(&(day, amount)));
                match sum + amount {
                    sum if sum.abs() > LIMIT => refused += 1,
                    0 => _ = days.remove(&day),
                    sum => _ = days.insert(day, sum),
                }
            }
            if random.random_bool(0.2) {
                driver.crash().unwrap();
            }
            driver.settle();
            follow(&mut driver, DAYS, &mut days);
            assert_eq!(days, world.days(), "round {round}");
            follow(&mut driver, TOTALS, &mut totals);
            let mut expected = BTreeMap::new();
            for ((_, day), (on_day, _)) in world.days() {
                *expected.entry(day).or_insert(0) += on_day;
            }
            // A sum has no count beside it: days without a row may be there, with nothing.
            totals.retain(|day, sum| *sum != 0 || expected.contains_key(day));
            assert_eq!(totals, expected, "round {round}");
        }
        let letters = driver.drain_bytes("running-dead-letters");
        assert_eq!(
            letters.len(),
            refused,
            "what is refused is a dead letter, and changes nothing"
        );
    }
}
