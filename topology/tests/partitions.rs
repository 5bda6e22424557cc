//! Sub-topologies whose partitions differ.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, CleanupPolicy, TopicPartition, TopicSpec};
use topology::dsl::Builder;
use topology::store::{KeyValue, MemoryBackends};
use topology::testing::TestDriver;
use topology::*;
use wire::Topic;

const ONE: Topic<i64, i64> = Topic::new("one");
const FOUR: Topic<i64, i64> = Topic::new("four");
const MOVED: Topic<i64, i64> = Topic::new("moved");
const SEEN: Topic<i64, i64> = Topic::new("seen");
const TOTAL: KeyValue<i64, i64> = KeyValue::new("total");
const OTHER: KeyValue<i64, i64> = KeyValue::new("other");

const NO_TIME: Duration = Duration::ZERO;

macro_rules! sum {
    ($name:ident) => {
        /// Adds up by key.
        struct $name;

        impl Processor for $name {
            type KeyIn = i64;
            type In = i64;
            type KeyOut = i64;
            type Out = i64;
            type Stores = KeyValue<i64, i64>;

            fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
                let total = cx.stores.get(&record.key)?.unwrap_or(0) + record.value;
                cx.stores.put(record.key, total);
                Ok(())
            }
        }
    };
}

sum!(Sum);
sum!(Other);

fn settings(partitions: u32, threads: usize) -> EngineSettings {
    EngineSettings {
        partitions,
        threads,
        ..EngineSettings::default()
    }
}

fn start(topology: Topology, settings: EngineSettings) -> Result<TestDriver, EngineError> {
    TestDriver::with(topology, settings, Arc::new(MemoryBackends::default()))
}

/// Starts where these topics are there already.
fn start_beside(topology: Topology, settings: EngineSettings, topics: &[(&str, u32)]) -> Result<TestDriver, EngineError> {
    let topics = topics.iter().map(|(topic, partitions)| TopicSpec {
        name: (*topic).to_owned(),
        partitions: *partitions,
        accept_existing: true,
        cleanup: CleanupPolicy::Compact,
        settings: broker::TopicSettings::default(),
    });
    let topics: Vec<_> = topics.collect();
    TestDriver::through(topology, settings, Arc::new(MemoryBackends::default()), |broker| {
        broker.ensure_topics(&topics, NO_TIME).unwrap();
        Arc::new(broker)
    })
}

/// One sub-topology of a partition, and one of four.
fn uneven() -> Topology {
    let builder = Builder::new("uneven");
    builder.partitions(ONE, 1);
    builder.stream(ONE).process("sum", TOTAL, || Sum);
    builder.stream(FOUR).process("other", OTHER, || Other);
    builder.build().unwrap()
}

fn partitions_of(driver: &TestDriver, topic: &str) -> Option<u32> {
    driver.broker().partitions(topic, NO_TIME).unwrap()
}

fn send_some(driver: &mut TestDriver) {
    for key in 0..40 {
        driver.queue(ONE, 1_000, &key, Some(&1));
        driver.queue(FOUR, 1_000, &key, Some(&1));
    }
    driver.settle();
}

fn all(value: i64) -> Vec<(i64, i64)> {
    (0..40).map(|key| (key, value)).collect()
}

#[track_caller]
fn assert_ready(driver: &TestDriver) {
    let readiness = driver.queries().readiness();
    assert!(readiness.ready, "{:?}", readiness.reasons);
}

#[test]
fn each_has_the_partitions_of_its_inputs() {
    let mut driver = start(uneven(), settings(4, 1)).unwrap();
    assert_ready(&driver);
    assert_eq!(partitions_of(&driver, "one"), Some(1));
    assert_eq!(partitions_of(&driver, "uneven-total-changelog"), Some(1));
    assert_eq!(partitions_of(&driver, "uneven-other-changelog"), Some(4));
    assert_eq!(partitions_of(&driver, "uneven-tasks"), Some(4));
    send_some(&mut driver);
    assert_eq!((driver.view(TOTAL), driver.view(OTHER)), (all(1), all(1)));
    driver.crash().unwrap();
    assert_ready(&driver);
    send_some(&mut driver);
    assert_eq!((driver.view(TOTAL), driver.view(OTHER)), (all(2), all(2)));
}

#[test]
fn all_groups_are_ready_on_two_workers_and_after_one_goes() {
    for cleanly in [true, false] {
        let mut driver = start(uneven(), settings(4, 2)).unwrap();
        assert_ready(&driver);
        send_some(&mut driver);
        driver.take_down(1, cleanly);
        driver.settle();
        assert_ready(&driver);
        assert_eq!(driver.queries().groups(), [0, 1, 2, 3]);
        send_some(&mut driver);
        driver.revive(1).unwrap();
        driver.settle();
        assert_ready(&driver);
        send_some(&mut driver);
        assert_eq!(
            (driver.view(TOTAL), driver.view(OTHER)),
            (all(3), all(3)),
            "cleanly {cleanly}"
        );
    }
}

