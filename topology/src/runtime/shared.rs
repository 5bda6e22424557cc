//! What workers, queries and probes of one instance share.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use broker::TopicPartition;
use parking_lot::{Mutex, RwLock};

use super::instance::{Instance, Token};
use super::task::Position;

/// A store's partition that can be asked.
#[derive(Clone)]
pub(crate) struct Served {
    pub view: Arc<dyn Any + Send + Sync>,
    pub position: Arc<RwLock<Position>>,
}

/// Where an input stands, for lag and readiness.
#[derive(Debug, Clone, Default)]
pub(crate) struct InputStatus {
    pub position: i64,
    /// What the group has; −1: nothing yet.
    pub committed: i64,
    pub end: i64,
    pub oldest_waiting_ms: Option<i64>,
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
    pub trouble: Mutex<BTreeMap<usize, String>>,
    /// Who owns which task group, by the instances' announcements.
    pub owners: RwLock<HashMap<u32, Instance>>,
    /// Addresses of the other instances.
    pub others: RwLock<Vec<String>>,
    /// What the other instances present to this one.
    pub token: Token,
}

impl Shared {
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
