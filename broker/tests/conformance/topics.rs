use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{Broker, BrokerError, CleanupPolicy, Committed, Outgoing, TopicPartition, TopicSettings};

use super::world::{PATIENCE, Setup, World, patiently, record, settle};

pub fn created_once_and_verified(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "verified");
    let plain = world.spec("plain", 3);
    let compacted = broker::TopicSpec {
        cleanup: CleanupPolicy::Compact,
        ..world.spec("compacted", 2)
    };
    let specs = [plain.clone(), compacted.clone()];
    assert_eq!(world.broker.partitions(&plain.name, PATIENCE).unwrap(), None);
    for _ in 0..2 {
        world.broker.ensure_topics(&specs, PATIENCE).unwrap();
        assert_eq!(world.broker.partitions(&plain.name, PATIENCE).unwrap(), Some(3));
        assert_eq!(world.broker.partitions(&compacted.name, PATIENCE).unwrap(), Some(2));
    }
    let wrong_count = broker::TopicSpec {
        partitions: 4,
        ..plain.clone()
    };
    let wrong_policy = broker::TopicSpec {
        cleanup: CleanupPolicy::Compact,
        ..plain
    };
    let also_wrong = broker::TopicSpec {
        cleanup: CleanupPolicy::Delete(None),
        ..compacted
    };
    for wrong in [wrong_count, wrong_policy, also_wrong] {
        let error = world
            .broker
            .ensure_topics(std::slice::from_ref(&wrong), PATIENCE)
            .unwrap_err();
        assert!(
            matches!(&error, BrokerError::Topic { topic, .. } if *topic == wrong.name),
            "{wrong:?}: {error}"
        );
    }
}

pub fn existing_ones_of_others_are_accepted(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "accepted");
    let theirs = world.spec("theirs", 3);
    world.broker.ensure_topics(std::slice::from_ref(&theirs), PATIENCE).unwrap();
    let ours = broker::TopicSpec {
        partitions: 9,
        accept_existing: true,
        cleanup: CleanupPolicy::Compact,
        ..theirs
    };
    world.broker.ensure_topics(std::slice::from_ref(&ours), PATIENCE).unwrap();
    assert_eq!(world.broker.partitions(&ours.name, PATIENCE).unwrap(), Some(3));
}

pub fn cleanup_policies_are_told_apart(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "policies");
    let hour = Duration::from_secs(3_600);
    let policies = [
        CleanupPolicy::Delete(Some(hour)),
        CleanupPolicy::Compact,
        CleanupPolicy::CompactAndDelete(hour),
    ];
    for made in policies {
        let name = format!("of-{}", made.text().replace(',', "-"));
        let spec = broker::TopicSpec {
            cleanup: made,
            ..world.spec(&name, 1)
        };
        world.broker.ensure_topics(std::slice::from_ref(&spec), PATIENCE).unwrap();
        for wanted in policies {
            let spec = broker::TopicSpec {
                cleanup: wanted,
                ..spec.clone()
            };
            let checked = world.broker.ensure_topics(&[spec], PATIENCE);
            assert_eq!(checked.is_ok(), wanted == made, "{made:?}, {wanted:?}: {checked:?}");
        }
    }
    // The age is the operator's to tune.
    let longer = broker::TopicSpec {
        cleanup: CleanupPolicy::CompactAndDelete(2 * hour),
        ..world.spec("of-compact-delete", 1)
    };
    world.broker.ensure_topics(&[longer], PATIENCE).unwrap();
}

pub fn settings_are_given_and_verified(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "settings");
    let with = |settings: &[(&str, &str)]| broker::TopicSpec {
        cleanup: CleanupPolicy::Compact,
        settings: TopicSettings::new(settings.iter().copied()).unwrap(),
        ..world.spec("t", 1)
    };
    let all = with(&[
        ("replication.factor", "1"),
        ("delete.retention.ms", "90000"),
        ("min.cleanable.dirty.ratio", "0.25"),
        ("max.message.bytes", "5000"),
    ]);
    for _ in 0..2 {
        world.broker.ensure_topics(std::slice::from_ref(&all), PATIENCE).unwrap();
    }
    for right in [&[][..], &[("min.cleanable.dirty.ratio", "0.250")]] {
        world.broker.ensure_topics(&[with(right)], PATIENCE).unwrap();
    }
    let kept = world.broker.tombstone_retention(&[&all.name], PATIENCE).unwrap();
    assert_eq!(kept, [Some(Duration::from_secs(90))]);
    for (name, value) in [
        ("replication.factor", "2"),
        ("delete.retention.ms", "90001"),
        ("segment.bytes", "1234567"),
    ] {
        let wrong = with(&[(name, value)]);
        let error = world
            .broker
            .ensure_topics(std::slice::from_ref(&wrong), PATIENCE)
            .unwrap_err();
        assert!(
            matches!(&error, BrokerError::Topic { topic, reason } if *topic == wrong.name && reason.contains(value)),
            "{error}"
        );
        let theirs = broker::TopicSpec {
            accept_existing: true,
            ..wrong
        };
        world.broker.ensure_topics(&[theirs], PATIENCE).unwrap();
    }
    // Unlike a text that compresses well, this is as large as it is.
    let noise: Vec<u8> = std::iter::repeat_with(rand::random).take(6_000).collect();
    let of = |value| Outgoing {
        value: Some(value),
        ..record(&all.name, 0, "k", "")
    };
    let mut producer = world.broker.producer("settings").unwrap();
    producer.send_all(&[of(&noise[..4_000])]).unwrap();
    let refused = producer.send_all(&[of(&noise)]);
    assert!(matches!(refused, Err(BrokerError::Refused(_))), "{refused:?}");
}

