//! Static members: how long a name keeps its place.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker::Rebalance;
use broker::in_process::Limits;

use super::conformance::world::{World, settle, sizes};
use super::on_hand_moved_clock;

#[test]
fn a_name_keeps_its_place_until_the_session_ends() {
    let (broker, now_ms) = on_hand_moved_clock(Limits::default());
    let world = World::new(Arc::new(broker.clone()), "place");
    let tasks = world.topic("tasks", 4);
    let (mut first, mut second) = (
        world.named_member("first", &[&tasks]),
        world.named_member("second", &[&tasks]),
    );
    settle(&mut [&mut first, &mut second], "two each", |held| sizes(held) == [2, 2]);
    drop(first);
    now_ms.store(10_000, Ordering::SeqCst);
    broker.tick();
    second.step(Duration::ZERO);
    assert_eq!(second.held().len(), 2, "its session has not ended yet");
    now_ms.store(10_001, Ordering::SeqCst);
    broker.tick();
    settle(&mut [&mut second], "the second has all", |held| held[0] == [0, 1, 2, 3]);
}

#[test]
fn two_of_one_name_take_it_from_each_other_once_in_a_session() {
    let (broker, now_ms) = on_hand_moved_clock(Limits::default());
    let world = World::new(Arc::new(broker), "pair");
    let tasks = world.topic("tasks", 2);
    let mut former = world.named_member("same", &[&tasks]);
    settle(&mut [&mut former], "the first has all", |held| held[0].len() == 2);
    let mut later = world.named_member("same", &[&tasks]);
    let mut takes = |by_former: bool, holds: bool| {
        let member = if by_former { &mut former } else { &mut later };
        for _ in 0..3 {
            member.step(Duration::ZERO);
        }
        assert_eq!(member.group.membership().is_ok(), holds);
        assert_eq!(member.held().len(), if holds { 2 } else { 0 });
        member.steps.pop()
    };
    assert!(matches!(takes(false, true), Some(Rebalance::Assigned(_))));
    // The former takes it back, the later takes it back again, and then both leave it at that.
    assert!(matches!(takes(true, true), Some(Rebalance::Assigned(_))));
    assert!(matches!(takes(false, true), Some(Rebalance::Assigned(_))));
    assert!(matches!(takes(true, false), Some(Rebalance::Lost(_))));
    now_ms.store(9_000, Ordering::SeqCst);
    assert!(takes(false, true).is_some());
    takes(true, false);
    now_ms.store(10_001, Ordering::SeqCst);
    assert!(takes(true, true).is_some());
    assert!(matches!(takes(false, true), Some(Rebalance::Assigned(_))));
}

#[test]
fn what_moves_while_a_named_member_is_away_is_not_given_back_to_it() {
    let (broker, _) = on_hand_moved_clock(Limits::default());
    let world = World::new(Arc::new(broker), "away");
    let tasks = world.topic("tasks", 4);
    let mut first = world.named_member("first", &[&tasks]);
    settle(&mut [&mut first], "the first has all", |held| held[0].len() == 4);
    drop(first);
    let mut second = world.named_member("second", &[&tasks]);
    second.step(Duration::ZERO);
    assert_eq!(second.held(), Vec::<u32>::new(), "the first has not let go");
    let mut first = world.named_member("first", &[&tasks]);
    settle(&mut [&mut first, &mut second], "two each", |held| sizes(held) == [2, 2]);
    assert!(
        matches!(&first.steps[..], [Rebalance::Assigned(got)] if got.len() == 2),
        "it is not asked for what it never knew of: {:?}",
        first.steps
    );
}
