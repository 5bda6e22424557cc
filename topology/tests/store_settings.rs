//! Stores with a changelog of other settings, and without one.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, CleanupPolicy, InProcessBroker, TopicSpec};
use topology::dsl::{Builder, Materialized};
use topology::store::{Backends, Batch, ChangelogSettings, KeyValue, MemoryBackends, RocksBackends, RocksSettings, Versioned};
use topology::testing::TestDriver;
use topology::{Context, EngineError, EngineSettings, ProcessError, Processor, Record, Topic, TopicSettings, Topology};

const NUMBERS: Topic<i64, i64> = Topic::new("numbers");
const SUMS: Topic<i64, i64> = Topic::new("sums");
const KEPT: KeyValue<i64, i64> = KeyValue::new("kept");
const PASSING: KeyValue<i64, i64> = KeyValue::new("passing").without_changelog();
const HISTORY: Versioned<i64, i64> = Versioned::new("history", Duration::from_secs(3_600)).without_changelog();

/// Adds each number to the sum of its key in both stores, and forwards the sum of the one without a changelog.
struct Add;

impl Processor for Add {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    // Not in the order of the task's stores, where those without a changelog come last.
    type Stores = (Versioned<i64, i64>, KeyValue<i64, i64>, KeyValue<i64, i64>);

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        let (history, passing, kept) = &mut cx.stores;
        let (key, at_ms) = (record.key, record.timestamp_ms);
        history.put(&key, Some(record.value), at_ms)?;
        let sum = kept.get(&key)?.unwrap_or(0) + record.value;
        kept.put(key, sum);
        let sum = passing.get(&key)?.unwrap_or(0) + record.value;
        passing.put(key, sum);
        cx.out.forward(key, sum);
        Ok(())
    }
}

fn sums(passing: KeyValue<i64, i64>) -> Topology {
    let b = Builder::new("stores");
    b.stream(NUMBERS).process("add", (HISTORY, passing, KEPT), || Add).to(SUMS);
    b.build().unwrap()
}

fn settings(threads: usize) -> EngineSettings {
    EngineSettings {
        partitions: 2,
        threads,
        ..EngineSettings::default()
    }
}

fn changelog_of(store: &str) -> String {
    format!("stores-{store}-changelog")
}

fn has(log: &InProcessBroker, store: &str) -> bool {
    log.partitions(&changelog_of(store), Duration::ZERO).unwrap().is_some()
}

fn disks() -> Vec<(Arc<dyn Backends>, Option<tempfile::TempDir>)> {
    let folder = tempfile::tempdir().unwrap();
    let rocks = RocksBackends::new(folder.path(), RocksSettings::default());
    vec![(Arc::new(MemoryBackends::default()), None), (Arc::new(rocks), Some(folder))]
}

#[test]
fn a_store_without_a_changelog_is_empty_after_each_opening_and_never_what_it_was_before() {
    for (disk, _folder) in disks() {
        for cleanly in [true, false] {
            disk.wipe("stores/numbers/0").unwrap();
            let mut driver = TestDriver::with(sums(PASSING), settings(1), disk.clone()).unwrap();
            (1..=9).for_each(|key| driver.send(NUMBERS, key, &key, Some(&key)));
            // It is written, so that a folder has what is to be forgotten.
            driver.advance_wall_clock(Duration::from_secs(2));
            (1..=9).for_each(|key| driver.send(NUMBERS, 10 + key, &key, Some(&key)));
            let doubled: Vec<_> = (1..=9).map(|key| (key, 2 * key)).collect();
            assert_eq!(driver.view(PASSING), doubled);
            assert_eq!(driver.view(HISTORY.versions()).len(), 18);
            match cleanly {
                true => driver.restart().unwrap(),
                false => driver.crash().unwrap(),
            }
            assert_eq!((driver.view(PASSING), driver.view(KEPT)), (Vec::new(), doubled));
            assert_eq!(driver.view(HISTORY.versions()), []);
            driver.drain(SUMS);
            driver.send(NUMBERS, 30, &4, Some(&5));
            assert_eq!(driver.drain(SUMS)[0].value, Some(5));
            assert_eq!(driver.view(PASSING), [(4, 5)]);
            assert!(!has(driver.broker(), "passing") && !has(driver.broker(), "history") && has(driver.broker(), "kept"));
            let emptied = driver.metrics().gather().into_iter();
            let emptied = emptied.filter(|family| family.name() == "test_stores_emptied_total");
            let emptied: f64 = emptied.map(|family| family.get_metric()[0].get_counter().get_value()).sum();
            assert_eq!(emptied, 4.0, "two stores of two tasks");
        }
    }
}

