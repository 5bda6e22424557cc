use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::{
    Broker, BrokerError, Membership, Message, Outgoing, Polled, Replay, Start, TopicPartition, partition_for_key, partitions_of,
};

use super::world::{PATIENCE, World, record, text, write};

pub fn records_come_back_whole(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "whole");
    let topic = world.topic("t", 1);
    let headers: [(&str, Option<&[u8]>); 4] = [
        ("trace", Some(b"17")),
        ("empty", Some(b"")),
        ("none", None),
        ("trace", Some(b"18")),
    ];
    let full = Outgoing {
        headers: &headers,
        timestamp_ms: 1_234_567_890_123,
        ..record(&topic, 0, "key", "value")
    };
    let tombstone = Outgoing {
        value: None,
        ..record(&topic, 0, "key", "")
    };
    let empty = record(&topic, 0, "", "");
    write(world.transactions("p").as_mut(), &[full, tombstone, empty]);
    let mut reading = world.reader_of(&[(&topic, 1)]);
    reading.until_count(3);
    let [full, tombstone, empty] = &reading.polled.messages[..] else {
        panic!("three records")
    };
    assert_eq!(
        (text(&full.key), text(&full.value), full.timestamp_ms),
        ("key".into(), "value".into(), 1_234_567_890_123)
    );
    let got: Vec<_> = full
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .collect();
    assert_eq!(got, headers);
    assert_eq!((tombstone.value.clone(), tombstone.headers.len()), (None, 0));
    assert_eq!(
        (text(&empty.key), text(&empty.value)),
        (String::new(), String::new()),
        "empty is not null"
    );
    assert_eq!([full, tombstone, empty].map(|message| message.offset), [0, 1, 2]);
}

pub fn keys_go_where_java_puts_them(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "placed");
    let topic = world.topic("t", 5);
    let keys: Vec<_> = (0..200_i64).map(|id| (id * 7_919).to_be_bytes()).collect();
    let records: Vec<_> = keys
        .iter()
        .map(|key| Outgoing {
            partition: None,
            key: Some(key),
            ..record(&topic, 0, "", "v")
        })
        .collect();
    write(world.transactions("p").as_mut(), &records);
    world.broker.producer("placed").unwrap().send_all(&records).unwrap();
    let mut reading = world.reader_of(&[(&topic, 5)]);
    reading.until_count(400);
    for message in &reading.polled.messages {
        assert_eq!(
            message.slot,
            partition_for_key(message.key.as_ref().unwrap(), 5),
            "slots were given in partition order"
        );
    }
}

pub fn latest_means_from_now_on(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "latest");
    let topic = world.topic("t", 1);
    let mut producer = world.transactions("p");
    write(producer.as_mut(), &[record(&topic, 0, "k", "before")]);
    world.reader_of(&[(&topic, 1)]).until_count(1);
    let mut reading = world.reader();
    reading.assign(&topic, 0, Start::Latest);
    write(producer.as_mut(), &[record(&topic, 0, "k", "after")]);
    reading.until_ends();
    assert_eq!(reading.values(), ["after"]);
}

pub fn ends_lie_behind_aborted_records(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "ends");
    let topic = world.topic("t", 2);
    let mut reading = world.reader_of(&[(&topic, 2)]);
    reading.until_ends();
    assert_eq!(reading.polled.ends.len(), 2, "an empty partition has an end");
    write(world.transactions("p").as_mut(), &[record(&topic, 0, "k", "kept")]);
    let mut lost = world.transactions("p");
    lost.begin().unwrap();
    for partition in [0, 1] {
        lost.send(record(&topic, partition, "k", "lost")).unwrap();
    }
    lost.service().unwrap();
    // So that the records have reached the log before they are aborted.
    reading.glance();
    drop(lost);
    drop(world.transactions("p"));
    reading.until_ends();
    assert_eq!(reading.values(), ["kept"]);
    let end = reading
        .reader
        .bounds(&TopicPartition::new(topic.as_str(), 0), PATIENCE)
        .unwrap()
        .1;
    assert!(end >= 2, "the marker takes an offset");
}

/// A task that moves restores its state up to an end: it must find what its former owner's last commit wrote.
pub fn an_end_hides_nothing_that_was_committed(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "hides");
    let topic = world.topic("t", 1);
    let mut producer = world.transactions("p");
    let mut from = 0;
    for round in 0..20 {
        let value = round.to_string();
        let written = write(producer.as_mut(), &[record(&topic, 0, "k", &value)]);
        let mut fresh = world.reader();
        fresh.assign(&topic, 0, Start::At(from));
        fresh.until("an end", |polled| !polled.ends.is_empty());
        assert_eq!(fresh.values(), [value], "the first end after a commit");
        assert!(fresh.polled.ends[0].1 > written[0].1);
        from = fresh.polled.ends[0].1;
    }
}

