//! What must be there before the first record: topics with the right partitions, and schemas.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, CleanupPolicy, TopicSettings, TopicSpec};
use wire::{RecordingRegistry, Registry};

use super::earlier::Earlier;
use super::parts::Parts;
use super::{EngineSettings, Metrics, schemas};
use crate::clock::Clock;
use crate::error::EngineError;
use crate::graph::{SubTopology, TopicUse, Topology};
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

/// Without state there are no tombstones to miss.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Creates and checks all that must be there before the first record.
pub(crate) fn prepare(topology: Topology, settings: EngineSettings, parts: EngineParts) -> Result<Parts, EngineError> {
    let topics = Topics {
        topology: &topology,
        settings: &settings,
        broker: &*parts.broker,
    };
    let sources = topics.ensure_sources()?;
    let sub_partitions = topology
        .subs
        .iter()
        .map(|sub| topics.partitions_of(sub, &sources))
        .collect::<Result<Vec<u32>, EngineError>>()?;
    let earlier = Earlier {
        topology: &topology,
        broker: &*parts.broker,
        timeout: settings.broker_timeout,
    };
    earlier.refuse_rows_without_times()?;
    topics.ensure_written(&sub_partitions)?;
    earlier.refuse_left_changelogs()?;
    let groups = topics.ensure_groups(sub_partitions.iter().copied().max().unwrap_or(1))?;
    let tombstone_retention = topics.tombstone_retention()?;
    let topic_ids = topics.ids_of(&sources)?;

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
        sub_partitions: Arc::new(sub_partitions),
        source_partitions: Arc::new(sources),
        groups,
        tombstone_retention,
        topic_ids: Arc::new(topic_ids),
    })
}

struct Topics<'a> {
    topology: &'a Topology,
    settings: &'a EngineSettings,
    broker: &'a dyn Broker,
}

/// A topic that must be there, and what needs it so.
struct Wanted {
    spec: TopicSpec,
    needed_by: String,
}

