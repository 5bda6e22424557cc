use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Broker, BrokerError, Committed, Rebalance, TopicPartition};
use rand::{RngExt, SeedableRng};

use super::world::{Member, PATIENCE, SOONER, World, patiently, seed, settle, sizes};

pub fn a_second_member_takes_half_and_the_first_keeps_the_rest(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "half");
    let tasks = world.topic("tasks", 4);
    let mut first = world.member("first", &[&tasks]);
    settle(&mut [&mut first], "the first has all", |held| held[0] == [0, 1, 2, 3]);
    let before = first.steps.len();
    let mut second = world.member("second", &[&tasks]);
    let started = Instant::now();
    settle(&mut [&mut first, &mut second], "two each", |held| sizes(held) == [2, 2]);
    println!("the second member had its half after {:?}", started.elapsed());
    assert_eq!(first.fewest, Some(2), "the first never held fewer than it keeps");
    let revoked: Vec<_> = first.steps[before..].iter().collect();
    assert!(
        matches!(revoked[..], [Rebalance::Revoked(gone)] if gone.len() == 2),
        "{revoked:?}"
    );
    assert!(
        matches!(&second.steps[..], [Rebalance::Assigned(got)] if got.len() == 2),
        "{:?}",
        second.steps
    );
}

pub fn a_step_is_told_until_it_is_completed(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "told");
    let tasks = world.topic("tasks", 2);
    let mut member = world.member("m", &[&tasks]);
    let started = Instant::now();
    let step = loop {
        assert!(started.elapsed() < PATIENCE, "no step came");
        if let Some(step) = member.group.poll(Duration::from_millis(100)).unwrap() {
            break step;
        }
    };
    assert!(
        member.group.complete(&Rebalance::Assigned(Vec::new())).is_err(),
        "another step than the one that was reported"
    );
    for _ in 0..3 {
        assert_eq!(member.group.poll(PATIENCE).unwrap(), Some(step.clone()));
        assert_eq!(member.group.assignment(), [], "not yet held");
    }
    member.group.complete(&step).unwrap();
    assert_eq!(member.held(), [0, 1]);
    assert_eq!(member.group.poll(Duration::ZERO).unwrap(), None);
}

pub fn leaving_hands_over(broker: Arc<dyn Broker>) {
    let world = World::with_long_sessions(broker, "leave");
    let tasks = world.topic("tasks", 4);
    let (mut first, mut second) = (world.member("first", &[&tasks]), world.member("second", &[&tasks]));
    settle(&mut [&mut first, &mut second], "two each", |held| sizes(held) == [2, 2]);
    let kept = second.held();
    first.group.leave().unwrap();
    assert_eq!(first.group.assignment(), []);
    let started = Instant::now();
    settle(&mut [&mut second], "the second has all", |held| held[0] == [0, 1, 2, 3]);
    assert!(started.elapsed() < SOONER, "sooner than the session would have expired");
    assert_eq!(second.fewest, Some(2), "it kept {kept:?} all the time");
}

pub fn a_member_with_a_name_that_leaves_hands_over(broker: Arc<dyn Broker>) {
    let world = World::with_long_sessions(broker, "named");
    let tasks = world.topic("tasks", 4);
    let (mut first, mut second) = (
        world.named_member("first", &[&tasks]),
        world.named_member("second", &[&tasks]),
    );
    settle(&mut [&mut first, &mut second], "two each", |held| sizes(held) == [2, 2]);
    first.group.leave().unwrap();
    let started = Instant::now();
    settle(&mut [&mut second], "the second has all", |held| held[0] == [0, 1, 2, 3]);
    println!("the second member had all after {:?}", started.elapsed());
    assert!(started.elapsed() < SOONER, "sooner than the session would have expired");
    assert_eq!(second.fewest, Some(2), "it kept its own all the time");
    // Its name is free, for it or for whoever has it next.
    let mut again = world.named_member("first", &[&tasks]);
    settle(&mut [&mut again, &mut second], "two each again", |held| sizes(held) == [2, 2]);
}

