//! Exactly once under faults: commits that fail before or after they took effect, crashes, restarts, lost state.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod books;
mod edges;
mod full_disk;
mod order;
#[cfg(feature = "planted")]
mod planted;
mod read_ahead;
mod walk;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use topology::dsl::Builder;
use topology::store::{Backend, Backends, KeyValue, MemoryBackends, RocksBackends, RocksSettings};
use topology::testing::TestDriver;
use topology::*;
use wire::Topic;

use testkit::broker::{Faults, FaultyBroker};
use walk::Struck;

const INPUT: Topic<i64, i64> = Topic::new("input");
const BY_KEY: Topic<i64, i64> = Topic::new("by-key");
const TOTALS: Topic<i64, i64> = Topic::new("totals");
const SEEN: Topic<i64, i64> = Topic::new("seen");
const TOTAL: KeyValue<i64, i64> = KeyValue::backed_by("total", TOTALS);
const COUNT: KeyValue<i64, i64> = KeyValue::new("count");

/// The offset of the record before.
struct Sum(RecordOffset);

impl Processor for Sum {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = (KeyValue<i64, i64>, KeyValue<i64, i64>);

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        assert!(cx.at.offset > self.0, "offset {} after {}", cx.at.offset, self.0);
        self.0 = cx.at.offset;
        let count = cx.stores.1.get(&record.key)?.unwrap_or(0) + 1;
        cx.stores.1.put(record.key, count);
        if record.value == POISON {
            // After it has written: nothing of that may stay.
            return Err(ProcessError::Record("poison".to_owned()));
        }
        let total = cx.stores.0.get(&record.key)?.unwrap_or(0) + record.value;
        cx.stores.0.put(record.key, total);
        cx.out.forward(record.key, record.value);
        Ok(())
    }
}

const POISON: i64 = -1;
const WALKS: u64 = 150;

fn sums() -> Topology {
    let builder = Builder::new("faults");
    builder
        .stream(INPUT)
        .select_key(|key, _| key % 7)
        .repartition(BY_KEY)
        .process("sum", (TOTAL, COUNT), || Sum(RecordOffset::NONE))
        .to(SEEN);
    builder.build().unwrap()
}

