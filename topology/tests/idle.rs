//! What a task of several inputs does while one of them has nothing: `EngineSettings::max_task_idle`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Outgoing};
use topology::dsl::Builder;
use topology::store::MemoryBackends;
use topology::testing::TestDriver;
use topology::*;
use wire::Topic;

const INPUT: Topic<i64, i64> = Topic::new("input");
const BY_KEY: Topic<i64, i64> = Topic::new("by-key");
const OTHER: Topic<i64, i64> = Topic::new("other");
const SEEN: Topic<i64, i64> = Topic::new("seen");

fn settings(max_task_idle: Option<Duration>) -> EngineSettings {
    EngineSettings {
        partitions: 1,
        max_task_idle,
        ..EngineSettings::default()
    }
}

fn start(topology: Topology, settings: EngineSettings) -> TestDriver {
    TestDriver::with(topology, settings, Arc::new(MemoryBackends::default())).unwrap()
}

/// Two topics that one task reads.
fn merged() -> Topology {
    let builder = Builder::new("idle");
    builder.stream(INPUT).merge(&builder.stream(OTHER)).to(SEEN);
    builder.build().unwrap()
}

/// The same, where one of them goes by another key first.
fn merged_behind_a_hand_over() -> Topology {
    let builder = Builder::new("idle");
    let moved = builder.stream(INPUT).select_key(|key, _| key + 1).repartition(BY_KEY);
    moved.merge(&builder.stream(OTHER)).to(SEEN);
    builder.build().unwrap()
}

/// Event times in the order of processing.
fn seen(driver: &mut TestDriver) -> Vec<i64> {
    driver.drain(SEEN).into_iter().map(|record| record.timestamp_ms.0).collect()
}

fn handed_over(driver: &TestDriver) -> f64 {
    let families = driver.metrics().gather();
    let family = families.iter().find(|f| f.name() == "test_handed_over_records_total");
    family.map_or(0.0, |f| f.get_metric().iter().map(|m| m.get_counter().get_value()).sum())
}

/// More than is fetched at once of two topics, at times that alternate, while the worker is down.
fn backlog(settings: EngineSettings) -> Vec<i64> {
    let mut driver = start(merged(), settings);
    driver.take_down(0, true);
    for at_ms in 0..100 {
        driver.queue(INPUT, 2 * at_ms, &at_ms, Some(&0));
    }
    for at_ms in 0..100 {
        driver.queue(OTHER, 2 * at_ms + 1, &at_ms, Some(&0));
    }
    driver.revive(0).unwrap();
    driver.settle();
    seen(&mut driver)
}

#[test]
fn what_is_in_the_log_is_processed_in_the_order_of_time() {
    let all: Vec<i64> = (0..200).collect();
    // So many are fetched at least, and a fetch takes what one topic has first.
    for buffered_records_max in [1, 5, 8_000] {
        let settings = |max_task_idle| EngineSettings {
            poll_records_max: 16,
            buffered_records_max,
            ..settings(max_task_idle)
        };
        assert_eq!(backlog(settings(Some(Duration::ZERO))), all);
        let mut unordered = backlog(settings(None));
        assert_ne!(unordered, all, "which was to be seen without it");
        unordered.sort_unstable();
        assert_eq!(unordered, all);
    }
}

#[test]
fn a_record_waits_so_long_for_a_silent_input() {
    let mut driver = start(merged(), settings(Some(Duration::from_secs(10))));
    driver.send(INPUT, 1, &0, Some(&0));
    driver.advance_wall_clock(Duration::from_secs(9));
    assert_eq!(seen(&mut driver), Vec::<i64>::new());
    driver.send(OTHER, 0, &0, Some(&0));
    assert_eq!(seen(&mut driver), [0], "what came meanwhile was waited for");
    driver.advance_wall_clock(Duration::from_secs(9));
    assert_eq!(seen(&mut driver), Vec::<i64>::new(), "the wait begins anew");
    driver.advance_wall_clock(Duration::from_secs(1));
    assert_eq!(seen(&mut driver), [1]);
    driver.send(INPUT, 2, &0, Some(&0));
    assert_eq!(seen(&mut driver), [2], "it has been silent for so long");
    driver.send(OTHER, 3, &0, Some(&0));
    assert_eq!(seen(&mut driver), Vec::<i64>::new(), "now the other one is waited for");
    driver.advance_wall_clock(Duration::from_secs(10));
    assert_eq!(seen(&mut driver), [3]);
}

#[test]
fn a_transaction_that_somebody_left_open_holds_up_no_other_input() {
    let mut driver = start(merged(), settings(Some(Duration::ZERO)));
    driver.send(OTHER, 1, &0, Some(&0));
    let mut open = driver
        .broker()
        .transactional_producer("somebody", Duration::from_secs(1))
        .unwrap();
    open.begin().unwrap();
    let record = Outgoing {
        topic: OTHER.name(),
        partition: Some(0),
        key: Some(&[0; 8]),
        value: Some(&[0; 8]),
        timestamp_ms: 2,
        headers: &[],
    };
    open.send(record).unwrap();
    open.service().unwrap();
    driver.queue(INPUT, 3, &0, Some(&0));
    driver.turns(0, 10);
    assert_eq!(driver.broker().open_transactions(), 1);
    assert_eq!(seen(&mut driver), [1, 3]);
}

#[test]
fn what_is_handed_over_goes_on_at_once_where_nothing_is_waited_for() {
    let mut driver = start(merged_behind_a_hand_over(), settings(Some(Duration::ZERO)));
    for at_ms in 0..10 {
        driver.send(INPUT, 2 * at_ms, &0, Some(&0));
        driver.send(OTHER, 2 * at_ms + 1, &0, Some(&0));
    }
    assert_eq!(seen(&mut driver), (0..20).collect::<Vec<_>>());
    assert!(handed_over(&driver) > 5.0, "{}", handed_over(&driver));
}

#[test]
fn what_is_handed_over_and_must_wait_longer_than_its_transaction_takes_its_topic() {
    let mut driver = start(merged_behind_a_hand_over(), settings(Some(Duration::from_secs(60))));
    driver.advance_wall_clock(Duration::from_secs(60));
    driver.send(INPUT, 1, &0, Some(&0));
    assert_eq!(seen(&mut driver), [1], "the other one has been silent for so long");
    assert_eq!(handed_over(&driver), 1.0);
    driver.send(OTHER, 2, &0, Some(&0));
    driver.advance_wall_clock(Duration::from_secs(60));
    assert_eq!(seen(&mut driver), [2]);

    driver.send(INPUT, 3, &0, Some(&0));
    assert_eq!(handed_over(&driver), 2.0);
    assert_eq!(seen(&mut driver), Vec::<i64>::new());
    assert_eq!(driver.broker().open_transactions(), 0, "its transaction does not wait");
    driver.advance_wall_clock(Duration::from_secs(60));
    assert_eq!(seen(&mut driver), [3]);
    assert!(driver.queries().readiness().ready);
}
