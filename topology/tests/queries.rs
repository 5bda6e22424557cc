//! Questions to the stores: lists are whole, in order, and no more work than was allowed.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use broker::in_process::{InProcessBroker, Limits};
use broker::{Broker, Outgoing};
use topology::dsl::Builder;
use topology::query::{Begins, Listed, Scan, Scattered};
use topology::store::{KeyValue, MemoryBackends};
use topology::testing::TestDriver;
use topology::*;
use wire::Topic;

const WRITES: Topic<i64, i64> = Topic::new("writes");
const TOLD: Topic<i64, i64> = Topic::new("told");
const MAP: KeyValue<i64, i64> = KeyValue::new("map");

/// Keeps each record.
struct Keep;

impl Processor for Keep {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = KeyValue<i64, i64>;

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        cx.stores.put(record.key, record.value);
        Ok(())
    }
}

/// A store of these keys in this many partitions.
fn stored(partitions: u32, keys: &[i64]) -> TestDriver {
    let builder = Builder::new("queries");
    builder.stream(WRITES).process("keep", MAP, || Keep).to(TOLD);
    let settings = EngineSettings {
        partitions,
        ..EngineSettings::default()
    };
    let mut driver = TestDriver::with(builder.build().unwrap(), settings, Arc::new(MemoryBackends::default())).unwrap();
    for key in keys {
        driver.queue(WRITES, 0, key, Some(&(key % 10)));
    }
    driver.settle();
    driver
}

/// Follows the pages to the end; each looks at `visits_max` entries, or at one of each partition, and holds `limit` at most.
fn walk(queries: &Queries, scan: &Scan<i64>, keep: impl Fn(i64) -> bool) -> (Vec<i64>, usize) {
    let (mut seen, mut pages) = (Vec::new(), 0);
    let mut scan = scan.clone();
    loop {
        let visits = Cell::new(0);
        let found = queries
            .scan(MAP, &scan, |key, _| {
                visits.set(visits.get() + 1);
                keep(*key)
            })
            .unwrap();
        assert!(found.others.is_empty() && found.missing.is_empty());
        assert!(visits.get() <= scan.visits_max.max(8), "{} visits", visits.get());
        let Listed { entries, until } = found.value;
        assert!(entries.len() <= scan.limit);
        seen.extend(entries.into_iter().map(|(key, _)| key));
        pages += 1;
        match until {
            Some(until) => scan.after = Some(until),
            None => return (seen, pages),
        }
    }
}

#[test]
fn every_walk_sees_every_key_once_in_order_whatever_its_bounds() {
    let mut keys: Vec<i64> = (0..200).map(|n| n * 37 % 1000).collect();
    keys.extend([i64::MIN, i64::MIN + 1, -300, -2, -1, i64::MAX - 1, i64::MAX]);
    let mut expected = keys.clone();
    expected.sort_unstable();
    for partitions in [1, 3, 8] {
        let driver = stored(partitions, &keys);
        let queries = driver.queries();
        for (limit, visits_max) in [(usize::MAX, usize::MAX), (7, 1000), (1, 1), (1000, 5), (3, 20), (200, 10)] {
            let scan = Scan {
                limit,
                visits_max,
                ..Scan::default()
            };
            let (seen, _) = walk(&queries, &scan, |_| true);
            assert_eq!(seen, expected, "{partitions} partitions, {limit} of {visits_max}");
            let (seen, _) = walk(&queries, &scan, |key| key % 50 == 0);
            let some: Vec<i64> = expected.iter().copied().filter(|key| key % 50 == 0).collect();
            assert_eq!(seen, some, "{partitions} partitions, {limit} of {visits_max}, few of them");
        }
    }
}