/// How long a walk is; `STEPS` has it longer.
fn steps() -> usize {
    number("STEPS").map_or(300, |steps| steps as usize)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

/// `SEED` replays one, `SEEDS` runs so many; with `TRACE`, what the engine says is shown.
fn seeds(count: u64) -> std::ops::Range<u64> {
    if std::env::var("TRACE").is_ok() {
        let trace = tracing_subscriber::fmt().without_time().with_target(false).with_ansi(false);
        // Another test may have begun it.
        let _ = trace.with_max_level(tracing::Level::DEBUG).with_test_writer().try_init();
    }
    number("SEED").map_or(0..number("SEEDS").unwrap_or(count), |seed| seed..seed + 1)
}

#[test]
fn everything_counts_once_whatever_fails() {
    let mut struck = Struck::default();
    let seeds = seeds(WALKS);
    seeds.clone().for_each(|seed| struck.walk(seed, steps(), None));
    assert!(
        seeds.count() < 50 || struck.missing().is_empty(),
        "never failed: {}",
        struck.missing()
    );
}

#[test]
fn a_seed_always_walks_the_same_way() {
    for seed in seeds(10) {
        let (first, again) = (walk::print(seed, steps()), walk::print(seed, steps()));
        assert_eq!(first, again, "seed {seed}");
    }
}

#[test]
fn the_same_on_rocksdb() {
    for seed in seeds(3) {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(RocksBackends::new(folder.path(), RocksSettings::default()));
        Struck::default().walk(seed, steps(), Some(disk));
    }
}

#[test]
fn a_broken_pack_goes_to_the_dead_letters_from_its_break_on() {
    let settings = EngineSettings {
        partitions: 2,
        repartition_in_memory: false,
        ..EngineSettings::default()
    };
    let mut driver = TestDriver::with(sums(), settings, Arc::new(MemoryBackends::default())).unwrap();
    for value in [1, 2, 4] {
        driver.queue(INPUT, 1000, &7, Some(&value));
    }
    driver.settle();
    let packs = driver.drain_bytes(BY_KEY.name());
    let [pack] = packs.as_slice() else {
        panic!("three records of one key travel together, not {packs:?}")
    };
    let whole = pack.value.as_ref().unwrap();
    for broken in [&whole[..whole.len() - 1], b"no pack", b""] {
        driver.send_bytes(BY_KEY.name(), 1000, Some(&0i64.to_be_bytes()), Some(broken));
    }
    driver.send_bytes(BY_KEY.name(), 1000, Some(&0i64.to_be_bytes()), None);
    driver.send(INPUT, 1000, &7, Some(&8));
    assert_eq!(driver.view(TOTAL), [(0, 1 + 2 + 4 + 1 + 2 + 8)]);
    let dead: Vec<_> = driver
        .drain_bytes("faults-dead-letters")
        .into_iter()
        .map(|m| m.value)
        .collect();
    assert_eq!(dead.len(), 4);
    assert_eq!(dead[0].as_deref(), Some(&whole[..whole.len() - 1]));
}

/// A disk that does not open the state of partition 1 while this is set.
struct Refusing(MemoryBackends, Arc<AtomicBool>);

impl Backends for Refusing {
    fn open(&self, task: &str, families: &[&str]) -> Result<Arc<dyn Backend>, StoreError> {
        if self.1.load(Ordering::Relaxed) && task.ends_with("/1") {
            return Err(StoreError::Backend {
                store: task.to_owned(),
                reason: "the disk refuses".to_owned(),
            });
        }
        self.0.open(task, families)
    }
    fn wipe(&self, task: &str) -> Result<(), StoreError> {
        self.0.wipe(task)
    }
    fn tasks(&self) -> Result<Vec<String>, StoreError> {
        self.0.tasks()
    }
}

#[test]
fn a_disk_that_refuses_a_task_holds_up_no_other() {
    let refuses = Arc::new(AtomicBool::new(false));
    let settings = EngineSettings {
        partitions: 2,
        ..EngineSettings::default()
    };
    let disk = Arc::new(Refusing(MemoryBackends::default(), refuses.clone()));
    let mut driver = TestDriver::with(sums(), settings, disk).unwrap();
    driver.take_down(0, true);
    refuses.store(true, Ordering::Relaxed);
    driver.revive(0).unwrap();
    for key in 0..7 {
        driver.queue(INPUT, 1000, &key, Some(&1));
    }
    for _ in 0..20 {
        driver.turns(0, 5);
        driver.pass_time(Duration::from_millis(300));
    }
    let counted = driver.view(TOTAL).len();
    assert!(
        (1..7).contains(&counted),
        "{counted} of 7 keys while half of the state is refused"
    );
    let readiness = driver.queries().readiness();
    assert!(
        readiness.reasons.iter().any(|reason| reason.contains("the disk refuses")),
        "{readiness:?}"
    );
    assert!(!readiness.answers, "half of the state is not there");
    refuses.store(false, Ordering::Relaxed);
    driver.settle();
    assert_eq!(driver.view(TOTAL), (0..7).map(|key| (key, 1)).collect::<Vec<_>>());
    assert!(driver.queries().readiness().ready);
}

#[test]
fn a_changelog_whose_end_does_not_come_is_told_of() {
    let faults = Arc::new(Faults::default());
    let wrapped = faults.clone();
    let settings = EngineSettings {
        partitions: 1,
        ..EngineSettings::default()
    };
    let through = |broker| -> Arc<dyn broker::Broker> { Arc::new(FaultyBroker(broker, wrapped)) };
    let mut driver = TestDriver::through(sums(), settings, Arc::new(MemoryBackends::default()), through).unwrap();
    driver.send(INPUT, 1000, &1, Some(&1));
    driver.take_down(0, true);
    faults.hides_ends.store(true, Ordering::Relaxed);
    driver.revive(0).unwrap();
    let told = |driver: &TestDriver| driver.queries().readiness().reasons.join("; ");
    driver.turns(0, 10);
    driver.pass_time(Duration::from_secs(50));
    driver.turns(0, 1);
    assert!(!told(&driver).contains("hanging"), "{}", told(&driver));
    driver.pass_time(Duration::from_secs(11));
    driver.turns(0, 1);
    let reason = told(&driver);
    assert!(
        reason.contains("by-key/0") && reason.contains("offset 1 of totals-0: is a transaction hanging there?"),
        "{reason}"
    );
}
