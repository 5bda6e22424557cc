//! What is read, and how many tasks follow from that.
//!
//! It is made at the start. Where sources go by pattern, topics come and go while the engine runs, and a new plan takes the place of the one
//! before: [`super::matching`] makes it, and each worker takes it over between two turns.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::graph::Topology;

/// What is read, and how many tasks follow from that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Which it is of this process, from 0.
    pub number: u64,
    /// Of each sub-topology the topics that it reads, with their sources' nodes.
    pub sources: Vec<Vec<(&'static str, usize)>>,
    /// Partitions of each topic that is read. Without state, a sub-topology may read topics with fewer than it has tasks.
    pub source_partitions: BTreeMap<&'static str, u32>,
    /// Ids of those topics, where the broker gives them.
    pub topic_ids: BTreeMap<&'static str, String>,
    /// Tasks of each sub-topology; none, while no topic matches its pattern.
    pub tasks: Vec<u32>,
    /// Task groups, in all instances.
    pub groups: u32,
    /// Partitions of each store.
    pub stores: HashMap<&'static str, u32>,
    /// For how long the changelogs keep the tombstones of deleted keys: state that is older cannot be carried on from.
    pub tombstone_retention: Duration,
}

impl Plan {
    /// Whether a sub-topology reads the same topics by another plan, and not only some of their names.
    pub fn reads_the_same(&self, other: &Self, sub: usize) -> bool {
        let is_same = |(topic, _): &(&str, usize)| self.topic_ids.get(topic) == other.topic_ids.get(topic);
        self.sources[sub] == other.sources[sub] && self.sources[sub].iter().all(is_same)
    }

    /// Whether a topic with this id is another than the one that is read under its name.
    pub fn is_another(&self, topic: &str, id: Option<&String>) -> bool {
        self.topic_ids.get(topic).zip(id).is_some_and(|(known, id)| known != id)
    }

    /// The topics that are read by pattern.
    pub fn matched(&self, topology: &Topology) -> BTreeMap<&'static str, usize> {
        let sources = self.sources.iter().flatten();
        let by_pattern = sources.filter(|(_, node)| topology.is_pattern(*node));
        by_pattern.copied().collect()
    }
}

/// The newest plan, as far as there is another one than at the start, and what is to be said of topics that match.
#[derive(Default)]
pub(crate) struct Plans {
    newest: RwLock<Option<Arc<Plan>>>,
    number: AtomicU64,
    /// Topics that were read by pattern and were not there when it was last looked.
    pub missed: Mutex<BTreeSet<&'static str>>,
    /// Why topics that match are not read.
    refused: Mutex<Vec<String>>,
}

impl Plans {
    /// Which plan is the newest. Workers ask that each turn.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// The newest plan, for somebody who has this one.
    pub fn newest(&self, known: &Arc<Plan>) -> Arc<Plan> {
        self.newest.read().clone().unwrap_or_else(|| known.clone())
    }

    pub fn publish(&self, plan: Plan) {
        let number = plan.number;
        *self.newest.write() = Some(Arc::new(plan));
        self.number.store(number, Ordering::Release);
    }

    /// Back to the plan of a start.
    pub fn forget(&self) {
        *self.newest.write() = None;
        self.number.store(0, Ordering::Release);
        self.missed.lock().clear();
        self.refused.lock().clear();
    }

    /// Why topics that match are not read; nothing while all are.
    pub fn refused(&self) -> Vec<String> {
        self.refused.lock().clone()
    }

    /// Notes why topics that match are not read. Returns what is new of it.
    pub fn refuse(&self, reasons: Vec<String>) -> Vec<String> {
        let mut known = self.refused.lock();
        let new = reasons.iter().filter(|reason| !known.contains(reason)).cloned().collect();
        *known = reasons;
        new
    }
}