#[test]
fn a_walk_of_some_keys_sees_those_alone_whatever_its_bounds() {
    let mut keys: Vec<i64> = (0..200).map(|n| n * 37 % 1000).collect();
    keys.extend([i64::MIN, -2, -1, i64::MAX]);
    keys.sort_unstable();
    for partitions in [1, 3] {
        let driver = stored(partitions, &keys);
        let queries = driver.queries();
        for (from, to) in [
            (0, 1000),
            (-2, 38),
            (37, 37),
            (500, 100),
            (i64::MIN, i64::MAX),
            (999, i64::MAX),
        ] {
            for (limit, after) in [(usize::MAX, None), (3, None), (1, Some(74)), (5, Some(i64::MIN))] {
                let scan = Scan {
                    keys: Begins::between(&from, &to),
                    limit,
                    after,
                    ..Scan::default()
                };
                let visits = Cell::new(0);
                let (seen, _) = walk(&queries, &scan, |_| {
                    visits.set(visits.get() + 1);
                    true
                });
                let wanted = |key: &i64| (from..to).contains(key) && after.is_none_or(|after| *key > after);
                let expected: Vec<i64> = keys.iter().copied().filter(wanted).collect();
                assert_eq!(seen, expected, "{from} to {to}, {limit} after {after:?}");
                assert!(
                    limit < usize::MAX || visits.get() == expected.len(),
                    "no other key is looked at"
                );
            }
        }
        for key in [i64::MIN, -1, 74, 75, i64::MAX] {
            let scan = Scan {
                keys: Begins::with(&key),
                ..Scan::default()
            };
            let expected: Vec<i64> = keys.iter().copied().filter(|known| *known == key).collect();
            assert_eq!(walk(&queries, &scan, |_| true).0, expected);
        }
    }
}

#[test]
fn a_filter_that_finds_nothing_costs_no_more_than_its_bound() {
    let driver = stored(1, &(0..100).collect::<Vec<_>>());
    let scan = Scan {
        visits_max: 30,
        ..Scan::default()
    };
    let (seen, pages) = walk(&driver.queries(), &scan, |_| false);
    assert_eq!((seen, pages), (vec![], 4), "three full pages, and the rest");
    let exactly = Scan {
        visits_max: 100,
        limit: 100,
        ..Scan::default()
    };
    assert_eq!(
        walk(&driver.queries(), &exactly, |_| true).1,
        1,
        "no empty page behind the last entry"
    );
}

#[test]
fn partitions_that_are_named_are_read_and_no_others() {
    let keys: Vec<i64> = (0..60).collect();
    let driver = stored(3, &keys);
    let queries = driver.queries();
    let mut all = BTreeSet::new();
    for partition in 0..3 {
        let scan = Scan {
            partitions: Some(vec![partition]),
            ..Scan::default()
        };
        let (seen, _) = walk(&queries, &scan, |_| true);
        for key in seen {
            assert_eq!(queries.partition_of(MAP, &key).unwrap(), partition);
            all.insert(key);
        }
    }
    assert_eq!(all.len(), keys.len());
    let scan = Scan {
        partitions: Some(vec![1, 7]),
        ..Scan::default()
    };
    let Scattered { missing, others, .. } = queries.scan(MAP, &scan, |_, _| true).unwrap();
    assert_eq!(
        (missing, others.len()),
        (vec![7], 0),
        "one that is not here is said, not left out"
    );
}

#[test]
fn a_scan_ends_when_nobody_waits() {
    let driver = stored(2, &(0..100).collect::<Vec<_>>());
    let ended = Arc::new(AtomicBool::new(false));
    let scan = Scan {
        ended: ended.clone(),
        ..Scan::default()
    };
    let visits = Cell::new(0);
    let result = driver.queries().scan(MAP, &scan, |_, _| {
        visits.set(visits.get() + 1);
        ended.store(true, Ordering::Relaxed);
        true
    });
    assert!(matches!(result, Err(QueryError::Ended)));
    assert_eq!(visits.get(), 1);
}

