use std::sync::Arc;

use broker::{Broker, BrokerError, Membership, Outgoing, TopicPartition};

use super::world::{World, record, write};

pub fn atomic_and_invisible_until_committed(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "atomic");
    let topic = world.topic("t", 2);
    let mut reading = world.reader_of(&[(&topic, 2)]);
    let mut producer = world.transactions("p");
    producer.begin().unwrap();
    producer.send(record(&topic, 0, "k", "left")).unwrap();
    producer.send(record(&topic, 1, "k", "right")).unwrap();
    producer.send(record(&topic, 1, "k", "righter")).unwrap();
    producer.service().unwrap();
    reading.glance();
    assert_eq!(reading.values(), Vec::<String>::new(), "seen before the commit");
    let mut highest = producer.commit(&[], &Membership::NoGroup).unwrap();
    highest.sort();
    reading.until_count(3);
    assert_eq!(reading.values(), ["left", "right", "righter"]);
    let last_offset = |slot: u32| reading.of_slot(slot).last().map(|message| message.offset).unwrap();
    let told: Vec<_> = [0, 1]
        .map(|partition| (TopicPartition::new(topic.as_str(), partition), last_offset(partition)))
        .into();
    assert_eq!(highest, told, "the offsets that a commit reports are those that readers see");
}

pub fn a_newer_producer_fences_the_older(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "fence");
    let topic = world.topic("t", 1);
    let mut older = world.transactions("same");
    write(older.as_mut(), &[record(&topic, 0, "k", "before")]);
    older.begin().unwrap();
    older.send(record(&topic, 0, "k", "lost")).unwrap();
    older.service().unwrap();
    let mut newer = world.transactions("same");
    let refused = older.commit(&[], &Membership::NoGroup).unwrap_err();
    assert!(matches!(refused, BrokerError::Fenced(_)), "{refused:?}");
    assert!(older.begin().is_err(), "a fenced producer is of no more use");
    write(newer.as_mut(), &[record(&topic, 0, "k", "after")]);
    let mut reading = world.reader_of(&[(&topic, 1)]);
    reading.until_ends();
    assert_eq!(reading.values(), ["after", "before"]);
}

pub fn an_abandoned_one_leaves_nothing(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "abandon");
    let topic = world.topic("t", 1);
    let mut first = world.transactions("p");
    first.begin().unwrap();
    for _ in 0..100 {
        first.send(record(&topic, 0, "k", "lost")).unwrap();
    }
    first.service().unwrap();
    drop(first);
    let mut second = world.transactions("p");
    write(second.as_mut(), &[record(&topic, 0, "k", "kept")]);
    let mut reading = world.reader_of(&[(&topic, 1)]);
    reading.until_ends();
    assert_eq!(reading.values(), ["kept"]);
}

pub fn empty_ones_commit(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "empty");
    let topic = world.topic("t", 1);
    let mut producer = world.transactions("p");
    for _ in 0..3 {
        assert_eq!(write(producer.as_mut(), &[]), []);
    }
    assert_eq!(write(producer.as_mut(), &[record(&topic, 0, "k", "v")]).len(), 1);
    assert_eq!(
        write(producer.as_mut(), &[]),
        [],
        "what an earlier transaction wrote is not reported again"
    );
}

pub fn a_record_too_large_is_refused(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "large");
    let topic = world.topic("t", 1);
    let huge = vec![b'x'; 24 << 20];
    let huge = Outgoing {
        value: Some(&huge),
        ..record(&topic, 0, "k", "")
    };
    let mut producer = world.transactions("p");
    producer.begin().unwrap();
    let sent = producer
        .send(huge)
        .and_then(|()| producer.commit(&[], &Membership::NoGroup).map(drop));
    assert!(matches!(sent, Err(BrokerError::Refused(_))), "{sent:?}");
    let mut again = world.transactions("p");
    write(again.as_mut(), &[record(&topic, 0, "k", "small")]);
    let mut reading = world.reader_of(&[(&topic, 1)]);
    reading.until_ends();
    assert_eq!(reading.values(), ["small"]);
}

pub fn many_in_a_row(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "row");
    let topic = world.topic("t", 2);
    let mut producer = world.transactions("p");
    let mut highest = [-1, -1];
    for i in 0..50_u32 {
        let value = format!("{i:02}");
        for (place, offset) in write(producer.as_mut(), &[record(&topic, i % 2, "k", &value)]) {
            let before = std::mem::replace(&mut highest[place.partition as usize], offset);
            assert!(before < offset, "offsets rise");
        }
    }
    let mut reading = world.reader_of(&[(&topic, 2)]);
    reading.until_ends();
    assert_eq!(reading.values(), (0..50).map(|i| format!("{i:02}")).collect::<Vec<_>>());
}