#[test]
fn groups_without_any_task_are_ready() {
    // As after an upgrade from a topology with more partitions.
    for threads in [1, 2] {
        let mut driver = start_beside(uneven(), settings(4, threads), &[("uneven-tasks", 9)]).unwrap();
        assert_ready(&driver);
        assert_eq!(driver.queries().groups(), (0..9).collect::<Vec<u32>>());
        assert_eq!(
            driver.queries().groups_total(),
            9,
            "whoever waits for all of them need not wait for ever"
        );
        send_some(&mut driver);
        assert_eq!(driver.view(OTHER), all(1));
    }
}

#[test]
fn the_topic_of_the_groups_grows_with_the_inputs() {
    let mut driver = start_beside(uneven(), settings(4, 1), &[("uneven-tasks", 2)]).unwrap();
    assert_ready(&driver);
    assert_eq!(partitions_of(&driver, "uneven-tasks"), Some(4));
    send_some(&mut driver);
    assert_eq!(driver.view(OTHER), all(1));
}

#[test]
fn a_repartition_topic_has_a_count_of_its_own() {
    for threads in [1, 3] {
        let builder = Builder::new("gathered");
        let moved = builder.stream(FOUR).select_key(|key, _| key % 10);
        moved.repartition_with(MOVED, 1).process("sum", TOTAL, || Sum);
        let mut driver = start(builder.build().unwrap(), settings(4, threads)).unwrap();
        assert_eq!(partitions_of(&driver, "four"), Some(4));
        assert_eq!(partitions_of(&driver, "moved"), Some(1));
        assert_eq!(partitions_of(&driver, "gathered-total-changelog"), Some(1));
        // Some through the topic, some in memory.
        for round in 1..=5 {
            (0..40).for_each(|key| driver.queue(FOUR, 1_000, &key, Some(&1)));
            driver.advance_wall_clock(Duration::from_secs(20));
            let expected: Vec<_> = (0..10).map(|key| (key, 4 * round)).collect();
            assert_eq!(driver.view(TOTAL), expected, "{threads} threads");
        }
        assert_ready(&driver);
    }
}

#[test]
fn without_state_inputs_may_have_any_partitions() {
    let builder = Builder::new("any");
    let both = builder.stream(ONE).merge(&builder.stream(FOUR));
    both.select_key(|key, _| *key)
        .repartition_with(MOVED, 2)
        .process("sum", TOTAL, || Sum);
    let mut driver = start_beside(builder.build().unwrap(), settings(3, 2), &[("one", 1), ("four", 4)]).unwrap();
    assert_ready(&driver);
    assert_eq!(partitions_of(&driver, "any-tasks"), Some(4));
    send_some(&mut driver);
    assert_eq!(driver.view(TOTAL), all(2));
    // Every partition is read.
    let mut reader = driver.broker().reader("test").unwrap();
    for partition in 0..4 {
        assert!(reader.bounds(&TopicPartition::new("four", partition), NO_TIME).unwrap().1 > 0);
    }
}