/// As a process does that was stopped (`SIGSTOP`) or whose machine slept: it wakes with what it had, and knows of nothing.
#[test]
fn who_slept_for_longer_than_the_session_answers_nothing_before_the_group_has_spoken() {
    let now = Arc::new(AtomicU64::new(0));
    let clock = now.clone();
    let log = InProcessBroker::with(
        Limits::default(),
        Arc::new(move || Duration::from_millis(clock.load(Ordering::SeqCst))),
    );
    let builder = Builder::new("queries");
    builder.stream(WRITES).process("keep", MAP, || Keep).to(TOLD);
    let settings = EngineSettings {
        partitions: 1,
        session_timeout: Duration::from_secs(6),
        ..EngineSettings::default()
    };
    let broker: Arc<dyn Broker> = Arc::new(log.clone());
    let memory = Arc::new(MemoryBackends::default());
    let mut driver = TestDriver::through(builder.build().unwrap(), settings, memory, |_| broker).unwrap();
    let key = 7_i64.to_be_bytes();
    let record = Outgoing {
        topic: WRITES.name(),
        partition: Some(0),
        key: Some(&key),
        value: Some(&key),
        timestamp_ms: 1,
        headers: &[],
    };
    log.producer("test").unwrap().send_all(&[record]).unwrap();
    driver.settle();
    let queries = driver.queries();
    let answer = || queries.get(MAP, &7).map(|answer| answer.value);
    let list = || queries.scan(MAP, &Scan::default(), |_, _| true).unwrap();
    assert_eq!(answer().unwrap(), Some(7));
    assert!(queries.readiness().answers);

    // A moment without a sign of life is none.
    now.fetch_add(5_000, Ordering::SeqCst);
    assert_eq!(answer().unwrap(), Some(7));

    now.fetch_add(500, Ordering::SeqCst);
    assert!(
        matches!(answer(), Err(QueryError::NotReady { partition: 0, .. })),
        "{:?}",
        answer()
    );
    assert_eq!((list().value.entries, list().missing), (vec![], vec![0]));
    let readiness = queries.readiness();
    assert!(!readiness.answers && !readiness.ready, "{readiness:?}");
    assert!(readiness.reasons[0].contains("has not confirmed"), "{readiness:?}");

    // It was still a member, and says so.
    driver.settle();
    assert_eq!(answer().unwrap(), Some(7));
    assert!(queries.readiness().ready);
}

const ENTRIES: KeyValue<(i64, i64), i64> = KeyValue::new("entries");

/// Keeps all records of a key, numbered, under keys that begin with it.
struct KeepAll;

impl Processor for KeepAll {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = KeyValue<(i64, i64), i64>;

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        cx.stores.put((record.key, record.value), record.value);
        Ok(())
    }
}

/// The store is partitioned by the records' keys, which are a part of its own.
#[test]
fn entries_are_read_where_the_key_that_they_begin_with_is() {
    for partitions in [1, 5] {
        let builder = Builder::new("entries");
        builder.stream(WRITES).process("keep-all", ENTRIES, || KeepAll).to(TOLD);
        let settings = EngineSettings {
            partitions,
            ..EngineSettings::default()
        };
        let mut driver = TestDriver::with(builder.build().unwrap(), settings, Arc::new(MemoryBackends::default())).unwrap();
        for (key, value) in (0..20).flat_map(|key| (0..3).map(move |value| (key, value))) {
            driver.queue(WRITES, 0, &key, Some(&value));
        }
        driver.settle();
        let queries = driver.queries();
        for key in 0..20 {
            let found = queries.read(ENTRIES, &key, |view| {
                let mut found = Vec::new();
                view.scan((key, 1)..=(key, i64::MAX), |entry, value| {
                    found.push((entry, value));
                    ControlFlow::Continue(())
                })?;
                Ok((view.get(&(key, 0))?, found))
            });
            let expected = (Some(0), vec![((key, 1), 1), ((key, 2), 2)]);
            assert_eq!(found.unwrap().value, expected, "{key} of {partitions} partitions");
        }
        assert!(matches!(
            queries.read(KeyValue::<i64, i64>::new("none"), &1, |view| view.get(&1)),
            Err(QueryError::NoSuchStore("none"))
        ));
    }
}
