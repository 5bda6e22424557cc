//! A random walk beside a map with times.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use topology::store::{Backends, MemoryBackends, RocksBackends, RocksSettings};
use topology::testing::TestDriver;

use crate::model::Model;
use crate::support::*;

struct World {
    driver: TestDriver,
    models: [Model; PARTITIONS as usize],
    joined: [Vec<(i64, i64)>; PARTITIONS as usize],
    seed: u64,
}

impl World {
    fn new(seed: u64, threads: usize, disk: Arc<dyn Backends>) -> Self {
        Self {
            driver: TestDriver::with(table(), settings(threads), disk).unwrap(),
            models: Default::default(),
            joined: Default::default(),
            seed,
        }
    }

    fn write(&mut self, key: i64, value: Option<i64>, at_ms: i64) {
        self.driver.queue(VALUES, at_ms, &key, value.as_ref());
        self.models[partition(key)].write(key, value, at_ms);
    }

    fn ask(&mut self, key: i64, at_ms: i64) {
        self.driver.queue(OTHERS, at_ms, &key, Some(&0));
        let model = &mut self.models[partition(key)];
        model.pass(at_ms);
        let row = model.rows.get(&key).map_or(-1, |(value, _)| *value);
        self.joined[partition(key)].push((key, row));
    }

    /// Settled, all that was said and all that is seen is the model's.
    fn check(&mut self) {
        let seed = self.seed;
        let mut rows: Vec<_> = self.models.iter().flat_map(|model| model.rows.clone()).collect();
        rows.sort_unstable();
        let seen = self.driver.view(RECENT).into_iter();
        let seen: Vec<_> = seen.map(|(key, row)| (key, (row.value, row.timestamp_ms.0))).collect();
        assert_eq!(seen, rows, "seed {seed}");
        // By partition, in order.
        let told = self.driver.drain(ROWS);
        for (number, model) in self.models.iter_mut().enumerate() {
            let of_it = told.iter().filter(|record| partition(record.key) == number);
            let of_it: Vec<_> = of_it
                .map(|record| (record.key, record.value, record.timestamp_ms.0))
                .collect();
            assert_eq!(of_it, std::mem::take(&mut model.told), "seed {seed}");
        }
        let joined = self.driver.drain(JOINED);
        for (number, expected) in self.joined.iter_mut().enumerate() {
            let of_it = joined.iter().filter(|record| partition(record.key) == number);
            let of_it: Vec<_> = of_it.map(|record| (record.key, record.value.unwrap())).collect();
            assert_eq!(of_it, std::mem::take(expected), "seed {seed}");
        }
    }
}

/// Records out of order and late, restarts, crashes amid the work, moves to a disk that has an older state.
fn random_walk(seed: u64, disk: impl Fn() -> Arc<dyn Backends>) {
    let mut random = StdRng::seed_from_u64(seed);
    let disks = [disk(), disk()];
    let mut world = World::new(seed, 2, disks[0].clone());
    world.driver.give_disk(1, disks[1].clone());
    world.driver.restart().unwrap();
    let mut now_ms = 1_000;
    for _ in 0..60 {
        // Of one topic at a time, since the order between two is the time's.
        let asks = random.random_bool(0.3);
        for _ in 0..random.random_range(1..6) {
            now_ms += match random.random_range(0..12) {
                0 => random.random_range(0..3 * TTL_MS),
                1..6 => random.random_range(0..20),
                _ => 0,
            };
            let at_ms = now_ms - [0, 0, 7, 60, 130, 400][random.random_range(0..6)];
            let key = random.random_range(0..12);
            match random.random_range(0..6) {
                _ if asks => world.ask(key, at_ms),
                0 => world.write(key, None, at_ms),
                _ => world.write(key, Some(random.random_range(0..1_000)), at_ms),
            }
        }
        match random.random_range(0..14) {
            0 => {
                let (worker, turns) = (random.random_range(0..2), random.random_range(0..4));
                world.driver.turns(worker, turns);
                world.driver.crash().unwrap();
            }
            1 => world.driver.restart().unwrap(),
            2 => {
                let worker = random.random_range(0..2);
                let cleanly = random.random_bool(0.5);
                world.driver.turns(worker, random.random_range(0..3));
                world.driver.take_down(worker, cleanly);
                world.driver.settle();
                world.driver.revive(worker).unwrap();
            }
            3 => world.driver.advance_wall_clock(Duration::from_secs(2)),
            _ => {}
        }
        world.driver.settle();
        world.check();
    }
    world.driver.restart().unwrap();
    drop(world.driver);
    // Each row has one time, also on a disk whose task has gone elsewhere.
    for (disk, partition) in disks.iter().flat_map(|disk| [(disk, 0), (disk, 1)]) {
        let backend = disk
            .open(&format!("values/{partition}"), &["recent", "recent-times"])
            .unwrap();
        let [rows, times] = [0, 1].map(|family| backend.range(family, &[], None).count());
        assert_eq!(rows, times, "seed {seed}");
    }
}

#[test]
fn rows_are_those_of_a_map_with_times() {
    for seed in 0..60 {
        random_walk(seed, || Arc::new(MemoryBackends::default()));
    }
}

#[test]
fn on_rocksdb_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    for seed in 1_000..1_005 {
        random_walk(seed, || {
            count.set(count.get() + 1);
            let path = folder.path().join(count.get().to_string());
            Arc::new(RocksBackends::new(path, RocksSettings::default()))
        });
    }
}

/// Restored from changelogs alone, it has what a worker had that was never stopped.
#[test]
fn a_restore_from_nothing_is_the_same_state() {
    let mut world = World::new(0, 1, Arc::new(MemoryBackends::default()));
    for key in 0..50 {
        world.write(key, Some(key), 1_000 + 5 * key);
    }
    world.driver.settle();
    world.check();
    world.driver.give_disk(0, Arc::new(MemoryBackends::default()));
    world.driver.restart().unwrap();
    world.check();
    for key in 0..50 {
        world.ask(key, 1_250);
    }
    world.driver.settle();
    world.check();
}
