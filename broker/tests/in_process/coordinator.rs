//! Commits that are lost, late, repeated, or slow to be seen.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker::in_process::{CommitFault, Epochs, Limits};
use broker::{BrokerError, Committed, InProcessBroker, Membership, TopicPartition};

use super::conformance::world::{Member, World, record, settle, write};
use super::on_hand_moved_clock;

const EPOCHS: [Epochs; 2] = [Epochs::PerProducer, Epochs::Kip890];

pub fn fenced<T: std::fmt::Debug>(result: Result<T, BrokerError>) -> String {
    match result {
        Err(BrokerError::Fenced(why)) => why,
        other => panic!("not fenced: {other:?}"),
    }
}

pub fn unavailable<T: std::fmt::Debug>(result: Result<T, BrokerError>) {
    assert!(matches!(result, Err(BrokerError::Unavailable(_))), "{result:?}");
}

/// A log, a topic of one partition on it, and a group that has it.
pub struct Scene {
    pub broker: InProcessBroker,
    pub world: World,
    pub topic: String,
    pub member: Member,
}

impl Scene {
    pub fn with(epochs: Epochs) -> Self {
        let limits = Limits {
            epochs,
            ..Limits::default()
        };
        Self::on(InProcessBroker::with(limits, Arc::new(|| Duration::ZERO)))
    }

    pub fn on(broker: InProcessBroker) -> Self {
        let world = World::new(Arc::new(broker.clone()), "coordinator");
        let topic = world.topic("t", 1);
        let mut member = world.member("m", &[&topic]);
        settle(&mut [&mut member], "the member has all", |held| held[0] == [0]);
        Self {
            broker,
            world,
            topic,
            member,
        }
    }

    pub fn place(&self) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), 0)
    }

    pub fn offsets(&self, offset: i64) -> [(TopicPartition, Committed); 1] {
        let metadata = String::new();
        [(self.place(), Committed { offset, metadata })]
    }

    pub fn fail_next(&self, fault: CommitFault) {
        self.broker.transaction_faults().next_commit(&self.world.name("p"), fault);
    }

    fn deliver(&self) -> Vec<Result<(), BrokerError>> {
        self.broker.transaction_faults().deliver(&self.world.name("p"))
    }

    /// The offset that the group has committed, without waiting.
    pub fn committed(&mut self) -> Result<Option<i64>, BrokerError> {
        let place = self.place();
        let mut found = self.member.group.committed(&[place], Duration::ZERO)?;
        Ok(found.remove(0).map(|committed| committed.offset))
    }

    /// All that can be read.
    pub fn values(&self) -> Vec<String> {
        let mut reading = self.world.reader_of(&[(&self.topic, 1)]);
        reading.reader.poll(1_000, Duration::ZERO, &mut reading.polled).unwrap();
        reading.values()
    }
}

#[test]
fn a_late_commit_is_refused_after_a_newer_producer() {
    for epochs in EPOCHS {
        let mut scene = Scene::with(epochs);
        let mut producer = scene.world.transactions("p");
        producer.begin().unwrap();
        producer.send(record(&scene.topic, 0, "k", "doubtful")).unwrap();
        scene.fail_next(CommitFault::Late);
        let membership = scene.member.group.membership().unwrap();
        unavailable(producer.commit(&scene.offsets(7), &membership));
        unavailable(scene.committed());
        assert!(producer.begin().is_err(), "after an error a producer is of no more use");
        drop(producer);
        assert_eq!(scene.broker.open_transactions(), 1, "a crash ends nothing");

        let mut newer = scene.world.transactions("p");
        assert_eq!((scene.broker.open_transactions(), scene.committed().unwrap()), (0, None));
        newer.begin().unwrap();
        newer.send(record(&scene.topic, 0, "k", "next")).unwrap();
        newer.service().unwrap();
        let answers = scene.deliver();
        assert!(
            matches!(answers[..], [Err(BrokerError::Fenced(_))]),
            "{epochs:?}: {answers:?}"
        );
        assert_eq!((scene.values(), scene.committed().unwrap()), (Vec::new(), None));
        newer.commit(&[], &Membership::NoGroup).unwrap();
        assert_eq!(scene.values(), ["next"]);
    }
}

#[test]
fn a_late_commit_that_nobody_forestalls_takes_effect() {
    for epochs in EPOCHS {
        let mut scene = Scene::with(epochs);
        let mut producer = scene.world.transactions("p");
        producer.begin().unwrap();
        producer.send(record(&scene.topic, 0, "k", "late")).unwrap();
        scene.fail_next(CommitFault::Late);
        let membership = scene.member.group.membership().unwrap();
        unavailable(producer.commit(&scene.offsets(7), &membership));
        drop(producer);
        assert_eq!(scene.values(), Vec::<String>::new());
        assert!(matches!(scene.deliver()[..], [Ok(())]), "{epochs:?}");
        assert_eq!(scene.deliver().len(), 0, "it is delivered once");
        // So who makes a new producer first, and asks then, has an answer that stays.
        drop(scene.world.transactions("p"));
        assert_eq!(
            (scene.values(), scene.committed().unwrap()),
            (vec!["late".to_owned()], Some(7))
        );
    }
}

