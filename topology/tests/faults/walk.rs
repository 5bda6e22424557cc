//! A random walk through everything that can happen to an engine, beside a model of what must come of it.
//!
//! Calls of the broker and of the disk fail, disks fill up, hang and lose power, workers end, die, come back and move their tasks,
//! sessions expire behind their backs, days pass and changelogs are compacted. In the end, nothing of that shows.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Group, GroupOptions, Outgoing, TopicPartition};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use topology::dsl::Builder;
use topology::store::{Backends, KeyValue, MemoryBackends};
use topology::testing::TestDriver;
use topology::*;
use wire::Topic;

use testkit::broker::{CALLS, Call, Faults, FaultyBroker};
use testkit::disk::{ACTS, Act, DiskFaults, FaultyDisk, VolatileDisk};

pub const INPUT: Topic<i64, i64> = Topic::new("input");
pub const BY_KEY: Topic<i64, i64> = Topic::new("by-key");
/// Records that have their group as the key already, and meet the others in their task.
pub const DIRECT: Topic<i64, i64> = Topic::new("direct");
const TOTALS: Topic<i64, i64> = Topic::new("totals");
pub const SEEN: Topic<i64, i64> = Topic::new("seen");
pub const TOTAL: KeyValue<i64, i64> = KeyValue::backed_by("total", TOTALS);
pub const COUNT: KeyValue<i64, i64> = KeyValue::new("count");
pub const LAST: KeyValue<i64, i64> = KeyValue::new("last");
/// The totals once more, as a table of which one update of each key and commit goes on.
const SUMS: Topic<i64, i64> = Topic::new("sums");
pub const CHANGELOGS: [&str; 4] = ["totals", "walk-count-changelog", "walk-last-changelog", "walk-sums-changelog"];

const PARTITIONS: u32 = 3;
/// How many seconds pass at most until the last records are processed.
const LAST_WAITS: usize = 50;
const KEYS: i64 = 40;
/// From here on they are sent to their group directly.
const DIRECT_FROM: i64 = 30;
const GROUPS: i64 = 7;
/// Under this key, each partition counts the calls of its punctuator.
pub const TICKS: i64 = 1_000_000;
pub const TICK: Duration = Duration::from_secs(5);

/// What a record does, beside being counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Put,
    Delete,
    Poison,
    Panic,
    TooLarge,
}

const DEEDS: [Deed; 5] = [Deed::Put, Deed::Delete, Deed::Poison, Deed::Panic, Deed::TooLarge];

/// A record's value: its number among all, its key before it was re-keyed, an amount, and what it does.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    pub number: i64,
    pub key: i64,
    pub amount: i64,
    pub deed: Deed,
}

impl Change {
    pub fn value(self) -> i64 {
        let deed = DEEDS.iter().position(|deed| *deed == self.deed).unwrap_or(0) as i64;
        self.number << 24 | self.key << 16 | self.amount << 8 | deed
    }

    pub fn of(value: i64) -> Self {
        Self {
            number: value >> 24,
            key: value >> 16 & 0xff,
            amount: value >> 8 & 0xff,
            deed: DEEDS[(value & 0xff) as usize],
        }
    }
}

/// The headers of a record with this number: some have one.
fn headers_of(number: i64) -> Headers {
    let header = || ("number".to_owned(), Some(Bytes::copy_from_slice(&number.to_be_bytes())));
    (number % 3 == 0).then(header).into_iter().collect()
}

/// Keeps the books; with `TICKING`, its punctuator counts its calls, and says each one's number.
struct Keeper<const TICKING: bool> {
    /// Of the record before, of either input.
    offsets: [RecordOffset; 2],
}

impl<const TICKING: bool> Processor for Keeper<TICKING> {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = (KeyValue<i64, i64>, KeyValue<i64, i64>, KeyValue<i64, i64>);

