//! A random walk through everything that can happen to an engine, beside a model of what must come of it.
//!
//! Calls of the broker and of the disk fail, disks fill up, hang and lose power, workers end, die, come back and move their tasks,
//! sessions expire behind their backs, days pass and changelogs are compacted. In the end, nothing of that shows.

mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Group, GroupOptions, Outgoing, TopicPartition};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use topology::store::{Backends, MemoryBackends};
use topology::testing::TestDriver;
use topology::*;

use testkit::broker::{CALLS, Call, Faults, FaultyBroker};
use testkit::disk::{ACTS, Act, DiskFaults, FaultyDisk, VolatileDisk};

use super::books::{BY_KEY, CHANGELOGS, Change, DIRECT, Deed, GROUPS, INPUT, SEEN, TICK, books};

const PARTITIONS: u32 = 3;
/// How many seconds pass at most until the last records are processed.
const LAST_WAITS: usize = 50;
const KEYS: i64 = 40;
/// From here on they are sent to their group directly.
const DIRECT_FROM: i64 = 30;

/// The headers of a record with this number: some have one.
fn headers_of(number: i64) -> Headers {
    let header = || ("number".to_owned(), Some(Bytes::copy_from_slice(&number.to_be_bytes())));
    (number % 3 == 0).then(header).into_iter().collect()
}

/// What must come of what was sent.
#[derive(Default)]
struct Model {
    sent: i64,
    totals: BTreeMap<i64, i64>,
    counts: BTreeMap<i64, i64>,
    last: BTreeMap<i64, i64>,
    seen: BTreeMap<i64, Vec<i64>>,
    dead: BTreeSet<i64>,
}

impl Model {
    fn send(&mut self, change: Change) {
        let group = change.key % GROUPS;
        match change.deed {
            Deed::Put => drop(self.last.insert(change.key, change.number)),
            Deed::Delete => drop(self.last.remove(&change.key)),
            Deed::Poison | Deed::Panic | Deed::TooLarge => {
                self.dead.insert(change.value());
                return;
            }
        }
        *self.totals.entry(group).or_default() += change.amount;
        *self.counts.entry(group).or_default() += 1;
        self.seen.entry(change.key).or_default().push(change.value());
    }
}

/// In how many of a thousand times a call fails at most.
fn most(call: Call) -> u32 {
    match call {
        Call::Commit | Call::Answer => 300,
        // Once for each record, or in each turn: more often, and nothing would ever come to rest.
        Call::Send => 10,
        // A restore begins from nothing after each, and some fetch one record at a time: more often, and it would hardly ever end.
        Call::Gone => 5,
        Call::GroupPoll | Call::Poll | Call::Service => 20,
        _ => 50,
    }
}

/// Some of the calls fail, some of them often.
pub fn call_rates(random: &mut StdRng) -> [(Call, u32); CALLS.len()] {
    CALLS.map(|call| (call, rate(random, most(call))))
}

fn rate(random: &mut StdRng, most: u32) -> u32 {
    if most > 0 && random.random_bool(0.4) {
        random.random_range(0..most)
    } else {
        0
    }
}

/// The same of the disk.
fn most_of(act: Act) -> u32 {
    match act {
        Act::Get | Act::Range => 10,
        // Several in each poll of a restore, which begins again after each: more often, and it would hardly ever end.
        Act::Restore => 50,
        _ => 200,
    }
}

/// Where the walk's workers keep their state: each apart, as instances do.
enum Disks {
    Volatile(Vec<VolatileDisk>),
    Other,
}

struct Walk {
    random: StdRng,
    faults: Arc<Faults>,
    disk_faults: DiskFaults,
    disks: Disks,
    driver: TestDriver,
    workers: usize,
    zombies: bool,
    ticking: bool,
    at_ms: i64,
    model: Model,
}

