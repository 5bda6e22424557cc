use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, BrokerError, Committed, Membership, TopicPartition};

use super::world::{Member, PATIENCE, Setup, World, patiently, record, settle, sizes};

fn at(offset: i64, metadata: &str) -> Committed {
    Committed {
        offset,
        metadata: metadata.to_owned(),
    }
}

fn alone(world: &World, topics: &[&str], partitions: usize) -> Member {
    let mut member = world.member("alone", topics);
    settle(&mut [&mut member], "a member alone has all", |held| {
        held[0].len() == partitions
    });
    member
}

pub fn commit_with_the_transaction(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "txn-offsets");
    let (input, output) = (world.topic("in", 1), world.topic("out", 1));
    let place = TopicPartition::new(input.as_str(), 0);
    let mut member = alone(&world, &[&input], 1);
    let mut producer = world.transactions("p");

    producer.begin().unwrap();
    producer.send(record(&output, 0, "k", "one")).unwrap();
    producer
        .commit(&[(place.clone(), at(5, ""))], &member.group.membership().unwrap())
        .unwrap();
    let committed = |member: &mut Member| member.group.committed(std::slice::from_ref(&place), PATIENCE).unwrap();
    assert_eq!(committed(&mut member), [Some(at(5, ""))]);

    // What is not committed moves nothing.
    producer.begin().unwrap();
    producer.send(record(&output, 0, "k", "lost")).unwrap();
    let mut newer = world.transactions("p");
    producer
        .commit(&[(place.clone(), at(9, ""))], &member.group.membership().unwrap())
        .unwrap_err();
    assert_eq!(committed(&mut member), [Some(at(5, ""))]);

    // Offsets alone make a transaction, too.
    newer.begin().unwrap();
    newer
        .commit(&[(place.clone(), at(6, ""))], &member.group.membership().unwrap())
        .unwrap();
    assert_eq!(committed(&mut member), [Some(at(6, ""))]);
    let mut reading = world.reader_of(&[(&output, 1)]);
    reading.until_ends();
    assert_eq!(reading.values(), ["one"]);
}

pub fn keep_their_metadata(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "metadata");
    let input = world.topic("in", 2);
    let places = [0, 1].map(|partition| TopicPartition::new(input.as_str(), partition));
    let mut member = alone(&world, &[&input], 2);
    assert_eq!(member.group.committed(&places, PATIENCE).unwrap(), [None, None]);
    let mut producer = world.transactions("p");
    producer.begin().unwrap();
    producer
        .commit(
            &[(places[1].clone(), at(3, "sequence=17 ≤ 18"))],
            &member.group.membership().unwrap(),
        )
        .unwrap();
    assert_eq!(
        member.group.committed(&places, PATIENCE).unwrap(),
        [None, Some(at(3, "sequence=17 ≤ 18"))]
    );
    let swapped = [places[1].clone(), places[0].clone()];
    assert_eq!(
        member.group.committed(&swapped, PATIENCE).unwrap(),
        [Some(at(3, "sequence=17 ≤ 18")), None]
    );
}

/// The engine's members share the partitions of an empty topic, and commit the offsets of its inputs in that group.
pub fn of_topics_outside_the_subscription(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "outside");
    let (tasks, input) = (world.topic("tasks", 2), world.topic("in", 2));
    let places = [0, 1].map(|partition| TopicPartition::new(input.as_str(), partition));
    let mut member = alone(&world, &[&tasks], 2);
    let mut producer = world.transactions("p");
    producer.begin().unwrap();
    let offsets = [(places[0].clone(), at(11, "a")), (places[1].clone(), at(12, "b"))];
    producer.commit(&offsets, &member.group.membership().unwrap()).unwrap();
    member.group.leave().unwrap();
    let mut next = alone(&world, &[&tasks], 2);
    assert_eq!(
        next.group.committed(&places, PATIENCE).unwrap(),
        [Some(at(11, "a")), Some(at(12, "b"))]
    );
}

pub fn are_refused_at_a_stale_generation(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "stale");
    let (tasks, input, output) = (world.topic("tasks", 2), world.topic("in", 2), world.topic("out", 1));
    let place = TopicPartition::new(input.as_str(), 0);
    let mut first = alone(&world, &[&tasks], 2);
    let stale = first.group.membership().unwrap();
    let mut second = world.member("second", &[&tasks]);
    settle(&mut [&mut first, &mut second], "one each", |held| sizes(held) == [1, 1]);

    let mut producer = world.transactions("p");
    producer.begin().unwrap();
    producer.send(record(&output, 0, "k", "stale")).unwrap();
    let refused = producer.commit(&[(place.clone(), at(99, ""))], &stale).unwrap_err();
    assert!(matches!(refused, BrokerError::Fenced(_)), "{refused:?}");
    drop(producer);

    let mut producer = world.transactions("p");
    producer.begin().unwrap();
    producer.send(record(&output, 0, "k", "fresh")).unwrap();
    producer
        .commit(&[(place.clone(), at(1, ""))], &first.group.membership().unwrap())
        .unwrap();
    assert_eq!(second.group.committed(&[place], PATIENCE).unwrap(), [Some(at(1, ""))]);
    let mut reading = world.reader_of(&[(&output, 1)]);
    reading.until_ends();
    assert_eq!(reading.values(), ["fresh"]);
}

