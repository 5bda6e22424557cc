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

    /// For how long state may be carried on from after it was last valid, in milliseconds: the replay must come by before tombstones go.
    pub fn tombstones_last_ms(&self) -> i64 {
        (self.tombstone_retention - self.tombstone_retention / 8).as_millis() as i64
    }

    /// What a worker's clients are called at the broker.
    pub fn client_id(&self, worker: usize) -> String {
        format!("{}-{}-{worker}", self.topology.application(), self.settings.instance)
    }
}