pub fn a_member_with_a_name_is_back_at_once(broker: Arc<dyn Broker>) {
    let world = World::with_long_sessions(broker, "back");
    let tasks = world.topic("tasks", 4);
    let (mut first, mut second) = (
        world.named_member("first", &[&tasks]),
        world.named_member("second", &[&tasks]),
    );
    settle(&mut [&mut first, &mut second], "two each", |held| sizes(held) == [2, 2]);
    let had = first.held();
    // As when its process is killed.
    drop(first);
    let started = Instant::now();
    let mut first = world.named_member("first", &[&tasks]);
    settle(&mut [&mut first, &mut second], "two each again", |held| held[0] == had);
    assert!(started.elapsed() < SOONER, "sooner than the session would have expired");
    assert_eq!(second.fewest, Some(2), "nothing moved");
}

pub fn leaving_amid_a_step_hands_over(broker: Arc<dyn Broker>) {
    let world = World::with_long_sessions(broker, "amid");
    for is_named in [false, true] {
        let tasks = world.topic(&format!("tasks-{is_named}"), 4);
        let join = |name: &str| match is_named {
            true => world.named_member(name, &[&tasks]),
            false => world.member(name, &[&tasks]),
        };
        let mut first = join("first");
        settle(&mut [&mut first], "the first has all", |held| held[0].len() == 4);
        let mut second = join("second");
        let started = Instant::now();
        // The first is asked to give half away, and the second to wait for it.
        while first.group.poll(Duration::from_millis(20)).unwrap().is_none() {
            second.step(Duration::ZERO);
            assert!(started.elapsed() < PATIENCE, "no step came");
        }
        first.group.leave().unwrap();
        let left = Instant::now();
        settle(&mut [&mut second], "the second has all", |held| held[0] == [0, 1, 2, 3]);
        assert!(left.elapsed() < SOONER, "sooner than the session would have expired");
        second.group.leave().unwrap();
    }
}

pub fn membership_outlives_a_rebalance_that_moves_nothing(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "outlive");
    let (tasks, input) = (world.topic("tasks", 1), world.topic("in", 1));
    let place = TopicPartition::new(input.as_str(), 0);
    let mut first = world.member("first", &[&tasks]);
    settle(&mut [&mut first], "the first has the only one", |held| held[0] == [0]);
    let mut second = world.member("second", &[&tasks]);
    let mut producer = world.transactions("p");
    // A member whose partitions stay commits all through a rebalance. A generation that rises between the question and the
    // commit may refuse it; nothing else may.
    let (mut refused, started) = (0, Instant::now());
    for offset in 0.. {
        first.step(Duration::ZERO);
        second.step(Duration::from_millis(10));
        producer.begin().unwrap();
        let committed = Committed {
            offset,
            metadata: String::new(),
        };
        let result = producer.commit(&[(place.clone(), committed)], &first.group.membership().unwrap());
        match result {
            Ok(_) => {}
            Err(broker::BrokerError::Fenced(_)) => {
                refused += 1;
                producer = world.transactions("p");
            }
            Err(error) => panic!("{error}"),
        }
        if started.elapsed() > Duration::from_secs(3) {
            break;
        }
    }
    println!("{refused} commits were refused while the group rebalanced");
    assert!(refused <= 3, "{refused} commits were refused");
    assert_eq!(first.fewest, Some(1));
    assert_eq!(second.held(), Vec::<u32>::new());
}

