//! The conformance suite on the log in memory, and what only that one offers.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod conformance;
#[path = "in_process/coordinator.rs"]
mod coordinator;
#[path = "in_process/expiry.rs"]
mod expiry;
#[path = "in_process/list.rs"]
mod list;
#[path = "in_process/members.rs"]
mod members;
#[path = "in_process/model.rs"]
mod model;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker::in_process::{CommitFault, Limits};
use broker::{
    Broker, BrokerError, CleanupPolicy, Committed, InProcessBroker, Membership, Outgoing, Rebalance, Start, TopicPartition,
    TopicSpec, TransactionalProducer,
};
use conformance::world::{PATIENCE, Reading, Setup, World, record, settle, sizes, text, write};

conformance!(Arc::new(InProcessBroker::new()), &Hands::new());

/// What the suite needs beside the port.
struct Hands {
    broker: InProcessBroker,
    now_ms: Arc<AtomicU64>,
}

impl Hands {
    fn new() -> Self {
        let (broker, now_ms) = on_hand_moved_clock(Limits::default());
        Self { broker, now_ms }
    }
}

impl Setup for Hands {
    fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(self.broker.clone())
    }

    fn impatient(&self) -> Arc<dyn Broker> {
        self.broker()
    }

    fn pass_time(&self) {
        self.now_ms.fetch_add(15_001, Ordering::SeqCst);
        self.broker.tick();
    }

    fn delete_topic(&self, topic: &str) {
        assert!(self.broker.delete_topic(topic));
    }

    fn abandon_offsets(&self, id: &str, offsets: &[(TopicPartition, Committed)], membership: &Membership) {
        let mut producer = self.broker.transactional_producer(id, PATIENCE).unwrap();
        producer.begin().unwrap();
        self.commit_without_an_answer(id, producer, offsets, membership, false);
    }

    fn commit_without_an_answer(
        &self,
        id: &str,
        mut producer: Box<dyn TransactionalProducer>,
        offsets: &[(TopicPartition, Committed)],
        membership: &Membership,
        took_effect: bool,
    ) {
        let fault = if took_effect {
            CommitFault::AnswerLost
        } else {
            CommitFault::Lost
        };
        self.broker.transaction_faults().next_commit(id, fault);
        let error = producer.commit(offsets, membership).unwrap_err();
        assert!(matches!(error, BrokerError::Unavailable(_)), "{error:?}");
    }
}

/// A broker whose clock a test moves, in milliseconds.
fn on_hand_moved_clock(limits: Limits) -> (InProcessBroker, Arc<AtomicU64>) {
    let now_ms = Arc::new(AtomicU64::new(0));
    let clock = now_ms.clone();
    let broker = InProcessBroker::with(limits, Arc::new(move || Duration::from_millis(clock.load(Ordering::SeqCst))));
    (broker, now_ms)
}

fn spec(world: &World, cleanup: CleanupPolicy) -> TopicSpec {
    let spec = TopicSpec {
        cleanup,
        ..world.spec("t", 1)
    };
    world
        .broker
        .ensure_topics(std::slice::from_ref(&spec), Duration::ZERO)
        .unwrap();
    spec
}

fn keys_and_values(reading: &Reading) -> Vec<String> {
    reading
        .polled
        .messages
        .iter()
        .map(|message| format!("{}={}", text(&message.key), text(&message.value)))
        .collect()
}

#[test]
fn a_member_that_dies_gives_its_partitions_away_when_its_session_ends() {
    let (broker, now_ms) = on_hand_moved_clock(Limits::default());
    let world = World::new(Arc::new(broker.clone()), "expiry");
    let tasks = world.topic("tasks", 4);
    let (mut first, mut second) = (world.member("first", &[&tasks]), world.member("second", &[&tasks]));
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
fn an_expired_member_is_told_refused_and_let_in_again() {
    let broker = InProcessBroker::new();
    let world = World::new(Arc::new(broker.clone()), "expired");
    let tasks = world.topic("tasks", 2);
    let place = TopicPartition::new(tasks.as_str(), 0);
    let offsets = [(
        place,
        Committed {
            offset: 1,
            metadata: String::new(),
        },
    )];
    let (mut first, mut second) = (world.member("first", &[&tasks]), world.member("second", &[&tasks]));
    settle(&mut [&mut first, &mut second], "one each", |held| sizes(held) == [1, 1]);
    let last = first.group.membership().unwrap();
    assert_eq!(broker.expire_member(&world.name("group"), "first"), 1);
    while second.held().len() < 2 {
        second.step(Duration::ZERO);
    }
    let fenced = |result: Result<(), BrokerError>| assert!(matches!(result, Err(BrokerError::Fenced(_))), "{result:?}");
    fenced(first.group.membership().map(drop));
    fenced(first.group.commit(&offsets));
    let mut producer = world.transactions("p");
    producer.begin().unwrap();
    fenced(producer.commit(&offsets, &last).map(drop));

    first.steps.clear();
    first.step(Duration::ZERO);
    assert!(
        matches!(&first.steps[..], [Rebalance::Lost(lost)] if lost.len() == 1),
        "{:?}",
        first.steps
    );
    settle(&mut [&mut first, &mut second], "one each again", |held| sizes(held) == [1, 1]);
    first.group.commit(&offsets).unwrap();
}

#[test]
fn a_waiting_member_wakes_when_another_joins() {
    let world = World::new(Arc::new(InProcessBroker::new()), "wake");
    let tasks = world.topic("tasks", 2);
    let mut first = world.member("first", &[&tasks]);
    settle(&mut [&mut first], "all", |held| held[0].len() == 2);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            first.step(Duration::from_secs(60));
            first
        });
        let _second = world.member("second", &[&tasks]);
        assert_eq!(waiting.join().unwrap().held().len(), 1);
    });
}

