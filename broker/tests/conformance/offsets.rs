use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, BrokerError, Committed, Membership, TopicPartition};

use super::world::{Member, PATIENCE, World, patiently, record, settle, sizes};

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