pub fn partitions_are_added(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "added");
    let (grown, other) = (world.topic("t", 2), world.topic("other", 1));
    world.broker.add_partitions(&grown, 5, PATIENCE).unwrap();
    // Several instances start at once, and each adds what it finds missing.
    let all = std::thread::scope(|scope| {
        let add = || world.broker.add_partitions(&grown, 6, PATIENCE);
        let all: Vec<_> = (0..4).map(|_| scope.spawn(add)).collect();
        all.into_iter()
            .map(|adding| adding.join().unwrap())
            .collect::<Result<Vec<()>, _>>()
    });
    all.unwrap();
    // Fewer are no order to take some away.
    world.broker.add_partitions(&grown, 3, PATIENCE).unwrap();
    let nowhere = world.name("nowhere");
    let counts = world.broker.partition_counts(&[&grown, &nowhere, &other], PATIENCE).unwrap();
    assert_eq!(counts, [Some(6), None, Some(1)]);
    assert!(world.broker.add_partitions(&nowhere, 2, Duration::from_secs(1)).is_err());
    // New ones can be written and read.
    let records: Vec<_> = (0..6).map(|partition| record(&grown, partition, "k", "v")).collect();
    world.broker.producer("added").unwrap().send_all(&records).unwrap();
    world.reader_of(&[(&grown, 6)]).until_count(6);
}

pub fn they_say_how_long_they_keep_tombstones(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "tombstones");
    let (plain, nowhere) = (world.topic("plain", 2), world.name("nowhere"));
    let compacted = broker::TopicSpec {
        cleanup: CleanupPolicy::Compact,
        ..world.spec("compacted", 1)
    };
    world
        .broker
        .ensure_topics(std::slice::from_ref(&compacted), PATIENCE)
        .unwrap();
    let day = Some(Duration::from_secs(24 * 60 * 60));
    let kept = world
        .broker
        .tombstone_retention(&[&compacted.name, &nowhere, &plain], PATIENCE)
        .unwrap();
    assert_eq!(kept, [day, None, day]);
    assert_eq!(world.broker.tombstone_retention(&[], PATIENCE).unwrap(), []);
    assert_eq!(
        world.broker.partitions(&nowhere, PATIENCE).unwrap(),
        None,
        "asking makes no topic"
    );
}

pub fn a_null_key_needs_no_partition(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "null-key");
    let topic = world.topic("t", 2);
    let nothing = Outgoing {
        topic: &topic,
        partition: None,
        key: None,
        value: None,
        timestamp_ms: 7,
        headers: &[],
    };
    world.broker.producer("null-key").unwrap().send_all(&[nothing; 10]).unwrap();
    let mut reading = world.reader_of(&[(&topic, 2)]);
    reading.until_count(10);
    assert!(
        reading
            .polled
            .messages
            .iter()
            .all(|message| message.key.is_none() && message.value.is_none())
    );
}

pub fn records_are_deleted_up_to_an_offset(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "deleted");
    let topic = world.topic("t", 2);
    let record = Outgoing {
        topic: &topic,
        partition: Some(1),
        key: None,
        value: Some(b"v"),
        timestamp_ms: 7,
        headers: &[],
    };
    world.broker.producer("deleted").unwrap().send_all(&[record; 10]).unwrap();
    let place = TopicPartition::new(topic.as_str(), 1);
    // A start never moves back, and an end is no fault.
    for (before, start) in [(4, 4), (2, 4), (4, 4), (10, 10)] {
        world.broker.delete_records(&[(place.clone(), before)], PATIENCE).unwrap();
        let mut reader = world.broker.reader("deleted").unwrap();
        assert_eq!(reader.bounds(&place, PATIENCE).unwrap(), (start, 10));
    }
    world.broker.producer("deleted").unwrap().send_all(&[record]).unwrap();
    let mut reading = world.reader_of(&[(&topic, 2)]);
    reading.until_count(1);
    assert_eq!(reading.polled.messages[0].offset, 10);
    let nowhere = TopicPartition::new(world.spec("nowhere", 1).name, 0);
    assert!(world.broker.delete_records(&[(nowhere, 1)], Duration::from_secs(1)).is_err());
}

