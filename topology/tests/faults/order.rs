//! Re-keyed records keep their order, and count once, on whichever way they reach the next task: in memory or through the topic,
//! while workers come and go, commits fail, and tasks stand still.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use topology::dsl::Builder;
use topology::store::{KeyValue, MemoryBackends};
use topology::testing::TestDriver;
use topology::*;
use wire::{RegistryError, Topic, WireError};

use crate::seeds;
use crate::walk::call_rates;
use testkit::broker::{Faults, FaultyBroker};

const INPUT: Topic<i64, i64> = Topic::new("input");
const FIRST: Topic<i64, i64> = Topic::new("first-hop");
const SECOND: Topic<i64, i64> = Topic::new("second-hop");
const WORKERS: usize = 3;
const SOURCES: i64 = 20;

/// A record's value: who sent it, and which of the sender's records it is.
fn value(source: i64, number: i64) -> i64 {
    source << 32 | number
}

const LASTS: [KeyValue<i64, i64>; 2] = [KeyValue::new("first-last"), KeyValue::new("second-last")];

/// Refuses whatever is not the next record of its source.
struct InOrder<const HOP: usize> {
    seed: u64,
    stands_still: Arc<AtomicBool>,
}

impl<const HOP: usize> Processor for InOrder<HOP> {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = KeyValue<i64, i64>;

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        if self.stands_still.load(Ordering::Relaxed) {
            return Err(WireError::Registry(RegistryError::Unavailable("away".to_owned())).into());
        }
        let (source, number) = (record.value >> 32, record.value & 0xffff_ffff);
        let last = cx.stores.get(&source)?.unwrap_or(0);
        assert_eq!(
            number,
            last + 1,
            "seed {}: {} saw {number} of source {source} after {last}",
            self.seed,
            ["first", "second"][HOP]
        );
        cx.stores.put(source, number);
        cx.out.forward(record.key, record.value);
        Ok(())
    }
}

fn two_hops(seed: u64, stands_still: &Arc<AtomicBool>) -> Topology {
    let builder = Builder::new("order");
    let (first, second) = (stands_still.clone(), stands_still.clone());
    builder
        .stream(INPUT)
        .select_key(|key, _| key % 7)
        .repartition(FIRST)
        .process("first", LASTS[0], move || InOrder::<0> {
            seed,
            stands_still: first.clone(),
        })
        .select_key(|key, _| key % 3 + 100)
        .repartition(SECOND)
        .process("second", LASTS[1], move || InOrder::<1> {
            seed,
            stands_still: second.clone(),
        });
    builder.build().unwrap()
}

/// How many records were handed over.
fn handed_over(driver: &TestDriver) -> f64 {
    let families = driver.metrics().gather();
    let family = families.iter().find(|f| f.name() == "test_handed_over_records_total");
    family.map_or(0.0, |f| f.get_metric().iter().map(|m| m.get_counter().get_value()).sum())
}

/// Returns how many records were sent, and how many were handed over.
fn check(seed: u64) -> (f64, f64) {
    let mut random = StdRng::seed_from_u64(seed);
    let faults = Arc::new(Faults::default());
    let stands_still = Arc::new(AtomicBool::new(false));
    let settings = EngineSettings {
        threads: random.random_range(1..=WORKERS),
        partitions: 4,
        poll_records_max: random.random_range(1..20),
        commit_records_max: random.random_range(1..20),
        buffered_records_max: random.random_range(1..20),
        ..EngineSettings::default()
    };
    let workers = settings.threads;
    let wrapped = faults.clone();
    let mut driver = TestDriver::through(
        two_hops(seed, &stands_still),
        settings,
        Arc::new(MemoryBackends::default()),
        |broker| Arc::new(FaultyBroker(broker, wrapped)),
    )
    .unwrap();
    faults.begin_with(!seed, call_rates(&mut random));

    let mut sent: BTreeMap<i64, i64> = BTreeMap::new();
    for _ in 0..400 {
        let worker = random.random_range(0..workers);
        match random.random_range(0..40) {
            0 => driver.take_down(worker, random.random_range(0..2) == 0),
            // A start that fails is tried again.
            1..4 => drop(driver.revive(worker)),
            4 => stands_still.store(true, Ordering::Relaxed),
            5..8 => stands_still.store(false, Ordering::Relaxed),
            8 => driver.pass_time(Duration::from_millis(random.random_range(0..3_000))),
            // It lives on, but the others do not know.
            9 => driver.expire_session(worker),
            10..30 => driver.turns(worker, random.random_range(1..6)),
            _ => {
                for _ in 0..random.random_range(1..12) {
                    let source = random.random_range(0..SOURCES);
                    let number = sent.entry(source).or_default();
                    *number += 1;
                    driver.queue(INPUT, 1000, &source, Some(&value(source, *number)));
                }
            }
        }
    }
    stands_still.store(false, Ordering::Relaxed);
    faults.end();
    (0..workers).for_each(|worker| driver.revive(worker).unwrap());
    driver.settle();
    let last = |store| driver.view::<i64, i64>(store).into_iter().collect::<BTreeMap<_, _>>();
    assert_eq!(last(LASTS[0]), sent, "seed {seed}: the first hop");
    assert_eq!(last(LASTS[1]), sent, "seed {seed}: the second hop");
    (sent.values().sum::<i64>() as f64, handed_over(&driver))
}

#[test]
fn re_keyed_records_keep_their_order_on_either_way() {
    let (mut sent, mut handed) = (0.0, 0.0);
    for seed in seeds(60) {
        let (s, h) = check(seed);
        (sent, handed) = (sent + s, handed + h);
    }
    // Two hops each; both ways must have been gone for this to say anything.
    assert!(
        handed > 0.1 * sent && handed < 1.9 * sent,
        "{handed} of {sent} records were handed over"
    );
}

#[test]
fn in_a_backlog_records_take_their_topics_and_later_memory_again() {
    let settings = EngineSettings {
        partitions: 1,
        poll_records_max: 10,
        commit_records_max: 10,
        buffered_records_max: 20,
        ..EngineSettings::default()
    };
    let topology = two_hops(0, &Arc::default());
    let mut driver = TestDriver::with(topology, settings, Arc::new(MemoryBackends::default())).unwrap();
    driver.settle();
    let mut sent = 0;
    let mut handed = 0.0;
    // Returns how many of so many records' hops, two each, were in memory.
    let mut send = |driver: &mut TestDriver, count| {
        for _ in 0..count {
            sent += 1;
            driver.queue(INPUT, 1000, &1, Some(&value(1, sent)));
        }
        driver.settle();
        let before = std::mem::replace(&mut handed, handed_over(driver));
        handed - before
    };
    assert_eq!(send(&mut driver, 5), 10.0, "at rest");
    let in_backlog = send(&mut driver, 500);
    assert!((1.0..250.0).contains(&in_backlog), "{in_backlog} of 1000 in a backlog");
    assert_eq!(send(&mut driver, 5), 0.0, "right after it");
    driver.advance_wall_clock(Duration::from_secs(11));
    assert_eq!(send(&mut driver, 5), 10.0, "at rest again");
}
