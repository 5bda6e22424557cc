//! Open transactions: what they hide, and who ends them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Broker, BrokerError, Membership, Replay, Start, TopicPartition};

use super::world::{GLANCE, PATIENCE, Reading, Setup, World, record, text, write};

/// The values in the order of the log.
fn in_order(reading: &Reading) -> Vec<String> {
    reading.polled.messages.iter().map(|message| text(&message.value)).collect()
}

pub fn what_lies_behind_one_waits(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "behind");
    let topic = world.topic("t", 1);
    let place = TopicPartition::new(topic.as_str(), 0);
    let (mut first, mut second) = (world.transactions("first"), world.transactions("second"));
    write(first.as_mut(), &[record(&topic, 0, "k", "before")]);
    first.begin().unwrap();
    first.send(record(&topic, 0, "k", "amid")).unwrap();
    first.service().unwrap();
    let mut reading = world.reader_of(&[(&topic, 1)]);
    reading.until_count(1);
    // So that the record has reached the log.
    reading.glance();
    write(second.as_mut(), &[record(&topic, 0, "k", "behind")]);
    let mut plain = world.broker.producer("plain").unwrap();
    plain.send_all(&[record(&topic, 0, "k", "plain")]).unwrap();
    reading.glance();
    assert_eq!(
        in_order(&reading),
        ["before"],
        "committed or not, it lies behind what is open"
    );
    assert_eq!(
        reading.polled.ends,
        [],
        "a restore that stopped here would miss what is committed next"
    );
    reading.until("that it is blocked", |polled| !polled.blocked.is_empty());
    assert_eq!(
        reading.reader.bounds(&place, PATIENCE).unwrap(),
        (0, 2),
        "one record and its marker are stable"
    );
    let mut replay = Replay::of(&*world.broker, "replay", std::slice::from_ref(&place)).unwrap();
    let stuck = replay.to_the_end(GLANCE, |_, _| Ok::<_, BrokerError>(())).unwrap_err();
    assert!(stuck.to_string().contains("is a transaction left open there?"), "{stuck}");
    let mut latest = world.reader();
    latest.assign(&topic, 0, Start::Latest);

    let written = first.commit(&[], &Membership::NoGroup).unwrap();
    assert_eq!(written, [(place.clone(), 2)], "its place is that of its sending");
    reading.until_ends();
    assert_eq!(in_order(&reading), ["before", "amid", "behind", "plain"]);
    assert_eq!(reading.polled.blocked.len(), 1, "each such place once");
    latest.until_ends();
    assert_eq!(in_order(&latest), ["amid", "behind", "plain"], "the end was the stable one");
    let (_, end) = reading.reader.bounds(&place, PATIENCE).unwrap();
    assert_eq!(end, 7, "four records and three markers");
}

pub fn several_lie_between_each_other(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "between");
    let topic = world.topic("t", 1);
    let place = TopicPartition::new(topic.as_str(), 0);
    let (mut first, mut second) = (world.transactions("first"), world.transactions("second"));
    let mut reading = world.reader_of(&[(&topic, 1)]);
    for rounds in 1..=2 {
        first.begin().unwrap();
        second.begin().unwrap();
        for round in 0..2 {
            for (producer, name) in [(&mut first, "a"), (&mut second, "b")] {
                let value = format!("{name}{rounds}{round}");
                producer.send(record(&topic, 0, "k", &value)).unwrap();
                producer.service().unwrap();
                // So that the record has reached the log before the next one is sent.
                reading.glance();
            }
        }
        let before = reading.polled.messages.len();
        let of_second = second.commit(&[], &Membership::NoGroup).unwrap();
        reading.glance();
        assert_eq!(reading.polled.messages.len(), before, "the other one began before it");
        let base = [0, 6][rounds - 1];
        assert_eq!(of_second, [(place.clone(), base + 3)]);
        if rounds == 1 {
            let of_first = first.commit(&[], &Membership::NoGroup).unwrap();
            assert_eq!(of_first, [(place.clone(), base + 2)]);
        } else {
            // A newer one aborts what the first has left.
            drop(world.transactions("first"));
        }
        reading.until_ends();
    }
    assert_eq!(in_order(&reading), ["a10", "b10", "a11", "b11", "b20", "b21"]);
    let offsets: Vec<_> = reading.polled.messages.iter().map(|message| message.offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 7, 9]);
    assert_eq!(reading.polled.ends.last(), Some(&(0, 12)));
}

/// As when its process was killed.
pub fn a_crashed_producers_stays_until_its_successor_comes(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "crashed");
    let topic = world.topic("t", 1);
    let mut crashed = world.transactions("crashed");
    let opened = Instant::now();
    crashed.begin().unwrap();
    crashed.send(record(&topic, 0, "k", "lost")).unwrap();
    crashed.service().unwrap();
    let mut reading = world.reader_of(&[(&topic, 1)]);
    reading.glance();
    drop(crashed);
    write(world.transactions("other").as_mut(), &[record(&topic, 0, "k", "kept")]);
    reading.glance();
    // On a busy machine, the coordinator may have ended it by now.
    if opened.elapsed() < Duration::from_secs(10) {
        assert_eq!((in_order(&reading), reading.polled.ends.len()), (Vec::new(), 0));
    }
    let mut successor = world.transactions("crashed");
    reading.until_ends();
    assert_eq!(in_order(&reading), ["kept"]);
    write(successor.as_mut(), &[record(&topic, 0, "k", "after")]);
    reading.until_count(2);
    assert_eq!(in_order(&reading), ["kept", "after"]);
}

/// Nobody ends it but the coordinator.
pub fn one_that_takes_too_long_is_aborted_and_its_producer_fenced(setup: &dyn Setup) {
    let world = World::new(setup.impatient(), "too-long");
    let topic = world.topic("t", 1);
    let mut slow = world.transactions("slow");
    slow.begin().unwrap();
    slow.send(record(&topic, 0, "k", "lost")).unwrap();
    slow.service().unwrap();
    let mut reading = world.reader_of(&[(&topic, 1)]);
    reading.glance();
    write(world.transactions("p").as_mut(), &[record(&topic, 0, "k", "kept")]);
    reading.glance();
    // On a busy machine the coordinator may have come to its end by now.
    assert!(
        in_order(&reading).is_empty() || !reading.polled.ends.is_empty(),
        "shown before the end"
    );
    setup.pass_time();
    reading.until("the end", |polled| !polled.ends.is_empty());
    reading.until_count(1);
    assert_eq!(in_order(&reading), ["kept"]);
    let refused = slow.commit(&[], &Membership::NoGroup);
    assert!(matches!(refused, Err(BrokerError::Fenced(_))), "{refused:?}");
    drop(slow);
    write(world.transactions("slow").as_mut(), &[record(&topic, 0, "k", "after")]);
    reading.until_count(2);
    assert_eq!(in_order(&reading), ["kept", "after"]);
}
