//! A disk that refuses now and then, or is full for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use topology::StoreError;
use topology::store::{Backend, Backends, Batch, Entries, Stored};

use super::error::refused;

/// What a disk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Opening a task's state.
    Open,
    /// Removing a task's state.
    Wipe,
    /// Reading the position that the state reflects.
    Position,
    /// Reading a key.
    Get,
    /// Reading a range.
    Range,
    /// Writing what is committed.
    Flush,
    /// Writing what is restored.
    Restore,
}

/// All of them.
pub const ACTS: [Act; 7] = [
    Act::Open,
    Act::Wipe,
    Act::Position,
    Act::Get,
    Act::Range,
    Act::Flush,
    Act::Restore,
];

#[derive(Default)]
struct State {
    rates: BTreeMap<Act, u32>,
    seed: u64,
    random: Option<StdRng>,
    /// The next refusal of an act.
    next: BTreeSet<Act>,
    struck: BTreeSet<Act>,
    /// How often each task's state was opened.
    opened: BTreeMap<String, u64>,
    is_full: bool,
}

impl State {
    /// Tasks are opened side by side: whether one is refused must not depend on which comes first.
    fn refuses_to_open(&mut self, task: &str, rate: u32) -> bool {
        let opened = self.opened.entry(task.to_owned()).or_default();
        *opened += 1;
        let mixed = task.bytes().fold(self.seed ^ *opened, |mixed, byte| {
            mixed.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte)
        });
        StdRng::seed_from_u64(mixed).random_range(0..1_000) < rate
    }
}

/// What disks suffer; clones share it.
#[derive(Clone, Default)]
pub struct DiskFaults {
    state: Arc<Mutex<State>>,
}

impl DiskFaults {
    /// None, for the moment.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on the disks refuse, in so many parts of a thousand.
    pub fn begin(&self, seed: u64, rates: impl IntoIterator<Item = (Act, u32)>) {
        let mut state = self.state.lock();
        state.seed = seed;
        state.random = Some(StdRng::seed_from_u64(seed));
        state.rates = rates.into_iter().filter(|(_, rate)| *rate > 0).collect();
    }

    /// Has an act be refused once.
    pub fn fail(&self, act: Act) {
        self.state.lock().next.insert(act);
    }

    /// From now on they do their work.
    pub fn end(&self) {
        let mut state = self.state.lock();
        state.rates.clear();
        state.is_full = false;
    }

    /// Whether there is no room for what is flushed.
    pub fn set_full(&self, is_full: bool) {
        self.state.lock().is_full = is_full;
    }

    /// What they have refused.
    pub fn struck(&self) -> BTreeSet<Act> {
        self.state.lock().struck.clone()
    }

    fn check(&self, act: Act, task: &str) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let is_full = state.is_full && act == Act::Flush;
        let rate = state.rates.get(&act).copied().unwrap_or(0);
        let strikes = is_full
            || state.next.remove(&act)
            || rate > 0
                && match (act, &mut state.random) {
                    (Act::Open, _) => state.refuses_to_open(task, rate),
                    (_, Some(random)) => random.random_range(0..1_000) < rate,
                    _ => false,
                };
        if !strikes {
            return Ok(());
        }
        state.struck.insert(act);
        let reason = match act {
            Act::Open => "the lock is held by another process",
            Act::Flush | Act::Restore => "no space left on device",
            _ => "input/output error",
        };
        Err(refused(task, reason))
    }
}

/// A disk, and the faults that it meets.
pub struct FaultyDisk(pub Arc<dyn Backends>, pub DiskFaults);

impl Backends for FaultyDisk {
    fn open(&self, task: &str, families: &[&str]) -> Result<Arc<dyn Backend>, StoreError> {
        self.1.check(Act::Open, task)?;
        let inner = self.0.open(task, families)?;
        let sequence = inner.stored()?.map_or(0, |stored| stored.sequence);
        Ok(Arc::new(FaultyTask {
            inner,
            faults: self.1.clone(),
            task: task.to_owned(),
            sequence: AtomicU64::new(sequence),
        }))
    }
    fn wipe(&self, task: &str) -> Result<(), StoreError> {
        self.1.check(Act::Wipe, task)?;
        self.0.wipe(task)
    }
    fn tasks(&self) -> Result<Vec<String>, StoreError> {
        self.0.tasks()
    }
}

struct FaultyTask {
    inner: Arc<dyn Backend>,
    faults: DiskFaults,
    task: String,
    /// The last transaction in the data: what is restored brings none.
    sequence: AtomicU64,
}

impl Backend for FaultyTask {
    fn get(&self, family: u16, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.faults.check(Act::Get, &self.task)?;
        self.inner.get(family, key)
    }
    fn get_many(&self, family: u16, keys: &[&[u8]], visit: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StoreError> {
        self.faults.check(Act::Get, &self.task)?;
        self.inner.get_many(family, keys, visit)
    }
    fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let sequence = batch.reflects().map_or(0, |stored| stored.sequence);
        let is_flush = sequence > self.sequence.load(Ordering::Relaxed);
        self.faults
            .check(if is_flush { Act::Flush } else { Act::Restore }, &self.task)?;
        self.inner.write(batch)?;
        self.sequence.store(sequence, Ordering::Relaxed);
        Ok(())
    }
    fn range(&self, family: u16, from: &[u8], to: Option<&[u8]>) -> Entries<'_> {
        // Somewhere on its way, not only at its start.
        let entries = self.inner.range(family, from, to);
        Box::new(entries.map(|entry| self.faults.check(Act::Range, &self.task).and(entry)))
    }
    fn stored(&self) -> Result<Option<Stored>, StoreError> {
        self.faults.check(Act::Position, &self.task)?;
        self.inner.stored()
    }
    fn size_bytes(&self, family: u16) -> u64 {
        self.inner.size_bytes(family)
    }
}
