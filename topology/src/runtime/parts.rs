//! What every worker of an engine is made from.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use wire::Registry;

use super::{EngineSettings, Metrics};
use crate::clock::Clock;
use crate::graph::Topology;
use crate::store::Backends;

/// What every worker of an engine is made from.
#[derive(Clone)]
pub(crate) struct Parts {
    pub topology: Arc<Topology>,
    pub broker: Arc<dyn Broker>,
    pub backends: Arc<dyn Backends>,
    pub registry: Arc<dyn Registry>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Metrics,
    pub settings: Arc<EngineSettings>,
    /// Tasks of each sub-topology.
    pub sub_partitions: Arc<Vec<u32>>,
    /// Partitions of each topic that is read. Without state, a sub-topology may read topics with fewer than it has tasks.
    pub source_partitions: Arc<BTreeMap<&'static str, u32>>,
    /// Task groups, in all instances.
    pub groups: u32,
    /// For how long the changelogs keep the tombstones of deleted keys: state that is older cannot be carried on from.
    pub tombstone_retention: Duration,
    /// Ids of the topics that are read, where the broker gives them.
    pub topic_ids: Arc<BTreeMap<&'static str, String>>,
}

impl Parts {
    /// Partitions of each store.
    pub fn store_partitions(&self) -> HashMap<&'static str, u32> {
        let subs = self.topology.subs.iter().zip(self.sub_partitions.iter());
        subs.flat_map(|(sub, count)| sub.stores.iter().map(|&s| (self.topology.stores[s].name, *count)))
            .collect()
    }

    /// Whether state that was valid at this time may no longer be carried on from: a deleted key's tombstone may be gone from the changelog
    /// by now, or before the replay comes by, and what the state has of such keys would never be taken away.
    pub fn is_too_old(&self, valid_at_ms: i64) -> bool {
        let tombstones_last = self.tombstone_retention - self.tombstone_retention / 8;
        self.clock.now_ms() - valid_at_ms > tombstones_last.as_millis() as i64
    }

    /// What a worker's clients are called at the broker.
    pub fn client_id(&self, worker: usize) -> String {
        format!("{}-{}-{worker}", self.topology.application(), self.settings.instance)
    }
}