pub fn a_replay_shows_each_record_once_and_what_is_added(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "replay");
    let (topic, other, empty) = (world.topic("t", 2), world.topic("other", 1), world.topic("empty", 1));
    let mut producer = world.transactions("p");
    write(
        producer.as_mut(),
        &[
            record(&topic, 0, "k", "a"),
            record(&topic, 1, "k", "b"),
            record(&other, 0, "k", "c"),
        ],
    );
    let absent = partitions_of(&*world.broker, "there-is-no-such-topic", PATIENCE).unwrap();
    let partitions = [&topic, &other, &empty].map(|topic| partitions_of(&*world.broker, topic, PATIENCE).unwrap());
    assert_eq!((absent.len(), partitions.each_ref().map(Vec::len)), (0, [2, 1, 1]));
    let mut replay = Replay::of(&*world.broker, "replay", &partitions.concat()).unwrap();
    let mut shown = Vec::new();
    let mut show = |of: &TopicPartition, message: Message| {
        shown.push((of.clone(), text(&message.value)));
        Ok::<_, BrokerError>(())
    };
    replay.to_the_end(PATIENCE, &mut show).unwrap();
    write(producer.as_mut(), &[record(&empty, 0, "k", "d")]);
    let started = Instant::now();
    while shown.len() < 4 && started.elapsed() < PATIENCE {
        let mut show = |of: &TopicPartition, message: Message| {
            shown.push((of.clone(), text(&message.value)));
            Ok::<_, BrokerError>(())
        };
        replay.follow(&mut show).unwrap();
    }
    shown.sort();
    let expected = [(&empty, 0, "d"), (&other, 0, "c"), (&topic, 0, "a"), (&topic, 1, "b")];
    let mut expected =
        expected.map(|(topic, partition, value)| (TopicPartition::new(topic.as_str(), partition), value.to_owned()));
    expected.sort();
    assert_eq!(shown, expected);
}

pub fn an_end_is_told_again_after_more(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "again");
    let topic = world.topic("t", 1);
    let mut producer = world.transactions("p");
    let mut reading = world.reader_of(&[(&topic, 1)]);
    for round in 1..=3 {
        write(producer.as_mut(), &[record(&topic, 0, "k", "v")]);
        let started = Instant::now();
        reading.until_count(round);
        reading.until_ends();
        println!("the end was reported after {:?}", started.elapsed());
    }
    let mut ends: Vec<_> = reading.polled.ends.iter().map(|(_, end)| *end).collect();
    let told = ends.len();
    ends.dedup();
    assert_eq!(ends.len(), told, "each end once");
    assert!(ends.is_sorted(), "{ends:?}");
    reading.glance();
    assert_eq!(reading.polled.ends.len(), told, "each end once");
}

pub fn an_offset_beyond_the_end_is_an_error(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "range");
    let (topic, fine, quiet) = (world.topic("t", 1), world.topic("fine", 1), world.topic("quiet", 1));
    let mut producer = world.transactions("p");
    write(producer.as_mut(), &[record(&topic, 0, "k", "v")]);
    write(producer.as_mut(), &[record(&fine, 0, "k", "fine")]);
    let mut reading = world.reader();
    let empty = reading.assign(&quiet, 0, Start::Earliest);
    let bad = reading.assign(&topic, 0, Start::At(1_000));
    reading.assign(&fine, 0, Start::At(0));
    let started = Instant::now();
    let error = loop {
        assert!(started.elapsed() < PATIENCE, "no error came");
        let appended = |polled: &broker::Polled| (polled.messages.len(), polled.ends.len());
        let before = appended(&reading.polled);
        if let Err(error) = reading.reader.poll(100, Duration::from_millis(100), &mut reading.polled) {
            assert_eq!(appended(&reading.polled), before, "with an error nothing is appended");
            break error;
        }
    };
    let place = TopicPartition::new(topic.as_str(), 0);
    assert!(
        matches!(&error, BrokerError::OffsetOutOfRange { partition, offset: 1_000 } if *partition == place),
        "{error:?}"
    );
    reading.until_count(1);
    reading.unassign(bad);
    reading.assign(&topic, 0, Start::Earliest);
    reading.until_count(2);
    assert_eq!(reading.values(), ["fine", "v"], "the others go on, and so does the slot");
    reading.until("the end of an empty partition", |polled| {
        polled.ends.iter().any(|(slot, _)| *slot == empty)
    });
}

/// Fills both partitions of a topic with `count` records each, whose values are their partition and number.
fn fill(world: &World, topic: &str, count: usize) {
    let values: Vec<_> = (0..count)
        .flat_map(|i| [(0, format!("0:{i}")), (1, format!("1:{i}"))])
        .collect();
    let records: Vec<_> = values
        .iter()
        .map(|(partition, value)| record(topic, *partition, "k", value))
        .collect();
    write(world.transactions("fill").as_mut(), &records);
}

