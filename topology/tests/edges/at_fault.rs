//! Records that take their transaction down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use broker::BrokerError;
use topology::*;

use crate::support::*;

fn header(message: &broker::Message, name: &str) -> String {
    let found = message.headers.iter().find(|(header, _)| header == name);
    let value = found.and_then(|(_, value)| value.clone()).unwrap_or_default();
    String::from_utf8(value.to_vec()).unwrap()
}

const MESSAGE: &str = "__streams.errors.message";

#[test]
fn a_panic_that_comes_once_costs_nothing() {
    let panicked = Arc::new(AtomicBool::new(false));
    let once = panicked.clone();
    let topology = sums_that(move |record| {
        assert!(record.key != 5 || once.swap(true, Ordering::Relaxed), "a moment's weakness");
        Ok(())
    });
    let mut world = World::new(topology, one_partition());
    world.queue_ones(0..10);
    world.driver.settle();
    assert!(panicked.load(Ordering::Relaxed));
    assert_eq!(world.totals(), ones(0..10));
    assert_eq!(world.forwarded(), (0..10).collect::<Vec<_>>());
    assert!(world.dead_letters().is_empty());
}

#[test]
fn a_record_at_which_a_processor_panics_twice_is_a_dead_letter() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let topology = sums_that(move |record| {
        if record.key == 5 {
            counted.fetch_add(1, Ordering::Relaxed);
            panic!("key {} is unbearable", record.key);
        }
        Ok(())
    });
    let mut world = World::new(topology, one_partition());
    world.queue_ones(0..10);
    world.driver.settle();
    let expected: Vec<(i64, i64)> = ones(0..10).into_iter().filter(|(key, _)| *key != 5).collect();
    assert_eq!(world.totals(), expected);
    assert_eq!(calls.load(Ordering::Relaxed), 2, "once more, and never again");
    let dead = world.dead_letters();
    let [letter] = dead.as_slice() else { panic!("{dead:?}") };
    assert!(header(letter, MESSAGE).contains("key 5 is unbearable"), "{letter:?}");
    assert_eq!(letter.key.as_deref(), Some(&5i64.to_be_bytes()[..]));
    assert!(world.driver.queries().readiness().ready, "{}", world.trouble());
    // The next of that key is a record of its own.
    world.queue_ones(5..6);
    world.driver.settle();
    assert_eq!((world.dead_letters().len(), calls.load(Ordering::Relaxed)), (1, 4));
}

#[test]
fn a_record_at_which_a_processor_panics_twice_stops_its_task_if_so_set() {
    let settings = EngineSettings {
        partitions: 2,
        on_panic: OnFault::Stop,
        ..EngineSettings::default()
    };
    let topology = sums_that(|record| {
        assert!(record.value != 13, "13");
        Ok(())
    });
    let mut world = World::new(topology, settings);
    world.queue_ones(0..10);
    world.driver.settle();
    world.driver.queue(INPUT, 2_000, &3, Some(&13));
    for _ in 0..20 {
        world.driver.turns(0, 5);
        world.driver.pass_time(std::time::Duration::from_secs(1));
    }
    assert!(world.trouble().contains("is stopped until a restart"), "{}", world.trouble());
    assert!(!world.driver.queries().readiness().ready);
    assert_eq!(world.totals(), ones(0..10), "what is committed answers on");
    assert!(world.dead_letters().is_empty());
    for key in 0..10 {
        world.driver.queue(INPUT, 3_000, &key, Some(&1));
    }
    world.driver.turns(0, 20);
    let moved = world.totals().iter().filter(|(_, total)| *total == 2).count();
    assert!((1..10).contains(&moved), "the other task goes on: {moved} of 10 keys moved");
}

fn too_large() -> Option<BrokerError> {
    Some(BrokerError::Refused("too large".to_owned()))
}

fn all_but(bad: i64, of: i64) -> Vec<(i64, i64)> {
    ones(0..of).into_iter().filter(|(key, _)| *key != bad).collect()
}

/// The outputs of one key are refused, when they are sent or as late as at the commit, and its dead letter perhaps as well.
fn check_refused(bad: i64, at_commit: bool, dead_letter_too: bool) {
    let mut world = World::new(sums(), one_partition());
    let is_refused = move |sent: &Sent| {
        let is_its = sent.key == Some(bad) && !sent.is_empty;
        is_its && (sent.topic == "output" || (dead_letter_too && sent.topic == "edges-dead-letters"))
    };
    if at_commit {
        set(&world.log.commit, move |sent| {
            sent.iter().any(is_refused).then(too_large).flatten()
        });
    } else {
        set(&world.log.send, move |sent| is_refused(&sent).then(too_large).flatten());
    }
    world.queue_ones(0..100);
    world.driver.settle();
    let context = format!("key {bad}, at the commit: {at_commit}, its dead letter too: {dead_letter_too}");
    assert_eq!(world.totals(), all_but(bad, 100), "{context}");
    let keys: Vec<i64> = all_but(bad, 100).iter().map(|(key, _)| *key).collect();
    assert_eq!(world.forwarded(), keys, "{context}");
    let dead = world.dead_letters();
    let [letter] = dead.as_slice() else {
        panic!("{context}: {dead:?}")
    };
    assert!(header(letter, MESSAGE).contains("too large"), "{context}: {letter:?}");
    assert_eq!(header(letter, "__streams.errors.offset"), bad.to_string(), "{context}");
    assert_eq!(letter.value.is_none(), dead_letter_too, "{context}: {letter:?}");
    assert_eq!(
        header(letter, "__streams.errors.bytes.omitted").is_empty(),
        !dead_letter_too,
        "{context}"
    );
    assert!(world.driver.queries().readiness().ready, "{context}: {}", world.trouble());
}

#[test]
fn an_output_above_the_limit_makes_its_record_a_dead_letter() {
    for bad in [0, 37, 99] {
        check_refused(bad, false, false);
        check_refused(bad, false, true);
    }
}

#[test]
fn an_output_that_is_refused_at_the_commit_is_found_among_its_fellows() {
    for bad in [0, 37, 99] {
        check_refused(bad, true, false);
        check_refused(bad, true, true);
    }
}

#[test]
fn a_change_of_state_above_the_limit_makes_its_record_a_dead_letter() {
    let mut world = World::new(sums(), one_partition());
    // Only the third change of a key is too large.
    let refuses = |sent: &Sent| sent.topic == "totals" && sent.key == Some(7);
    set(&world.log.commit, move |sent| {
        sent.iter().any(refuses).then(too_large).flatten()
    });
    world.queue_ones(0..20);
    world.driver.settle();
    assert_eq!(world.totals(), all_but(7, 20));
    assert_eq!(world.dead_letters().len(), 1);
}

#[test]
fn a_refusal_that_comes_once_costs_nothing() {
    let mut world = World::new(sums(), one_partition());
    let refused = AtomicBool::new(false);
    set(&world.log.commit, move |_| {
        (!refused.swap(true, Ordering::Relaxed)).then(too_large).flatten()
    });
    world.queue_ones(0..100);
    world.driver.settle();
    assert_eq!(world.totals(), ones(0..100));
    assert!(world.dead_letters().is_empty());
}
