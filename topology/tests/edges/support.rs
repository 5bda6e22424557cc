//! One topology, and a log and a disk on which a test decides what fails.

use std::sync::Arc;

use broker::{Broker, Message};
use parking_lot::Mutex;
use topology::dsl::Builder;
use topology::store::{Backend, Backends, Batch, Entries, KeyValue, MemoryBackends, Stored};
use topology::testing::TestDriver;
use topology::*;
use wire::Topic;

pub use testkit::broker::{Faults as Log, FaultyBroker as OnLog, Sent, set};

pub const INPUT: Topic<i64, i64> = Topic::new("input");
pub const OUTPUT: Topic<i64, i64> = Topic::new("output");
pub const TOTALS: Topic<i64, i64> = Topic::new("totals");
pub const TOTAL: KeyValue<i64, i64> = KeyValue::new("total");
pub const PUBLIC: KeyValue<i64, i64> = KeyValue::backed_by("public", TOTALS);

/// What a processor does beside adding up.
pub type Act = dyn Fn(&Record<i64, i64>) -> Result<(), ProcessError> + Send + Sync;

/// Adds up by key; a value of 0 removes the key.
pub struct Sum(Arc<Act>);

impl Processor for Sum {
    type KeyIn = i64;
    type In = i64;
    type KeyOut = i64;
    type Out = i64;
    type Stores = (KeyValue<i64, i64>, KeyValue<i64, i64>);

    fn process(&mut self, cx: &mut Context<'_, Self>, record: &Record<i64, i64>) -> Result<(), ProcessError> {
        if record.value == 0 {
            cx.stores.0.delete(record.key);
            cx.stores.1.delete(record.key);
            return Ok(());
        }
        let total = cx.stores.0.get(&record.key)?.unwrap_or(0) + record.value;
        cx.stores.0.put(record.key, total);
        cx.stores.1.put(record.key, total);
        (self.0)(record)?;
        cx.out.forward(record.key, record.value);
        Ok(())
    }
}

pub fn sums_that(act: impl Fn(&Record<i64, i64>) -> Result<(), ProcessError> + Send + Sync + 'static) -> Topology {
    let builder = Builder::new("edges");
    let act: Arc<Act> = Arc::new(act);
    builder
        .stream(INPUT)
        .process("sum", (TOTAL, PUBLIC), move || Sum(act.clone()))
        .to(OUTPUT);
    builder.build().unwrap()
}

pub fn sums() -> Topology {
    sums_that(|_| Ok(()))
}

/// A disk that a test makes fail.
#[derive(Clone, Default)]
pub struct Disk {
    memory: MemoryBackends,
    machine: Arc<Mutex<String>>,
    pub faults: Arc<DiskFaults>,
}

impl Disk {
    /// From now on, tasks are opened on another machine, which has what they left there.
    pub fn move_to(&self, machine: &str) {
        machine.clone_into(&mut self.machine.lock());
    }

    fn path(&self, task: &str) -> String {
        format!("{}:{task}", self.machine.lock())
    }
}

#[derive(Default)]
#[allow(clippy::type_complexity, reason = "a test decides by closure")]
pub struct DiskFaults {
    /// Of a batch that is written: whether it is refused, by task.
    pub write: Mutex<Option<Box<dyn FnMut(&str) -> bool + Send>>>,
    pub open: Mutex<Option<Box<dyn FnMut(&str) -> bool + Send>>>,
}

struct DiskTask(Arc<dyn Backend>, Arc<DiskFaults>, String);

fn refused(task: &str) -> StoreError {
    StoreError::Backend {
        store: task.to_owned(),
        reason: "no space left on device".to_owned(),
    }
}

impl Backends for Disk {
    fn open(&self, task: &str, families: &[&str]) -> Result<Arc<dyn Backend>, StoreError> {
        if self.faults.open.lock().as_mut().is_some_and(|decide| decide(task)) {
            return Err(refused(task));
        }
        let inner = self.memory.open(&self.path(task), families)?;
        Ok(Arc::new(DiskTask(inner, self.faults.clone(), task.to_owned())))
    }
    fn wipe(&self, task: &str) -> Result<(), StoreError> {
        self.memory.wipe(&self.path(task))
    }
    fn tasks(&self) -> Result<Vec<String>, StoreError> {
        let here = self.path("");
        let all = self.memory.tasks()?;
        Ok(all
            .iter()
            .filter_map(|task| task.strip_prefix(&here))
            .map(str::to_owned)
            .collect())
    }
}

impl Backend for DiskTask {
    fn get(&self, family: u16, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(family, key)
    }
    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        if self.1.write.lock().as_mut().is_some_and(|decide| decide(&self.2)) {
            return Err(refused(&self.2));
        }
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

/// A driver with its log and disk.
pub struct World {
    pub driver: TestDriver,
    pub log: Arc<Log>,
    pub disk: Disk,
}

impl World {
    pub fn new(topology: Topology, settings: EngineSettings) -> Self {
        let (log, disk) = (Log::waiting(), Disk::default());
        let (wrapped, backends) = (log.clone(), Arc::new(disk.clone()));
        let through = |broker| -> Arc<dyn Broker> { Arc::new(OnLog(broker, wrapped)) };
        let driver = TestDriver::through(topology, settings, backends, through).unwrap();
        Self { driver, log, disk }
    }

    /// Queues the values 1, one for each of these keys, at rising times.
    pub fn queue_ones(&mut self, keys: std::ops::Range<i64>) {
        for key in keys {
            self.driver.queue(INPUT, 1_000 + key, &key, Some(&1));
        }
    }

    pub fn totals(&self) -> Vec<(i64, i64)> {
        self.driver.view(TOTAL)
    }

    /// What holds the engine up.
    pub fn trouble(&self) -> String {
        self.driver.queries().readiness().reasons.join("; ")
    }

    /// One of the engine's counters without labels.
    pub fn counter(&self, name: &str) -> f64 {
        let families = self.driver.metrics().gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        family.get_metric()[0].get_counter().get_value()
    }

    /// Keys of the records that were forwarded, sorted.
    pub fn forwarded(&mut self) -> Vec<i64> {
        let mut keys: Vec<i64> = self.driver.drain(OUTPUT).into_iter().map(|record| record.key).collect();
        keys.sort_unstable();
        keys
    }

    pub fn dead_letters(&mut self) -> Vec<Message> {
        self.driver.drain_bytes("edges-dead-letters")
    }
}

pub fn one_partition() -> EngineSettings {
    EngineSettings {
        partitions: 1,
        ..EngineSettings::default()
    }
}

pub fn ones(keys: std::ops::Range<i64>) -> Vec<(i64, i64)> {
    keys.map(|key| (key, 1)).collect()
}
