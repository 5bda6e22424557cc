//! What is read ahead is what a look-up would have found, whatever fails: each record's output says what it saw. And a
//! changelog that is sent before its transactions end says the same as the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use topology::dsl::Builder;
use topology::store::{Backend, Backends, Batch, Entries, KeyValue, MemoryBackends, Stored};
use topology::testing::TestDriver;
use topology::*;
use wire::Topic;

use super::{POISON, seeds};
use testkit::broker::{Faults, FaultyBroker};

const CHANGES: Topic<i64, i64> = Topic::new("changes");
const MOVED: Topic<i64, i64> = Topic::new("moved");
const SAW: Topic<i64, i64> = Topic::new("saw");
const LAST: KeyValue<i64, i64> = KeyValue::new("last");
const CHANGELOG: Topic<i64, i64> = Topic::new("ahead-last-changelog");
const DELETE: i64 = -2;
const KEYS: i64 = 6_000;

/// Tells the value that a key had (0: none), and sets it.
struct Tell;

impl Processor for Tell {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = KeyValue<i64, i64>;
    const READ_AHEAD: Option<ReadAhead<Self>> = Some(|key, last| last.read_ahead(*key));

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        let last = cx.stores.get(&record.key)?.unwrap_or(0);
        if record.value == DELETE {
            cx.stores.delete(record.key);
        } else {
            cx.stores.put(record.key, record.value);
        }
        if record.value == POISON {
            return Err(ProcessError::Record("poison".to_owned()));
        }
        cx.out.forward(record.key, last);
        Ok(())
    }
}

/// Counts the keys that are looked up together.
struct Counting<B>(B, Arc<AtomicUsize>);

impl Backends for Counting<MemoryBackends> {
    fn open(&self, task: &str, families: &[&str]) -> Result<Arc<dyn Backend>, StoreError> {
        Ok(Arc::new(Counting(self.0.open(task, families)?, self.1.clone())))
    }
    fn wipe(&self, task: &str) -> Result<(), StoreError> {
        self.0.wipe(task)
    }
    fn tasks(&self) -> Result<Vec<String>, StoreError> {
        self.0.tasks()
    }
}

impl Backend for Counting<Arc<dyn Backend>> {
    fn get(&self, family: u16, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(family, key)
    }
    fn get_many(&self, family: u16, keys: &[&[u8]], visit: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StoreError> {
        assert!(keys.is_sorted_by(|a, b| a < b), "in order, each once");
        self.1.fetch_add(keys.len(), Ordering::Relaxed);
        self.0.get_many(family, keys, visit)
    }
    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        self.0.write(batch)
    }
    fn range(&self, family: u16, from: &[u8], to: Option<&[u8]>) -> Entries<'_> {
        self.0.range(family, from, to)
    }
    fn stored(&self) -> Result<Option<Stored>, StoreError> {
        self.0.stored()
    }
    fn size_bytes(&self, family: u16) -> u64 {
        self.0.size_bytes(family)
    }
}

fn check(seed: u64) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let builder = Builder::new("ahead");
    let changes = builder.stream(CHANGES);
    let is_moved = random.random_bool(0.7);
    if is_moved {
        let told = changes
            .select_key(|key, _| *key)
            .repartition(MOVED)
            .process("tell", LAST, || Tell);
        told.to(SAW);
    } else {
        changes.map_values(|_, value| *value).process("tell", LAST, || Tell).to(SAW);
    }
    let settings = EngineSettings {
        partitions: 2,
        poll_records_max: random.random_range(100..3_000),
        commit_records_max: random.random_range(100..3_000),
        buffered_records_max: random.random_range(1_000..3_000),
        repartition_in_memory: random.random_bool(0.5),
        ..EngineSettings::default()
    };
    let (together, faults) = (Arc::new(AtomicUsize::new(0)), Arc::new(Faults::default()));
    let backends = Arc::new(Counting(MemoryBackends::default(), together.clone()));
    let wrapped = faults.clone();
    let through = |broker| -> Arc<dyn broker::Broker> { Arc::new(FaultyBroker(broker, wrapped)) };
    let mut driver = TestDriver::through(builder.build().unwrap(), settings, backends, through).unwrap();
    faults.begin(!seed, random.random_range(0..10), random.random_range(0..10));

    let mut last: BTreeMap<i64, i64> = BTreeMap::new();
    let mut expected: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for step in 0..24 {
        for _ in 0..random.random_range(0..2_000) {
            let key = random.random_range(0..KEYS);
            let value = match random.random_range(0..40) {
                0 => POISON,
                1..4 => DELETE,
                _ => random.random_range(1..1_000_000),
            };
            driver.queue(CHANGES, 1000 + step, &key, Some(&value));
            if value == POISON {
                continue;
            }
            expected.entry(key).or_default().push(last.get(&key).copied().unwrap_or(0));
            match value {
                DELETE => drop(last.remove(&key)),
                value => drop(last.insert(key, value)),
            }
        }
        match random.random_range(0..6) {
            // Nothing lies in memory then.
            0 => driver.crash().unwrap(),
            1 | 2 => driver.restart().unwrap(),
            3 => driver.turns(0, random.random_range(1..10)),
            // Writes what is committed.
            4 => driver.advance_wall_clock(Duration::from_secs(2)),
            _ => driver.settle(),
        }
    }
    driver.settle();
    let mut saw: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for record in driver.drain(SAW) {
        saw.entry(record.key).or_default().push(record.value.unwrap());
    }
    let wrong = expected.iter().find(|(key, values)| saw.get(key) != Some(values));
    assert_eq!(
        wrong,
        None,
        "seed {seed}: key and what it saw, not {:?}",
        wrong.map(|(key, _)| saw.get(key))
    );
    assert_eq!(saw.len(), expected.len(), "seed {seed}");
    assert_eq!(driver.view(LAST).into_iter().collect::<BTreeMap<_, _>>(), last, "seed {seed}");
    let mut logged = BTreeMap::new();
    for record in driver.drain(CHANGELOG) {
        match record.value {
            Some(value) => drop(logged.insert(record.key, value)),
            None => drop(logged.remove(&record.key)),
        }
    }
    assert_eq!(logged, last, "seed {seed}: the changelog");
    together.load(Ordering::Relaxed)
}

#[test]
fn what_is_read_ahead_is_what_a_look_up_finds() {
    let together: usize = seeds(12).map(check).sum();
    assert!(together > 0, "nothing was read ahead");
}
