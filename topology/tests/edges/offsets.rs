//! Where a group stands: offsets that expire, that nobody proves to own, that are set by hand, that the log does not have.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker::*;
use topology::*;

use crate::operator::set_offset;
use crate::support::*;

const NO_TIME: Duration = Duration::ZERO;

fn input(partition: u32) -> TopicPartition {
    TopicPartition::new(INPUT.name(), partition)
}

fn set_by_hand(world: &World, partition: u32, offset: i64) {
    set_offset(world.driver.broker(), "edges", input(partition), offset);
}

#[test]
fn offsets_of_a_quiet_source_are_committed_again() {
    let mut world = World::new(sums(), one_partition());
    world.queue_ones(0..3);
    world.driver.settle();
    world.log.commits.lock().clear();
    for _ in 0..50 {
        world.driver.advance_wall_clock(Duration::from_secs(1_800));
    }
    let commits = world.log.commits.lock().clone();
    assert!(
        (15..=26).contains(&commits.len()),
        "about every hour of 25: {}",
        commits.len()
    );
    for commit in commits {
        let [(place, committed)] = commit.as_slice() else {
            panic!("{commit:?}")
        };
        assert_eq!((place, committed.offset), (&input(0), 3));
    }
}

#[test]
fn offsets_that_the_group_has_lost_are_those_of_the_state() {
    let mut world = World::new(sums(), one_partition());
    world.queue_ones(0..10);
    world.driver.settle();
    world.driver.restart().unwrap();
    world.log.forgets.store(true, Ordering::Relaxed);
    world.driver.crash().unwrap();
    world.log.forgets.store(false, Ordering::Relaxed);
    assert_eq!(world.totals(), ones(0..10), "no record counts twice");
    world.queue_ones(10..12);
    world.driver.settle();
    assert_eq!(world.totals(), ones(0..12));
    assert_eq!(world.forwarded(), (0..12).collect::<Vec<_>>());
}

#[test]
fn offsets_that_nobody_has_are_not_guessed() {
    let mut world = World::new(sums(), one_partition());
    world.queue_ones(0..10);
    world.driver.settle();
    world.driver.take_down(0, true);
    world.disk.move_to("another machine");
    world.log.forgets.store(true, Ordering::Relaxed);
    world.driver.revive(0).unwrap();
    world.driver.turns(0, 20);
    world.queue_ones(10..12);
    world.driver.turns(0, 20);
    assert_eq!(world.totals(), ones(0..10), "the state is restored, and answers");
    assert!(
        world.trouble().contains("the group has no offset for input-0"),
        "{}",
        world.trouble()
    );
    assert!(!world.driver.queries().readiness().ready);
    // What the runbook says.
    set_by_hand(&world, 0, 10);
    world.log.forgets.store(false, Ordering::Relaxed);
    world.driver.settle();
    assert_eq!(world.totals(), ones(0..12));
    assert!(world.driver.queries().readiness().ready, "{}", world.trouble());
}

#[test]
fn offsets_of_a_topic_that_was_made_anew_are_not_those_of_the_state() {
    let mut world = World::new(sums(), one_partition());
    world.queue_ones(0..3);
    world.driver.settle();
    world.driver.take_down(0, true);
    assert!(world.driver.broker().delete_topic(INPUT.name()));
    // A new start finds another topic of this name, with more records than the old one had.
    world.driver.prepare(sums()).unwrap();
    world.driver.revive(0).unwrap();
    world.queue_ones(10..20);
    world.driver.turns(0, 30);
    assert_eq!(
        world.totals(),
        ones(0..3),
        "none is passed over, and none is processed before somebody has decided"
    );
    assert!(
        world.trouble().contains("the group has no offset for input-0"),
        "{}",
        world.trouble()
    );
    set_by_hand(&world, 0, 0);
    world.driver.settle();
    let expected: Vec<(i64, i64)> = ones(0..3).into_iter().chain(ones(10..20)).collect();
    assert_eq!(world.totals(), expected);
}

#[test]
fn an_offset_that_is_set_by_hand_counts() {
    let mut world = World::new(sums(), one_partition());
    world.queue_ones(0..10);
    world.driver.settle();
    world.driver.take_down(0, true);
    set_by_hand(&world, 0, 8);
    world.driver.revive(0).unwrap();
    world.driver.settle();
    let expected: Vec<(i64, i64)> = (0..10).map(|key| (key, if key < 8 { 1 } else { 2 })).collect();
    assert_eq!(world.totals(), expected, "the operator's word");
}

#[test]
fn an_input_whose_offset_is_gone_holds_up_no_other_task() {
    let settings = EngineSettings {
        partitions: 2,
        ..EngineSettings::default()
    };
    let mut world = World::new(sums(), settings);
    world.queue_ones(0..40);
    world.driver.settle();
    world.driver.take_down(0, true);
    // The log drops what is not processed yet, in one partition of two.
    world.queue_ones(40..80);
    let mut reader = world.driver.broker().reader("test").unwrap();
    let (_, end) = reader.bounds(&input(0), NO_TIME).unwrap();
    world.driver.broker().delete_records(&[(input(0), end)], NO_TIME).unwrap();
    world.driver.revive(0).unwrap();
    world.driver.turns(0, 50);
    let counted = world.totals().len();
    assert!((41..80).contains(&counted), "{counted} of 80 keys");
    assert!(world.trouble().contains("input-0"), "{}", world.trouble());
    for _ in 0..5 {
        world.driver.pass_time(Duration::from_secs(6));
        world.driver.turns(0, 5);
    }
    assert_eq!(world.totals().len(), counted);
    assert!(world.trouble().contains("docs/runbooks/offsets.md"), "{}", world.trouble());
    // The operator decides that what is gone is gone.
    set_by_hand(&world, 0, end);
    world.driver.settle();
    for key in 0..80 {
        world.driver.queue(INPUT, 5_000, &key, Some(&1));
    }
    world.driver.settle();
    assert_eq!(world.totals().len(), 80);
    assert!(world.driver.queries().readiness().ready, "{}", world.trouble());
}

#[test]
fn a_task_whose_offsets_are_pending_holds_up_no_other() {
    let settings = EngineSettings {
        partitions: 2,
        ..EngineSettings::default()
    };
    let mut world = World::new(sums(), settings);
    world.driver.take_down(0, true);
    let is_pending = Arc::new(AtomicBool::new(true));
    let pending = is_pending.clone();
    set(&world.log.committed, move |asked: Vec<TopicPartition>| {
        let waits = pending.load(Ordering::Relaxed) && asked.contains(&input(0));
        waits.then(|| BrokerError::Unavailable("an earlier owner's transaction is open".to_owned()))
    });
    world.driver.revive(0).unwrap();
    world.queue_ones(0..40);
    for _ in 0..20 {
        world.driver.turns(0, 5);
        world.driver.pass_time(Duration::from_millis(300));
    }
    let counted = world.totals().len();
    assert!((1..40).contains(&counted), "{counted} of 40 keys");
    assert!(
        world.trouble().contains("waits for its inputs' offsets"),
        "{}",
        world.trouble()
    );
    is_pending.store(false, Ordering::Relaxed);
    world.driver.settle();
    assert_eq!(world.totals(), ones(0..40));
    assert!(world.driver.queries().readiness().ready, "{}", world.trouble());
}