impl Walk {
    /// With `disk`, all workers keep their state there, and no power is lost.
    fn begin(seed: u64, disk: Option<Arc<dyn Backends>>) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let (faults, disk_faults) = (Arc::new(Faults::default()), DiskFaults::new());
        // Small, so that commits and back-pressure fall into the middle of what travels together.
        let settings = EngineSettings {
            threads: random.random_range(1..=3),
            partitions: PARTITIONS,
            poll_records_max: random.random_range(1..20),
            commit_records_max: random.random_range(1..20),
            buffered_records_max: random.random_range(1..20),
            commit_interval: Duration::from_millis(random.random_range(0..500)),
            flush_interval: Duration::from_millis(random.random_range(0..3_000)),
            repartition_in_memory: random.random_range(0..4) > 0,
            max_task_idle: [None, Some(Duration::ZERO), Some(Duration::from_millis(300))][random.random_range(0..3)],
            ..EngineSettings::default()
        };
        let workers = settings.threads;
        let zombies = random.random_bool(0.5);
        let ticking = random.random_bool(0.9);
        let wrapped = faults.clone();
        let through = |broker| -> Arc<dyn Broker> { Arc::new(FaultyBroker(broker, wrapped)) };
        let shared: Arc<dyn Backends> = disk.clone().unwrap_or_else(|| Arc::new(MemoryBackends::default()));
        let shared = Arc::new(FaultyDisk(shared, disk_faults.clone()));
        let mut driver = TestDriver::through(books(ticking), settings, shared, through).unwrap();
        let disks = if disk.is_some() {
            Disks::Other
        } else {
            let disks: Vec<VolatileDisk> = (0..workers).map(|_| VolatileDisk::default()).collect();
            for (worker, disk) in disks.iter().enumerate() {
                driver.take_down(worker, true);
                driver.give_disk(worker, Arc::new(FaultyDisk(Arc::new(disk.clone()), disk_faults.clone())));
                driver.revive(worker).unwrap();
            }
            Disks::Volatile(disks)
        };
        let mut walk = Self {
            random,
            faults,
            disk_faults,
            disks,
            driver,
            workers,
            zombies,
            ticking,
            at_ms: 1_000,
            model: Model::default(),
        };
        walk.begin_faults(seed);
        walk
    }

    fn begin_faults(&mut self, seed: u64) {
        self.faults.begin_with(!seed, call_rates(&mut self.random));
        let acts = ACTS.map(|act| (act, rate(&mut self.random, most_of(act))));
        self.disk_faults.begin(seed.rotate_left(17), acts);
    }

    fn send(&mut self) {
        self.model.sent += 1;
        let deed = match self.random.random_range(0..200) {
            0..50 => Deed::Delete,
            50..60 => Deed::Poison,
            60 => Deed::Panic,
            61 => Deed::TooLarge,
            _ => Deed::Put,
        };
        let change = Change {
            number: self.model.sent,
            key: self.random.random_range(0..KEYS),
            amount: self.random.random_range(1..100),
            deed,
        };
        let value = change.value();
        if deed == Deed::TooLarge {
            self.faults.refuse(SEEN.name(), &value.to_be_bytes());
        }
        self.model.send(change);
        let (topic, key) = match change.key {
            DIRECT_FROM.. => (DIRECT, change.key % GROUPS),
            key => (INPUT, key),
        };
        let headers = headers_of(change.number);
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .collect();
        self.driver.queue_record(Outgoing {
            topic: topic.name(),
            partition: None,
            key: Some(&key.to_be_bytes()),
            value: Some(&value.to_be_bytes()),
            timestamp_ms: self.at_ms,
            headers: &headers,
        });
    }

    fn revive(&mut self, worker: usize) {
        // A start that fails is tried again, by whoever watches over the process.
        let _ = self.driver.revive(worker);
    }

    fn revive_all(&mut self) {
        while !(0..self.workers).all(|worker| self.driver.revive(worker).is_ok()) {}
    }

    fn take_all_down(&mut self) {
        (0..self.workers).for_each(|worker| self.driver.take_down(worker, false));
    }

    fn step(&mut self, step: usize) {
        let worker = self.random.random_range(0..self.workers);
        self.at_ms += 1;
        let deed = self.random.random_range(0..100);
        tracing::info!(step, deed, worker, "walk");
        match deed {
            0..30 => (0..self.random.random_range(1..8)).for_each(|_| self.send()),
            30..58 => self.driver.turns(worker, self.random.random_range(1..6)),
            58..67 => self.driver.pass_time(Duration::from_millis(self.random.random_range(0..400))),
            67..72 => self
                .driver
                .pass_time(Duration::from_millis(self.random.random_range(0..12_000))),
            72..76 => self.settle(),
            76..78 => self.driver.take_down(worker, self.random.random_bool(0.5)),
            78..83 => self.revive(worker),
            84 if self.zombies => self.expire_session(worker),
            99 => self.faults.deaf.lock().clear(),
            85 => self.lose_power(),
            86 => self.driver.hold_flushes(self.random.random_bool(0.7)),
            87 => self.driver.hang_flushes(self.random.random_bool(0.4)),
            88 => self.disk_faults.set_full(self.random.random_bool(0.4)),
            89..94 => drop(self.driver.run_flush(worker)),
            94 if self.random.random_bool(0.5) => self.be_away_for_days(worker),
            94 => self.pass_a_day(),
            95 => {
                let place = TopicPartition::new(BY_KEY.name(), self.random.random_range(0..PARTITIONS));
                self.faults.pending.lock().insert(place);
            }
            96..98 => self.faults.pending.lock().clear(),
            98 => self.deploy(),
            83 => self.purge(),
            84 => self.expire_offsets(),
            _ => {}
        }
    }

    /// Ends what does not end by itself.
    fn relieve(&mut self) {
        self.faults.pending.lock().clear();
        self.faults.deaf.lock().clear();
        // An operator sets the offsets that the group has lost.
        self.faults.forgotten.lock().clear();
        self.driver.hang_flushes(false);
        self.disk_faults.set_full(false);
    }

    /// Lets everything come to rest.
    fn settle(&mut self) {
        self.relieve();
        self.driver.settle();
    }

    /// A new process, which comes to rest.
    fn deploy(&mut self) {
        self.relieve();
        while self.driver.deploy(books(self.ticking)).is_err() {}
    }

    /// A worker lives on, and for a while does not know that the others have its tasks.
    fn expire_session(&mut self, worker: usize) {
        if self.random.random_bool(0.7) {
            self.faults.deaf.lock().insert(format!("walk-0-{worker}"));
        }
        self.driver.expire_session(worker);
        if self.random.random_bool(0.5) {
            // Long enough for the others to have its tasks, and for everybody's timers.
            let workers = self.workers;
            let others = || (0..workers).filter(|other| *other != worker);
            others().for_each(|other| self.driver.turns(other, 10));
            self.driver.pass_time(TICK);
            self.driver.turns(worker, 3);
            others().for_each(|other| self.driver.turns(other, 5));
        }
    }

    fn lose_power(&mut self) {
        self.take_all_down();
        if let Disks::Volatile(disks) = &self.disks {
            for disk in disks {
                disk.lose_power(&mut self.random);
            }
        }
        (0..self.workers).for_each(|worker| self.revive(worker));
    }

    /// Longer than a tombstone stays in a changelog at least (`delete.retention.ms`), and no longer than that from pass to pass.
    fn pass_a_day(&mut self) {
        let Disks::Volatile(disks) = &self.disks else { return };
        let disks = disks.clone();
        self.driver.pass_time(Duration::from_secs(25 * 3_600));
        disks.iter().for_each(VolatileDisk::sync);
        CHANGELOGS.iter().for_each(|topic| self.driver.broker().compact(topic));
    }

    /// The others have a worker's tasks, and its folders grow old.
    fn be_away_for_days(&mut self, worker: usize) {
        self.driver.take_down(worker, self.random.random_bool(0.5));
        self.settle();
        (0..8).for_each(|_| self.send());
        self.settle();
        (0..2).for_each(|_| self.pass_a_day());
        self.revive(worker);
    }

    /// What is done is deleted from the repartition topic, as an engine does now and then.
    fn purge(&mut self) {
        let (mut group, mut all) = outsider(&self.driver);
        all.retain(|place| *place.topic == *BY_KEY.name());
        let committed = group.committed(&all, Duration::ZERO).unwrap();
        group.leave().unwrap();
        let done = all.into_iter().zip(committed);
        let done: Vec<_> = done
            .filter_map(|(place, committed)| Some((place, committed?.offset)))
            .collect();
        self.driver.broker().delete_records(&done, Duration::ZERO).unwrap();
    }

    /// Nobody runs for longer than the broker keeps a group's offsets.
    fn expire_offsets(&mut self) {
        self.take_all_down();
        expire_offsets(&self.faults, &self.driver);
        self.driver.pass_time(Duration::from_secs(7 * 86_400));
        self.pass_a_day();
        (0..self.workers).for_each(|worker| self.revive(worker));
    }

    /// All that is in the log.
    fn print(&mut self) -> u64 {
        let topics = [INPUT.name(), BY_KEY.name(), DIRECT.name(), SEEN.name(), "walk-dead-letters"];
        let mut hasher = DefaultHasher::new();
        for topic in topics.iter().chain(&CHANGELOGS) {
            let messages = self.driver.drain_bytes(topic);
            messages
                .iter()
                .for_each(|m| (m.slot, m.offset, m.timestamp_ms, &m.key, &m.value).hash(&mut hasher));
        }
        hasher.finish()
    }
}

