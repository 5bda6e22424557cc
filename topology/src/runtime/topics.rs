//! The topics that an application reads and writes: made where they are missing, checked where they are not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use broker::{Broker, CleanupPolicy, TopicSettings, TopicSpec};

use super::EngineSettings;
use super::plan::Plan;
use crate::error::EngineError;
use crate::graph::{SubTopology, TopicUse, Topology};

/// Without state there are no tombstones to miss.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Makes and checks an application's topics.
pub(super) struct Topics<'a> {
    pub topology: &'a Topology,
    pub settings: &'a EngineSettings,
    pub broker: &'a dyn Broker,
    /// How long each call may take.
    pub timeout: Duration,
}

/// A topic that must be there, and what needs it so.
struct Wanted {
    spec: TopicSpec,
    needed_by: String,
}

impl Topics<'_> {
    /// Makes what is missing for these sources of each sub-topology, and says what follows from them. What is known of a topic by an earlier
    /// plan stays as it was: who reads it goes by that.
    pub fn plan(&self, sources: Sources, before: Option<&Plan>) -> Result<Plan, EngineError> {
        let counts = sources.partitions;
        let of_subs = self.topology.subs.iter().zip(&sources.of_subs);
        let tasks = of_subs.map(|(sub, sources)| partitions_of(sub, sources, &counts));
        let tasks = tasks.collect::<Result<Vec<u32>, EngineError>>()?;
        let is_new = |topic: &&str| before.is_none_or(|before| !before.source_partitions.contains_key(topic));
        // A topic that is gone is let go, whatever is wrong with others.
        if before.is_none() || counts.keys().any(is_new) {
            self.ensure_written(&tasks)?;
        }
        // Topics that come later find groups that are shared already: it takes a member a while to see that there are more.
        let least = match self.topology.patterns[..] {
            [] => 1,
            _ => self.settings.partitions.max(1),
        };
        let groups = self.ensure_groups(tasks.iter().copied().max().unwrap_or(0).max(least))?;
        let tombstone_retention = self.tombstone_retention()?;
        let mut topic_ids = self.ids_of(counts.keys().copied())?;
        let known = before.map(|before| before.topic_ids.clone()).unwrap_or_default();
        topic_ids.extend(known.into_iter().filter(|(topic, _)| counts.contains_key(topic)));
        let of_stores = self.topology.subs.iter().zip(&tasks);
        let of_stores = of_stores.flat_map(|(sub, count)| sub.stores.iter().map(move |store| (*store, *count)));
        let stores = of_stores.map(|(store, count)| (self.topology.stores[store].name, count));
        Ok(Plan {
            number: before.map_or(0, |before| before.number + 1),
            stores: stores.collect(),
            sources: sources.of_subs,
            source_partitions: counts,
            topic_ids,
            tasks,
            groups,
            tombstone_retention,
        })
    }

    /// The sources at the start: those that are named, made where they are missing, and whatever matches.
    pub fn sources(&self) -> Result<Sources, EngineError> {
        let named = self.ensure_sources()?;
        let there = self.there()?;
        let matches = self.topology.matches(there.keys().map(String::as_str));
        if !matches.refused.is_empty() {
            return Err(EngineError::Topology(matches.refused.join("; ")));
        }
        let matched = matches.sources.into_iter();
        Ok(Sources::new(
            self.topology,
            named,
            matched.map(|(topic, node)| (wire::name(&topic), node, there[&topic])),
        ))
    }

    /// All topics that could match, with their partitions.
    pub fn there(&self) -> Result<BTreeMap<String, u32>, EngineError> {
        match self.topology.patterns[..] {
            [] => Ok(BTreeMap::new()),
            _ => Ok(self.broker.topics(self.timeout)?),
        }
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
        let counts = self.broker.partition_counts(&names, self.timeout)?;
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
        Ok(self.broker.ensure_topics(&specs.collect::<Vec<_>>(), self.timeout)?)
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
        let counts = self.broker.partition_counts(&names, self.timeout)?;
        let found = names.into_iter().zip(counts).map(|(topic, count)| {
            let missing = || EngineError::Topology(format!("topic {topic} is not there"));
            Ok((topic, count.ok_or_else(missing)?))
        });
        found.collect()
    }

    /// The topics that are written: changelogs have the partitions of their tasks.
    fn ensure_written(&self, sub_partitions: &[u32]) -> Result<(), EngineError> {
        let topology = self.topology;
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        for topic in topology.topics.keys() {
            wanted.insert((*topic).to_owned(), self.wanted(topic));
        }
        // Without a task, it is not known yet how many partitions changelogs need.
        let with_tasks = topology.subs.iter().zip(sub_partitions).filter(|(_, tasks)| **tasks > 0);
        for (sub, partitions) in with_tasks {
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

    /// The ids of topics, as far as the broker has any.
    pub fn ids_of(&self, topics: impl Iterator<Item = &'static str>) -> Result<BTreeMap<&'static str, String>, EngineError> {
        let names: Vec<&'static str> = topics.collect();
        let ids = self.broker.topic_ids(&names, self.timeout)?;
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
        let kept = self.broker.tombstone_retention(&names, self.timeout)?;
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
        self.broker.ensure_topics(&[spec], self.timeout)?;
        let has = self.broker.partitions(&name, self.timeout)?.unwrap_or(wanted);
        if has < wanted {
            tracing::info!(topic = %name, partitions = wanted, "the topic grows");
            self.broker.add_partitions(&name, wanted, self.timeout)?;
        }
        Ok(has.max(wanted))
    }
}

/// What is read, of each sub-topology.
pub(super) struct Sources {
    /// Topics with their sources' nodes.
    pub of_subs: Vec<Vec<(&'static str, usize)>>,
    pub partitions: BTreeMap<&'static str, u32>,
}

impl Sources {
    /// Of what is named, with its partitions, and of topics that match: each with its source's node and its partitions.
    pub fn new(
        topology: &Topology,
        named: BTreeMap<&'static str, u32>,
        matched: impl Iterator<Item = (&'static str, usize, u32)>,
    ) -> Self {
        let mut sources = Self {
            of_subs: topology.subs.iter().map(|sub| sub.sources.clone()).collect(),
            partitions: named,
        };
        for (topic, node, count) in matched {
            let of_subs = topology.subs.iter().zip(&mut sources.of_subs);
            let mut its = of_subs.filter(|(sub, _)| sub.matching.contains(&node));
            its.by_ref().for_each(|(_, sources)| sources.push((topic, node)));
            sources.partitions.insert(topic, count);
        }
        sources
    }
}

/// How many tasks a sub-topology has. Where it keeps state, equal keys of its inputs must lie in equal partitions.
fn partitions_of(
    sub: &SubTopology,
    sources: &[(&'static str, usize)],
    partitions: &BTreeMap<&'static str, u32>,
) -> Result<u32, EngineError> {
    let counts: BTreeMap<&str, u32> = sources.iter().map(|&(topic, _)| (topic, partitions[topic])).collect();
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
