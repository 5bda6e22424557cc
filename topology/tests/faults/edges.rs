//! What the walk has shown, one thing at a time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, TopicPartition};
use topology::EngineSettings;
use topology::store::{Backends, MemoryBackends};
use topology::testing::TestDriver;

use super::books::{BY_KEY, CHANGELOGS, COUNT, Change, Deed, INPUT, LAST, SEEN, TICK, TICKS, TOTAL, books};
use super::walk::expire_offsets;
use testkit::broker::{Call, Faults, FaultyBroker};
use testkit::disk::{Act, DiskFaults, FaultyDisk, VolatileDisk};

struct Edge {
    driver: TestDriver,
    faults: Arc<Faults>,
    disk: DiskFaults,
    sent: i64,
}

impl Edge {
    /// Workers that keep their state apart; the first comes first.
    fn new(workers: usize, partitions: u32, ticking: bool) -> Self {
        let (faults, disk) = (Arc::new(Faults::default()), DiskFaults::new());
        let settings = EngineSettings {
            threads: workers,
            partitions,
            repartition_in_memory: false,
            ..EngineSettings::default()
        };
        let wrapped = faults.clone();
        let through = |broker| -> Arc<dyn Broker> { Arc::new(FaultyBroker(broker, wrapped)) };
        let first = Arc::new(MemoryBackends::default());
        let mut driver = TestDriver::through(books(ticking), settings, first, through).unwrap();
        (0..workers).for_each(|worker| driver.take_down(worker, true));
        for worker in 0..workers {
            let own: Arc<dyn Backends> = Arc::new(VolatileDisk::default());
            driver.give_disk(worker, Arc::new(FaultyDisk(own, disk.clone())));
            driver.revive(worker).unwrap();
            driver.settle();
        }
        Self {
            driver,
            faults,
            disk,
            sent: 0,
        }
    }

    /// Queues a record that counts 1.
    fn queue(&mut self, key: i64, deed: Deed) -> Change {
        self.sent += 1;
        let change = Change {
            number: self.sent,
            key,
            amount: 1,
            deed,
        };
        self.driver.queue(INPUT, 1_000, &key, Some(&change.value()));
        change
    }

    fn send(&mut self, key: i64, deed: Deed) {
        self.queue(key, deed);
        self.driver.settle();
    }

    /// Turns of all workers, while time passes: for what need not come to rest.
    fn go_on(&mut self, workers: usize) {
        for _ in 0..40 {
            (0..workers).for_each(|worker| self.driver.turns(worker, 5));
            self.driver.pass_time(Duration::from_millis(300));
        }
    }

    fn total(&self) -> i64 {
        self.driver.view(TOTAL).into_iter().map(|(_, total)| total).sum()
    }

    fn dead(&mut self) -> usize {
        self.driver.drain_bytes("walk-dead-letters").len()
    }

    fn reasons(&self) -> String {
        self.driver.queries().readiness().reasons.join("; ")
    }
}

#[test]
fn a_restore_that_fails_half_way_goes_on_where_it_was() {
    let mut edge = Edge::new(1, 1, false);
    (0..20).for_each(|key| edge.send(key, Deed::Put));
    edge.driver.take_down(0, true);
    let empty: Arc<dyn Backends> = Arc::new(VolatileDisk::default());
    edge.driver.give_disk(0, Arc::new(FaultyDisk(empty, edge.disk.clone())));
    edge.disk.fail(Act::Restore);
    edge.driver.revive(0).unwrap();
    edge.go_on(1);
    assert_eq!((edge.total(), edge.driver.view(LAST).len()), (20, 20), "{}", edge.reasons());
    assert!(edge.driver.queries().readiness().ready, "{}", edge.reasons());
}

#[test]
fn offsets_that_expired_are_no_reason_to_count_twice() {
    let mut edge = Edge::new(1, 1, false);
    (0..5).for_each(|key| edge.send(key, Deed::Put));
    edge.driver.take_down(0, true);
    expire_offsets(&edge.faults, &edge.driver);
    edge.driver.revive(0).unwrap();
    edge.go_on(1);
    // Processed again, they would be refused by the processor.
    assert_eq!((edge.total(), edge.dead()), (5, 0), "{}", edge.reasons());
    assert!(edge.reasons().contains("no offset for input-0"), "{}", edge.reasons());
    edge.faults.forgotten.lock().clear();
    (5..10).for_each(|key| edge.send(key, Deed::Put));
    assert_eq!((edge.total(), edge.dead()), (10, 0), "{}", edge.reasons());
}

