//! What every worker of an engine is made from.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, BrokerError};
use clock::Millis;
use wire::Registry;

use super::plan::Plan;
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
    /// What is read.
    pub plan: Arc<Plan>,
}

impl Parts {
    /// Whether state that was valid at this time may no longer be carried on from: a deleted key's tombstone may be gone from the changelog
    /// by now, or before the replay comes by, and what the state has of such keys would never be taken away.
    pub fn is_too_old(&self, valid_at_ms: Millis) -> bool {
        let tombstones_last = self.plan.tombstone_retention - self.plan.tombstone_retention / 8;
        self.clock.now_ms().since(valid_at_ms) > tombstones_last
    }

    /// The id that a topic has now, if the broker gives one.
    pub fn id_of(&self, topic: &str, timeout: Duration) -> Result<Option<String>, BrokerError> {
        let ids = self.broker.topic_ids(&[topic], timeout)?;
        Ok(ids.into_iter().next().flatten().map(|id| id.to_string()))
    }

    /// What a worker's clients are called at the broker.
    pub fn client_id(&self, worker: usize) -> String {
        format!("{}-{}-{worker}", self.topology.application(), self.settings.instance)
    }
}
