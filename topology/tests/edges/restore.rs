//! Restores that fail, and state that is no longer to be trusted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use topology::*;

use crate::support::*;

fn small_polls() -> EngineSettings {
    EngineSettings {
        partitions: 1,
        poll_records_max: 3,
        ..EngineSettings::default()
    }
}

#[test]
fn a_restore_that_fails_half_way_leaves_no_gap() {
    // Every place where it may fail, once.
    for at in 0..12 {
        let mut world = World::new(sums(), small_polls());
        world.queue_ones(0..20);
        world.driver.settle();
        world.driver.take_down(0, true);
        world.disk.move_to("another machine");
        let writes = AtomicUsize::new(0);
        *world.disk.faults.write.lock() = Some(Box::new(move |_| writes.fetch_add(1, Ordering::Relaxed) == at));
        world.driver.revive(0).unwrap();
        world.driver.settle();
        assert_eq!(world.totals(), ones(0..20), "write {at} failed");
        assert_eq!(world.driver.view(PUBLIC), ones(0..20), "write {at} failed");
    }
}

#[test]
fn a_restore_goes_on_where_a_public_topic_has_what_is_no_record_of_the_store() {
    let mut world = World::new(sums(), small_polls());
    world.queue_ones(0..10);
    world.driver.settle();
    world.driver.take_down(0, true);
    world.disk.move_to("another machine");
    for (key, value) in [
        (&b"short"[..], &5i64.to_be_bytes()[..]),
        (&3i64.to_be_bytes()[..], b"no number"),
    ] {
        world.driver.queue_bytes(TOTALS.name(), 2_000, Some(key), Some(value));
    }
    world.driver.revive(0).unwrap();
    world.driver.settle();
    assert_eq!(world.driver.view(PUBLIC), ones(0..10));
    assert_eq!(world.counter("test_restore_passed_over_total"), 2.0);
}

#[test]
fn a_task_that_cannot_be_opened_again_is_tried_until_it_can() {
    let mut world = World::new(sums(), small_polls());
    world.queue_ones(0..10);
    world.driver.settle();
    world.driver.take_down(0, true);
    world.disk.move_to("another machine");
    // Its restore fails, and then the lock of what was open is still held for a while.
    let (is_full, is_locked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (full, locked) = (is_full.clone(), is_locked.clone());
    *world.disk.faults.write.lock() = Some(Box::new(move |_| {
        locked.store(5, Ordering::Relaxed);
        full.swap(false, Ordering::Relaxed)
    }));
    let locked = is_locked.clone();
    *world.disk.faults.open.lock() = Some(Box::new(move |_| {
        locked
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_ok()
    }));
    world.driver.revive(0).unwrap();
    world.driver.settle();
    assert_eq!(world.totals(), ones(0..10));
    assert!(world.driver.queries().readiness().ready, "{}", world.trouble());
}

/// A task moves away, its keys are deleted, the tombstones are compacted away, and it comes back.
fn comes_back_after(away: Duration) -> Vec<(i64, i64)> {
    let mut world = World::new(sums(), small_polls());
    world.queue_ones(0..10);
    world.driver.settle();
    // State is written, and this folder stays behind.
    world.driver.advance_wall_clock(Duration::from_secs(2));
    world.driver.take_down(0, true);
    world.disk.move_to("another machine");
    world.driver.revive(0).unwrap();
    world.driver.settle();
    for key in 0..5 {
        world.driver.queue(INPUT, 2_000, &key, Some(&0));
    }
    world.driver.settle();
    world.driver.take_down(0, true);
    for _ in 0..3 {
        world.driver.broker().compact("edges-total-changelog");
        world.driver.broker().compact(TOTALS.name());
    }
    world.driver.pass_time(away);
    world.disk.move_to("");
    world.driver.revive(0).unwrap();
    world.driver.settle();
    assert_eq!(world.totals(), world.driver.view(PUBLIC));
    world.totals()
}

#[test]
fn an_old_folder_brings_no_deleted_key_back() {
    assert_eq!(comes_back_after(Duration::from_secs(24 * 3_600)), ones(5..10));
    // The broker would have kept the tombstones for so long; that the test's did not shows that the folder is what is used.
    assert_eq!(comes_back_after(Duration::from_secs(3_600)), ones(0..10));
}

#[test]
fn state_of_tasks_that_moved_away_is_removed_when_it_is_too_old() {
    let mut world = World::new(sums(), small_polls());
    world.queue_ones(0..10);
    world.driver.settle();
    world.driver.advance_wall_clock(Duration::from_secs(25 * 3_600));
    assert_eq!(world.driver.clean_up().unwrap(), 0, "it is at work");
    world.driver.take_down(0, true);
    world.driver.pass_time(Duration::from_secs(20 * 3_600));
    assert_eq!(world.driver.clean_up().unwrap(), 0, "it may come back");
    world.driver.pass_time(Duration::from_secs(5 * 3_600));
    assert_eq!(world.driver.clean_up().unwrap(), 1);
    world.driver.revive(0).unwrap();
    world.driver.settle();
    assert_eq!(world.totals(), ones(0..10));
}

#[test]
fn a_folder_stays_valid_while_its_task_runs_however_little_comes() {
    let mut world = World::new(sums(), small_polls());
    world.queue_ones(0..10);
    world.driver.settle();
    for _ in 0..60 {
        world.driver.advance_wall_clock(Duration::from_secs(3_600));
    }
    world.driver.crash().unwrap();
    assert_eq!(world.counter("test_state_wipes_total"), 0.0);
    assert_eq!(world.totals(), ones(0..10));
}