#[test]
fn a_zombies_timers_count_for_nothing() {
    let mut edge = Edge::new(2, 1, true);
    let owner = edge.owner(2);
    edge.faults.deaf.lock().insert(format!("walk-0-{owner}"));
    edge.driver.expire_session(owner);
    edge.driver.turns(1 - owner, 20);
    edge.driver.pass_time(TICK);
    edge.driver.turns(owner, 5);
    edge.driver.turns(1 - owner, 5);
    edge.faults.deaf.lock().clear();
    edge.driver.settle();
    let said = edge.driver.drain(SEEN).into_iter().filter(|record| record.key >= TICKS);
    let said: Vec<i64> = said.filter_map(|record| record.value).collect();
    let counted = edge.driver.view(COUNT).into_iter().find(|(key, _)| *key == TICKS);
    let calls = said.len() as i64;
    assert_eq!(said, (1..=calls).collect::<Vec<_>>(), "each call once");
    assert_eq!(counted, Some((TICKS, calls)));
}

#[test]
fn what_was_deleted_while_a_task_was_elsewhere_does_not_come_back() {
    let mut edge = Edge::new(2, 1, false);
    edge.driver.take_down(1, true);
    edge.driver.settle();
    edge.send(1, Deed::Put);
    edge.driver.advance_wall_clock(Duration::from_secs(3));
    edge.driver.take_down(0, true);
    edge.driver.revive(1).unwrap();
    edge.send(1, Deed::Delete);
    for _ in 0..2 {
        CHANGELOGS.iter().for_each(|topic| edge.driver.broker().compact(topic));
        edge.driver.advance_wall_clock(Duration::from_secs(25 * 3_600));
    }
    edge.driver.take_down(1, true);
    edge.driver.revive(0).unwrap();
    edge.driver.settle();
    assert_eq!(edge.driver.view(LAST), []);
    assert_eq!(edge.total(), 2);
}

#[test]
fn a_panic_is_the_records_fault() {
    let mut edge = Edge::new(1, 1, false);
    for deed in [Deed::Put, Deed::Panic, Deed::Put] {
        edge.send(1, deed);
    }
    assert_eq!((edge.total(), edge.dead()), (2, 1));
}

#[test]
fn a_record_that_the_broker_refuses_is_a_dead_letter() {
    let mut edge = Edge::new(1, 1, false);
    edge.send(1, Deed::Put);
    let change = edge.queue(1, Deed::TooLarge);
    edge.faults.refuse(SEEN.name(), &change.value().to_be_bytes());
    edge.queue(1, Deed::Put);
    edge.go_on(1);
    assert_eq!((edge.total(), edge.dead()), (2, 1), "{}", edge.reasons());
}

#[test]
fn an_input_whose_records_are_gone_stops_no_other() {
    let mut edge = Edge::new(1, 2, false);
    (0..10).for_each(|key| edge.send(key, Deed::Put));
    edge.driver.take_down(0, true);
    let key_in = |partition| {
        (0..10)
            .find(|key: &i64| broker::partition_for_key(&key.to_be_bytes(), 2) == partition)
            .unwrap()
    };
    for partition in [0, 1] {
        edge.queue(key_in(partition), Deed::Put);
    }
    // What is queued there is gone before it was read.
    let gone = TopicPartition::new(INPUT.name(), 0);
    let broker = edge.driver.broker().clone();
    broker.delete_records(&[(gone, i64::MAX)], Duration::ZERO).unwrap();
    edge.driver.revive(0).unwrap();
    edge.go_on(1);
    assert_eq!(edge.total(), 11, "{}", edge.reasons());
    assert!(edge.reasons().contains("input-0"), "{}", edge.reasons());
}