/// A folder that is left behind has what the task had there; when the task comes back, it has seen more elsewhere.
#[test]
fn a_task_that_comes_back_finds_nothing_of_what_it_left() {
    let mut driver = TestDriver::with(sums(PASSING), settings(2), Arc::new(MemoryBackends::default())).unwrap();
    (0..2).for_each(|worker| driver.give_disk(worker, Arc::new(MemoryBackends::default())));
    driver.restart().unwrap();
    driver.take_down(1, true);
    driver.settle();
    (1..=9).for_each(|key| driver.send(NUMBERS, key, &key, Some(&1)));
    driver.advance_wall_clock(Duration::from_secs(2));
    driver.revive(1).unwrap();
    driver.take_down(0, true);
    driver.settle();
    assert_eq!(driver.view(PASSING), []);
    (1..=9).for_each(|key| driver.send(NUMBERS, 10 + key, &key, Some(&10)));
    driver.advance_wall_clock(Duration::from_secs(2));
    driver.revive(0).unwrap();
    driver.take_down(1, true);
    driver.settle();
    assert_eq!(driver.view(PASSING), []);
    (1..=9).for_each(|key| driver.send(NUMBERS, 20 + key, &key, Some(&100)));
    assert_eq!(driver.view(PASSING), (1..=9).map(|key| (key, 100)).collect::<Vec<_>>());
    assert_eq!(driver.view(KEPT), (1..=9).map(|key| (key, 111)).collect::<Vec<_>>());
}

#[test]
fn what_is_undone_or_dropped_leaves_it_as_it_was() {
    struct Refuse;
    impl Processor for Refuse {
        type KeyIn = i64;
        type In = i64;
        type KeyOut = i64;
        type Out = i64;
        type Stores = KeyValue<i64, i64>;
        fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
            cx.stores.put(record.key, record.value);
            match record.value {
                13 => Err(ProcessError::Record("thirteen".to_owned())),
                _ => Ok(()),
            }
        }
    }
    let b = Builder::new("stores");
    b.stream(NUMBERS).process("refuse", PASSING, || Refuse);
    let mut driver = TestDriver::new(b.build().unwrap()).unwrap();
    driver.send(NUMBERS, 0, &1, Some(&12));
    driver.send(NUMBERS, 1, &1, Some(&13));
    assert_eq!(driver.view(PASSING), [(1, 12)]);
}

/// What a changelog had is lost without it, and would be there again, long out of date, if it came back.
#[test]
fn a_changelog_that_is_given_up_must_be_deleted_and_one_that_comes_back_begins_anew() {
    for (disk, _folder) in disks() {
        let mut driver = TestDriver::with(sums(KeyValue::new("passing")), settings(1), disk).unwrap();
        driver.send(NUMBERS, 0, &1, Some(&1));
        driver.advance_wall_clock(Duration::from_secs(2));
        let refused = driver.deploy(sums(PASSING)).unwrap_err().to_string();
        assert!(refused.contains(&changelog_of("passing")), "{refused}");
        driver.broker().delete_topic(&changelog_of("passing"));
        driver.deploy(sums(PASSING)).unwrap();
        assert_eq!(driver.view(PASSING), []);
        driver.send(NUMBERS, 1, &2, Some(&20));
        driver.advance_wall_clock(Duration::from_secs(2));
        driver.deploy(sums(KeyValue::new("passing"))).unwrap();
        assert_eq!(driver.view(PASSING), [], "its changelog has nothing of it");
        driver.send(NUMBERS, 2, &3, Some(&30));
        driver.crash().unwrap();
        assert_eq!(driver.view(PASSING), [(3, 30)]);
    }
}

