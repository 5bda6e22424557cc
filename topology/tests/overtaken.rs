//! Foreign-key joins whose answers are overtaken: rows and foreign rows change many times before anybody is answered, and in the end the result
//! is what the tables say.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic, and says its seed")]

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use topology::dsl::Builder;
use topology::store::TimestampedKeyValue;
use topology::testing::TestDriver;
use topology::*;

/// A row's foreign key, where it is above zero, and a value.
const ROWS: Topic<i64, (i64, i64)> = Topic::new("rows");
const FOREIGN: Topic<i64, i64> = Topic::new("foreign");

fn topology() -> Topology {
    let b = Builder::new("overtaken");
    let (rows, foreign) = (b.table(ROWS, "rows"), b.table(FOREIGN, "foreign"));
    let key = |_: &i64, row: &(i64, i64)| Some(row.0).filter(|key| *key > 0);
    rows.fk_join(&foreign, key, |row, foreign| (row.1, *foreign), "inner");
    rows.fk_left_join(&foreign, key, |row, foreign| (row.1, foreign.copied().unwrap_or(0)), "left");
    b.build().unwrap()
}

fn view(driver: &TestDriver, store: &str) -> BTreeMap<i64, (i64, i64)> {
    let rows = driver.view(TimestampedKeyValue::<i64, (i64, i64)>::named(store)).into_iter();
    rows.map(|(key, row)| (key, row.value)).collect()
}

fn keep<V>(table: &mut BTreeMap<i64, V>, key: i64, row: Option<V>) {
    match row {
        Some(row) => table.insert(key, row),
        None => table.remove(&key),
    };
}

#[test]
fn the_result_is_what_the_tables_say_when_all_is_answered() {
    let given = std::env::var("SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds: Vec<u64> = given.map_or_else(|| (0..40).map(|_| rand::random()).collect(), |seed| vec![seed]);
    for seed in seeds {
        println!("SEED={seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let mut driver = TestDriver::new(topology()).unwrap();
        let (mut rows, mut foreign) = (BTreeMap::new(), BTreeMap::new());
        for round in 0..20_i64 {
            for step in 0..random.random_range(1..12) {
                let (at_ms, exists) = (round * 100 + step, random.random_bool(0.6));
                if random.random_bool(0.5) {
                    let (key, value) = (random.random_range(1..4), random.random_range(1..4));
                    let row = exists.then_some((random.random_range(0..3), value));
                    driver.queue(ROWS, at_ms, &key, row.as_ref());
                    keep(&mut rows, key, row);
                } else {
                    let (key, value) = (random.random_range(1..3), random.random_range(1..9));
                    let row = exists.then_some(value);
                    driver.queue(FOREIGN, at_ms, &key, row.as_ref());
                    keep(&mut foreign, key, row);
                }
                if random.random_bool(0.1) {
                    driver.crash().unwrap();
                }
            }
            driver.settle();
            let joined = |row: &(i64, i64)| foreign.get(&row.0).map(|foreign| (row.1, *foreign));
            let inner = rows.iter().filter_map(|(key, row)| Some((*key, joined(row)?)));
            assert_eq!(view(&driver, "inner"), inner.collect(), "round {round}");
            let left = rows.iter().map(|(key, row)| (*key, joined(row).unwrap_or((row.1, 0))));
            assert_eq!(view(&driver, "left"), left.collect(), "round {round}");
        }
    }
}
