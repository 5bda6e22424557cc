//! The stores' own contract, on both backends: layers over a backend behave as one ordered map does.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow, RangeBounds as _};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use topology::store::{Backends, Batch, MemoryBackends, RocksBackends, RocksSettings, Stored};

/// Every backend's contract: batches are whole, ranges are ordered, what was written is there when it is opened again.
fn conforms(backends: &dyn Backends, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut model: BTreeMap<(u16, Vec<u8>), Vec<u8>> = BTreeMap::new();
    let mut backend = backends.open("task/0", &["a", "b"]).unwrap();
    assert_eq!(backend.stored().unwrap(), None, "seed {seed}");
    for round in 0..50_u64 {
        let mut batch = Batch::default();
        for _ in 0..random.random_range(0..20) {
            let family = random.random_range(0..2);
            let key: Vec<u8> = (0..random.random_range(1..3)).map(|_| random.random_range(0..8)).collect();
            if random.random_range(0..3) == 0 {
                batch.set(family, &key, None);
                model.remove(&(family, key));
            } else {
                let value = vec![random.random(); random.random_range(0..5)];
                batch.set(family, &key, Some(&value));
                model.insert((family, key), value);
            }
        }
        let stored = Stored {
            changelog: vec![("a".into(), round as i64)],
            sequence: round,
            ..Stored::default()
        };
        batch = with(batch, stored.clone());
        backend.write(&batch).unwrap();
        if random.random_range(0..10) == 0 {
            drop(backend);
            backend = backends.open("task/0", &["a", "b"]).unwrap();
        }
        assert_eq!(backend.stored().unwrap(), Some(stored), "seed {seed}");
        for family in 0..2 {
            let from: Vec<u8> = vec![random.random_range(0..8)];
            let to = random.random_bool(0.5).then(|| vec![random.random_range(from[0]..=8)]);
            let expected: Vec<_> = model
                .iter()
                .filter(|((f, key), _)| *f == family && *key >= from && to.as_ref().is_none_or(|to| key < to))
                .map(|((_, key), value)| (key.clone(), value.clone()))
                .collect();
            let got: Vec<_> = backend
                .range(family, &from, to.as_deref())
                .map(|e| e.unwrap())
                .map(|(k, v)| (k.to_vec(), v.to_vec()))
                .collect();
            assert_eq!(got, expected, "seed {seed}");
            let keys: Vec<Vec<u8>> = (0..8).map(|key| vec![key]).collect();
            let expected: Vec<_> = keys.iter().map(|key| model.get(&(family, key.clone())).cloned()).collect();
            let one_by_one: Vec<_> = keys.iter().map(|key| backend.get(family, key).unwrap()).collect();
            assert_eq!(one_by_one, expected, "seed {seed}");
            let slices: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            let mut together = Vec::new();
            let visit = &mut |value: Option<&[u8]>| together.push(value.map(<[u8]>::to_vec));
            backend.get_many(family, &slices, visit).unwrap();
            assert_eq!(together, expected, "seed {seed}");
        }
    }
    drop(backend);
    backends.wipe("task/0").unwrap();
    let backend = backends.open("task/0", &["a", "b"]).unwrap();
    assert_eq!(backend.stored().unwrap(), None, "seed {seed}");
    assert!(backend.range(0, b"", None).next().is_none(), "seed {seed}");
}

fn with(mut batch: Batch, stored: Stored) -> Batch {
    batch.reflect(stored);
    batch
}

#[test]
fn memory_conforms() {
    for seed in 0..20 {
        conforms(&MemoryBackends::default(), seed);
    }
}

#[test]
fn rocksdb_conforms() {
    for seed in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        conforms(&RocksBackends::new(folder.path(), RocksSettings::default()), seed);
    }
}

/// Numbers below zero once came behind the others.
#[test]
fn state_in_the_order_of_an_earlier_version_is_restored() {
    let folder = tempfile::tempdir().unwrap();
    let backends = RocksBackends::new(folder.path(), RocksSettings::default());
    let backend = backends.open("task/0", &["a"]).unwrap();
    let mut batch = Batch::default();
    batch.set(0, b"key", Some(b"value"));
    let stored = Stored {
        sequence: 7,
        ..Stored::default()
    };
    backend.write(&with(batch, stored.clone())).unwrap();
    drop(backend);
    let backend = backends.open("task/0", &["a"]).unwrap();
    assert_eq!(backend.stored().unwrap(), Some(stored));
    assert_eq!(backend.get(0, b"key").unwrap().as_deref(), Some(&b"value"[..]));
    drop(backend);
    let path = folder.path().join("task/0");
    let earlier = rocksdb::DB::open_cf(&rocksdb::Options::default(), path, ["a"]).unwrap();
    earlier.delete("format").unwrap();
    drop(earlier);
    for _ in 0..2 {
        let backend = backends.open("task/0", &["a"]).unwrap();
        assert_eq!(backend.stored().unwrap(), None, "nothing is there, so all is restored");
        assert_eq!(backend.get(0, b"key").unwrap(), None);
    }
}