    fn init(&mut self, schedule: &mut Schedule<'_>) {
        if TICKING {
            schedule.every(TICK, PunctuationType::WallClockTime);
        }
    }

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        let offset = &mut self.offsets[usize::from(*cx.at.topic == *DIRECT.name())];
        assert!(cx.at.offset > *offset, "offset {} after {offset}", cx.at.offset);
        *offset = cx.at.offset;
        let change = Change::of(record.value);
        let count = cx.stores.1.get(&record.key)?.unwrap_or(0) + 1;
        cx.stores.1.put(record.key, count);
        let last = cx.stores.2.get(&change.key)?;
        let mut scanned = None;
        cx.stores.2.scan(change.key..=change.key, |_, number| {
            scanned = Some(number);
            std::ops::ControlFlow::Continue(())
        })?;
        assert_eq!(scanned, last, "a scan and a look-up of key {}", change.key);
        if last.is_some_and(|last| last >= change.number) {
            // Not a panic: a zombie may well come here, whose transaction is refused.
            return Err(ProcessError::Record(format!("{change:?} after {last:?}")));
        }
        match change.deed {
            Deed::Put | Deed::TooLarge => cx.stores.2.put(change.key, change.number),
            Deed::Delete => cx.stores.2.delete(change.key),
            // After it has written: nothing of that may stay.
            Deed::Poison => return Err(ProcessError::Record("poison".to_owned())),
            Deed::Panic => panic!("an injected panic"),
        }
        let total = cx.stores.0.get(&record.key)?.unwrap_or(0) + change.amount;
        cx.stores.0.put(record.key, total);
        cx.out.forward(record.key, record.value);
        Ok(())
    }

    fn punctuate(&mut self, cx: &mut Context<'_, Self>, _: Punctuation) -> Result<(), ProcessError> {
        let calls = cx.stores.1.get(&TICKS)?.unwrap_or(0) + 1;
        cx.stores.1.put(TICKS, calls);
        cx.out.forward(TICKS + i64::from(cx.at.partition), calls);
        Ok(())
    }
}