pub fn deleted_under_its_reader_and_made_anew(setup: &dyn Setup) {
    let world = World::new(setup.broker(), "gone");
    let (topic, other) = (world.topic("t", 1), world.topic("other", 1));
    let place = TopicPartition::new(topic.as_str(), 0);
    let mut producer = world.broker.producer("p").unwrap();
    producer.send_all(&vec![record(&topic, 0, "k", "old"); 5]).unwrap();
    let mut member = world.member("m", &[&other]);
    settle(&mut [&mut member], "the member has all", |held| held[0] == [0]);
    let committed = Committed {
        offset: 5,
        metadata: String::new(),
    };
    patiently(|| member.group.commit(&[(place.clone(), committed.clone())]));
    let mut reading = world.reader_of(&[(&topic, 1), (&other, 1)]);
    reading.until_ends();
    setup.delete_topic(&topic);

    let started = Instant::now();
    while world.broker.partitions(&topic, PATIENCE).unwrap().is_some() {
        assert!(started.elapsed() < PATIENCE, "it is still known");
        std::thread::sleep(Duration::from_millis(20));
    }
    let bounds = world.reader().reader.bounds(&place, Duration::from_secs(5));
    assert!(matches!(&bounds, Err(BrokerError::Topic { .. })), "{bounds:?}");
    // What was committed in it goes with it, on Kafka a moment later.
    while member.group.committed(std::slice::from_ref(&place), PATIENCE).unwrap() != [None] {
        assert!(started.elapsed() < PATIENCE, "the offset is still there");
    }
    producer.send_all(&[record(&other, 0, "k", "others go on")]).unwrap();
    reading.until_count(6);
    reading.glance();

    // A reader goes by the name, says nothing while there is none, and then stands beyond the end of the new one.
    assert_eq!(world.topic("t", 1), topic);
    patiently(|| {
        world
            .broker
            .producer("new")
            .unwrap()
            .send_all(&[record(&topic, 0, "k", "new")])
    });
    let error = reading.until_error();
    assert!(
        matches!(&error, BrokerError::OffsetOutOfRange { partition, offset: 5 } if *partition == place),
        "{error:?}"
    );
    let mut fresh = world.reader_of(&[(&topic, 1)]);
    fresh.until_ends();
    assert_eq!(fresh.values(), ["new"]);
}

pub fn ids_tell_topics_apart(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "ids");
    let (one, other) = (world.topic("one", 1), world.topic("other", 2));
    let nowhere = world.name("nowhere");
    let ids = world.broker.topic_ids(&[&one, &nowhere, &other], PATIENCE).unwrap();
    let (first, second) = (ids[0].unwrap(), ids[2].unwrap());
    assert!(first != second && ids[1].is_none(), "{ids:?}");
    assert_eq!(first.to_string().parse(), Ok(first));
    // They stay, and asking makes no topic.
    assert_eq!(world.broker.topic_ids(&[&one, &nowhere, &other], PATIENCE).unwrap(), ids);
    assert_eq!(world.broker.partitions(&nowhere, PATIENCE).unwrap(), None);
    assert_eq!(world.broker.topic_ids(&[], PATIENCE).unwrap(), []);
}

pub fn they_are_listed_while_they_are_there(setup: &dyn Setup) {
    let world = World::new(setup.broker(), "listed");
    let (one, three) = (world.topic("one", 1), world.topic("three", 3));
    // What a log keeps of groups and transactions is its own business.
    let mut member = world.member("m", &[&one]);
    settle(&mut [&mut member], "the member has all", |held| held[0] == [0]);
    let mut producer = world.transactions("p");
    producer.begin().unwrap();
    producer.send(record(&one, 0, "k", "v")).unwrap();
    let committed = Committed {
        offset: 0,
        metadata: String::new(),
    };
    let offsets = [(TopicPartition::new(one.as_str(), 0), committed)];
    producer.commit(&offsets, &member.group.membership().unwrap()).unwrap();

    let listed = || world.broker.topics(PATIENCE).unwrap();
    let known = listed();
    assert_eq!((known.get(&one), known.get(&three)), (Some(&1), Some(&3)));
    assert_eq!(known.keys().find(|name| name.starts_with("__")), None);
    world.broker.add_partitions(&three, 5, PATIENCE).unwrap();
    setup.delete_topic(&one);
    let started = Instant::now();
    while listed().contains_key(&one) || listed().get(&three) != Some(&5) {
        assert!(started.elapsed() < PATIENCE, "{:?}", listed());
        std::thread::sleep(Duration::from_millis(20));
    }
}