/// What the file system gives a folder's files, reserved room included.
fn room(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| match entry.metadata().unwrap() {
            found if found.is_dir() => room(&entry.path()),
            found => std::os::unix::fs::MetadataExt::blocks(&found) * 512,
        })
        .sum()
}

/// Many tasks have little, and all of them a database; RocksDB would reserve 13 MB for each.
#[test]
fn a_small_state_takes_little_room_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let backends = RocksBackends::new(folder.path(), RocksSettings::default());
    let mut open = Vec::new();
    for round in 0..3 {
        // A restart writes files anew.
        open.clear();
        for task in 0..5 {
            let backend = backends.open(&format!("task/{task}"), &["a", "b", "c"]).unwrap();
            for family in 0..3 {
                let mut batch = Batch::default();
                (0..6_u8).for_each(|key| batch.set(family, &[key, round], Some(&[key; 100])));
                backend.write(&batch).unwrap();
            }
            open.push(backend);
        }
        for task in 0..5 {
            let taken = room(&folder.path().join(format!("task/{task}")));
            assert!(taken < 1 << 20, "{taken} bytes of task {task} in round {round}");
        }
    }
}

mod layers {
    use topology::dsl::Builder;
    use topology::store::KeyValue;
    use topology::testing::TestDriver;
    use topology::*;
    use wire::Topic;

    use super::*;

    const WRITES: Topic<i64, i64> = Topic::new("writes");
    const READS: Topic<i64, i64> = Topic::new("reads");
    const MAP: KeyValue<i64, i64> = KeyValue::new("map");

    /// Writes each record, a negative one deletes; then tells the sum of a range of the map, as a scan sees it.
    struct Scan;

    /// Which range is looked at after a record.
    fn range(key: i64, value: i64) -> (Bound<i64>, Bound<i64>) {
        match value.rem_euclid(5) {
            0 => (Bound::Included(key), Bound::Unbounded),
            1 => (Bound::Included(key), Bound::Included(key + 5)),
            2 => (Bound::Excluded(key), Bound::Excluded(key + 5)),
            3 => (Bound::Unbounded, Bound::Excluded(key)),
            _ => (Bound::Included(key), Bound::Excluded(key - 3)),
        }
    }

    impl Processor for Scan {
        type KeyIn = i64;
        type In = i64;
        type KeyOut = i64;
        type Out = i64;
        type Stores = KeyValue<i64, i64>;

        fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
            if record.value < 0 {
                cx.stores.delete(record.key);
            } else {
                cx.stores.put(record.key, record.value);
            }
            let mut sum = 0;
            let mut last = i64::MIN;
            let mut ordered = true;
            cx.stores.scan(range(record.key, record.value), |key, value| {
                ordered &= key > last;
                last = key;
                sum += value;
                ControlFlow::Continue(())
            })?;
            assert!(ordered, "keys come in order");
            cx.out.forward(record.key, sum);
            Ok(())
        }
    }

    #[test]
    fn a_scan_sees_all_layers_as_one_map() {
        for seed in 0..5_u64 {
            let builder = Builder::new("layers");
            builder.stream(WRITES).process("scan", MAP, || Scan).to(READS);
            let settings = EngineSettings {
                partitions: 1,
                ..EngineSettings::default()
            };
            let mut driver = TestDriver::with(builder.build().unwrap(), settings, Arc::new(MemoryBackends::default())).unwrap();
            let mut random = StdRng::seed_from_u64(seed);
            let mut model: BTreeMap<i64, i64> = BTreeMap::new();
            let mut expected = Vec::new();
            for step in 0..300 {
                let (key, value) = (random.random_range(-10..10), random.random_range(-5..20));
                if value < 0 {
                    model.remove(&key);
                } else {
                    model.insert(key, value);
                }
                let range = range(key, value);
                let within = model.iter().filter(|(key, _)| range.contains(key));
                expected.push(within.map(|(_, value)| value).sum::<i64>());
                driver.queue(WRITES, step, &key, Some(&value));
                match random.random_range(0..10) {
                    0 => driver.advance_wall_clock(std::time::Duration::from_secs(2)),
                    1..4 => driver.settle(),
                    _ => {}
                }
            }
            driver.settle();
            let got: Vec<i64> = driver.drain(READS).into_iter().filter_map(|r| r.value).collect();
            assert_eq!(got, expected, "seed {seed}");
            assert_eq!(driver.view(MAP).into_iter().collect::<BTreeMap<_, _>>(), model, "seed {seed}");
        }
    }
}