pub fn are_refused_without_membership(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "no-member");
    let input = world.topic("in", 1);
    let place = TopicPartition::new(input.as_str(), 0);
    let mut producer = world.transactions("p");
    producer.begin().unwrap();
    producer
        .commit(&[(place.clone(), at(1, ""))], &Membership::NoGroup)
        .unwrap_err();
    let mut member = alone(&world, &[&input], 1);
    let last = member.group.membership().unwrap();
    member.group.leave().unwrap();
    let mut producer = world.transactions("p");
    producer.begin().unwrap();
    let refused = producer.commit(&[(place.clone(), at(1, ""))], &last).unwrap_err();
    assert!(matches!(refused, BrokerError::Fenced(_)), "{refused:?}");
    let mut next = alone(&world, &[&input], 1);
    assert_eq!(next.group.committed(&[place], PATIENCE).unwrap(), [None]);
}

pub fn plain_commits_hold(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "plain-commit");
    let input = world.topic("in", 1);
    let place = TopicPartition::new(input.as_str(), 0);
    let mut member = alone(&world, &[&input], 1);
    patiently(|| member.group.commit(&[(place.clone(), at(4, "plain"))]));
    member.step(Duration::ZERO);
    assert_eq!(member.group.committed(&[place], PATIENCE).unwrap(), [Some(at(4, "plain"))]);
}

pub fn are_pending_while_their_transaction_is_open(setup: &dyn Setup) {
    let world = World::new(setup.broker(), "pending");
    let input = world.topic("in", 2);
    let places = [0, 1].map(|partition| TopicPartition::new(input.as_str(), partition));
    let mut member = alone(&world, &[&input], 2);
    patiently(|| {
        member
            .group
            .commit(&[(places[0].clone(), at(1, "")), (places[1].clone(), at(1, ""))])
    });
    let membership = member.group.membership().unwrap();
    setup.abandon_offsets(&world.name("p"), &[(places[0].clone(), at(2, "lost"))], &membership);
    let unavailable = |result: Result<Vec<Option<Committed>>, BrokerError>| {
        assert!(matches!(result, Err(BrokerError::Unavailable(_))), "{result:?}");
    };
    unavailable(member.group.committed(&places, Duration::from_millis(300)));
    unavailable(member.group.committed(&places[..1], Duration::ZERO));
    assert_eq!(
        member.group.committed(&places[1..], PATIENCE).unwrap(),
        [Some(at(1, ""))],
        "others are not held up"
    );
    // Who waits gets its answer as soon as the transaction has ended.
    std::thread::scope(|scope| {
        let asked = places.clone();
        let waiting = scope.spawn(move || member.group.committed(&asked, PATIENCE).unwrap());
        let mut successor = world.transactions("p");
        assert_eq!(waiting.join().unwrap(), [Some(at(1, "")), Some(at(1, ""))]);
        successor.begin().unwrap();
    });
}

/// The answer to a commit does not come back: the group's offsets say that it took effect.
pub fn tell_what_became_of_a_commit(setup: &dyn Setup) {
    let world = World::new(setup.broker(), "lost-answer");
    let (input, output) = (world.topic("in", 1), world.topic("out", 1));
    let place = TopicPartition::new(input.as_str(), 0);
    let mut member = alone(&world, &[&input], 1);
    let mut committed = |what: &str| {
        let found = member.group.committed(std::slice::from_ref(&place), PATIENCE);
        (found.expect(what), member.group.membership().expect(what))
    };
    let (mut stand, mut membership) = committed("at first");
    assert_eq!(stand, [None]);
    for (took_effect, value) in [(true, "one"), (false, "lost"), (true, "two")] {
        let before = stand.clone();
        let mut producer = world.transactions("p");
        producer.begin().unwrap();
        producer.send(record(&output, 0, "k", value)).unwrap();
        let next = before[0].as_ref().map_or(0, |committed| committed.offset) + 1;
        let offsets = [(place.clone(), at(next, value))];
        setup.commit_without_an_answer(&world.name("p"), producer, &offsets, &membership, took_effect);
        drop(world.transactions("p"));
        (stand, membership) = committed(value);
        let expected = if took_effect { vec![Some(at(next, value))] } else { before };
        assert_eq!(stand, expected, "{value}");
    }
    let mut reading = world.reader_of(&[(&output, 1)]);
    reading.until_ends();
    assert_eq!(reading.values(), ["one", "two"]);
}