#[test]
fn a_reader_behind_the_retention_is_told() {
    let limits = Limits {
        records_per_partition: 10,
        ..Limits::default()
    };
    let world = World::new(
        Arc::new(InProcessBroker::with(limits, Arc::new(|| Duration::ZERO))),
        "retention",
    );
    let topic = spec(&world, CleanupPolicy::Delete(None)).name;
    let mut slow = world.reader_of(&[(&topic, 1)]);
    let mut producer = world.broker.producer("p").unwrap();
    producer.send_all(&vec![record(&topic, 0, "k", "v"); 25]).unwrap();
    let place = TopicPartition::new(topic.as_str(), 0);
    let error = slow.reader.poll(100, Duration::ZERO, &mut slow.polled).unwrap_err();
    assert!(
        matches!(&error, BrokerError::OffsetOutOfRange { partition, offset: 0 } if *partition == place),
        "{error:?}"
    );
    assert_eq!(slow.reader.bounds(&place, Duration::ZERO).unwrap(), (15, 25));
    let slot = slow.slots[0].0;
    slow.unassign(slot);
    slow.assign(&topic, 0, Start::Earliest);
    slow.until_ends();
    let offsets: Vec<_> = slow.polled.messages.iter().map(|message| message.offset).collect();
    assert_eq!(offsets, (15..25).collect::<Vec<_>>());
}

#[test]
fn old_records_go_by_age() {
    let (broker, now_ms) = on_hand_moved_clock(Limits::default());
    let world = World::new(Arc::new(broker.clone()), "age");
    let topic = spec(&world, CleanupPolicy::Delete(Some(Duration::from_secs(60)))).name;
    let mut producer = world.broker.producer("p").unwrap();
    for (at_ms, value) in [(0, "old"), (50_000, "new")] {
        now_ms.store(at_ms, Ordering::SeqCst);
        producer.send_all(&[record(&topic, 0, "k", value)]).unwrap();
    }
    now_ms.store(60_001, Ordering::SeqCst);
    broker.tick();
    let mut reading = world.reader_of(&[(&topic, 1)]);
    reading.until_ends();
    assert_eq!(reading.values(), ["new"]);
}

#[test]
fn what_is_compacted_goes_by_age_too_where_the_policy_says_so() {
    let limits = Limits {
        records_per_partition: 3,
        ..Limits::default()
    };
    let (broker, now_ms) = on_hand_moved_clock(limits);
    let world = World::new(Arc::new(broker.clone()), "both");
    let topic = spec(&world, CleanupPolicy::CompactAndDelete(Duration::from_secs(60))).name;
    let mut producer = world.broker.producer("p").unwrap();
    for (at_ms, key) in [(0, "old"), (1, "again"), (50_000, "again"), (50_001, "a"), (50_002, "b")] {
        now_ms.store(at_ms, Ordering::SeqCst);
        producer.send_all(&[record(&topic, 0, key, "v")]).unwrap();
    }
    let keys = |expected: &[&str]| {
        broker.tick();
        broker.compact(&topic);
        let mut reading = world.reader_of(&[(&topic, 1)]);
        reading.until_ends();
        assert_eq!(keys_and_values(&reading), expected);
    };
    // Nothing goes by number, as what is kept is the newest of each key.
    keys(&["old=v", "again=v", "a=v", "b=v"]);
    now_ms.store(60_001, Ordering::SeqCst);
    keys(&["again=v", "a=v", "b=v"]);
    now_ms.store(110_002, Ordering::SeqCst);
    keys(&["b=v"]);
}

#[test]
fn compaction_keeps_the_newest_of_each_key() {
    let limits = Limits {
        compact_at_least: 100,
        ..Limits::default()
    };
    let broker = InProcessBroker::with(limits, Arc::new(|| Duration::ZERO));
    let world = World::new(Arc::new(broker.clone()), "compaction");
    let topic = spec(&world, CleanupPolicy::Compact).name;
    let mut producer = world.transactions("p");
    for i in 0..10_000_u32 {
        let (key, value) = ((i % 7).to_string(), i.to_string());
        write(producer.as_mut(), &[record(&topic, 0, &key, &value)]);
    }
    let mut all = world.reader_of(&[(&topic, 1)]);
    all.until_ends();
    assert!(
        all.polled.messages.len() < 200,
        "the log stays near what is alive: {}",
        all.polled.messages.len()
    );

    let tombstone = Outgoing {
        value: None,
        ..record(&topic, 0, "3", "")
    };
    write(producer.as_mut(), &[tombstone]);
    let expected = |tombstone: &[&str]| {
        // The newest of each key but 3.
        let alive = [9_996, 9_997, 9_998, 9_993, 9_994, 9_995].map(|i: u32| format!("{}={i}", i % 7));
        let mut all: Vec<String> = alive
            .into_iter()
            .chain(tombstone.iter().map(|key| (*key).to_owned()))
            .collect();
        all.sort();
        all
    };
    for kept in [&["3=∅"][..], &[]] {
        broker.compact(&topic);
        let mut reading = world.reader_of(&[(&topic, 1)]);
        reading.until_ends();
        let mut left = keys_and_values(&reading);
        left.sort();
        assert_eq!(left, expected(kept), "a tombstone outlives one pass");
    }
}

#[test]
fn a_compacted_topic_wants_keys() {
    let world = World::new(Arc::new(InProcessBroker::new()), "keys");
    let topic = spec(&world, CleanupPolicy::Compact).name;
    let keyless = Outgoing {
        key: None,
        ..record(&topic, 0, "", "v")
    };
    let refused = world.broker.producer("p").unwrap().send_all(&[keyless]);
    assert!(matches!(refused, Err(BrokerError::Refused(_))), "{refused:?}");
}