pub fn many_members_come_and_go(broker: Arc<dyn Broker>) {
    let seed = seed();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let world = World::new(broker, "churn");
    let tasks = world.topic("tasks", 6);
    let mut members: Vec<Member> = Vec::new();
    for round in 0..8 {
        if members.len() < 2 || members.len() < 4 && rng.random_bool(0.6) {
            members.push(world.member(&format!("member-{round}"), &[&tasks]));
        } else {
            let mut gone = members.swap_remove(rng.random_range(0..members.len()));
            gone.group.leave().unwrap();
        }
        let count = members.len();
        let mut all: Vec<&mut Member> = members.iter_mut().collect();
        settle(&mut all, &format!("round {round}, SEED={seed}"), |held| {
            let sizes = sizes(held);
            sizes.iter().sum::<usize>() == 6 && sizes[count - 1] - sizes[0] <= 1
        });
    }
}

/// A process that was killed and is back: nothing moves, and nobody notices.
pub fn a_named_member_that_is_back_gets_its_partitions(broker: Arc<dyn Broker>) {
    let world = World::with_long_sessions(broker, "back");
    let tasks = world.topic("tasks", 4);
    let mut first = world.named_member("first", &[&tasks]);
    settle(&mut [&mut first], "the first has all", |held| held[0].len() == 4);
    let mut second = world.named_member("second", &[&tasks]);
    settle(&mut [&mut first, &mut second], "two each", |held| sizes(held) == [2, 2]);
    let (of_first, of_second, steps) = (first.held(), second.held(), second.steps.len());
    let stale = first.group.membership().unwrap();
    for crashes in [true, false] {
        if !crashes {
            // Who stops keeps its place as well.
            first.group.leave().unwrap();
        }
        drop(first);
        first = world.named_member("first", &[&tasks]);
        let started = Instant::now();
        settle(&mut [&mut first, &mut second], "as before", |held| {
            held[0] == of_first && held[1] == of_second
        });
        assert!(started.elapsed() < SOONER, "sooner than the session would have expired");
        assert!(
            matches!(&first.steps[..], [Rebalance::Assigned(got)] if got.len() == 2),
            "{:?}",
            first.steps
        );
    }
    assert_eq!(second.steps.len(), steps, "the other has taken no step");
    let place = TopicPartition::new(tasks.as_str(), 0);
    let committed = Committed {
        offset: 1,
        metadata: String::new(),
    };
    let mut producer = world.transactions("p");
    producer.begin().unwrap();
    let refused = producer.commit(&[(place, committed)], &stale).unwrap_err();
    assert!(
        matches!(refused, BrokerError::Fenced(_)),
        "the one that was killed commits no more: {refused:?}"
    );
}

/// Two processes of one name: the later one has the partitions, and the earlier one is notified.
pub fn a_name_is_its_latest_members(broker: Arc<dyn Broker>) {
    let world = World::with_long_sessions(broker, "twice");
    let tasks = world.topic("tasks", 2);
    let place = TopicPartition::new(tasks.as_str(), 0);
    let mut former = world.named_member("same", &[&tasks]);
    settle(&mut [&mut former], "the first has all", |held| held[0].len() == 2);
    let mut later = world.named_member("same", &[&tasks]);
    // Only the later one polls: the other hangs, and is to be fenced all the same.
    let started = Instant::now();
    while later.held().len() < 2 {
        later.step(Duration::from_millis(20));
        assert!(started.elapsed() < SOONER, "it did not get its partitions");
    }
    let committed = Committed {
        offset: 1,
        metadata: String::new(),
    };
    patiently(|| later.group.commit(&[(place.clone(), committed.clone())]));
    // On Kafka, a member hears of it with its next heartbeat.
    let refused = loop {
        match former.group.commit(&[(place.clone(), committed.clone())]) {
            Err(BrokerError::Unavailable(_)) | Ok(()) if started.elapsed() < PATIENCE => {}
            other => break other,
        }
    };
    assert!(matches!(refused, Err(BrokerError::Fenced(_))), "{refused:?}");
    former.steps.clear();
    while former.steps.is_empty() {
        former.step(Duration::from_millis(20));
        assert!(started.elapsed() < PATIENCE, "it was not notified");
    }
    assert!(
        matches!(&former.steps[0], Rebalance::Lost(lost) if lost.len() == 2),
        "{:?}",
        former.steps
    );
}