#[track_caller]
fn assert_refused(started: Result<TestDriver, EngineError>, says: &[&str]) {
    let error = started.err().unwrap().to_string();
    for text in says.iter().chain(&["docs/runbooks/partitions.md"]) {
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn with_state_unequal_inputs_are_refused() {
    let builder = Builder::new("state");
    builder.stream(ONE).merge(&builder.stream(FOUR)).process("sum", TOTAL, || Sum);
    let started = start_beside(builder.build().unwrap(), settings(4, 1), &[("one", 1)]);
    assert_refused(started, &["inputs of one", r#""one": 1"#, r#""four": 4"#]);
}

#[test]
fn state_with_other_partitions_than_its_inputs_is_refused_with_the_way_on() {
    let topics = [("four", 8), ("uneven-other-changelog", 4)];
    let started = start_beside(uneven(), settings(4, 1), &topics);
    assert_refused(
        started,
        &["uneven-other-changelog has 4 partitions", "the state of four", "needs 8"],
    );
    // So is a topic of ours that an operator has grown.
    let builder = Builder::new("gathered");
    let moved = builder.stream(FOUR).select_key(|key, _| key % 10);
    moved.repartition_with(MOVED, 1).to(SEEN);
    let started = start_beside(builder.build().unwrap(), settings(4, 1), &[("moved", 3)]);
    assert_refused(started, &["moved has 3 partitions", "the topology needs 1"]);
}

#[test]
fn two_counts_for_one_topic_are_refused() {
    let builder = Builder::new("two");
    builder.partitions(ONE, 1);
    builder.partitions(ONE, 2);
    builder.stream(ONE).rekeyed().to(SEEN);
    assert!(builder.build().is_err());
}

/// Its own partition decides: a record goes where the test says.
fn send_to(driver: &TestDriver, topic: &str, partition: u32, key: i64) {
    let record = broker::Outgoing {
        topic,
        partition: Some(partition),
        key: Some(&key.to_be_bytes()),
        value: Some(&1_i64.to_be_bytes()),
        timestamp_ms: 1_000,
        headers: &[],
    };
    driver.broker().producer("test").unwrap().send_all(&[record]).unwrap();
}

#[test]
fn partitions_that_are_added_stop_their_sub_topology_alone() {
    let mut driver = start(uneven(), settings(4, 2)).unwrap();
    send_some(&mut driver);
    assert_eq!(driver.watch_partitions().unwrap(), Vec::<String>::new());
    driver.broker().add_partitions("four", 6, NO_TIME).unwrap();
    let told = driver.watch_partitions().unwrap();
    assert_eq!(
        told,
        [
            "topic four has 6 partitions, and had 4 at the start: nothing more is processed of it before a restart \
          (docs/runbooks/partitions.md)"
        ]
    );
    let readiness = driver.queries().readiness();
    assert_eq!((readiness.ready, readiness.answers, readiness.reasons), (false, true, told));
    let families = driver.metrics().gather();
    let still = families.iter().find(|family| family.name() == "test_sub_topologies_still");
    assert_eq!(still.map(|family| family.get_metric()[0].get_gauge().get_value()), Some(1.0));
    for partition in 0..6 {
        send_to(&driver, "four", partition, i64::from(partition));
    }
    (0..40).for_each(|key| driver.queue(ONE, 1_000, &key, Some(&1)));
    driver.settle();
    // Nothing is half read; the other goes on, and what is committed can be asked.
    assert_eq!((driver.view(TOTAL), driver.view(OTHER)), (all(2), all(1)));
    // A task that moves stands still as well.
    driver.take_down(1, false);
    driver.settle();
    assert_eq!((driver.view(TOTAL), driver.view(OTHER)), (all(2), all(1)));
    // State was made for four partitions: the start says what to do, now and again.
    for _ in 0..2 {
        assert_refused(
            driver.deploy(uneven()).map(|()| unreachable!()),
            &["uneven-other-changelog has 4 partitions", "needs 6"],
        );
    }
}

/// Re-keys what comes, and keeps it in one partition.
fn gathered() -> Topology {
    let builder = Builder::new("gathered");
    let moved = builder.stream(FOUR).select_key(|key, _| *key);
    moved.repartition_with(MOVED, 1).process("sum", TOTAL, || Sum);
    builder.build().unwrap()
}

#[test]
fn without_state_a_restart_reads_the_added_ones_from_their_start() {
    for threads in [1, 2] {
        let mut driver = start(gathered(), settings(4, threads)).unwrap();
        (0..40).for_each(|key| driver.queue(FOUR, 1_000, &key, Some(&1)));
        driver.settle();
        // Some were already there before anybody noticed.
        driver.broker().add_partitions("four", 9, NO_TIME).unwrap();
        (4..9).for_each(|partition| send_to(&driver, "four", partition, i64::from(partition)));
        assert_eq!(driver.watch_partitions().unwrap().len(), 1);
        (0..9).for_each(|partition| send_to(&driver, "four", partition, i64::from(partition)));
        driver.settle();
        assert_eq!(driver.view(TOTAL), all(1), "what was read before");
        driver.deploy(gathered()).unwrap();
        assert_ready(&driver);
        assert_eq!(partitions_of(&driver, "gathered-tasks"), Some(9));
        assert_eq!(driver.watch_partitions().unwrap(), Vec::<String>::new());
        let expected: Vec<(i64, i64)> = (0..40)
            .map(|key| {
                (
                    key,
                    if key < 4 {
                        2
                    } else if key < 9 {
                        3
                    } else {
                        1
                    },
                )
            })
            .collect();
        assert_eq!(driver.view(TOTAL), expected, "each record once");
    }
}

#[test]
fn a_repartition_topic_that_grows_stops_its_reader_and_loses_nothing() {
    let mut driver = start(gathered(), settings(4, 2)).unwrap();
    for round in 0..3 {
        (0..40).for_each(|key| driver.queue(FOUR, 1_000 + round, &key, Some(&1)));
        driver.advance_wall_clock(Duration::from_secs(20));
    }
    driver.broker().add_partitions("moved", 2, NO_TIME).unwrap();
    assert_eq!(driver.watch_partitions().unwrap().len(), 1);
    (0..40).for_each(|key| driver.queue(FOUR, 2_000, &key, Some(&1)));
    driver.settle();
    assert_eq!(driver.view(TOTAL), all(3));
    assert_refused(
        driver.deploy(gathered()).map(|()| unreachable!()),
        &["moved has 2 partitions", "needs 1"],
    );
}