pub fn nothing_comes_after_an_unassign(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "unassign");
    let topic = world.topic("t", 2);
    fill(&world, &topic, 5_000);
    let mut reading = world.reader();
    let (first, _) = (
        reading.assign(&topic, 0, Start::Earliest),
        reading.assign(&topic, 1, Start::Earliest),
    );
    let mut few = Polled::default();
    while few.messages.iter().all(|message| message.slot != first) {
        reading.reader.poll(10, Duration::from_millis(100), &mut few).unwrap();
    }
    reading.unassign(first);
    let before = few.messages.len();
    reading.polled = few;
    reading.until("partition 1", |polled| {
        polled
            .messages
            .iter()
            .any(|message| message.value.as_deref() == Some(b"1:4999"))
    });
    reading.glance();
    assert!(reading.polled.messages[before..].iter().all(|message| message.slot != first));
    let of_second = reading.polled.messages.iter().filter(|message| message.slot != first).count();
    assert_eq!(of_second, 5_000, "the other went on");
}

pub fn a_slot_is_free_for_reuse(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "reuse");
    let topic = world.topic("t", 2);
    fill(&world, &topic, 2_000);
    let mut reading = world.reader();
    for round in 0..20_u32 {
        let (partition, start) = (round % 2, i64::from(round) * 10);
        // Every third round takes the same partition again, at another offset.
        let partition = if round % 3 == 0 { 0 } else { partition };
        let slot = reading.assign(&topic, partition, Start::At(start));
        assert_eq!(slot, 0, "the slot is used again");
        reading.polled = Polled::default();
        reading.until("ten records", |polled| polled.messages.len() >= 10);
        for (i, message) in reading.polled.messages.iter().enumerate() {
            let number = start + i as i64;
            assert_eq!(
                (message.offset, text(&message.value)),
                (number, format!("{partition}:{number}")),
                "round {round}"
            );
        }
        reading.unassign(slot);
    }
}

pub fn a_paused_slot_is_silent_and_loses_nothing(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "pause");
    let topic = world.topic("t", 2);
    fill(&world, &topic, 3_000);
    let mut reading = world.reader();
    let paused = reading.assign(&topic, 0, Start::Earliest);
    let other = reading.assign(&topic, 1, Start::Earliest);
    reading.until_count(10);
    reading.reader.pause(paused).unwrap();
    let before = reading.of_slot(paused).len();
    reading.until("the other slot", |polled| {
        polled.messages.iter().filter(|message| message.slot == other).count() == 3_000
    });
    reading.glance();
    assert_eq!(reading.of_slot(paused).len(), before, "a paused slot is silent");
    reading.reader.resume(paused).unwrap();
    reading.until_ends();
    let offsets: Vec<_> = reading.of_slot(paused).iter().map(|message| message.offset).collect();
    assert_eq!(offsets, (0..3_000).collect::<Vec<_>>(), "nothing lost, nothing twice");
}

pub fn a_pause_at_the_end_loses_nothing(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "pause-end");
    let topic = world.topic("t", 1);
    let mut producer = world.broker.producer("p").unwrap();
    let mut reading = world.reader_of(&[(&topic, 1)]);
    for round in 0..5_usize {
        producer.send_all(&[record(&topic, 0, "k", &round.to_string())]).unwrap();
        reading.until_count(round + 1);
        reading.until_ends();
        reading.glance();
        reading.reader.pause(0).unwrap();
        reading.reader.pause(0).unwrap();
        reading.reader.resume(0).unwrap();
    }
    let offsets: Vec<_> = reading.polled.messages.iter().map(|message| message.offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4]);
}

pub fn bounds_stop_at_an_open_transaction(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "bounds");
    let topic = world.topic("t", 1);
    let place = TopicPartition::new(topic.as_str(), 0);
    let mut producer = world.transactions("p");
    write(producer.as_mut(), &[record(&topic, 0, "k", "v")]);
    let mut reading = world.reader_of(&[(&topic, 1)]);
    reading.until_count(1);
    assert_eq!(
        reading.reader.bounds(&place, PATIENCE).unwrap(),
        (0, 2),
        "one record and its marker"
    );
    producer.begin().unwrap();
    producer.send(record(&topic, 0, "k", "open")).unwrap();
    producer.service().unwrap();
    reading.glance();
    assert_eq!(
        reading.reader.bounds(&place, PATIENCE).unwrap(),
        (0, 2),
        "an open transaction is not stable"
    );
    producer.commit(&[], &Membership::NoGroup).unwrap();
    reading.until_count(2);
    assert_eq!(reading.reader.bounds(&place, PATIENCE).unwrap(), (0, 4));
}

