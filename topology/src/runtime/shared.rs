//! What workers, queries and probes of one instance share.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use broker::{Lease, TopicPartition};
use clock::Millis;
use parking_lot::{Mutex, RwLock};

use super::instance::{Instance, Token};
use super::lifecycle::Lifecycle;
use super::plan::Plans;
use super::task::Position;

/// A store's partition that can be asked.
#[derive(Clone)]
pub(crate) struct Served {
    pub view: Arc<dyn Any + Send + Sync>,
    pub position: Arc<RwLock<Position>>,
    /// While it holds, no other instance has the partition.
    pub lease: Arc<Lease>,
}

/// Where an input stands, for lag and readiness.
#[derive(Debug, Clone, Default)]
pub(crate) struct InputStatus {
    pub position: i64,
    /// What the group has; −1: nothing yet.
    pub committed: i64,
    pub end: i64,
    pub oldest_waiting_ms: Option<Millis>,
}

/// A task group of this instance. Among its workers, one may let go of a group only after another has taken it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnedGroup {
    /// The worker that has it.
    pub worker: usize,
    /// All of the group's tasks run.
    pub runs: bool,
}

#[derive(Default)]
pub(crate) struct Shared {
    /// By store and partition.
    pub served: RwLock<HashMap<(&'static str, u32), Served>>,
    /// Task groups that this instance owns.
    pub groups: Mutex<BTreeMap<u32, OwnedGroup>>,
    pub inputs: Mutex<HashMap<TopicPartition, InputStatus>>,
    /// By worker: why it does not get on.
    pub trouble: Mutex<BTreeMap<usize, Vec<String>>>,
    /// Sub-topologies that stand still until a restart, and why.
    pub still: Mutex<BTreeMap<usize, String>>,
    still_count: AtomicUsize,
    /// What is read, where that is no longer what it was at the start.
    pub plans: Plans,
    /// Who owns which task group, by the instances' announcements.
    pub owners: RwLock<HashMap<u32, Instance>>,
    /// Addresses of the other instances.
    pub others: RwLock<Vec<String>>,
    /// What the other instances present to this one.
    pub token: Token,
    /// How the engine is.
    pub lifecycle: Lifecycle,
    /// Nothing is processed until it is no longer set.
    pub paused: AtomicBool,
    /// It stops, and is back soon: its workers keep their membership.
    pub returns: AtomicBool,
    /// Why this engine has ended by itself.
    pub ended: Mutex<Option<String>>,
}

impl Shared {
    /// Whether nothing is to be processed for now.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// A task group was assigned to a worker: it is shown as its own, whoever of this instance had it before.
    pub fn take_group(&self, group: u32, worker: usize) {
        self.groups.lock().insert(group, OwnedGroup { worker, runs: false });
    }

    /// Whether a task group is shown as a worker's. Another of this instance may have taken it over, and that one not know yet.
    pub fn shows_group(&self, group: u32, worker: usize) -> bool {
        let groups = self.groups.lock();
        groups.get(&group).is_some_and(|owned| owned.worker == worker)
    }

    /// Says whether a task group of a worker runs.
    pub fn tell_group(&self, group: u32, worker: usize, runs: bool) {
        let mut groups = self.groups.lock();
        if let Some(owned) = groups.get_mut(&group).filter(|owned| owned.worker == worker) {
            owned.runs = runs;
        }
    }

    /// A task group is this worker's no more.
    pub fn leave_group(&self, group: u32, worker: usize) {
        let mut groups = self.groups.lock();
        if groups.get(&group).is_some_and(|owned| owned.worker == worker) {
            groups.remove(&group);
        }
    }

    /// From now on, a sub-topology stands still until a restart. Returns whether that is new.
    pub fn stand_still(&self, sub: usize, why: String) -> bool {
        let mut still = self.still.lock();
        let is_new = still.insert(sub, why).is_none();
        self.still_count.store(still.len(), Ordering::Release);
        is_new
    }

    /// How many stand still. Workers ask that each turn.
    pub fn still_count(&self) -> usize {
        self.still_count.load(Ordering::Acquire)
    }

    /// Why a restart is needed; nothing while none is.
    pub fn must_restart(&self) -> Vec<String> {
        let mut reasons: Vec<String> = self.still.lock().values().cloned().collect();
        reasons.dedup();
        reasons
    }

    /// What holds this instance up, for an operator.
    pub fn troubles(&self) -> Vec<String> {
        let mut reasons: Vec<String> = self.trouble.lock().values().flatten().cloned().collect();
        reasons.extend(self.must_restart());
        reasons.extend(self.plans.refused());
        reasons.extend(self.ended.lock().clone());
        reasons
    }

    /// The task groups that are served here.
    pub fn running_groups(&self) -> Vec<u32> {
        let groups = self.groups.lock();
        groups
            .iter()
            .filter(|(_, owned)| owned.runs)
            .map(|(group, _)| *group)
            .collect()
    }
}