#[test]
fn a_repeated_commit_ends_the_next_transaction_unless_the_epoch_has_risen() {
    for epochs in EPOCHS {
        let scene = Scene::with(epochs);
        let mut producer = scene.world.transactions("p");
        scene.fail_next(CommitFault::Repeated);
        write(producer.as_mut(), &[record(&scene.topic, 0, "k", "first")]);
        producer.begin().unwrap();
        producer.send(record(&scene.topic, 0, "k", "half")).unwrap();
        producer.service().unwrap();
        let answers = scene.deliver();
        producer.send(record(&scene.topic, 0, "k", "other half")).unwrap();
        let committed = producer.commit(&[], &Membership::NoGroup);
        match epochs {
            Epochs::PerProducer => {
                assert!(matches!(answers[..], [Ok(())]), "{answers:?}");
                let why = fenced(committed);
                assert!(why.contains("has ended the transaction"), "{why}");
                assert_eq!(scene.values(), ["first", "half"], "torn, which no client can prevent");
            }
            Epochs::Kip890 => {
                assert!(matches!(answers[..], [Err(BrokerError::Fenced(_))]), "{answers:?}");
                committed.unwrap();
                assert_eq!(scene.values(), ["first", "half", "other half"]);
            }
        }
    }
}

#[test]
fn a_commit_whose_answer_is_lost_holds_under_a_newer_producer() {
    for epochs in EPOCHS {
        let mut scene = Scene::with(epochs);
        let mut producer = scene.world.transactions("p");
        for (offset, value) in [(1, "one"), (2, "two")] {
            producer.begin().unwrap();
            producer.send(record(&scene.topic, 0, "k", value)).unwrap();
            scene.fail_next(CommitFault::AnswerLost);
            let membership = scene.member.group.membership().unwrap();
            unavailable(producer.commit(&scene.offsets(offset), &membership));
            producer = scene.world.transactions("p");
            assert_eq!(scene.committed().unwrap(), Some(offset));
        }
        assert_eq!(scene.values(), ["one", "two"]);
    }
}

/// What a commit has returned from is not yet what can be read.
#[test]
fn a_commit_is_seen_when_its_markers_are_written() {
    for next in ["markers", "transaction", "producer", "time-out"] {
        let (broker, now_ms) = on_hand_moved_clock(Limits::default());
        let mut scene = Scene::on(broker);
        let mut producer = scene.world.transactions("p");
        let mut reading = scene.world.reader_of(&[(&scene.topic, 1)]);
        reading.until_ends();
        producer.begin().unwrap();
        producer.send(record(&scene.topic, 0, "k", "one")).unwrap();
        scene.fail_next(CommitFault::MarkersLate);
        let membership = scene.member.group.membership().unwrap();
        let written = producer.commit(&scene.offsets(1), &membership).unwrap();
        assert_eq!(written, [(scene.place(), 0)]);
        unavailable(scene.committed());
        assert_eq!(reading.reader.bounds(&scene.place(), Duration::ZERO).unwrap(), (0, 0));
        reading.reader.poll(10, Duration::ZERO, &mut reading.polled).unwrap();
        assert_eq!((reading.values(), reading.polled.ends.len()), (Vec::new(), 1));
        match next {
            "markers" => scene.broker.transaction_faults().write_markers(&scene.world.name("p")),
            "transaction" => drop(write(producer.as_mut(), &[record(&scene.topic, 0, "k", "two")])),
            "producer" => drop(scene.world.transactions("p")),
            _ => drop(now_ms.fetch_add(15_001, Ordering::SeqCst)),
        }
        assert_eq!(scene.committed().unwrap(), Some(1), "{next}");
        assert!(scene.values().contains(&"one".to_owned()), "{next}");
        if next != "producer" {
            write(producer.as_mut(), &[record(&scene.topic, 0, "k", "after")]);
        }
        reading.until_ends();
    }
}

/// Seen on Kafka 4.3, where a broker that is alone had hung: what was aborted is there after all.
#[test]
fn where_a_marker_is_lost_the_ids_next_transaction_decides() {
    let mut scene = Scene::with(Epochs::default());
    let mut crashed = scene.world.transactions("p");
    crashed.begin().unwrap();
    crashed.send(record(&scene.topic, 0, "k", "aborted")).unwrap();
    scene.fail_next(CommitFault::Lost);
    let membership = scene.member.group.membership().unwrap();
    unavailable(crashed.commit(&scene.offsets(1), &membership));
    scene.broker.transaction_faults().lose_markers(&scene.world.name("p"));
    let mut successor = scene.world.transactions("p");
    assert_eq!((scene.broker.open_transactions(), scene.committed().unwrap()), (0, None));
    let mut other = scene.world.transactions("other");
    write(other.as_mut(), &[record(&scene.topic, 0, "k", "behind")]);
    assert_eq!(
        scene.values(),
        Vec::<String>::new(),
        "for all that the coordinator knows, nothing is open"
    );
    write(successor.as_mut(), &[record(&scene.topic, 0, "k", "next")]);
    assert_eq!(scene.values(), ["aborted", "behind", "next"]);
    assert_eq!(scene.committed().unwrap(), None);
}

#[test]
fn records_go_to_the_log_in_bounded_batches_and_with_a_crash() {
    let scene = Scene::with(Epochs::default());
    let mut producer = scene.world.transactions("p");
    producer.begin().unwrap();
    assert_eq!(scene.broker.open_transactions(), 0, "nothing is known of it yet");
    for _ in 0..10_000 {
        producer.send(record(&scene.topic, 0, "k", "v")).unwrap();
    }
    assert_eq!(scene.broker.open_transactions(), 1);
    let mut crashing = scene.world.transactions("crashing");
    crashing.begin().unwrap();
    crashing.send(record(&scene.topic, 0, "k", "lost")).unwrap();
    drop(crashing);
    assert_eq!(scene.broker.open_transactions(), 2, "what was sent is in the log");
    let written = producer.commit(&[], &Membership::NoGroup).unwrap();
    assert_eq!(written, [(scene.place(), 10_000)], "the other one's record lies within");
    drop(scene.world.transactions("crashing"));
    assert_eq!(scene.values().len(), 1_000, "as many as are asked for");
}