/// A time from which the tests count.
const NOON: i64 = 1_700_000_000_000;

/// A record so many milliseconds after it.
fn at<'a>(topic: &'a str, after_ms: i64, value: &'a str) -> Outgoing<'a> {
    Outgoing {
        timestamp_ms: NOON + after_ms,
        ..record(topic, 0, "k", value)
    }
}

pub fn a_time_has_the_first_offset_that_is_no_older(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "times");
    let topic = world.topic("t", 2);
    let mut producer = world.broker.producer("p").unwrap();
    // Times need not rise, neither in a batch nor from one to the next.
    producer.send_all(&[at(&topic, 10, "a"), at(&topic, 30, "b")]).unwrap();
    producer.send_all(&[at(&topic, 20, "c"), at(&topic, 40, "d")]).unwrap();
    let mut reader = world.broker.reader("times").unwrap();
    let mut found = |partition, time| {
        let place = TopicPartition::new(topic.as_str(), partition);
        reader.offset_for_time(&place, time, PATIENCE).unwrap()
    };
    let expected = [(-1, Some(0)), (10, Some(0)), (11, Some(1)), (20, Some(1)), (30, Some(1))];
    for (after_ms, offset) in expected.into_iter().chain([(31, Some(3)), (40, Some(3)), (41, None)]) {
        assert_eq!(found(0, NOON + after_ms), offset, "{after_ms}");
    }
    // Before the epoch, where Kafka's protocol has names for the start and the end.
    for time in [0, -1, -2, i64::MIN] {
        assert_eq!(found(0, time), Some(0), "{time}");
        assert_eq!(found(1, time), None, "an empty partition has no record of any time");
    }
    // What was deleted is no answer.
    let place = TopicPartition::new(topic.as_str(), 0);
    world.broker.delete_records(&[(place, 2)], PATIENCE).unwrap();
    assert_eq!((found(0, NOON), found(0, NOON + 25)), (Some(2), Some(3)));

    for nowhere in [
        TopicPartition::new(topic.as_str(), 2),
        TopicPartition::new(world.name("nowhere"), 0),
    ] {
        let error = reader.offset_for_time(&nowhere, NOON, Duration::from_secs(5)).unwrap_err();
        assert!(matches!(&error, BrokerError::Topic { .. }), "{nowhere}: {error}");
        assert_eq!(world.broker.partitions(&world.name("nowhere"), PATIENCE).unwrap(), None);
    }
}

pub fn a_time_is_found_among_what_is_committed(broker: Arc<dyn Broker>) {
    let world = World::new(broker, "times-committed");
    let topic = world.topic("t", 1);
    let place = TopicPartition::new(topic.as_str(), 0);
    let hour_ms = 3_600_000;
    // What was aborted is passed over, though it may be what is found.
    let mut aborted = world.transactions("p");
    aborted.begin().unwrap();
    aborted.send(at(&topic, hour_ms, "aborted")).unwrap();
    drop(aborted);
    let mut producer = world.transactions("p");
    write(
        producer.as_mut(),
        &[at(&topic, hour_ms - 1, "before"), at(&topic, hour_ms, "first")],
    );
    write(producer.as_mut(), &[at(&topic, hour_ms + 1, "second")]);
    world.reader_of(&[(&topic, 1)]).until_count(3);
    let mut reading = world.reader();
    let found = reading.reader.offset_for_time(&place, NOON + hour_ms, PATIENCE).unwrap();
    reading.assign(&topic, 0, Start::At(found.expect("there are two")));
    reading.until_ends();
    let values = reading.values();
    assert!(values.ends_with(&["first".to_owned(), "second".to_owned()]), "{values:?}");
    assert!(!values.contains(&"aborted".to_owned()), "{values:?}");

    // An open transaction hides what is newer.
    let hidden = world.topic("hidden", 1);
    let place = TopicPartition::new(hidden.as_str(), 0);
    world
        .broker
        .producer("p")
        .unwrap()
        .send_all(&[at(&hidden, 0, "older")])
        .unwrap();
    producer.begin().unwrap();
    producer.send(at(&hidden, hour_ms, "open")).unwrap();
    producer.service().unwrap();
    let mut reading = world.reader_of(&[(&hidden, 1)]);
    reading.until_count(1);
    reading.glance();
    assert_eq!(
        reading.reader.offset_for_time(&place, NOON + hour_ms, PATIENCE).unwrap(),
        None
    );
    producer.commit(&[], &Membership::NoGroup).unwrap();
    reading.until_count(2);
    assert_eq!(
        reading.reader.offset_for_time(&place, NOON + hour_ms, PATIENCE).unwrap(),
        Some(1)
    );
}
