//! Which topics are read by pattern.

use std::collections::BTreeMap;

use super::pattern::Pattern;
use super::reset::OffsetReset;
use super::{Graph, Kind, TopicUse, Topology};

/// What of the topics that are there is read by pattern.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Matches {
    /// Topics with their sources' nodes.
    pub sources: BTreeMap<String, usize>,
    /// What two sources would read, and why that is not so.
    pub refused: Vec<String>,
}

/// What an application names its own topics, after its own name.
const INTERNAL: [&str; 5] = ["tasks", "instances", "schemas", "inputs", "dead-letters"];
const INTERNAL_ENDS: [&str; 2] = ["-changelog", "-repartition"];

impl Graph {
    /// A source's topics are all that match.
    pub fn add_pattern(&mut self, name: &'static str, expression: &str, reset: OffsetReset, node: usize) {
        match Pattern::new(name, expression, reset, node) {
            Ok(pattern) => self.patterns.push(pattern),
            Err(error) => self.problems.push(format!("the pattern of {name} is none: {error}")),
        }
    }

    /// A topic that is named may not match: two sources would read it.
    pub fn check_patterns(&mut self) {
        let named = self.nodes.iter().filter_map(|node| match node.kind {
            Kind::Source { topic } => Some(topic),
            _ => None,
        });
        let is_public = |topic: &&str| self.topics.get(topic) != Some(&TopicUse::Repartition);
        let named: Vec<&str> = named.filter(is_public).collect();
        for pattern in &self.patterns {
            let twice = named.iter().filter(|topic| pattern.is_match(topic));
            let twice = twice.map(|topic| {
                format!(
                    "topic {topic} is read by its name, and matches the pattern of {}",
                    pattern.name
                )
            });
            self.problems.extend(twice);
        }
    }
}

impl Topology {
    /// The topics that are read by pattern, of those that are there.
    pub(crate) fn matches<'a>(&self, topics: impl IntoIterator<Item = &'a str>) -> Matches {
        let mut found = Matches::default();
        for topic in topics.into_iter().filter(|topic| !self.is_internal(topic)) {
            let patterns: Vec<&Pattern> = self.patterns.iter().filter(|pattern| pattern.is_match(topic)).collect();
            match patterns[..] {
                [] => {}
                [pattern] => drop(found.sources.insert(topic.to_owned(), pattern.node)),
                _ => {
                    let names: Vec<&str> = patterns.iter().map(|pattern| pattern.name).collect();
                    let names = names.join(" and of ");
                    found.refused.push(format!("topic {topic} matches the patterns of {names}"));
                }
            }
        }
        found
    }

    /// Whether a topic is this application's own business, whatever pattern it matches.
    fn is_internal(&self, topic: &str) -> bool {
        let own = topic.strip_prefix(&self.application).and_then(|rest| rest.strip_prefix('-'));
        let is_own = own.is_some_and(|name| INTERNAL.contains(&name) || INTERNAL_ENDS.iter().any(|end| name.ends_with(end)));
        is_own || self.is_repartition(topic)
    }
}