#[test]
fn an_offset_that_is_pending_holds_up_no_other_task() {
    let mut edge = Edge::new(1, 2, false);
    (0..7).for_each(|key| edge.send(key, Deed::Put));
    edge.driver.take_down(0, true);
    edge.faults.pending.lock().insert(TopicPartition::new(BY_KEY.name(), 1));
    edge.driver.revive(0).unwrap();
    for key in 0..7 {
        edge.queue(key, Deed::Put);
    }
    edge.go_on(1);
    let counted = edge.driver.view(COUNT).into_iter().filter(|(_, count)| *count == 2).count();
    assert!((1..7).contains(&counted), "{counted} of 7 groups: {}", edge.reasons());
    edge.faults.pending.lock().clear();
    edge.go_on(1);
    assert_eq!(edge.total(), 14, "{}", edge.reasons());
}

#[test]
fn an_assignment_that_fails_half_way_is_made_again() {
    for (call, after) in [
        (Call::Assign, 0),
        (Call::Assign, 1),
        (Call::Assign, 2),
        (Call::Assign, 3),
        (Call::Unassign, 0),
    ] {
        let mut edge = Edge::new(1, 1, false);
        edge.send(1, Deed::Put);
        edge.driver.take_down(0, true);
        edge.faults.fail(call, after);
        edge.driver.revive(0).unwrap();
        edge.queue(1, Deed::Put);
        edge.go_on(1);
        assert_eq!(edge.total(), 2, "{call:?} after {after}: {}", edge.reasons());
    }
}

#[test]
fn an_input_that_cannot_be_let_go_is_read_on() {
    let mut edge = Edge::new(1, 1, false);
    edge.send(1, Deed::Put);
    // After a fault, the inputs are read again from their committed offsets.
    edge.faults.fail(Call::Commit, 0);
    edge.faults.fail(Call::Unassign, 0);
    edge.queue(1, Deed::Put);
    edge.go_on(1);
    assert_eq!(edge.total(), 2, "{}", edge.reasons());
}

#[test]
fn a_zombie_takes_nothing_off_the_queries() {
    let mut edge = Edge::new(2, 1, false);
    let owner = edge.owner(2);
    edge.faults.deaf.lock().insert(format!("walk-0-{owner}"));
    edge.driver.expire_session(owner);
    edge.driver.turns(1 - owner, 20);
    edge.queue(1, Deed::Put);
    edge.driver.turns(1 - owner, 20);
    // After a fault, it starts again where the group stands.
    edge.faults.fail(Call::Poll, 0);
    edge.driver.turns(owner, 1);
    edge.driver.pass_time(Duration::from_millis(300));
    edge.driver.turns(owner, 20);
    edge.faults.deaf.lock().clear();
    edge.driver.settle();
    assert_eq!(edge.total(), edge.sent, "{}", edge.reasons());
    let answer = edge.driver.queries().get(TOTAL, &1).unwrap();
    assert_eq!(answer.value, Some(edge.sent));
}

#[test]
fn an_assignment_that_is_heard_of_too_late_takes_nothing_off_the_queries() {
    let mut edge = Edge::new(2, 2, false);
    (0..8).for_each(|key| edge.send(key, Deed::Put));
    edge.driver.take_down(1, true);
    edge.driver.settle();
    edge.driver.revive(1).unwrap();
    // It is given a group, does not get that done, and is told of it once more after the other has it again.
    edge.driver.turns(0, 5);
    edge.faults.fail(Call::Complete, 0);
    edge.driver.turns(1, 1);
    edge.driver.expire_session(1);
    let place = TopicPartition::new(BY_KEY.name(), 1);
    edge.faults.pending.lock().insert(place);
    edge.driver.turns(0, 5);
    edge.driver.turns(1, 2);
    edge.driver.take_down(1, true);
    edge.faults.pending.lock().clear();
    for _ in 0..3 {
        edge.driver.pass_time(Duration::from_millis(300));
        edge.driver.turns(0, 5);
    }
    let found: Vec<_> = (0..8).filter_map(|key| edge.driver.queries().get(LAST, &key).ok()).collect();
    assert_eq!(found.len(), 8, "{}", edge.reasons());
}

impl Edge {
    /// The worker that has the task.
    fn owner(&mut self, workers: usize) -> usize {
        let mut owners = BTreeSet::new();
        for worker in 0..workers {
            // Whoever is alone with its turns and gets a record through.
            let before = self.total();
            self.queue(1, Deed::Put);
            self.driver.turns(worker, 20);
            if self.total() > before {
                owners.insert(worker);
            }
            self.driver.settle();
        }
        assert_eq!(owners.len(), 1, "one worker has the task");
        owners.into_iter().next().unwrap()
    }
}
