//! What must be there before the first record: topics with the right partitions, and schemas.

use std::sync::Arc;

use broker::Broker;
use wire::{RecordingRegistry, Registry};

use super::earlier::Earlier;
use super::parts::Parts;
use super::topics::Topics;
use super::{EngineSettings, Metrics, schemas};
use crate::clock::Clock;
use crate::error::EngineError;
use crate::graph::Topology;
use crate::store::{Backends, MemoryBackends, StoreContext};

/// The ports that an engine stands on.
#[derive(Clone)]
pub struct EngineParts {
    /// The log.
    pub broker: Arc<dyn Broker>,
    /// Where state is kept.
    pub backends: Arc<dyn Backends>,
    /// Where schemas are kept.
    pub registry: Arc<dyn Registry>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What it tells of itself.
    pub metrics: Metrics,
}

/// Creates and checks all that must be there before the first record.
pub(crate) fn prepare(topology: Topology, settings: EngineSettings, parts: EngineParts) -> Result<Parts, EngineError> {
    let topics = Topics {
        topology: &topology,
        settings: &settings,
        broker: &*parts.broker,
        timeout: settings.broker_timeout,
    };
    let earlier = Earlier {
        topology: &topology,
        broker: &*parts.broker,
        timeout: settings.broker_timeout,
    };
    earlier.refuse_rows_without_times()?;
    let plan = topics.plan(topics.sources()?, None)?;
    earlier.refuse_left_changelogs()?;

    // Once for nothing: registers every schema and refuses what is not compatible.
    let recording = Arc::new(RecordingRegistry::new(parts.registry.clone()));
    let registry: Arc<dyn Registry> = recording.clone();
    for node in &topology.nodes {
        (node.make)(&registry)?;
    }
    let nowhere = MemoryBackends::default().open("prepare", &[])?;
    for store in &topology.stores {
        let subjects = store.subjects(topology.application());
        (store.make)(&StoreContext {
            backend: nowhere.clone(),
            family: 0,
            registry: &registry,
            subjects,
        })?;
    }
    schemas::check(
        &*parts.broker,
        &*parts.registry,
        &topology.schemas_topic(),
        &recording.registered(),
        parts.clock.now_ms(),
        settings.broker_timeout,
    )?;
    let EngineParts {
        broker,
        backends,
        registry,
        clock,
        metrics,
    } = parts;
    Ok(Parts {
        topology: Arc::new(topology),
        broker,
        backends,
        registry,
        clock,
        metrics,
        settings: Arc::new(settings),
        plan: Arc::new(plan),
    })
}