/// The broker forgets the group's offsets.
pub fn expire_offsets(faults: &Faults, driver: &TestDriver) {
    let (mut group, all) = outsider(driver);
    faults.forget_offsets(group.as_mut(), &all).unwrap();
    group.leave().unwrap();
}

/// Somebody who may ask for the group's offsets, and all partitions that have some.
fn outsider(driver: &TestDriver) -> (Box<dyn Group>, Vec<TopicPartition>) {
    let options = GroupOptions {
        group: "walk".to_owned(),
        topics: Vec::new(),
        client_id: "outsider".to_owned(),
        member: None,
        session_timeout: Duration::from_secs(6),
    };
    let topics = [INPUT.name(), BY_KEY.name(), DIRECT.name()];
    let all = topics
        .iter()
        .flat_map(|topic| (0..PARTITIONS).map(|partition| TopicPartition::new(*topic, partition)));
    let all: Vec<TopicPartition> = all.collect();
    (Broker::group(driver.broker(), options).unwrap(), all)
}

/// Walks without an end, and says what it has left in the log.
pub fn print(seed: u64, steps: usize) -> u64 {
    let mut walk = Walk::begin(seed, None);
    (0..steps).for_each(|step| walk.step(step));
    walk.print()
}

/// What has failed in walks.
#[derive(Default)]
pub struct Struck {
    calls: BTreeSet<Call>,
    acts: BTreeSet<Act>,
}

impl Struck {
    /// Runs a walk; a panic names its seed.
    pub fn walk(&mut self, seed: u64, steps: usize, disk: Option<Arc<dyn Backends>>) {
        let walked = catch_unwind(AssertUnwindSafe(|| {
            let mut walk = Walk::begin(seed, disk);
            (0..steps).for_each(|step| walk.step(step));
            self.calls.extend(walk.faults.struck());
            self.acts.extend(walk.disk_faults.struck());
            walk.end();
        }));
        if let Err(panic) = walked {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            panic!("seed {seed}: {}", text.unwrap_or("a panic without a text"));
        }
    }

    /// What has not failed once, and should have in many walks.
    pub fn missing(&self) -> String {
        let calls = CALLS.iter().filter(|call| most(**call) > 0 && !self.calls.contains(call));
        let acts = ACTS.iter().filter(|act| most_of(**act) > 0 && !self.acts.contains(act));
        let missing: Vec<String> = calls
            .map(|call| format!("{call:?}"))
            .chain(acts.map(|act| format!("{act:?}")))
            .collect();
        missing.join(", ")
    }
}