pub fn books(ticking: bool) -> Topology {
    let builder = Builder::new("walk");
    let by_group = builder.stream(INPUT).select_key(|key, _| key % GROUPS).repartition(BY_KEY);
    let by_group = by_group.merge(&builder.stream(DIRECT));
    let sums = by_group.group_by_key();
    let sums = sums.aggregate("sums", || 0, |_, value, sum| Some(sum + Change::of(*value).amount));
    sums.cached("last-sums", 1_000).to_stream().to_compacted(SUMS);
    if ticking {
        by_group
            .process("keeper", (TOTAL, COUNT, LAST), || Keeper::<true> {
                offsets: [RecordOffset::NONE; 2],
            })
            .to(SEEN);
    } else {
        by_group
            .process("keeper", (TOTAL, COUNT, LAST), || Keeper::<false> {
                offsets: [RecordOffset::NONE; 2],
            })
            .to(SEEN);
    }
    builder.build().unwrap()
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

    /// The inputs whose records are not all processed.
    fn behind(&self) -> Vec<String> {
        let lag = self.driver.queries().lag().into_iter();
        lag.filter(|lag| lag.records != 0).map(|lag| format!("{lag:?}")).collect()
    }

    /// Faults end, and everything must be as the model has it.
    fn end(mut self) {
        self.faults.end();
        self.disk_faults.end();
        self.revive_all();
        self.settle();
        self.driver.hold_flushes(false);
        self.driver.advance_wall_clock(Duration::from_secs(10));
        // A record that waits for a silent input waits anew after each that is refused.
        for _ in 0..LAST_WAITS {
            self.driver.advance_wall_clock(Duration::from_secs(1));
            if self.behind().is_empty() {
                break;
            }
        }
        let readiness = self.driver.queries().readiness();
        assert!(readiness.ready, "{readiness:?}");
        assert_eq!(self.behind(), [""; 0]);
        let ticks = self.check();

        // What a new machine restores is what this one has.
        let state = self.driver.view(COUNT);
        for worker in 0..self.workers {
            self.driver.take_down(worker, self.random.random_bool(0.5));
            self.driver.give_disk(worker, Arc::new(MemoryBackends::default()));
        }
        self.revive_all();
        self.driver.settle();
        assert_eq!(self.driver.view(COUNT), state, "restored from nothing");
        assert_eq!(self.check_stores(), ticks, "restored from nothing");
    }

    /// Stores, outputs, dead letters. Returns the punctuator's calls by partition.
    fn check(&mut self) -> Vec<i64> {
        let (mut seen, mut said): (BTreeMap<i64, Vec<i64>>, BTreeMap<i64, Vec<i64>>) = Default::default();
        for message in self.driver.drain_bytes(SEEN.name()) {
            let value = value_of(message.value.as_deref());
            match value_of(message.key.as_deref()) - TICKS {
                ..0 => {
                    let change = Change::of(value);
                    assert_eq!(message.headers, headers_of(change.number), "the headers of {change:?}");
                    seen.entry(change.key).or_default().push(value);
                }
                partition => said.entry(partition).or_default().push(value),
            }
        }
        for (key, values) in &self.model.seen {
            let seen = seen.get(key).map_or(&[][..], Vec::as_slice);
            let numbers = |values: &[i64]| values.iter().map(|value| Change::of(*value).number).collect::<Vec<_>>();
            let (seen, expected) = (numbers(seen), numbers(values));
            let same = seen
                .iter()
                .zip(&expected)
                .take_while(|(seen, expected)| seen == expected)
                .count();
            assert_eq!(
                seen[same..],
                expected[same..],
                "the output of key {key}, behind {same} that are right"
            );
        }
        assert_eq!(seen.len(), self.model.seen.len(), "the output's keys");
        for (partition, numbers) in &said {
            let expected: Vec<i64> = (1..=numbers.len() as i64).collect();
            assert_eq!(
                *numbers, expected,
                "each call of the punctuator of partition {partition} once"
            );
        }
        let ticks = self.check_stores();
        let calls: Vec<i64> = said.values().map(|numbers| numbers.len() as i64).collect();
        let (mut counted, mut told) = (ticks.clone(), calls);
        counted.sort_unstable();
        told.sort_unstable();
        assert_eq!(counted, told, "the calls that were counted, and those that were said");
        assert_eq!(!ticks.is_empty(), self.ticking, "somebody ticks");

        let mut public = BTreeMap::new();
        for record in self.driver.drain(TOTALS) {
            public.insert(record.key, record.value.unwrap());
        }
        assert_eq!(public, self.model.totals, "the public topic");
        let sums = self
            .driver
            .drain(SUMS)
            .into_iter()
            .map(|record| (record.key, record.value.unwrap()));
        assert_eq!(sums.collect::<BTreeMap<_, _>>(), self.model.totals, "the cached table");
        let letters = self.driver.drain_bytes("walk-dead-letters");
        let dead: Vec<i64> = letters.iter().map(|letter| value_of(letter.value.as_deref())).collect();
        assert_eq!(dead.len(), self.model.dead.len(), "dead letters");
        assert_eq!(dead.into_iter().collect::<BTreeSet<_>>(), self.model.dead, "dead letters");
        ticks
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

    fn check_stores(&mut self) -> Vec<i64> {
        let totals: BTreeMap<i64, i64> = self.driver.view(TOTAL).into_iter().collect();
        assert_eq!(totals, self.model.totals, "the totals");
        let (ticks, counts): (Vec<_>, Vec<_>) = self.driver.view(COUNT).into_iter().partition(|(key, _)| *key == TICKS);
        assert_eq!(
            counts.into_iter().collect::<BTreeMap<_, _>>(),
            self.model.counts,
            "a record counts wholly or not at all"
        );
        let last: BTreeMap<i64, i64> = self.driver.view(LAST).into_iter().collect();
        assert_eq!(last, self.model.last, "the store with deletes");
        ticks.into_iter().map(|(_, calls)| calls).collect()
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

fn value_of(bytes: Option<&[u8]>) -> i64 {
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    i64::from_be_bytes(bytes.expect("a value is eight bytes"))
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
