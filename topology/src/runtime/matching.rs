//! Topics that come and go while they are read by pattern.
//!
//! Every instance looks for itself, every few seconds, at what the log has, and so all come to read the same. A task that moves meanwhile
//! between two that do not yet: whoever reads a topic goes on from the group's offset, and who does not leaves it alone. So each record
//! counts once, and at most comes a few seconds later.
//!
//! What is read already goes on, whatever comes: a topic that cannot be read beside it is refused, and named to the operator.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use broker::BrokerError;

use super::parts::Parts;
use super::plan::Plan;
use super::shared::Shared;
use super::topics::{Sources, Topics};
use crate::error::EngineError;
use crate::graph::{SubTopology, Topology};

/// Whoever calls has other things to do while the broker is away.
const PATIENCE: Duration = Duration::from_secs(3);

/// Topics that are to be read by pattern, each with its source's node and its partitions.
type Matched = BTreeMap<&'static str, (usize, u32)>;

/// Looks which topics match, and makes a new plan where they are others than before. To be called now and then, off the workers' threads.
pub(crate) fn watch_matching(parts: &Parts, shared: &Shared) -> Result<(), EngineError> {
    let topology = &*parts.topology;
    if topology.patterns.is_empty() {
        return Ok(());
    }
    let topics = Topics {
        topology,
        settings: &parts.settings,
        broker: &*parts.broker,
        timeout: PATIENCE.min(parts.settings.broker_timeout),
    };
    let plan = shared.plans.newest(&parts.plan);
    let mut there = topics.there()?;
    let before = plan.matched(topology);
    // One that was made anew goes first, and comes the next time.
    let ids = topics.ids_of(before.keys().copied())?;
    let is_another = |topic: &str| plan.is_another(topic, ids.get(topic));
    there.retain(|topic, _| !is_another(topic));
    shared
        .plans
        .missed
        .lock()
        .extend(before.keys().filter(|topic| is_another(topic)));
    let (matched, mut refused) = choose(topology, &plan, &there, &mut shared.plans.missed.lock());
    let come: Vec<&str> = matched.keys().copied().filter(|topic| !before.contains_key(topic)).collect();
    let gone: Vec<&str> = before.keys().copied().filter(|topic| !matched.contains_key(topic)).collect();
    if !come.is_empty() || !gone.is_empty() {
        let named = plan
            .source_partitions
            .iter()
            .filter(|(topic, _)| !before.contains_key(*topic));
        let named = named.map(|(topic, count)| (*topic, *count)).collect();
        let matched = matched.iter().map(|(topic, (node, count))| (*topic, *node, *count));
        match topics.plan(Sources::new(topology, named, matched), Some(&plan)) {
            Ok(plan) => {
                tracing::info!(?come, ?gone, "other topics match the sources' patterns than before");
                shared.plans.publish(plan);
            }
            Err(EngineError::Broker(error @ BrokerError::Unavailable(_))) => return Err(error.into()),
            Err(error) => refused.push(format!("{} cannot be read beside what is read: {error}", come.join(", "))),
        }
    }
    parts.metrics.refused.set(refused.len() as i64);
    for reason in shared.plans.refuse(refused) {
        tracing::error!("{reason}");
    }
    Ok(())
}

/// What is to be read by pattern from now on, and why something is not. What is read goes on as it is; only what was not there twice in a
/// row is given up, since a broker may not have heard of it yet.
fn choose(
    topology: &Topology,
    plan: &Plan,
    there: &BTreeMap<String, u32>,
    missed: &mut BTreeSet<&'static str>,
) -> (Matched, Vec<String>) {
    let before = plan.matched(topology);
    let matches = topology.matches(there.keys().map(String::as_str));
    let mut refused = matches.refused;
    let mut matched = Matched::new();
    missed.retain(|topic| before.contains_key(topic) && !there.contains_key(*topic));
    for (topic, node) in before {
        if there.contains_key(topic) || missed.insert(topic) {
            matched.insert(topic, (node, plan.source_partitions[topic]));
        }
    }
    for sub in topology.subs.iter().filter(|sub| !sub.matching.is_empty()) {
        let its = matches.sources.iter().filter(|(_, node)| sub.matching.contains(node));
        let new: Vec<_> = its.filter(|(topic, _)| !matched.contains_key(topic.as_str())).collect();
        let first = new.first().map(|(topic, _)| there[*topic]);
        let wanted = tasks_of(topology, sub, plan, &matched, there).or(first);
        for (topic, node) in new {
            let count = there[topic];
            match wanted.filter(|wanted| !sub.stores.is_empty() && *wanted != count) {
                Some(wanted) => refused.push(format!(
                    "topic {topic} matches, and is not read: it has {count} partitions, and {}, which keeps state, has {wanted} tasks \
                     (docs/runbooks/partitions.md)",
                    sub.name
                )),
                None => drop(matched.insert(wire::name(topic), (*node, count))),
            }
        }
    }
    (matched, refused)
}

/// How many tasks a sub-topology that keeps state has already, by its inputs or else by what its state was.
fn tasks_of(
    topology: &Topology,
    sub: &SubTopology,
    plan: &Plan,
    matched: &Matched,
    there: &BTreeMap<String, u32>,
) -> Option<u32> {
    let named = sub.sources.iter().map(|(topic, _)| plan.source_partitions[topic]);
    let by_pattern = matched.values().filter(|(node, _)| sub.matching.contains(node));
    let mut inputs = named.chain(by_pattern.map(|(_, count)| *count));
    let changelogs = sub
        .stores
        .iter()
        .filter_map(|store| topology.stores[*store].changelog_topic(topology.application()));
    inputs
        .next()
        .or_else(|| changelogs.filter_map(|topic| there.get(&topic).copied()).next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsl::{Builder, TopicPattern};

    #[test]
    fn only_what_is_missed_twice_in_a_row_is_let_go() {
        let b = Builder::new("choice");
        b.stream_matching(TopicPattern::<i64, i64>::new("all", "[a-z]"))
            .for_each(|_| {});
        let topology = b.build().unwrap();
        let node = topology.subs[0].matching[0];
        let plan = Plan {
            number: 0,
            sources: vec![vec![("a", node), ("b", node)]],
            source_partitions: BTreeMap::from([("a", 4), ("b", 4)]),
            topic_ids: BTreeMap::new(),
            tasks: vec![4],
            groups: 4,
            stores: Default::default(),
            tombstone_retention: Duration::ZERO,
        };
        let mut missed = BTreeSet::new();
        // Others come meanwhile, and one is said to have other partitions than at first.
        for (there, expected) in [
            (vec![("a", 4), ("b", 4)], vec![("a", 4), ("b", 4)]),
            (vec![("a", 4)], vec![("a", 4), ("b", 4)]),
            (vec![("a", 4), ("b", 4), ("c", 2)], vec![("a", 4), ("b", 4), ("c", 2)]),
            (vec![("a", 9)], vec![("a", 4), ("b", 4)]),
            (vec![("a", 9)], vec![("a", 4)]),
            (vec![], vec![("a", 4)]),
            (vec![("a", 4), ("b", 4)], vec![("a", 4), ("b", 4)]),
            (vec![], vec![("a", 4), ("b", 4)]),
        ] {
            let named = there.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect();
            let (matched, refused) = choose(&topology, &plan, &named, &mut missed);
            let chosen: Vec<(&str, u32)> = matched.iter().map(|(topic, (_, count))| (*topic, *count)).collect();
            assert_eq!((chosen, refused), (expected, vec![]), "{there:?}");
        }
    }
}