impl Topics<'_> {
    fn timeout(&self) -> Duration {
        self.settings.broker_timeout
    }

    fn spec(&self, topic: &str, partitions: u32) -> TopicSpec {
        let usage = self.topology.topics.get(topic);
        TopicSpec {
            name: topic.to_owned(),
            partitions,
            accept_existing: usage == Some(&TopicUse::Foreign),
            cleanup: match usage {
                Some(TopicUse::Own(cleanup)) => *cleanup,
                _ => CleanupPolicy::Delete(None),
            },
            settings: self.settings.topics.clone(),
        }
    }

    /// What the topology or the operator says of a topic's partitions.
    fn wanted(&self, topic: &str) -> Wanted {
        let own = self.topology.partitions.get(topic);
        Wanted {
            spec: self.spec(topic, own.copied().unwrap_or(self.settings.partitions)),
            needed_by: match own {
                Some(_) => "the topology".to_owned(),
                None => "the setting for partitions".to_owned(),
            },
        }
    }

    /// Creates what is missing; what is there must be as it is wanted.
    fn ensure(&self, wanted: &[Wanted]) -> Result<(), EngineError> {
        let names: Vec<&str> = wanted.iter().map(|wanted| wanted.spec.name.as_str()).collect();
        let counts = self.broker.partition_counts(&names, self.timeout())?;
        for (Wanted { spec, needed_by }, has) in wanted.iter().zip(&counts) {
            if let Some(has) = has.filter(|has| *has != spec.partitions && !spec.accept_existing) {
                return Err(EngineError::Partitions {
                    topic: spec.name.clone(),
                    has,
                    wanted: spec.partitions,
                    needed_by: needed_by.clone(),
                });
            }
        }
        let specs = wanted.iter().zip(counts).map(|(Wanted { spec, .. }, has)| match has {
            // What others read may have been given other settings by them; it is made with ours where it is missing.
            Some(_) if self.is_public(&spec.name) => TopicSpec {
                settings: TopicSettings::default(),
                ..spec.clone()
            },
            _ => spec.clone(),
        });
        Ok(self.broker.ensure_topics(&specs.collect::<Vec<_>>(), self.timeout())?)
    }

    /// Whether a topic is written for others.
    fn is_public(&self, topic: &str) -> bool {
        matches!(self.topology.topics.get(topic), Some(TopicUse::Own(_)))
    }

    /// The topics that are read, with their partitions.
    fn ensure_sources(&self) -> Result<BTreeMap<&'static str, u32>, EngineError> {
        let subs = self.topology.subs.iter();
        let sources: BTreeSet<&'static str> = subs.flat_map(|sub| &sub.sources).map(|(topic, _)| *topic).collect();
        let wanted: Vec<Wanted> = sources.iter().map(|topic| self.wanted(topic)).collect();
        self.ensure(&wanted)?;
        let names: Vec<&'static str> = sources.into_iter().collect();
        let counts = self.broker.partition_counts(&names, self.timeout())?;
        let found = names.into_iter().zip(counts).map(|(topic, count)| {
            let missing = || EngineError::Topology(format!("topic {topic} is not there"));
            Ok((topic, count.ok_or_else(missing)?))
        });
        found.collect()
    }

    /// How many tasks a sub-topology has. Where it keeps state, equal keys of its inputs must lie in equal partitions.
    fn partitions_of(&self, sub: &SubTopology, sources: &BTreeMap<&'static str, u32>) -> Result<u32, EngineError> {
        let counts: BTreeMap<&str, u32> = sub.sources.iter().map(|&(topic, _)| (topic, sources[topic])).collect();
        let most = counts.values().copied().max().unwrap_or(0);
        if !sub.stores.is_empty() && counts.values().any(|count| *count != most) {
            return Err(EngineError::Topology(format!(
                "the inputs of {}, which keeps state, must have equally many partitions, but have {counts:?}; \
                 what to do: docs/runbooks/partitions.md",
                sub.name
            )));
        }
        Ok(most)
    }

    /// The topics that are written: changelogs have the partitions of their tasks.
    fn ensure_written(&self, sub_partitions: &[u32]) -> Result<(), EngineError> {
        let topology = self.topology;
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        for topic in topology.topics.keys() {
            wanted.insert((*topic).to_owned(), self.wanted(topic));
        }
        for (sub, partitions) in topology.subs.iter().zip(sub_partitions) {
            for &store in &sub.stores {
                let store = &topology.stores[store];
                let Some(topic) = store.changelog_topic(topology.application()) else {
                    continue;
                };
                let spec = self.spec(&topic, *partitions);
                let settings = store.settings().map_err(EngineError::Topology)?;
                let changelog = Wanted {
                    spec: TopicSpec {
                        cleanup: CleanupPolicy::Compact,
                        settings: settings.or(&spec.settings),
                        ..spec
                    },
                    needed_by: format!("the state of {} with its inputs' partitions", sub.name),
                };
                wanted.insert(topic, changelog);
            }
        }
        let dead_letters = TopicSpec {
            accept_existing: true,
            ..self.spec(&topology.dead_letter_topic(), self.settings.partitions)
        };
        let instances = TopicSpec {
            cleanup: CleanupPolicy::Compact,
            ..self.spec(&topology.instances_topic(), 1)
        };
        let schemas = TopicSpec {
            cleanup: CleanupPolicy::Compact,
            ..self.spec(&topology.schemas_topic(), 1)
        };
        for spec in [dead_letters, instances, schemas] {
            let needed_by = "the engine".to_owned();
            wanted.insert(spec.name.clone(), Wanted { spec, needed_by });
        }
        let wanted: Vec<Wanted> = wanted.into_values().collect();
        self.ensure(&wanted)
    }

    /// The ids of the topics that are read, as far as the broker has any.
    fn ids_of(&self, sources: &BTreeMap<&'static str, u32>) -> Result<BTreeMap<&'static str, String>, EngineError> {
        let names: Vec<&'static str> = sources.keys().copied().collect();
        let ids = self.broker.topic_ids(&names, self.timeout())?;
        let known = names
            .into_iter()
            .zip(ids)
            .filter_map(|(name, id)| Some((name, id?.to_string())));
        Ok(known.collect())
    }

    /// For how long each changelog keeps tombstones, at least.
    fn tombstone_retention(&self) -> Result<Duration, EngineError> {
        let stores = self.topology.stores.iter();
        let changelogs: Vec<String> = stores
            .filter_map(|store| store.changelog_topic(self.topology.application()))
            .collect();
        let names: Vec<&str> = changelogs.iter().map(String::as_str).collect();
        let kept = self.broker.tombstone_retention(&names, self.timeout())?;
        Ok(kept.into_iter().flatten().min().unwrap_or(DAY))
    }

    /// The topics with a partition for each task group, of which more than there are tasks do no harm. Returns how many groups
    /// there are.
    fn ensure_groups(&self, most: u32) -> Result<u32, EngineError> {
        let tasks = TopicSpec {
            accept_existing: true,
            ..self.spec(&self.topology.tasks_topic(), most)
        };
        let groups = self.ensure_grown(tasks)?;
        let inputs = TopicSpec {
            accept_existing: true,
            cleanup: CleanupPolicy::Compact,
            ..self.spec(&self.topology.inputs_topic(), groups)
        };
        self.ensure_grown(inputs)?;
        Ok(groups)
    }

    /// Creates a topic, or adds the partitions that it lacks. Returns how many it has.
    fn ensure_grown(&self, spec: TopicSpec) -> Result<u32, EngineError> {
        let (name, wanted) = (spec.name.clone(), spec.partitions);
        self.broker.ensure_topics(&[spec], self.timeout())?;
        let has = self.broker.partitions(&name, self.timeout())?.unwrap_or(wanted);
        if has < wanted {
            tracing::info!(topic = %name, partitions = wanted, "the topic grows");
            self.broker.add_partitions(&name, wanted, self.timeout())?;
        }
        Ok(has.max(wanted))
    }
}
