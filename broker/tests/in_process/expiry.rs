//! What time does: transactions that take too long, offsets and transactional ids that are not used.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use broker::in_process::{CommitFault, Limits};
use broker::{InProcessBroker, Membership};

use super::conformance::world::{record, write};
use super::coordinator::{Scene, fenced, unavailable};
use super::on_hand_moved_clock;

#[test]
fn a_transaction_times_out_by_the_brokers_clock() {
    let (broker, now_ms) = on_hand_moved_clock(Limits::default());
    let mut scene = Scene::on(broker);
    let mut producer = scene.world.transactions("p");
    producer.begin().unwrap();
    now_ms.store(5_000, Ordering::SeqCst);
    producer.send(record(&scene.topic, 0, "k", "lost")).unwrap();
    scene.fail_next(CommitFault::Lost);
    scene.member.step(Duration::ZERO);
    let membership = scene.member.group.membership().unwrap();
    unavailable(producer.commit(&scene.offsets(1), &membership));
    let mut other = scene.world.transactions("other");
    write(other.as_mut(), &[record(&scene.topic, 0, "k", "kept")]);
    now_ms.store(20_000, Ordering::SeqCst);
    unavailable(scene.committed());
    assert_eq!((scene.values(), scene.broker.open_transactions()), (Vec::new(), 1));
    // It began with its first record, not when the producer did.
    now_ms.store(20_001, Ordering::SeqCst);
    assert_eq!(scene.committed().unwrap(), None);
    assert_eq!(
        (scene.values(), scene.broker.open_transactions()),
        (vec!["kept".to_owned()], 0)
    );

    let mut slow = scene.world.transactions("slow");
    for next in ["service", "commit"] {
        slow.begin().unwrap();
        slow.send(record(&scene.topic, 0, "k", "lost")).unwrap();
        slow.service().unwrap();
        slow.send(record(&scene.topic, 0, "k", "lost, too")).unwrap();
        now_ms.fetch_add(15_001, Ordering::SeqCst);
        let why = match next {
            "service" => fenced(slow.service()),
            _ => fenced(slow.commit(&[], &Membership::NoGroup)),
        };
        assert!(why.contains("has timed out"), "{why}");
        slow = scene.world.transactions("slow");
    }
    assert_eq!(scene.values(), ["kept"]);
}

#[test]
fn who_waits_behind_an_open_transaction_is_woken_by_its_time_out() {
    let started = std::time::Instant::now();
    let limits = Limits {
        transaction_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let broker = InProcessBroker::with(limits, Arc::new(move || started.elapsed()));
    let mut scene = Scene::on(broker);
    let mut producer = scene.world.transactions("p");
    let mut reading = scene.world.reader_of(&[(&scene.topic, 1)]);
    reading.until_ends();
    let patience = Duration::from_secs(600);
    for round in 1..=2 {
        producer.begin().unwrap();
        producer.send(record(&scene.topic, 0, "k", "lost")).unwrap();
        scene.fail_next(CommitFault::Lost);
        let membership = scene.member.group.membership().unwrap();
        assert!(producer.commit(&scene.offsets(1), &membership).is_err());
        // Nobody calls `tick`.
        if round == 1 {
            reading.reader.poll(10, patience, &mut reading.polled).unwrap();
            assert_eq!(reading.polled.ends.last(), Some(&(0, 2)));
        } else {
            let place = scene.place();
            assert_eq!(scene.member.group.committed(&[place], patience).unwrap(), [None]);
        }
        producer = scene.world.transactions("p");
    }
}

#[test]
fn an_offset_that_is_not_committed_again_expires() {
    let limits = Limits {
        offsets_retention: Some(Duration::from_secs(7)),
        ..Limits::default()
    };
    let (broker, now_ms) = on_hand_moved_clock(limits);
    let mut scene = Scene::on(broker);
    for at_ms in [0, 6_000] {
        now_ms.store(at_ms, Ordering::SeqCst);
        scene.member.step(Duration::ZERO);
        scene.member.group.commit(&scene.offsets(5)).unwrap();
    }
    now_ms.store(12_999, Ordering::SeqCst);
    assert_eq!(scene.committed().unwrap(), Some(5));
    now_ms.store(13_000, Ordering::SeqCst);
    assert_eq!(scene.committed().unwrap(), None);
    scene.member.step(Duration::ZERO);
    scene.member.group.commit(&scene.offsets(6)).unwrap();
    assert_eq!(scene.broker.expire_offsets(&scene.world.name("group")), 1);
    assert_eq!(scene.committed().unwrap(), None);
    assert_eq!(scene.broker.expire_offsets("no such group"), 0);
}

#[test]
fn a_transactional_id_that_is_not_used_expires() {
    let limits = Limits {
        transactional_id_expiration: Some(Duration::from_secs(7)),
        ..Limits::default()
    };
    let (broker, now_ms) = on_hand_moved_clock(limits);
    let scene = Scene::on(broker);
    let mut producer = scene.world.transactions("p");
    for at_ms in [0, 6_999] {
        now_ms.store(at_ms, Ordering::SeqCst);
        write(producer.as_mut(), &[record(&scene.topic, 0, "k", "kept")]);
    }
    now_ms.store(13_999, Ordering::SeqCst);
    let why = fenced(producer.begin());
    assert!(why.contains("has expired"), "{why}");
    // One that holds a transaction open does not expire, and neither does it by hand.
    let mut again = scene.world.transactions("p");
    again.begin().unwrap();
    again.send(record(&scene.topic, 0, "k", "open")).unwrap();
    again.service().unwrap();
    let id = scene.world.name("p");
    assert!(!scene.broker.expire_transactional_id(&id));
    again.commit(&[], &Membership::NoGroup).unwrap();
    again.begin().unwrap();
    again.send(record(&scene.topic, 0, "k", "lost")).unwrap();
    assert!(scene.broker.expire_transactional_id(&id));
    // A fresh one has the same first epoch, and is another all the same.
    let mut fresh = scene.world.transactions("p");
    fenced(again.commit(&[], &Membership::NoGroup));
    write(fresh.as_mut(), &[record(&scene.topic, 0, "k", "after")]);
    assert_eq!(scene.values(), ["after", "kept", "kept", "open"]);
}
