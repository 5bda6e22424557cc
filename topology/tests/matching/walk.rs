//! Seeded: topics come and go, workers, too, and each record counts once.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use topology::EngineSettings;
use topology::testing::TestDriver;

use crate::support::{ORDERS, SEEN, TOTAL, look, look_twice, orders, start_beside, sums};

const SEEDS: u64 = 40;
const STEPS: usize = 120;
const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn sum_of(sums: &[(i64, i64)]) -> i64 {
    sums.iter().map(|(_, sum)| sum).sum()
}

fn walk(seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let settings = EngineSettings {
        threads: 1 + random.random_range(0..3_usize),
        ..EngineSettings::default()
    };
    let workers = settings.threads;
    let mut driver: TestDriver = start_beside(sums(ORDERS), settings, &[], |_| {}).unwrap();
    let mut sent: BTreeMap<i64, i64> = BTreeMap::new();
    let mut there: Vec<&str> = Vec::new();
    let mut records = 0;
    for step in 0..STEPS {
        match random.random_range(0..20) {
            0 | 1 if there.len() < NAMES.len() => {
                let new = NAMES.into_iter().find(|name| !there.contains(name)).unwrap();
                driver.make_topic(orders(new), 3);
                there.push(new);
            }
            // Everything of it is processed; its name may come again.
            2 if !there.is_empty() => {
                (0..workers).for_each(|worker| driver.revive(worker).unwrap());
                look(&mut driver);
                let gone = there.swap_remove(random.random_range(0..there.len()));
                assert!(driver.broker().delete_topic(orders(gone).name()));
                look_twice(&mut driver);
            }
            2 | 3 => driver.watch_topics().unwrap(),
            4 => driver.restart().unwrap(),
            5 => driver.crash().unwrap(),
            6 => {
                let worker = random.random_range(0..workers);
                driver.take_down(worker, random.random_bool(0.5));
            }
            7 | 8 => (0..workers).for_each(|worker| driver.revive(worker).unwrap()),
            9..13 => driver.turns(random.random_range(0..workers), random.random_range(1..6)),
            _ if !there.is_empty() => {
                let topic = orders(there[random.random_range(0..there.len())]);
                let (key, value) = (random.random_range(0..9), 1 << random.random_range(0..9));
                driver.queue(topic, step as i64, &key, Some(&value));
                *sent.entry(key).or_default() += value;
                records += 1;
            }
            _ => {}
        }
    }
    (0..workers).for_each(|worker| driver.revive(worker).unwrap());
    // Without any topic, the state waits in its changelog.
    if there.is_empty() {
        driver.make_topic(orders("a"), 3);
    }
    look(&mut driver);
    let sent: Vec<(i64, i64)> = sent.into_iter().collect();
    assert_eq!(driver.view(TOTAL), sent, "SEED={seed} repeats it");
    // What is written for a record goes with it.
    let written: Vec<i64> = driver.drain(SEEN).into_iter().filter_map(|record| record.value).collect();
    assert_eq!(
        (written.len(), written.iter().sum()),
        (records, sum_of(&sent)),
        "SEED={seed} repeats it"
    );
    let reasons = driver.queries().readiness().reasons;
    assert_eq!(reasons, [] as [String; 0], "SEED={seed} repeats it");
}

#[test]
fn each_record_counts_once_whenever_its_topic_comes() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = number("SEED").map_or(0..number("SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    seeds.for_each(walk);
}