#[test]
fn the_topology_says_which_stores_have_no_changelog() {
    let text = sums(PASSING).to_string();
    assert!(text.contains("Store: passing (changelog: none)"), "{text}");
    assert!(text.contains("Store: kept (changelog: stores-kept-changelog)"), "{text}");
}

#[test]
fn a_family_is_cleared_and_no_other() {
    for (disk, _folder) in disks() {
        let backend = disk.open("t/0", &["a", "b"]).unwrap();
        let mut batch = Batch::default();
        for number in 0..25_000_u32 {
            batch.set(0, &number.to_be_bytes(), Some(b"v"));
        }
        batch.set(0, &[255; 40], Some(b"v"));
        batch.set(1, b"k", Some(b"v"));
        backend.write(&batch).unwrap();
        for _ in 0..2 {
            backend.clear(0).unwrap();
            assert!(backend.range(0, &[], None).next().is_none());
            assert_eq!(backend.get(0, &[255; 40]).unwrap(), None);
            assert_eq!(backend.range(1, &[], None).count(), 1);
        }
        let mut batch = Batch::default();
        batch.set(0, &7_u32.to_be_bytes(), Some(b"again"));
        backend.write(&batch).unwrap();
        assert_eq!(backend.range(0, &[], None).count(), 1);
    }
}

/// A changelog as it would have to be.
fn changelog(store: &str, settings: &[(&str, &str)]) -> TopicSpec {
    TopicSpec {
        name: changelog_of(store),
        partitions: 2,
        accept_existing: false,
        cleanup: CleanupPolicy::Compact,
        settings: TopicSettings::new(settings.iter().copied()).unwrap(),
    }
}

#[test]
fn a_changelog_has_its_stores_settings_before_those_of_all() {
    const TUNED: KeyValue<i64, i64> = KeyValue::new("tuned").with_changelog(&[("segment.bytes", "2000000")]);
    let b = Builder::new("stores");
    let numbers = b.stream(NUMBERS);
    numbers.process("add", (HISTORY, TUNED, KEPT), || Add);
    let counts = numbers.group_by_key();
    counts.count(Materialized::named("counts").with_changelog([("segment.ms", 5_000)]));
    counts.count(Materialized::versioned("since", Duration::from_secs(1)).with_changelog([("segment.ms", 6_000)]));
    let settings = EngineSettings {
        topics: TopicSettings::new([("segment.bytes", 1_000_000)]).unwrap(),
        ..settings(1)
    };
    let driver = TestDriver::with(b.build().unwrap(), settings, Arc::new(MemoryBackends::default())).unwrap();
    let specs = [
        changelog("tuned", &[("segment.bytes", "2000000")]),
        changelog("kept", &[("segment.bytes", "1000000")]),
        changelog("counts", &[("segment.bytes", "1000000"), ("segment.ms", "5000")]),
        changelog("since", &[("segment.bytes", "1000000"), ("segment.ms", "6000")]),
    ];
    driver.broker().ensure_topics(&specs, Duration::ZERO).unwrap();
}

#[test]
fn what_a_changelog_cannot_have_is_refused_when_the_topology_is_built() {
    let built = |store: KeyValue<i64, i64>| {
        let b = Builder::new("stores");
        b.stream(NUMBERS).process("add", (HISTORY, store, KEPT), || Add);
        match b.build() {
            Err(EngineError::Topology(reason)) => reason,
            _ => panic!("it was built"),
        }
    };
    const WRONG: [(ChangelogSettings, &str); 3] = [
        (&[("segment.byte", "1")], "segment.byte"),
        (&[("segment.ms", "soon")], "whole number"),
        (&[("cleanup.policy", "compact,delete")], "cleanup policy"),
    ];
    for (settings, said) in WRONG {
        let reason = built(KeyValue::new("s").with_changelog(settings));
        assert!(reason.contains("store s") && reason.contains(said), "{reason}");
    }
    let public = KeyValue::backed_by("s", SUMS).with_changelog(&[("segment.ms", "5")]);
    assert!(built(public).contains("sums"));
    let none = KeyValue::new("s").with_changelog(&[("segment.ms", "5")]).without_changelog();
    assert!(built(none).contains("none"));
}
